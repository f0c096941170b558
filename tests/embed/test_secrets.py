"""embed/logs.py, and the text form of everything that holds a secret: no token and no key gets out by accident."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from verger.embed import ControlPlane
from verger.embed.logs import REDACTED, Format, make_logger
from verger.identity.authn import Credentials
from verger.identity.certificates import Authority
from verger.identity.signing import SigningKey

TOKEN = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ.eyJzdWIiOiJzeXN0ZW06c2VydmljZWFjY291bnQ6YTpiIn0.c2lnbmF0dXJl"
PAIR = Authority(1_700_000_000.0).server(["localhost"])
KEY = PAIR.key.decode()
KEY_LINE = KEY.splitlines()[1]


class Holder:
    """Something whose text form holds a secret."""

    def __repr__(self) -> str:
        return f"Holder({TOKEN})"


def written(say: Callable[[Any], None], *, format_: Format = "json", level: str = "debug") -> str:
    stream = io.StringIO()
    say(make_logger(level=level, format=format_, stream=stream))
    return stream.getvalue()


def raising(log: Any) -> None:
    try:
        raise ValueError(f"cannot use {TOKEN} and {KEY}")
    except ValueError:
        log.exception("failed")


@pytest.mark.parametrize("format_", ["json", "console"])
@pytest.mark.parametrize(
    "say",
    [
        pytest.param(lambda log: log.info("a", error=f"bad token {TOKEN}!"), id="a value"),
        pytest.param(lambda log: log.info(f"got {TOKEN}"), id="the event itself"),
        pytest.param(lambda log: log.bind(who=TOKEN).warning("a"), id="a bound value"),
        pytest.param(lambda log: log.error("a", error=KEY), id="a private key"),
        pytest.param(lambda log: log.debug("a", key=KEY[:90]), id="half a private key"),
        pytest.param(lambda log: log.debug("a", key=KEY[:90] + '\\"'), id="half a key and a quote"),
        pytest.param(lambda log: log.info("a", items=["x", [TOKEN]]), id="in a list"),
        pytest.param(lambda log: log.info("a", obj={"data": {"token": TOKEN}}), id="in an object"),
        pytest.param(lambda log: log.info("a", data=KEY.encode()), id="in bytes"),
        pytest.param(lambda log: log.info("a", error=ValueError(TOKEN)), id="in an exception"),
        pytest.param(lambda log: log.info("a", holder=Holder()), id="in the text of an object"),
        pytest.param(raising, id="in a traceback"),
    ],
)
def test_secrets_do_not_get_through_a_logger(say: Callable[[Any], None], format_: Format) -> None:
    """Whoever logs need not think of it: the logger takes tokens and private keys out."""
    text = written(say, format_=format_)
    assert text.endswith("\n")
    assert TOKEN not in text
    assert TOKEN.rpartition(".")[0] not in text
    assert KEY_LINE not in text
    assert REDACTED in text
    if format_ == "json":
        assert json.loads(text)["timestamp"]


def test_everything_else_gets_through_a_logger() -> None:
    """Words that look a little like secrets stay, and so does what stands around one."""
    text = written(lambda log: log.info("eyJ", a="PRIVATE KEY", b=f"<{TOKEN}>", c=1))
    entry = json.loads(text)
    assert (entry["event"], entry["a"], entry["b"], entry["c"]) == (
        "eyJ",
        "PRIVATE KEY",
        f"<{REDACTED}>",
        1,
    )


@pytest.mark.parametrize(
    ("level", "said"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_lines_below_the_level_are_not_written(level: str, said: list[str]) -> None:
    """The level is the least that is said."""

    def say(log: Any) -> None:
        for name in ("debug", "info", "warning", "error"):
            getattr(log, name)("a")

    lines = written(say, level=level).splitlines()
    assert [json.loads(line)["level"] for line in lines] == said


@pytest.mark.parametrize(
    "holder",
    [
        pytest.param(PAIR, id="a certificate with its key"),
        pytest.param(Credentials(authorization=f"Bearer {TOKEN}"), id="credentials"),
        pytest.param(SigningKey.generate(), id="a signing key"),
        pytest.param(Authority(0.0), id="an authority"),
    ],
)
def test_text_form_of_what_holds_a_secret_does_not_tell_it(holder: object) -> None:
    """What is printed while somebody looks for a fault ends up in logs and reports."""
    for text in (repr(holder), str(holder), f"{[holder]}"):
        assert TOKEN not in text
        assert "PRIVATE" not in text
        assert KEY_LINE not in text


async def test_text_form_of_a_plane_does_not_tell_its_token() -> None:
    """Neither the plane nor any part of it."""
    async with ControlPlane() as plane:
        for part in (plane, plane.options, plane._started(), plane.client, plane.controllers):
            assert plane.token not in repr(part)
            assert "PRIVATE" not in repr(part)
