"""The table of upstream's cleaner of legacy tokens, row by row. A look is taken 400 days after everything was made.

Ours lists what it looks at once a day where upstream has caches; beyond that its calls are upstream's.
"""

import datetime
from typing import Any

import pytest

from tests.controllers.harness import CLEANER
from tests.controllers.objects import (
    Object,
    account,
    config_map,
    namespace,
    opaque_secret,
    pod,
    token_secret,
)
from tests.scenarios.stage import Stage, Where, staged

DAY = 86400.0
AGE = 400
PERIOD = 365
MAP = "kube-system/kube-apiserver-legacy-service-account-token-tracking"
SECRET = "one/token-1"
LOOK = f"get ConfigMap {MAP}"
MARK, DELETE = f"patch Secret {SECRET}", f"delete Secret {SECRET}"
INVALID, USED = "kubernetes.io/legacy-token-invalid-since", "kubernetes.io/legacy-token-last-used"


def day(stage: Stage, ago: int) -> str:
    """That many days before the look."""
    then = stage.clock.time() + (AGE - ago) * DAY
    return datetime.datetime.fromtimestamp(then, datetime.UTC).strftime("%Y-%m-%d")


OLD, YOUNG = PERIOD + 5, PERIOD - 5


def calls(stage: Stage) -> list[str]:
    return [str(call) for call in stage.calls(CLEANER) if call.verb != "list"]


class Row:
    """A world that differs in few things from one in which the token is marked."""

    def __init__(self, **changes: Any) -> None:
        self.changes = changes

    def objects(self, stage: Stage) -> list[Object]:
        changes = {
            "since": day(stage, AGE + 1),
            "used": None,
            "invalid": None,
            "secret": None,
            "references": ("token-1",),
            "account": "default",
            "pods": (),
            **self.changes,
        }
        labels = {
            name: day(stage, value) if isinstance(value, int) else value
            for name, value in ((USED, changes["used"]), (INVALID, changes["invalid"]))
            if value is not None
        }
        since = changes["since"]
        data = {"since": day(stage, since) if isinstance(since, int) else since} if since else {}
        out = [account(f"one/{changes['account']}", *changes["references"])]
        if since != "no map":
            out.append(config_map(MAP, data))
        secret = changes["secret"] or token_secret(SECRET, uid="<no annotation>", labels=labels)
        return [*out, secret, *changes["pods"]]


def mounting() -> Object:
    made = pod("one/user")
    made["spec"]["volumes"] = [{"name": "v", "secret": {"secretName": "token-1"}}]
    return made


def unnamed() -> Object:
    """A token that says of itself that it is of another account, which is as good as none."""
    return token_secret(SECRET, "nobody", uid="<no annotation>")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param(Row(since="no map"), [], id="configmap missing"),
        pytest.param(Row(since=""), [], id="configmap without key"),
        pytest.param(Row(since=YOUNG), [], id="since newer than the period allows"),
        pytest.param(Row(since="x"), [], id="since unparseable"),
        pytest.param(Row(secret=opaque_secret(SECRET)), [], id="secret Opaque"),
        pytest.param(Row(references=()), [], id="secret not referenced by SA"),
        pytest.param(Row(used=YOUNG), [], id="last-used after cutoff"),
        pytest.param(Row(used="2022-12-27-1"), [], id="last-used unparseable"),
        pytest.param(Row(account="other"), [], id="SA absent"),
        pytest.param(
            Row(secret=token_secret(SECRET, uid="another")), [], id="SA UID annotation mismatch"
        ),
        pytest.param(Row(secret=unnamed()), [], id="SA name annotation of nobody"),
        pytest.param(Row(invalid=YOUNG), [], id="invalid-since younger than period, never used"),
        pytest.param(
            Row(invalid=YOUNG, used=OLD),
            [],
            id="invalid-since younger than period, last used long ago",
        ),
        pytest.param(Row(pods=(mounting(),)), [], id="secret mounted by a pod"),
        pytest.param(Row(), [MARK], id="no last-used label, unmarked"),
        pytest.param(Row(invalid="x"), [MARK], id="no last-used, invalid-since unparseable"),
        pytest.param(Row(used=OLD), [MARK], id="old last-used, unmarked"),
        pytest.param(
            Row(invalid=OLD), [DELETE], id="no last-used, invalid-since older than period"
        ),
        pytest.param(
            Row(invalid=OLD, used=OLD),
            [DELETE],
            id="old last-used, invalid-since older than period",
        ),
    ],
)
async def test_token(where: Where, row: Row, expected: list[str]) -> None:
    """GET of the ConfigMap, and then what the row says: a mark of today, a deletion of that version, or nothing."""
    async with staged(where, CLEANER) as stage:
        await stage.create(namespace("one"), *row.objects(stage))
        stage.clock.jump(AGE * DAY)
        await stage.start()
        assert calls(stage) == [LOOK, *expected]
        assert await stage.has("Secret", SECRET) == (expected != [DELETE])
        if expected == [MARK]:
            labels = (await stage.get("Secret", SECRET))["metadata"]["labels"]
            assert labels[INVALID] == day(stage, AGE)


@pytest.mark.parametrize(
    "going", [True, False], ids=["has deletionTimestamp", "created after cutoff"]
)
async def test_token_by_its_times(where: Where, going: bool) -> None:
    """GET of the ConfigMap alone."""
    async with staged(where, CLEANER) as stage:
        *others, secret = Row().objects(stage)
        secret["metadata"]["finalizers"] = ["example.com/hold"]
        await stage.create(namespace("one"), *others)
        if going:
            await stage.create(secret)
            await stage.delete("Secret", SECRET)
        stage.clock.jump(AGE * DAY)
        if not going:
            await stage.create(secret)
        await stage.start()
        assert calls(stage) == [LOOK]
