"""Who may read what a daemon tells of itself is what the API server says, and nobody else may."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from verger.embed.delegation import ASKING_MAX, VERDICT_KEPT, Delegation, Refused
from verger.store.errors import Forbidden
from verger.watch.clock import FakeClock

from tests.controllers.harness import Log

USER = {"username": "scraper", "uid": "1", "groups": ["a"], "extra": {"k": ["v"]}}


class Server:
    """Answers reviews: one token is known, and its bearer may read one path."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self.user: Any = USER
        self.authenticated: Any = True
        self.allowed: Mapping[str, Any] = {"allowed": True}
        self.fails = False
        self.gate: asyncio.Event | None = None

    async def post(self, path: str, obj: Mapping[str, Any]) -> Mapping[str, Any]:
        self.asked.append((path.rpartition("/")[2], obj["spec"]))
        if self.gate is not None:
            await self.gate.wait()
        if self.fails:
            raise Forbidden("tokenreviews is forbidden")
        if obj["kind"] == "TokenReview":
            return {"status": {"authenticated": self.authenticated, "user": self.user}}
        return {"status": self.allowed}


class Daemon:
    """What asks that server."""

    def __init__(self, *always: str) -> None:
        self.server, self.clock, self.log = Server(), FakeClock(), Log()
        log: Any = self.log
        self.delegation = Delegation(
            self.server, self.clock, log, always_allow=always or ("/livez",)
        )

    async def code(self, path: str = "/metrics", authorization: str = "Bearer good") -> int:
        """The status code of an answer, 200 where it may be given."""
        try:
            await self.delegation.check(authorization, "get", path)
        except Refused as refused:
            return refused.code
        return 200


async def test_bearer_is_who_the_server_says_and_may_what_it_says() -> None:
    """All that the token proves is asked about, with the path and the verb."""
    daemon = Daemon()
    assert await daemon.code() == 200
    assert daemon.server.asked == [
        ("tokenreviews", {"token": "good"}),
        (
            "subjectaccessreviews",
            {
                "user": "scraper",
                "uid": "1",
                "groups": ["a"],
                "extra": {"k": ["v"]},
                "nonResourceAttributes": {"path": "/metrics", "verb": "get"},
            },
        ),
    ]


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        pytest.param("", 401, id="nobody"),
        pytest.param("Basic Z29vZA==", 401, id="a password"),
        pytest.param("Bearer", 401, id="no token"),
        pytest.param("Bearer   ", 401, id="an empty token"),
        pytest.param(f"Bearer {'x' * 20_000}", 401, id="a token without an end"),
        pytest.param("bearer good", 200, id="in small letters"),
    ],
)
async def test_credentials(authorization: str, code: int) -> None:
    """Without a token nobody is asked, and nobody is let in."""
    daemon = Daemon()
    assert await daemon.code(authorization=authorization) == code
    assert bool(daemon.server.asked) == (code == 200)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"authenticated": False}, 401, id="a token that the server does not know"),
        pytest.param({"authenticated": "true"}, 401, id="an answer that is no truth value"),
        pytest.param({"user": None}, 401, id="a token of nobody"),
        pytest.param({"user": {"username": ""}}, 401, id="a user without a name"),
        pytest.param({"user": ["admin"]}, 401, id="a user that is none"),
        pytest.param({"allowed": {"allowed": False}}, 403, id="one who may not"),
        pytest.param({"allowed": {}}, 403, id="one of whom nothing is said"),
        pytest.param(
            {"allowed": {"allowed": "yes"}}, 403, id="a permission that is no truth value"
        ),
        pytest.param({"allowed": {"allowed": True, "denied": True}}, 403, id="one who is denied"),
        pytest.param({"fails": True}, 503, id="a server that is not to be asked"),
    ],
)
async def test_refusals(changes: Mapping[str, Any], code: int) -> None:
    """Whatever is not a plain yes is a no."""
    daemon = Daemon()
    for name, value in changes.items():
        setattr(daemon.server, name, value)
    assert await daemon.code() == code


@pytest.mark.parametrize(
    ("path", "code"),
    [
        pytest.param("/livez", 200, id="the path"),
        pytest.param("/livez/ping", 401, id="what is below it"),
        pytest.param("/livezz", 401, id="one that begins like it"),
        pytest.param("/open/x", 200, id="below a star"),
        pytest.param("/open", 401, id="above a star"),
        pytest.param("/", 401, id="the root"),
    ],
)
async def test_paths_for_everybody(path: str, code: int) -> None:
    """They are what they say, and a star stands for all below. upstream: the path authorizer"""
    daemon = Daemon("/livez", "/open/*")
    assert await daemon.code(path, "") == code
    assert daemon.server.asked == []


async def test_verdict_holds_for_a_moment() -> None:
    """One who comes again at once is not asked about again; then he is, and what has changed counts."""
    daemon = Daemon()
    assert await daemon.code() == 200
    daemon.server.allowed = {}
    await daemon.clock.advance(VERDICT_KEPT - 1)
    assert await daemon.code() == 200
    assert await daemon.code("/debug/controllers") == 403, "a verdict about another path"
    assert await daemon.code(authorization="Bearer other") == 403, "a verdict about another token"
    await daemon.clock.advance(1)
    assert await daemon.code() == 403


async def test_made_up_tokens_do_not_press_the_server() -> None:
    """So many are asked about at a time, and the rest are told to come later; what is remembered has an end."""
    daemon = Daemon()
    daemon.server.gate = asyncio.Event()
    asking = [asyncio.create_task(daemon.code(authorization=f"Bearer {n}")) for n in range(50)]
    await daemon.clock.advance()
    assert len(daemon.server.asked) == ASKING_MAX
    daemon.server.gate.set()
    codes = [await task for task in asking]
    assert (codes.count(200), codes.count(429)) == (ASKING_MAX, 50 - ASKING_MAX)
    for number in range(1000):
        await daemon.code(authorization=f"Bearer made-up-{number}")
    assert len(daemon.delegation._verdicts) <= 256


async def test_silent_server_is_not_waited_for_for_ever() -> None:
    """Nobody is let in meanwhile, and the log says once that it does not work."""
    daemon = Daemon()
    daemon.server.gate = asyncio.Event()
    for _ in range(3):
        asking = asyncio.create_task(daemon.code())
        await daemon.clock.advance(11)
        assert await asking == 503
    assert daemon.log.said("warning") == ["cannot ask the API server who may read here"]


async def test_tokens_are_not_kept() -> None:
    """What is remembered of them is a hash."""
    daemon = Daemon()
    daemon.server.allowed = {}
    refusals = []
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            await daemon.delegation.check("Bearer the-token-itself", "get", "/metrics")
        refusals.append(caught.value)
    assert "the-token-itself" not in repr(vars(daemon.delegation)) + str(refusals)
    assert refusals[0] is not refusals[1], "a traceback, and what stands in its frames, is kept"
