"""The table of upstream's tokens controller, row by row: what it does when accounts and token Secrets come, change and go.

Calls are compared with upstream's but for two looks of ours more: an account is looked at live before a Secret is
deleted, and so is a Secret before the reference to it goes.
"""

from collections.abc import Mapping

import pytest
from verger.store.errors import ServiceUnavailable

from tests.controllers.clients import Fails
from tests.controllers.harness import TOKENS
from tests.controllers.objects import (
    Object,
    account,
    empty_token_secret,
    namespace,
    opaque_secret,
    token_secret,
)
from tests.scenarios.stage import Stage, Where, staged

SECRET = "one/made"
FILL = [f"get Secret {SECRET}", f"update Secret {SECRET}"]
ORPHAN = ["get ServiceAccount one/default", f"delete Secret {SECRET}"]
LOOKS = [f"get Secret {SECRET}", "get ServiceAccount one/default"]
REFER = "update ServiceAccount one/default"
COMPLETE = "Secret one/made for default: complete"

NO_REFERENCES = pytest.param((account("one/default"),), id="no refs")
MISSING = pytest.param((account("one/default", "missing"),), id="refs to a missing secret")
OPAQUE = pytest.param(
    (account("one/default", "other"), opaque_secret("one/other")), id="refs to an Opaque secret"
)
VALID = pytest.param(
    (account("one/default", "made"), token_secret(SECRET)), id="refs to a valid token secret"
)


def calls(stage: Stage, since: int = 0) -> list[str]:
    return [str(call) for call in stage.calls(TOKENS)[since:] if call.what != "Event"]


@pytest.mark.parametrize("given", [NO_REFERENCES, MISSING, OPAQUE, VALID])
async def test_account_added_or_updated(where: Where, given: tuple[Object, ...]) -> None:
    """No calls, for none of the four shapes."""
    async with staged(where, TOKENS, mode="on-request") as stage:
        await stage.create(namespace("one"), *given)
        await stage.start()
        assert calls(stage) == []
        await stage.label("ServiceAccount", "one/default")
        await stage.settle()
        assert calls(stage) == []


@pytest.mark.parametrize("given", [NO_REFERENCES, MISSING, OPAQUE])
async def test_account_without_tokens_deleted(where: Where, given: tuple[Object, ...]) -> None:
    """No calls."""
    async with staged(where, TOKENS, mode="on-request") as stage:
        await stage.create(namespace("one"), *given)
        await stage.start()
        await stage.delete("ServiceAccount", "one/default")
        await stage.settle()
        assert calls(stage) == []


@pytest.mark.parametrize("seen", [True, False], ids=["SA deleted", "SA deletion that was missed"])
async def test_account_with_a_token_deleted(where: Where, seen: bool) -> None:
    """DELETE secret with its uid as the precondition; the same when the watch did not tell of it."""
    async with staged(where, TOKENS, mode="on-request") as stage:
        await stage.create(namespace("one"), account("one/default", "made"), token_secret(SECRET))
        uid = (await stage.get("Secret", SECRET))["metadata"]["uid"]
        await stage.start()
        await stage.delete("ServiceAccount", "one/default")
        if not seen:
            stage.faults.expire_history()  # nobody has had a turn to tell of it
        await stage.settle()
        assert calls(stage) == [*ORPHAN, *LOOKS]
        (deletion,) = [call for call in stage.calls(TOKENS) if call.verb == "delete"]
        assert deletion.uid == uid
        assert await stage.world() == ["Namespace one Active"]


async def test_secret_added_without_account(where: Where) -> None:
    """SA absent from cache and live: GET serviceaccount, DELETE secret."""
    async with staged(where, TOKENS, mode="on-request") as stage:
        await stage.create(namespace("one"), empty_token_secret(SECRET))
        await stage.start()
        assert calls(stage) == [*ORPHAN, *LOOKS]
        assert await stage.world() == ["Namespace one Active"]


