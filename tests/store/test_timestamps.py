"""Times are written in one form, and what is no time is refused in the words of a Go server."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from verger.store.timestamps import (
    format_micro,
    format_time,
    normal_micro,
    normal_time,
    parse,
    parse_duration,
)

QUICK = settings(max_examples=80, deadline=None, derandomize=True)
TIME = "2006-01-02T15:04:05Z07:00"
MICRO = "2006-01-02T15:04:05.000000Z07:00"


@pytest.mark.parametrize(
    ("normalise", "text", "expected"),
    [
        pytest.param(
            normal_time, "2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z", id="as it is written"
        ),
        pytest.param(
            normal_time, "2020-01-01T01:30:00+01:30", "2020-01-01T00:00:00Z", id="an offset"
        ),
        pytest.param(
            normal_time, "2019-12-31T23:00:00-01:00", "2020-01-01T00:00:00Z", id="into next year"
        ),
        pytest.param(
            normal_time, "2020-01-01T00:00:00.999999999Z", "2020-01-01T00:00:00Z", id="a fraction"
        ),
        pytest.param(
            normal_time, "2020-01-01T00:00:00,9Z", "2020-01-01T00:00:00Z", id="behind a comma"
        ),
        pytest.param(
            normal_time, "2020-02-29T00:00:00+00:00", "2020-02-29T00:00:00Z", id="a leap day"
        ),
        pytest.param(
            normal_time, "0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", id="the zero time of Go"
        ),
        pytest.param(
            normal_time,
            "0001-01-01T00:00:00+00:00",
            "0001-01-01T00:00:00Z",
            id="an early year keeps its four digits",
        ),
        pytest.param(
            normal_time, "2020-01-01T00:00:00+24:60", "2019-12-30T23:00:00Z", id="a zone of a day"
        ),
        pytest.param(
            normal_micro,
            "2020-01-01T00:00:00.000001Z",
            "2020-01-01T00:00:00.000001Z",
            id="micro: as it is written",
        ),
        pytest.param(
            normal_micro,
            "2020-01-01T01:00:00.500000+01:00",
            "2020-01-01T00:00:00.500000Z",
            id="micro: an offset",
        ),
        pytest.param(
            normal_micro,
            "0900-01-01T00:00:00.000000+00:00",
            "0900-01-01T00:00:00.000000Z",
            id="micro: an early year keeps its four digits",
        ),
    ],
)
def test_time_is_written_in_one_form(
    normalise: Callable[[str], str], text: str, expected: str
) -> None:
    """A time is in UTC, in whole seconds or in six digits."""
    assert normalise(text) == expected
    assert normalise(expected) == expected


WIDE = r"\xef\xbc\x92\xef\xbc\x90\xef\xbc\x92\xef\xbc\x90"
"""Digits of double width as Go shows them, byte by byte."""


def broken(text: str, layout: str, rest: str, element: str) -> str:
    return f'parsing time "{text}" as "{layout}": cannot parse "{rest}" as "{element}"'


@pytest.mark.parametrize(
    ("normalise", "text", "message"),
    [
        pytest.param(
            normal_time,
            "yesterday",
            broken("yesterday", TIME, "yesterday", "2006"),
            id="a word",
        ),
        pytest.param(normal_time, "", broken("", TIME, "", "2006"), id="nothing"),
        pytest.param(
            normal_time,
            "2020-1-01T00:00:00Z",
            broken("2020-1-01T00:00:00Z", TIME, "1-01T00:00:00Z", "01"),
            id="a month of one digit",
        ),
        pytest.param(
            normal_time,
            "2020-01-01 00:00:00Z",
            broken("2020-01-01 00:00:00Z", TIME, " 00:00:00Z", "T"),
            id="a space instead of a T",
        ),
        pytest.param(
            normal_time,
            "2020-01-01T00:00:00",
            broken("2020-01-01T00:00:00", TIME, "", "Z07:00"),
            id="no zone",
        ),
        pytest.param(
            normal_time,
            "2020-01-01T00:00:00+01",
            broken("2020-01-01T00:00:00+01", TIME, "+01", "Z07:00"),
            id="half of a zone",
        ),
        pytest.param(
            normal_time,
            "2020-01-01T00:00:00Zx",
            'parsing time "2020-01-01T00:00:00Zx": extra text: "x"',
            id="more behind it",
        ),
        pytest.param(
            normal_time,
            "2020-13-01T00:00:00Z",
            'parsing time "2020-13-01T00:00:00Z": month out of range',
            id="a thirteenth month",
        ),
        pytest.param(
            normal_time,
            "2021-02-29T00:00:00Z",
            'parsing time "2021-02-29T00:00:00Z": day out of range',
            id="a leap day in another year",
        ),
        pytest.param(
            normal_time,
            "2020-01-01T24:00:00Z",
            'parsing time "2020-01-01T24:00:00Z": hour out of range',
            id="a twenty-fifth hour",
        ),
        pytest.param(
            normal_time,
            "2020-01-01T00:60:00Z",
            'parsing time "2020-01-01T00:60:00Z": minute out of range',
            id="a sixty-first minute",
        ),
        pytest.param(
            normal_time,
            "2020-01-01T00:00:60Z",
            'parsing time "2020-01-01T00:00:60Z": second out of range',
            id="a leap second",
        ),
        pytest.param(
            normal_time,
            "2020-01-01T00:00:00+25:00",
            'parsing time "2020-01-01T00:00:00+25:00": time zone offset hour out of range',
            id="a zone beyond the day",
        ),
        pytest.param(
            normal_time,
            "\uff12\uff10\uff12\uff10-01-01T00:00:00Z",
            broken(f"{WIDE}-01-01T00:00:00Z", TIME, f"{WIDE}-01-01T00:00:00Z", "2006"),
            id="wide digits",
        ),
        pytest.param(
            normal_time,
            "2020-01-01T00:00:00+01:61",
            'parsing time "2020-01-01T00:00:00+01:61": time zone offset minute out of range',
            id="a zone of too many minutes",
        ),
        pytest.param(
            normal_time,
            "2020-01-40T25:00:00Z",
            'parsing time "2020-01-40T25:00:00Z": hour out of range',
            id="a day is judged last",
        ),
        pytest.param(
            normal_time,
            "0000-01-01T00:00:00Z",
            'parsing time "0000-01-01T00:00:00Z": year out of range',
            id="no year",
        ),
        pytest.param(
            normal_time,
            '2020"\\',
            r'parsing time "2020\"\\" as "2006-01-02T15:04:05Z07:00": cannot parse "\"\\" as "-"',
            id="quotes and backslashes",
        ),
        pytest.param(
            normal_micro,
            "yesterday",
            broken("yesterday", MICRO, "yesterday", "2006"),
            id="micro: a word",
        ),
        pytest.param(
            normal_micro,
            "2020-01-01T00:00:00Z",
            broken("2020-01-01T00:00:00Z", MICRO, "Z", ".000000"),
            id="micro: no fraction",
        ),
        pytest.param(
            normal_micro,
            "2020-01-01T00:00:00.123Z",
            broken("2020-01-01T00:00:00.123Z", MICRO, ".123Z", ".000000"),
            id="micro: three digits",
        ),
        pytest.param(
            normal_micro,
            "\uff12\uff10\uff12\uff10-01-01T00:00:00.000000Z",
            broken(
                f"{WIDE}-01-01T00:00:00.000000Z", MICRO, f"{WIDE}-01-01T00:00:00.000000Z", "2006"
            ),
            id="micro: wide digits",
        ),
    ],
)
def test_what_is_no_time_is_refused_in_the_words_of_go(
    normalise: Callable[[str], str], text: str, message: str
) -> None:
    """The message says where reading stopped and what was expected there."""
    with pytest.raises(ValueError, match=r"^parsing time") as refused:
        normalise(text)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("normalise", "text"),
    [
        pytest.param(normal_time, "0001-01-01T00:00:00+01:00", id="before the first year"),
        pytest.param(normal_time, "9999-12-31T23:59:59-01:00", id="behind the last year"),
        pytest.param(normal_micro, "0001-01-01T00:00:00.000000+01:00", id="micro: before"),
        pytest.param(normal_micro, "9999-12-31T23:59:59.000000-01:00", id="micro: behind"),
    ],
)
def test_time_beyond_the_calendar_is_refused_and_nothing_worse(
    normalise: Callable[[str], str], text: str
) -> None:
    """A time that cannot be said in UTC is a client's mistake: a ValueError, and no other error."""
    with pytest.raises(ValueError, match=r"^parsing time"):
        normalise(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("0", 0.0, id="nothing needs no unit"),
        pytest.param("1m30s", 90.0, id="two parts"),
        pytest.param("1.5h", 5400.0, id="a fraction"),
        pytest.param(".5s", 0.5, id="no digit before the point"),
        pytest.param("1.s", 1.0, id="no digit behind the point"),
        pytest.param("-2ms", -0.002, id="less than nothing"),
        pytest.param("+1us1\u00b5s1\u03bcs", 3e-6, id="three ways to say a microsecond"),
        pytest.param("", None, id="no text"),
        pytest.param("+", None, id="a sign alone"),
        pytest.param("--1s", None, id="two signs"),
        pytest.param("5", None, id="no unit"),
        pytest.param("1d", None, id="no such unit"),
        pytest.param(".s", None, id="no digit"),
        pytest.param("1.2.3s", None, id="two points"),
        pytest.param("\u00b2s", None, id="a superscript digit"),
        pytest.param("1s ", None, id="white space"),
    ],
)
def test_duration_is_read_as_go_does(text: str, seconds: float | None) -> None:
    """Numbers with units, one after the other; anything else is no duration."""
    assert parse_duration(text) == (seconds if seconds is None else pytest.approx(seconds))


