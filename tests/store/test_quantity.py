"""Quantities amount to what they say and have one spelling, the one that a kube-apiserver gives them."""

from decimal import ROUND_CEILING, Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from verger.store.quantity import QuantityError, amount, normal

QUICK = settings(max_examples=80, deadline=None, derandomize=True)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        pytest.param("0", "0", id="zero"),
        pytest.param("00", "0", id="two zeros"),
        pytest.param("0Ki", "0", id="zero has no suffix"),
        pytest.param("-0", "0", id="zero has no sign"),
        pytest.param("5", "5", id="a small number"),
        pytest.param("007", "7", id="leading zeros"),
        pytest.param("+5", "5", id="a plus sign"),
        pytest.param("1.", "1", id="a point without digits behind it"),
        pytest.param(".5", "500m", id="a point without digits before it"),
        pytest.param("0.5", "500m", id="half of one"),
        pytest.param("1000m", "1", id="a thousand thousandths"),
        pytest.param("1080000000n", "1080m", id="the largest suffix that leaves no fraction"),
        pytest.param("1.08", "1080m", id="a fraction"),
        pytest.param("1000", "1k", id="a thousand"),
        pytest.param("1000000000", "1G", id="a billion"),
        pytest.param("0.001T", "1G", id="a fraction of a larger suffix"),
        pytest.param("1000M", "1G", id="the next suffix"),
        pytest.param("1234567M", "1234567M", id="a number that no larger suffix divides"),
        pytest.param("100.035k", "100035", id="a fraction that becomes whole"),
        pytest.param("1E", "1E", id="exa, not an exponent"),
        pytest.param("12E", "12E", id="decimal amounts are not capped"),
        pytest.param("1024Mi", "1Gi", id="the next binary suffix"),
        pytest.param("307200Ki", "300Mi", id="as far up as it goes"),
        pytest.param("1025024Mi", "1001Gi", id="and no further"),
        pytest.param("1.5Gi", "1536Mi", id="a binary fraction"),
        pytest.param("0.5Mi", "512Ki", id="half a binary unit"),
        pytest.param("1Ki", "1Ki", id="one binary unit"),
        pytest.param("0.5Ki", "512", id="fewer than 1024 need no suffix"),
        pytest.param(".001Ki", "1024m", id="a binary fraction below one becomes decimal"),
        pytest.param("0.1Ki", "102400m", id="a binary fraction that is not whole becomes decimal"),
        pytest.param(".000000001Ki", "1024n", id="a very small binary fraction"),
        pytest.param("9Ei", "9223372036854775807", id="binary amounts are capped at 64 bits"),
        pytest.param("-9Ei", "-9223372036854775807", id="in both directions"),
        pytest.param("1e3", "1e3", id="an exponent stays one"),
        pytest.param("1e4", "10e3", id="an exponent is a multiple of three"),
        pytest.param(".001e12", "1e9", id="a fraction with an exponent"),
        pytest.param("0.001e0", "1e-3", id="a negative exponent comes out"),
        pytest.param("1000e-12", "1e-9", id="a negative exponent"),
        pytest.param("80e-3", "80e-3", id="a negative exponent stays one"),
        pytest.param("9e99", "9e99", id="an exponent beyond all suffixes"),
        pytest.param("1e1000", "10e999", id="the largest exponent"),
        pytest.param("1e-9999", "1e-9", id="an exponent below all suffixes"),
        pytest.param("0.0000000001", "1n", id="less than the smallest is rounded up"),
        pytest.param("3.001n", "4n", id="beyond nine digits is rounded up"),
        pytest.param("-3.001n", "-4n", id="away from zero"),
        pytest.param(".000000000001Ki", "2n", id="binary too"),
        pytest.param("-1.5Gi", "-1536Mi", id="negative"),
        pytest.param(" 1", "1", id="white space in front"),
        pytest.param("1 ", "1", id="white space behind"),
    ],
)
def test_amount_has_the_spelling_of_upstream(text: str, canonical: str) -> None:
    """Each spelling of an amount becomes the one that upstream writes."""
    # upstream: apimachinery/pkg/api/resource/quantity_test.go
    assert normal(text) == canonical


