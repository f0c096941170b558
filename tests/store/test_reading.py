"""Reading at its edges: revisions that are none or yet to come, page tokens that are broken, watches that begin and end."""

import asyncio
import base64
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
import pytest
from verger.store.backend import Row
from verger.store.errors import BadRequest, Gone, NotFound, Timeout
from verger.store.reading import FUTURE_WAIT, ListResult, Subscription
from verger.store.request import ListOptions, WatchOptions
from verger.store.selectors import parse_labels
from verger.watch.event import Bookmark, Event, EventType, Expired

from tests.store.conftest import Store

LABELLED = parse_labels("x=1")


def named(name: str = "a", **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **fields}}


async def listed(store: Store, namespace: str = "ns", **options: Any) -> ListResult:
    return await store.registry.list(store.kind("ConfigMap"), namespace, ListOptions(**options))


async def watched(store: Store, **options: Any) -> Subscription:
    kind = store.kind("ConfigMap")
    return await store.registry.watch(kind, "ns", WatchOptions(**options))


def names(rows: Any) -> list[str]:
    return [row.object["metadata"]["name"] for row in rows]


async def filled(store: Store) -> None:
    for name in "abcde":
        await store.create("ConfigMap", named(name))


# Page tokens


def token(value: object) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).rstrip(b"=").decode()


GOOD = {"v": "meta.k8s.io/v1", "rv": 5, "start": "a\0"}


async def test_token_says_revision_and_last_key(store: Store) -> None:
    """A token is base64 without padding, of the form that upstream's have: clients may look, and some do."""
    await filled(store)
    page = await listed(store, limit=2)
    assert "=" not in page.continue_token
    padded = page.continue_token + "=" * (-len(page.continue_token) % 4)
    assert orjson.loads(base64.urlsafe_b64decode(padded)) == {
        "v": "meta.k8s.io/v1",
        "rv": page.revision,
        "start": "b\0",
    }
    everywhere = await listed(store, "", limit=2)
    padded = everywhere.continue_token + "=" * (-len(everywhere.continue_token) % 4)
    assert orjson.loads(base64.urlsafe_b64decode(padded))["start"] == "ns/b\0"


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        pytest.param(
            "garbage",
            "invalid character '\\u0081' looking for beginning of value",
            id="something else",
        ),
        pytest.param("!", "illegal base64 data", id="not base64"),
        pytest.param("\u00e9\u00e9", "illegal base64 data", id="not ASCII"),
        pytest.param(
            "e30", "server does not recognize this encoded version ", id="a token that says nothing"
        ),
        pytest.param(token([]), "server does not recognize this encoded version ", id="a list"),
        pytest.param(
            token({**GOOD, "v": "v2"}),
            "server does not recognize this encoded version v2",
            id="another version",
        ),
        pytest.param(
            token({**GOOD, "rv": 0}),
            "incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
            id="revision zero",
        ),
        pytest.param(
            token({**GOOD, "rv": "5"}),
            "incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
            id="a revision in quotes",
        ),
        pytest.param(
            token({**GOOD, "start": ""}),
            "encoded start key empty (version meta.k8s.io/v1)",
            id="no key",
        ),
        pytest.param(token({**GOOD, "start": "../b/x\0"}), "../b/x\0", id="a way out"),
        pytest.param(token({**GOOD, "start": "/x\0"}), "/x\0", id="a key from the root"),
    ],
)
async def test_broken_token_is_refused(store: Store, broken: str, why: str) -> None:
    """What is no token of ours is a client's mistake, and the message says why."""
    await filled(store)
    refused = await store.status(listed(store, limit=2, continue_token=broken))
    assert refused["code"] == 400
    assert refused["message"] == f"invalid continue token: continue key is not valid: {why}"


async def test_token_and_revision_exclude_each_other(store: Store) -> None:
    """A token names its revision; another one beside it is refused, and 0 means nothing."""
    await filled(store)
    page = await listed(store, limit=2)
    more: dict[str, Any] = {"limit": 2, "continue_token": page.continue_token}
    refused = await store.status(listed(store, **more, revision=str(page.revision)))
    assert refused["message"] == "specifying resource version is not allowed when using continue"
    assert names((await listed(store, **more, revision="0")).rows) == ["c", "d"]


