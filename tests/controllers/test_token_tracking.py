"""Since when the use of legacy tokens is noted: one ConfigMap, with a date that can be read."""

from typing import Any

import pytest

from tests.controllers.clients import Meanwhile
from tests.controllers.harness import TRACKING, Cluster
from tests.controllers.objects import config_map, namespace

KEY = "kube-system/kube-apiserver-legacy-service-account-token-tracking"
TODAY = "2023-11-14"
CREATE = f"create ConfigMap {KEY}"
UPDATE = f"update ConfigMap {KEY}"
HALF_AN_HOUR = 1800.0


async def cluster_with(*objects: dict[str, Any]) -> Cluster:
    """A cluster with the namespace of the map."""
    cluster = Cluster(TRACKING)
    await cluster.create(namespace("kube-system"), *objects)
    return cluster


async def since(cluster: Cluster) -> str:
    """The date that stands in the map."""
    return str((await cluster.get("ConfigMap", KEY))["data"]["since"])


async def test_map_is_made_at_the_start() -> None:
    """With the date of today."""
    async with await cluster_with() as cluster:
        assert cluster.writes() == [CREATE]
        assert await since(cluster) == TODAY


@pytest.mark.parametrize(
    ("data", "good"),
    [
        pytest.param({"since": "2020-02-29"}, True, id="a day"),
        pytest.param({"since": "2023-11-15"}, True, id="also one to come"),
        pytest.param({"since": "2020-02-29", "more": "x"}, True, id="whatever else stands there"),
        pytest.param({}, False, id="nothing"),
        pytest.param({"since": ""}, False, id="an empty date"),
        pytest.param({"since": "2020-02-29T00:00:00Z"}, False, id="a date with a time"),
        pytest.param({"since": "2021-02-29"}, False, id="a day that there never was"),
        pytest.param({"since": "today"}, False, id="a word"),
    ],
)
async def test_date_that_is_there(data: dict[str, str], good: bool) -> None:
    """A date that can be read is left alone, any other thing is mended."""
    async with await cluster_with(config_map(KEY, data)) as cluster:
        assert cluster.writes() == ([] if good else [UPDATE])
        assert await since(cluster) == (data["since"] if good else TODAY)
        await cluster.edit("ConfigMap", KEY, lambda o: o.update(data={"since": "x"}))
        await cluster.settle()
        assert await since(cluster) == TODAY


async def test_map_comes_back_twice_an_hour_at_most() -> None:
    """Who keeps deleting it does not get a new date each time."""
    async with await cluster_with() as cluster:
        started = cluster.clock.monotonic()
        for _ in range(3):
            await cluster.delete("ConfigMap", KEY)
            await cluster.clock.advance(HALF_AN_HOUR / 3 - 1)
            assert not await cluster.has("ConfigMap", KEY)
        await cluster.settle()
        assert cluster.writes() == [CREATE, CREATE]
        assert cluster.clock.monotonic() == started + HALF_AN_HOUR


async def test_map_that_comes_back_later_has_a_later_date() -> None:
    """The date is that of the day on which it is made."""
    async with await cluster_with() as cluster:
        await cluster.clock.advance(2 * 86400.0)
        await cluster.delete("ConfigMap", KEY)
        await cluster.settle()
        assert await since(cluster) == "2023-11-16"


async def test_other_servers_may_be_faster() -> None:
    """That the map is there already is as good as having made it."""
    cluster = await cluster_with()

    async def happens() -> None:
        await cluster.create(config_map(KEY, {"since": "2020-01-01"}))

    cluster.clients[TRACKING].taps.append(Meanwhile("create", happens))
    async with cluster:
        assert await since(cluster) == "2020-01-01"
        assert cluster.manager.statistics()[TRACKING].retries == 0


async def test_map_that_goes_while_it_is_mended() -> None:
    """It is made again when its time has come."""
    cluster = await cluster_with(config_map(KEY, {}))

    async def happens() -> None:
        await cluster.delete("ConfigMap", KEY)

    cluster.clients[TRACKING].taps.append(Meanwhile("update", happens))
    async with cluster:
        assert await since(cluster) == TODAY
        assert cluster.manager.statistics()[TRACKING].retries == 1


async def test_other_maps_are_nobody_s_business() -> None:
    """Only the one is looked at."""
    async with await cluster_with() as cluster:
        await cluster.create(config_map("kube-system/other", {"since": "x"}))
        await cluster.settle()
        assert cluster.writes() == [CREATE]