async def test_secret_updated_without_account(where: Where) -> None:
    """The same, when the Secret could not be deleted before."""
    async with staged(where, TOKENS, mode="on-request") as stage:
        outage = Fails("delete Secret", lambda: ServiceUnavailable("down"), times=-1)
        stage.clients[TOKENS].taps.append(outage)
        await stage.create(namespace("one"), empty_token_secret(SECRET))
        await stage.start()
        outage.left = 0
        seen = len(stage.calls(TOKENS))
        await stage.label("Secret", SECRET)
        await stage.settle()
        assert calls(stage, seen) == [*ORPHAN, *LOOKS]


async def test_complete_secret_added_or_updated(where: Where) -> None:
    """SA cached, secret complete: no calls."""
    async with staged(where, TOKENS, mode="on-request") as stage:
        await stage.create(namespace("one"), account("one/default"), token_secret(SECRET))
        await stage.start()
        await stage.label("Secret", SECRET)
        await stage.settle()
        assert calls(stage) == []


LACKING = [
    pytest.param({"token": ""}, id="lacks token"),
    pytest.param({"ca.crt": ""}, id="lacks ca.crt"),
    pytest.param({"ca.crt": "wrong"}, id="has wrong ca.crt"),
    pytest.param({"namespace": ""}, id="lacks namespace"),
]


@pytest.mark.parametrize("has", LACKING)
async def test_incomplete_secret_added(where: Where, has: Mapping[str, str]) -> None:
    """GET secret, PUT secret equal to the complete one."""
    async with staged(where, TOKENS, mode="on-request") as stage:
        await stage.create(namespace("one"), account("one/default"), token_secret(SECRET, has=has))
        await stage.start()
        assert calls(stage) == FILL
        assert COMPLETE in await stage.world()


@pytest.mark.parametrize("has", LACKING)
async def test_incomplete_secret_updated(where: Where, has: Mapping[str, str]) -> None:
    """GET secret, PUT secret equal to the complete one."""
    async with staged(where, TOKENS, mode="on-request") as stage:
        await stage.create(namespace("one"), account("one/default"), token_secret(SECRET))
        await stage.start()
        await stage.edit("Secret", SECRET, lambda o: o.update(stringData=dict(has)))
        await stage.settle()
        assert calls(stage) == FILL
        assert COMPLETE in await stage.world()


async def test_custom_namespace_is_preserved(where: Where) -> None:
    """`namespace` data = `custom`, rest complete: no calls."""
    async with staged(where, TOKENS, mode="on-request") as stage:
        custom = token_secret(SECRET, has={"namespace": "custom"})
        await stage.create(namespace("one"), account("one/default"), custom)
        await stage.start()
        await stage.label("Secret", SECRET)
        await stage.settle()
        assert calls(stage) == []


@pytest.mark.parametrize(
    ("references", "expected"),
    [
        pytest.param(("made",), [*LOOKS, REFER], id="SA with reference"),
        pytest.param((), LOOKS, id="SA without reference"),
    ],
)
async def test_secret_deleted(
    where: Where, references: tuple[str, ...], expected: list[str]
) -> None:
    """GET SA, and PUT SA with an empty list only where there is something to take away."""
    async with staged(where, TOKENS, mode="on-request") as stage:
        await stage.create(namespace("one"), account("one/default", *references))
        await stage.create(token_secret(SECRET))
        await stage.start()
        await stage.delete("Secret", SECRET)
        await stage.settle()
        assert calls(stage) == expected
        assert await stage.world() == ["Namespace one Active", "ServiceAccount one/default"]


async def test_secret_of_no_account_deleted(where: Where) -> None:
    """SA absent: nothing is written."""
    async with staged(where, TOKENS, mode="on-request") as stage:
        outage = Fails("delete Secret", lambda: ServiceUnavailable("down"), times=-1)
        stage.clients[TOKENS].taps.append(outage)
        await stage.create(namespace("one"), empty_token_secret(SECRET))
        await stage.start()
        seen = len(stage.calls(TOKENS))
        await stage.delete("Secret", SECRET)
        await stage.settle()
        assert calls(stage, seen) == LOOKS
