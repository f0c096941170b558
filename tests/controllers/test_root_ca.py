"""Every namespace has the ConfigMap with the root CA, and it says exactly that."""

from typing import Any

import pytest
from verger.store.errors import Forbidden, ServiceUnavailable

from tests.controllers.clients import Fails, Meanwhile
from tests.controllers.harness import ROOT_CA, Cluster
from tests.controllers.objects import (
    DESCRIPTION,
    ROOT_CA_MAP,
    config_map,
    namespace,
    root_ca_map,
)

KEY = f"one/{ROOT_CA_MAP}"
CREATE = f"create ConfigMap {KEY}"
UPDATE = f"update ConfigMap {KEY}"
GOOD = f'ConfigMap {KEY} {{"ca.crt": "CA Data"}}'


async def calls(cluster: Cluster) -> list[str]:
    """What the controller asked for; events are told about elsewhere."""
    return [str(call) for call in cluster.calls(ROOT_CA) if call.what != "Event"]


async def published() -> Cluster:
    """A cluster with one namespace, in which a good ConfigMap stands already."""
    cluster = Cluster(ROOT_CA)
    await cluster.create(namespace("one"), root_ca_map("one"), config_map("one/other"))
    return cluster


async def test_namespace_comes() -> None:
    """The ConfigMap is made with one call, data and description."""
    async with Cluster(ROOT_CA) as cluster:
        await cluster.create(namespace("one"))
        await cluster.settle()
        assert await calls(cluster) == [CREATE]
        assert await cluster.lines() == [GOOD]
        made = await cluster.get("ConfigMap", KEY)
        assert "kubernetes.default.svc" in made["metadata"]["annotations"][DESCRIPTION]


async def test_other_map_goes() -> None:
    """Other ConfigMaps are nobody's business here."""
    async with await published() as cluster:
        await cluster.delete("ConfigMap", "one/other")
        await cluster.settle()
        assert await calls(cluster) == []


async def test_other_map_changes() -> None:
    """Other ConfigMaps may say what they want."""
    async with await published() as cluster:
        await cluster.edit("ConfigMap", "one/other", lambda o: o.update(data={"ca.crt": "x"}))
        await cluster.settle()
        assert await calls(cluster) == []


async def test_map_goes() -> None:
    """The ConfigMap comes back when it is deleted."""
    async with await published() as cluster:
        await cluster.delete("ConfigMap", KEY)
        await cluster.settle()
        assert await calls(cluster) == [CREATE]
        assert await cluster.lines() == ["ConfigMap one/other {}", GOOD][::-1]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({"ca.crt": "CA Data", "more": "x"}, id="a key more"),
        pytest.param({"ca.crt": "other"}, id="another value"),
        pytest.param({"ca.crt": "CA Data\n"}, id="a line end more"),
        pytest.param({}, id="nothing"),
    ],
)
async def test_data_changes(data: dict[str, str]) -> None:
    """The data is put back to exactly one key, in one write; what else stands there is kept."""
    async with await published() as cluster:

        def change(obj: dict[str, Any]) -> None:
            obj["data"] = data
            obj["binaryData"] = {"blob": "AAEC"}
            obj["metadata"]["labels"] = {"a": "b"}

        await cluster.edit("ConfigMap", KEY, change)
        await cluster.settle()
        mended = await cluster.get("ConfigMap", KEY)
        assert await calls(cluster) == [UPDATE]
        assert mended["data"] == {"ca.crt": "CA Data"}
        assert mended["binaryData"] == {"blob": "AAEC"}
        assert mended["metadata"]["labels"] == {"a": "b"}
        assert mended["metadata"]["annotations"] == {DESCRIPTION: "theirs"}


@pytest.mark.parametrize(
    ("notes", "written", "text"),
    [
        pytest.param({"fake": "value"}, True, "ours", id="missing, the others are kept"),
        pytest.param({DESCRIPTION: ""}, True, "ours", id="empty"),
        pytest.param({DESCRIPTION: "theirs"}, False, "theirs", id="of somebody else"),
    ],
)
async def test_description(notes: dict[str, str], written: bool, text: str) -> None:
    """A description has to be there, and any will do."""
    async with await published() as cluster:
        await cluster.edit(
            "ConfigMap", KEY, lambda o: o["metadata"].update(annotations=dict(notes))
        )
        await cluster.settle()
        assert await calls(cluster) == [UPDATE] * written
        found = (await cluster.get("ConfigMap", KEY))["metadata"]["annotations"]
        assert ("kubernetes.default.svc" in found[DESCRIPTION]) == (text == "ours")
        assert {k: v for k, v in found.items() if k != DESCRIPTION} == {
            k: v for k, v in notes.items() if k != DESCRIPTION
        }