async def test_last_key_need_not_exist_any_more(store: Store) -> None:
    """A page begins behind the last key of the one before, whatever became of it."""
    await filled(store)
    page = await listed(store, limit=2)
    await store.delete("ConfigMap", "b")
    await store.create("ConfigMap", named("bb"))
    assert names((await listed(store, continue_token=page.continue_token)).rows) == [*"cde"]
    store.backend.compact(store.backend.revision)
    with pytest.raises(Gone) as expired:
        await listed(store, continue_token=page.continue_token)
    rest = await listed(store, continue_token=expired.value.continue_token)
    assert names(rest.rows) == ["bb", *"cde"]
    assert rest.revision > page.revision


# Revisions


@pytest.mark.parametrize(
    "text", ["abc", "-1", "1.0", "+5", " 5", "1_0", "\u00b2", "\uff15", "9" * 21]
)
async def test_revision_that_is_none_is_refused(store: Store, text: str) -> None:
    """A revision is a decimal number of 64 bits at most."""
    for read in (listed(store, revision=text), watched(store, revision=text)):
        with pytest.raises(BadRequest, match=r"^resourceVersion: Invalid value: "):
            await read


async def test_revision_that_has_gone_is_named_with_the_oldest(store: Store) -> None:
    """A list at an exact revision outside the window is Expired, and no token is offered."""
    await filled(store)
    edge = store.backend.revision - 2
    store.backend.compact(edge)
    assert names((await listed(store, revision=str(edge), match="Exact")).rows) == [*"abc"]
    refused = await store.status(listed(store, revision=str(edge - 1), match="Exact"))
    assert refused == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f"The resourceVersion for the provided list is too old: {edge - 1} ({edge})",
        "reason": "Expired",
        "code": 410,
    }
    assert len((await listed(store, revision=str(edge - 1))).rows) == 5, "at least as new is now"


async def test_revision_yet_to_come_is_waited_for(store: Store) -> None:
    """A read of the near future is answered when it has come; an object then is at least that new."""
    await store.create("ConfigMap", named())
    soon = store.backend.revision + 2
    kind = store.kind("ConfigMap")
    reads = [
        asyncio.ensure_future(listed(store, revision=str(soon))),
        asyncio.ensure_future(store.registry.get_at_least(kind, "ns", "a", soon)),
        asyncio.ensure_future(watched(store, revision=str(soon), initial=True)),
    ]
    await store.clock.advance(FUTURE_WAIT - 1)
    await store.create("ConfigMap", named("b"))
    await store.clock.advance(0.5)
    assert not any(read.done() for read in reads)
    await store.patch("ConfigMap", "a", {"data": {"k": "v"}})
    found, row, watch = await asyncio.gather(*reads)
    assert isinstance(found, ListResult)
    assert (names(found.rows), found.revision) == (["a", "b"], soon)
    assert isinstance(row, Row)
    assert row.revision == soon
    assert isinstance(watch, Subscription)
    assert watch.initial_revision == soon
    assert store.clock.next_timer() is None


@pytest.mark.parametrize("way", ["list", "get", "watch"])
async def test_revision_that_does_not_come_is_a_timeout(store: Store, way: str) -> None:
    """After three seconds the client is told what it asked for, what there is, and to try again in one."""
    now = store.backend.revision
    kind = store.kind("ConfigMap")
    reads: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
        "list": lambda: listed(store, revision=str(now + 1)),
        "get": lambda: store.registry.get_at_least(kind, "ns", "a", now + 1),
        "watch": lambda: watched(store, revision=str(now + 1), initial=True),
    }
    task = asyncio.ensure_future(reads[way]())
    await store.clock.advance(FUTURE_WAIT)
    with pytest.raises(Timeout) as refused:
        await task
    assert FUTURE_WAIT == 3
    assert refused.value.status() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f"Timeout: Too large resource version: {now + 1}, current: {now}",
        "reason": "Timeout",
        "details": {
            "causes": [
                {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
            ],
            "retryAfterSeconds": 1,
        },
        "code": 504,
    }


async def test_object_that_is_not_there_is_not_found_at_any_revision(store: Store) -> None:
    """A revision that has been reached does not make an object."""
    with pytest.raises(NotFound):
        await store.registry.get_at_least(store.kind("ConfigMap"), "ns", "a", 1)