MOMENTS = st.datetimes(datetime(1000, 1, 2), datetime(9999, 12, 30))
ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@QUICK
@given(moment=MOMENTS, zone=ZONES)
def test_time_is_the_same_moment_in_utc(moment: datetime, zone: timezone) -> None:
    """An independent calendar agrees: the form changes, the moment does not."""
    text = moment.replace(tzinfo=zone).isoformat(timespec="microseconds")
    utc = moment.replace(tzinfo=zone).astimezone(UTC)
    assert normal_micro(text) == utc.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert normal_time(text) == utc.strftime("%Y-%m-%dT%H:%M:%SZ")


@QUICK
@given(seconds=st.integers(0, 2**33), micros=st.integers(0, 999_999))
def test_written_time_is_read_as_it_was(seconds: int, micros: int) -> None:
    """Reading is the inverse of writing; a Time drops the fraction, a MicroTime keeps it."""
    moment = seconds + micros / 1_000_000
    assert parse(format_time(moment)) == seconds
    assert parse(format_micro(moment)) == pytest.approx(moment, abs=1e-6)
    assert normal_time(format_time(moment)) == format_time(moment)
    assert normal_micro(format_micro(moment)) == format_micro(moment)


@QUICK
@given(text=st.text("0129-T:.,Z+ \u00b2\uff11", max_size=28))
def test_any_text_is_a_time_or_refused(text: str) -> None:
    """Whatever a client sends, the answer is a time or a ValueError that speaks of parsing a time."""
    for normalise in (normal_time, normal_micro):
        try:
            normalise(text)
        except ValueError as error:
            assert str(error).startswith("parsing time")  # noqa: PT017