async def test_namespace_terminates() -> None:
    """A namespace that begins to terminate is no reason to look, and what goes with it does not come back."""
    async with await published() as cluster:
        await cluster.delete("Namespace", "one")
        await cluster.settle()
        assert await calls(cluster) == []
        await cluster.delete("ConfigMap", KEY)
        await cluster.settle()
        assert not await cluster.has("ConfigMap", KEY)
        assert cluster.manager.statistics()[ROOT_CA].retries == 0


async def test_namespace_goes() -> None:
    """That the namespace is not there is an answer and no error, whether the cache knows it or not."""
    async with await published() as cluster:
        cluster.informers.hold("Namespace")
        await cluster.delete("ConfigMap", KEY)
        await cluster.delete("Namespace", "one")
        await cluster.finalize("one")
        await cluster.settle()
        assert await calls(cluster) == [CREATE]
        cluster.informers.release()
        await cluster.settle()
        assert await calls(cluster) == [CREATE]
        assert cluster.manager.statistics()[ROOT_CA].retries == 0


async def test_map_was_wrong_before_the_start() -> None:
    """What was changed while nobody looked is put back."""
    cluster = Cluster(ROOT_CA)
    await cluster.create(namespace("one"), root_ca_map("one", "theirs", text=""))
    async with cluster:
        assert await calls(cluster) == [UPDATE]
        assert await cluster.lines() == [GOOD]


async def test_somebody_else_makes_a_wrong_map_first() -> None:
    """AlreadyExists says that there is one, not that it is right: it is put right without another reason to look."""
    async with Cluster(ROOT_CA) as cluster:
        cluster.informers.hold("ConfigMap")
        await cluster.create(namespace("one"), root_ca_map("one", "theirs"))
        await cluster.clock.advance(1)
        cluster.informers.release()
        await cluster.settle()
        assert await cluster.lines() == [GOOD]


async def test_map_is_replaced_by_a_wrong_one() -> None:
    """A ConfigMap that is deleted and made again, wrong, is put right however late the news of it come."""
    async with await published() as cluster:

        async def theirs() -> None:
            await cluster.create(root_ca_map("one", "theirs"))
            cluster.informers.hold("ConfigMap")

        cluster.clients[ROOT_CA].taps.append(Meanwhile("create ConfigMap", theirs))
        await cluster.delete("ConfigMap", KEY)
        await cluster.clock.advance(1)
        cluster.informers.release()
        await cluster.settle()
        assert GOOD in await cluster.lines()


async def test_map_changes_while_it_is_mended() -> None:
    """A write is on top of what was read: a change in between is not lost, and is judged by itself."""
    async with await published() as cluster:
        cluster.clients[ROOT_CA].taps.append(
            Meanwhile("update ConfigMap", lambda: cluster.label("ConfigMap", KEY))
        )
        await cluster.edit("ConfigMap", KEY, lambda o: o.update(data={"ca.crt": "x"}))
        await cluster.settle()
        mended = await cluster.get("ConfigMap", KEY)
        assert mended["data"] == {"ca.crt": "CA Data"}
        assert "touched" in mended["metadata"]["labels"]
        assert await calls(cluster) == [UPDATE, UPDATE]
        assert cluster.manager.statistics()[ROOT_CA].retries == 1


async def test_map_is_frozen() -> None:
    """An immutable ConfigMap with wrong data gets an event, and its key is tried for ever."""
    cluster = Cluster(ROOT_CA)
    frozen = {**root_ca_map("one", "theirs"), "immutable": True}
    await cluster.create(namespace("one"), frozen)
    async with cluster.unsettled():
        await cluster.clock.advance(60)
        (event,) = await cluster.all("Event", "one")
        assert (event["reason"], event["type"]) == ("RootCAFrozen", "Warning")
        assert event["count"] > 10
        await cluster.delete("ConfigMap", KEY)
        await cluster.clock.advance()
        assert await cluster.lines() == [GOOD]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(lambda: ServiceUnavailable("down"), id="server is down"),
        pytest.param(lambda: Forbidden("exceeded quota"), id="quota is full"),
        pytest.param(lambda: RuntimeError("anything"), id="something nobody thought of"),
    ],
)
async def test_errors_are_tried_again(error: Any) -> None:
    """Only a missing or terminating namespace is final; everything else is tried again, twenty times if need be."""
    cluster = Cluster(ROOT_CA)
    cluster.clients[ROOT_CA].taps.append(Fails("create ConfigMap", error, times=20))
    await cluster.create(namespace("one"))
    async with cluster:
        assert await cluster.lines() == [GOOD]
        assert cluster.manager.statistics()[ROOT_CA].retries == 20


async def test_converged_world_is_left_alone() -> None:
    """A restart in a world that is as it should be asks the server for nothing."""
    cluster = Cluster(ROOT_CA)
    await cluster.create(*(namespace(f"n{i}") for i in range(20)))
    async with cluster:
        pass
    await cluster.restart()
    await cluster.stop()
    assert len(cluster.calls(ROOT_CA)) == 20
