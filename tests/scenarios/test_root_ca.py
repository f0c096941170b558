"""The table of upstream's root CA publisher, row by row."""

from typing import Any

import pytest
from verger.store.errors import NotFound

from tests.controllers.harness import ROOT_CA
from tests.controllers.objects import (
    DESCRIPTION,
    ROOT_CA_MAP,
    ROOT_CERTIFICATE,
    config_map,
    namespace,
    root_ca_map,
)
from tests.scenarios.stage import Stage, Where, staged

KEY = f"one/{ROOT_CA_MAP}"
CREATE, UPDATE = f"create ConfigMap {KEY}", f"update ConfigMap {KEY}"
GOOD = f'ConfigMap {KEY} {{"ca.crt": "{ROOT_CERTIFICATE}"}}'


def calls(stage: Stage) -> list[str]:
    return [
        str(call)
        for call in stage.calls(ROOT_CA)
        if call.what != "Event" and call.key.startswith("one/")
    ]


async def test_namespace_added(where: Where) -> None:
    """Create."""
    async with staged(where, ROOT_CA) as stage:
        await stage.start()
        await stage.create(namespace("one"))
        await stage.settle()
        assert calls(stage) == [CREATE]
        assert GOOD in await stage.world()


def gains_a_key(obj: dict[str, Any]) -> None:
    obj["data"]["more"] = "x"


def has_another_value(obj: dict[str, Any]) -> None:
    obj["data"]["ca.crt"] = "other"


def has_no_annotation(obj: dict[str, Any]) -> None:
    obj["metadata"]["annotations"] = {"fake": "value"}


def has_another_text(obj: dict[str, Any]) -> None:
    obj["metadata"]["annotations"] = {DESCRIPTION: "another"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(gains_a_key, [UPDATE], id="CA ConfigMap gains a key"),
        pytest.param(has_another_value, [UPDATE], id="value changed"),
        pytest.param(has_no_annotation, [UPDATE], id="missing annotation, good data"),
        pytest.param(has_another_text, [], id="annotation present, different text"),
    ],
)
async def test_root_ca_map_updated(where: Where, change: Any, expected: list[str]) -> None:
    """Exactly one update where it is not as it should be; annotations of others are kept."""
    async with staged(where, ROOT_CA) as stage:
        await stage.create(namespace("one"), root_ca_map("one"))
        await stage.start()
        assert calls(stage) == []
        await stage.edit("ConfigMap", KEY, change)
        await stage.settle()
        assert calls(stage) == expected
        assert GOOD in await stage.world()
        notes = (await stage.get("ConfigMap", KEY))["metadata"]["annotations"]
        assert change is not has_no_annotation or notes["fake"] == "value"
        assert change is not has_another_text or notes[DESCRIPTION] == "another"


async def test_root_ca_map_deleted(where: Where) -> None:
    """Create."""
    async with staged(where, ROOT_CA) as stage:
        await stage.create(namespace("one"), root_ca_map("one"))
        await stage.start()
        await stage.delete("ConfigMap", KEY)
        await stage.settle()
        assert calls(stage) == [CREATE]


async def test_other_maps(where: Where) -> None:
    """Other ConfigMap updated, other ConfigMap deleted: nothing."""
    async with staged(where, ROOT_CA) as stage:
        await stage.create(namespace("one"), root_ca_map("one"), config_map("one/other"))
        await stage.start()
        await stage.edit("ConfigMap", "one/other", lambda o: o.update(data={"ca.crt": "x"}))
        await stage.settle()
        await stage.delete("ConfigMap", "one/other")
        await stage.settle()
        assert calls(stage) == []


async def test_namespace_updated_to_terminating(where: Where) -> None:
    """Nothing; and what is created in spite of it is refused, which is no error."""
    async with staged(where, ROOT_CA) as stage:
        await stage.create(namespace("one"), root_ca_map("one"))
        await stage.start()
        await stage.delete("Namespace", "one")
        await stage.settle()
        assert calls(stage) == []
        await stage.delete("ConfigMap", KEY)
        await stage.settle()
        assert stage.manager.statistics()[ROOT_CA].retries == 0
        with pytest.raises(NotFound):
            await stage.get("ConfigMap", KEY)
