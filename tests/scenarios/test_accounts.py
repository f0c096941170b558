"""The table of upstream's ServiceAccount controller, row by row: which accounts it creates, in which order."""

from collections.abc import Awaitable, Callable

import pytest
from verger.store.errors import ServiceUnavailable

from tests.controllers.clients import Fails
from tests.controllers.harness import ACCOUNTS
from tests.controllers.objects import account, namespace
from tests.scenarios.stage import Stage, Where, staged

BOTH = ("default", "managed")


def creates(names: tuple[str, ...]) -> list[str]:
    return [f"create ServiceAccount one/{name}" for name in names]


async def calls(stage: Stage) -> list[str]:
    return [str(call) for call in stage.calls(ACCOUNTS)]


@pytest.mark.parametrize(
    ("there", "terminating", "created"),
    [
        pytest.param((), False, BOTH, id="no accounts, namespace added, active"),
        pytest.param(("managed",), False, ("default",), id="managed, namespace added, active"),
        pytest.param(BOTH, False, (), id="default and managed, namespace added, active"),
        pytest.param((), True, (), id="no accounts, namespace added, terminating"),
    ],
)
async def test_namespace_added(
    where: Where, there: tuple[str, ...], terminating: bool, created: tuple[str, ...]
) -> None:
    """What is missing is created, in the order of the list, and no other call is made."""
    async with staged(where, ACCOUNTS, accounts=BOTH) as stage:
        await stage.create(namespace("one"), *(account(f"one/{name}") for name in there))
        if terminating:
            await stage.delete("Namespace", "one")
        await stage.start()
        assert [c for c in await calls(stage) if " one/" in c] == creates(created)


@pytest.mark.parametrize(
    ("there", "terminating", "created"),
    [
        pytest.param((), False, BOTH, id="no accounts, namespace updated, active"),
        pytest.param(("default",), False, ("managed",), id="default, namespace updated, active"),
        pytest.param(BOTH, False, (), id="default and managed, namespace updated, active"),
        pytest.param((), True, (), id="no accounts, namespace updated, terminating"),
    ],
)
async def test_namespace_updated(
    where: Where, there: tuple[str, ...], terminating: bool, created: tuple[str, ...]
) -> None:
    """An update is a reason to look, whatever was tried before and failed."""
    async with staged(where, ACCOUNTS, accounts=BOTH) as stage:
        outage = Fails("create ServiceAccount", lambda: ServiceUnavailable("down"), times=-1)
        stage.clients[ACCOUNTS].taps.append(outage)
        await stage.create(namespace("one"))
        await stage.start()
        outage.left = 0
        await stage.create(*(account(f"one/{name}") for name in there))
        await stage.settle()
        seen = len(await calls(stage))
        if terminating:
            await stage.delete("Namespace", "one")
        else:
            await stage.label("Namespace", "one")
        await stage.settle()
        assert (await calls(stage))[seen:] == creates(created)
        assert stage.clock.monotonic() == 0


async def goes(stage: Stage) -> None:
    await stage.delete("Namespace", "one")
    await stage.finalize("one")


async def terminates(stage: Stage) -> None:
    await stage.delete("Namespace", "one")


async def stays(_: Stage) -> None:
    pass


@pytest.mark.parametrize(
    ("meanwhile", "deleted", "created"),
    [
        pytest.param(goes, "default", (), id="namespace absent, default deleted"),
        pytest.param(stays, "default", ("default",), id="namespace active, default deleted"),
        pytest.param(terminates, "default", (), id="namespace terminating, default deleted"),
        pytest.param(stays, "other", (), id="namespace active, unmanaged deleted"),
        pytest.param(terminates, "other", (), id="namespace terminating, unmanaged deleted"),
    ],
)
async def test_account_deleted(
    where: Where,
    meanwhile: Callable[[Stage], Awaitable[None]],
    deleted: str,
    created: tuple[str, ...],
) -> None:
    """It comes back where it belongs, and nowhere else; nothing else is asked."""
    async with staged(where, ACCOUNTS, accounts=BOTH) as stage:
        await stage.create(namespace("one"), *(account(f"one/{n}") for n in (*BOTH, "other")))
        await stage.start()
        seen = len(await calls(stage))
        await meanwhile(stage)
        await stage.settle()
        await stage.delete("ServiceAccount", f"one/{deleted}")
        await stage.settle()
        assert (await calls(stage))[seen:] == creates(created)
