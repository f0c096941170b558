"""`audit`: one verdict for each token Secret, and no write."""

from typing import Any

import pytest
from verger.controllers.token_audit import DAY, Audited, audit
from verger.controllers.token_tracking import CONFIG_MAP, NAMESPACE, SINCE
from verger.identity.validate import INVALID_SINCE, LAST_USED
from verger.store.timestamps import format_date

from tests.controllers.clients import TappedClient
from tests.controllers.harness import Cluster
from tests.controllers.objects import (
    account,
    config_map,
    empty_token_secret,
    namespace,
    opaque_secret,
    pod,
    token_secret,
)

PERIOD = 90 * DAY


async def audited(cluster: Cluster) -> list[Audited]:
    client = TappedClient(cluster.user)
    found = await audit(client, cluster.kinds, now=cluster.clock.time(), unused_for=PERIOD)
    assert client.writes == []
    return found


async def old_world(*objects: Any, tracked: bool = True) -> Cluster:
    """A world in which all this has been there for a year, and uses were noted all the time."""
    cluster = Cluster()
    await cluster.create(namespace(NAMESPACE), namespace("one"), account("one/default"))
    if tracked:
        since = {SINCE: format_date(cluster.clock.time())}
        await cluster.create(config_map(f"{NAMESPACE}/{CONFIG_MAP}", since))
    await cluster.create(*objects)
    await cluster.clock.advance(365 * DAY)
    return cluster


def days_ago(cluster: Cluster, days: float) -> str:
    return format_date(cluster.clock.time() - days * DAY)


async def test_unused_token() -> None:
    """Old, and no use was noted: it is unused, and all that is known of it is told."""
    cluster = await old_world(token_secret("one/made"), opaque_secret("one/other"))
    assert await audited(cluster) == [
        Audited(
            "one",
            "made",
            "default",
            365 * DAY,
            "",
            (),
            "unused",
            "no use of it was ever noted",
        )
    ]


@pytest.mark.parametrize(
    ("days", "verdict"),
    [
        pytest.param(0, "used", id="today"),
        pytest.param(90, "used", id="on the last day that counts"),
        pytest.param(92, "unused", id="before that"),
    ],
)
async def test_last_use(days: float, verdict: str) -> None:
    """A use counts for as long as was asked for; the label tells the day alone."""
    cluster = await old_world(token_secret("one/made"))
    date = days_ago(cluster, days)
    await cluster.edit(
        "Secret", "one/made", lambda o: o["metadata"].update(labels={LAST_USED: date})
    )
    (found,) = await audited(cluster)
    assert (found.verdict, found.last_used) == (verdict, date)
    assert date in found.why


async def test_pods_that_refer_to_it() -> None:
    """A token that pods have is used, whether or not a use was noted."""
    users = [pod("one/b"), pod("one/a")]
    for user in users:
        user["spec"]["volumes"] = [
            {"name": name, "secret": {"secretName": "made"}} for name in ("v", "w")
        ]
    cluster = await old_world(token_secret("one/made"), *users)
    (found,) = await audited(cluster)
    assert (found.verdict, found.pods) == ("used", ("a", "b"))


@pytest.mark.parametrize(
    ("secret", "verdict", "why"),
    [
        pytest.param(
            token_secret("one/made", "gone", uid="any"),
            "orphaned",
            "there is no service account gone",
            id="gone",
        ),
        pytest.param(
            token_secret("one/made", uid="other"),
            "orphaned",
            "it is for an earlier service account default",
            id="replaced",
        ),
        pytest.param(
            empty_token_secret("one/made"), "empty", "no controller has filled it", id="empty"
        ),
        pytest.param(
            token_secret("one/made", labels={INVALID_SINCE: "2024-05-06"}),
            "invalid",
            "marked invalid on 2024-05-06, after long disuse",
            id="marked",
        ),
    ],
)
async def test_tokens_that_are_no_good(secret: Any, verdict: str, why: str) -> None:
    """What nobody can use is told before how it is used."""
    (found,) = await audited(await old_world(secret))
    assert (found.verdict, found.why) == (verdict, why)


async def test_young_token() -> None:
    """One that has not been there for long enough is not called unused."""
    cluster = await old_world()
    await cluster.create(token_secret("one/made"))
    await cluster.clock.advance(PERIOD - 1)
    (found,) = await audited(cluster)
    assert found.verdict == "young"
    await cluster.clock.advance(1)
    (found,) = await audited(cluster)
    assert found.verdict == "unused"


async def test_uses_that_are_not_noted() -> None:
    """Where the server notes no uses, or not for long enough, nothing is called unused."""
    cluster = await old_world(token_secret("one/made"), tracked=False)
    (found,) = await audited(cluster)
    assert (found.verdict, found.why) == ("unknown", "the server does not note the use of tokens")
    await cluster.create(config_map(f"{NAMESPACE}/{CONFIG_MAP}", {SINCE: days_ago(cluster, 89)}))
    (found,) = await audited(cluster)
    assert found.verdict == "unknown"
    await cluster.edit(
        "ConfigMap",
        f"{NAMESPACE}/{CONFIG_MAP}",
        lambda o: o["data"].update({SINCE: days_ago(cluster, 91)}),
    )
    (found,) = await audited(cluster)
    assert found.verdict == "unused"