def test_amount_keeps_its_size_beyond_the_largest_suffix() -> None:
    """There is no suffix above exa: the number grows instead."""
    assert normal("1000E") == "1000E"
    assert amount("1000E") == Decimal(10**21)


@pytest.mark.parametrize(
    ("number", "canonical"),
    [
        pytest.param(5, "5", id="a whole number"),
        pytest.param(1500, "1500", id="more than a thousand"),
        pytest.param(-1, "-1", id="negative"),
        pytest.param(0.5, "500m", id="a fraction"),
    ],
)
def test_numbers_of_json_are_quantities_too(number: float, canonical: str) -> None:
    """A number without quotes is read like its text."""
    assert normal(number) == canonical


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("many", id="a word"),
        pytest.param("1i", id="half of a binary suffix"),
        pytest.param("0.1mi", id="no such binary suffix"),
        pytest.param("1ki", id="a binary suffix in lower case"),
        pytest.param("1KI", id="a binary suffix in upper case"),
        pytest.param("1K", id="a decimal suffix in upper case"),
        pytest.param("1g", id="a decimal suffix in lower case"),
        pytest.param("1.1.M", id="two points"),
        pytest.param("1+1.0M", id="a sum"),
        pytest.param("-3.01e-", id="an exponent without digits"),
        pytest.param("1e1001", id="an exponent without end"),
        pytest.param("0" * 101, id="a text without end"),
        pytest.param("1e3k", id="an exponent and a suffix"),
        pytest.param("--1", id="two signs"),
        pytest.param("1 000", id="a space inside"),
        pytest.param("1_000", id="an underscore inside"),
        pytest.param("1,5", id="a comma"),
        pytest.param("0x10", id="a hexadecimal number"),
        pytest.param("inf", id="infinity"),
        pytest.param("NaN", id="not a number"),
        pytest.param("\u00b2", id="a superscript digit"),
        pytest.param("\uff11", id="a wide digit"),
        pytest.param("\u0663\u0664\u0665\u0666", id="digits of another script"),
    ],
)
def test_what_is_no_quantity_is_refused(text: str) -> None:
    """Anything else is refused with upstream's message."""
    with pytest.raises(QuantityError) as refused:
        normal(text)
    assert str(refused.value) == (
        "quantities must match the regular expression "
        "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    )
    with pytest.raises(QuantityError):
        amount(text)


SCALES = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1), "k": Decimal(10**3),
    "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12), "P": Decimal(10**15), "Ki": Decimal(2**10),
    "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40), "Pi": Decimal(2**50), "e3": Decimal(10**3),
    "E-2": Decimal("1e-2"), "e+0": Decimal(1),
}  # fmt: skip
PARTS = st.tuples(
    st.sampled_from(["", "-", "+"]),
    st.sampled_from(["0", "1", "9", "10", "0512", "1000", "1024", "4096", "99999"]).flatmap(
        lambda whole: st.sampled_from(
            [whole, f"{whole}.", f"{whole}.25", f".{whole}", f"{whole}.00001"]
        )
    ),
    st.sampled_from(sorted(SCALES)),
)


@QUICK
@given(parts=PARTS)
def test_amount_is_the_number_times_its_suffix(parts: tuple[str, str, str]) -> None:
    """A quantity amounts to its number, scaled, rounded up to a billionth away from zero."""
    sign, number, suffix = parts
    expected = (Decimal(number) * SCALES[suffix]).quantize(Decimal("1e-9"), ROUND_CEILING)
    assert amount("".join(parts)) == (-expected if sign == "-" else expected)


@QUICK
@given(parts=PARTS)
def test_normal_spelling_keeps_the_amount_and_is_final(parts: tuple[str, str, str]) -> None:
    """A spelling is changed and the amount is not; the one spelling of an amount stays as it is."""
    text = "".join(parts)
    once = normal(text)
    assert amount(once) == amount(text)
    assert normal(once) == once
    assert "." not in once


@QUICK
@given(text=st.text("0123456789.+-eEinumkKMGTP \u00b2\uff11", max_size=6))
def test_any_text_is_a_quantity_or_refused(text: str) -> None:
    """Whatever a client sends, the answer is an ASCII spelling or a QuantityError."""
    try:
        spelling = normal(text)
    except QuantityError:
        return
    assert spelling.isascii()
    assert normal(spelling) == spelling