# Watches


async def test_reader_gets_what_exists_then_its_end_then_what_happens(store: Store) -> None:
    """Initial objects are ADDED in order; the bookmark behind them has the revision of the state."""
    await filled(store)
    watch = await watched(store, initial=True, bookmarks=True)
    start = store.backend.revision
    await store.delete("ConfigMap", "a")
    first = await watch.read()
    assert [(item.type, item.object.key) for item in first if not isinstance(item, Bookmark)] == [
        (EventType.ADDED, f"ns/{name}") for name in "abcde"
    ]
    assert first[-1] == Bookmark(start)
    (deleted,) = await watch.read()
    assert isinstance(deleted, Event)
    assert (deleted.type, deleted.object.key) == (EventType.DELETED, "ns/a")
    reading = asyncio.ensure_future(watch.read())
    await store.clock.advance()
    assert not reading.done()
    await store.create("Secret", named())
    await store.clock.advance()
    assert not reading.done()
    await store.create("ConfigMap", named("f"))
    (added,) = await reading
    assert isinstance(added, Event)
    assert added.object.key == "ns/f"
    watch.close()


async def test_watch_of_the_future_opens_at_once_and_sees_nothing_before(store: Store) -> None:
    """Without initial objects nothing is waited for; events up to the revision are not shown."""
    soon = store.backend.revision + 2
    watch = await watched(store, revision=str(soon))
    for name in "abc":
        await store.create("ConfigMap", named(name))
    assert [event.object.revision for event in watch.pending()] == [soon + 1]


async def test_slow_reader_is_told_that_history_has_gone(store: Store) -> None:
    """A reader that history has passed reads no more; one at the edge misses nothing."""
    watch, other = await watched(store, initial=False), await watched(store, initial=False)
    await filled(store)
    edge = store.backend.revision
    assert len(other.pending()) == 5
    store.backend.compact(edge)
    with pytest.raises(Expired):
        watch.pending()
    with pytest.raises(Expired):
        await watch.read()
    await store.delete("ConfigMap", "a")
    assert [event.type for event in other.pending()] == [EventType.DELETED]


async def test_expired_watch_says_so_at_every_read_and_closes(store: Store) -> None:
    """A watch of what is gone opens, as upstream's does, and its first event is the error."""
    await filled(store)
    store.backend.compact(store.backend.revision)
    watch = await watched(store, revision=str(store.backend.revision - 1))
    assert watch.initial() is None
    for read in (watch.pending, watch.waiter):
        with pytest.raises(Expired) as expired:
            read()
        assert expired.value.oldest == store.backend.revision
    watch.close()


async def test_object_that_leaves_a_selection_is_shown_as_it_was(store: Store) -> None:
    """The deletion has the old content and the new revision, is made once for all, and changes no row."""
    old = await store.create("ConfigMap", named(labels={"x": "1"}))
    watches = [await watched(store, labels=LABELLED, initial=False) for _ in range(2)]
    new = await store.patch("ConfigMap", "a", {"metadata": {"labels": {"x": "2"}}})
    (one,), (two,) = (watch.pending() for watch in watches)
    assert one.type is two.type is EventType.DELETED
    assert one.object is two.object
    revision = new["metadata"]["resourceVersion"]
    assert one.object.object == {
        **old,
        "metadata": {**old["metadata"], "resourceVersion": revision},
    }
    assert one.object.data == orjson.dumps(one.object.object)
    assert store.get("ConfigMap", "a") is new
    assert int(old["metadata"]["resourceVersion"]) == int(revision) - 1


async def test_reader_is_woken_for_its_own_selection_only(store: Store) -> None:
    """Others' changes pass a waiting reader by, and bookmarks may follow them all the same."""
    watch = await watched(store, labels=LABELLED, initial=False)
    assert not watch.pending()
    waiting = watch.waiter()
    for name in "abc":
        await store.create("ConfigMap", named(name, labels={"x": "2"}))
    assert not waiting.done()
    assert watch.revision == store.backend.revision
    await store.patch("ConfigMap", "b", {"metadata": {"labels": {"x": "1"}}})
    assert waiting.done()
    assert watch.revision == store.backend.revision - 1
    assert [event.type for event in watch.pending()] == [EventType.ADDED]
    assert watch.revision == store.backend.revision
