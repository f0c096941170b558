"""What a server's TokenReview says of a token, in words for people."""

import asyncio
from typing import Any

import pytest
from verger.identity.inspection import describe, inspect, reviewed
from verger.identity.signing import SigningKey
from verger.identity.tokens import NotOurs

from tests.identity.world import API, ISSUER, NOW, claims, ring

KEY = SigningKey.generate()
TOKEN = asyncio.run(KEY.sign(claims()))


@pytest.mark.parametrize(
    ("status", "problems"),
    [
        pytest.param(
            {"error": "[invalid bearer token, service account token has been invalidated]"},
            ("service account token has been invalidated",),
            id="the reason without its frame",
        ),
        pytest.param(
            {"error": 'token audiences ["a"]'}, ('token audiences ["a"]',), id="no frame, no change"
        ),
        pytest.param({}, ("the server does not take it",), id="no reason"),
        pytest.param({"error": "a\nb"}, ("a\\u000ab",), id="on one line"),
    ],
)
def test_refused(status: dict[str, Any], problems: tuple[str, ...]) -> None:
    """Why the server does not take it."""
    found = reviewed(TOKEN, status, now=NOW)
    assert found.problems == problems
    assert not found.good


def test_reason_that_is_known_is_told_once() -> None:
    """What the token itself shows and the server says, too."""
    status = {"error": "[invalid bearer token, service account token has expired]"}
    found = reviewed(TOKEN, status, now=NOW + 4000)
    assert found.problems == ("service account token has expired",)
    other = reviewed(TOKEN, {"error": "invalid bearer token"}, now=NOW + 4000)
    assert other.problems == ("service account token has expired", "invalid bearer token")


def test_taken() -> None:
    """The server's word counts, also about the clock."""
    found = reviewed(TOKEN, {"authenticated": True, "user": {"username": "me"}}, now=NOW + 4000)
    assert found.good
    assert describe(found, NOW)[-1] == "Good: the server takes it, and whoever shows it for me."


def test_expected_issuer() -> None:
    """A token of another issuer is not what was asked about."""
    found = inspect(TOKEN, ring(KEY), issuer="https://other", now=NOW)
    assert found.problems == (f"it was issued by {ISSUER}, not by https://other",)
    assert inspect(TOKEN, ring(KEY), issuer=ISSUER, audiences=[API], now=NOW).good


def test_checked_is_more_than_unchecked() -> None:
    """Without keys nothing is good, whatever the token says of itself."""
    assert not inspect(TOKEN, None, now=NOW).good
    assert inspect(TOKEN, ring(KEY), now=NOW).good
    with pytest.raises(NotOurs):
        reviewed("scribble", {"authenticated": True}, now=NOW)


@pytest.mark.parametrize(
    ("offset", "words"),
    [
        (0, "now"),
        (59, "in 59 seconds"),
        (60, "in 1 minute"),
        (7200, "in 2 hours"),
        (86400, "in 1 day"),
        (-1, "1 second ago"),
        (-3 * 86400, "3 days ago"),
    ],
)
def test_moments(offset: int, words: str) -> None:
    """How long ago, or how long to go, in the largest unit that fits."""
    token = asyncio.run(KEY.sign(claims(expires=NOW + offset)))
    (line,) = [text for text in describe(inspect(token, None, now=NOW), NOW) if "expires" in text]
    assert line.endswith(f" UTC, {words}")


def test_moment_beyond_all_calendars() -> None:
    """It is shown as it is."""
    token = asyncio.run(KEY.sign(claims(expires=10**14)))
    assert "no time that a calendar has" in "\n".join(describe(inspect(token, None, now=NOW), NOW))
