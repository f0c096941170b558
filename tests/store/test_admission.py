"""Who is asked before a write, in which order, and what happens when others write in the meantime."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from verger.store.errors import ApiError, Conflict, Forbidden
from verger.store.objects import thaw
from verger.store.registry import CONFLICT_ATTEMPTS
from verger.store.request import Attributes, WriteRequest

from tests.store.conftest import Store

Meanwhile = Callable[[], Awaitable[object]]


def named(name: str = "a", **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **fields}}


class Recorder:
    """Writes down what it is asked, under its name, and labels what is admitted."""

    def __init__(self, name: str, calls: list[tuple[Any, ...]], *verbs: str) -> None:
        self._name = name
        self._calls = calls
        self._verbs = verbs

    def handles(self, attributes: Attributes) -> bool:
        return attributes.verb in self._verbs

    async def admit(
        self,
        attributes: Attributes,
        obj: dict[str, Any],
        old: Mapping[str, Any] | None,
        request: WriteRequest,
    ) -> None:
        self._note("admit", attributes, obj, old)
        labels = obj["metadata"].get("labels") or {}
        obj["metadata"] = {**obj["metadata"], "labels": {**labels, self._name: "was-here"}}

    async def validate(
        self,
        attributes: Attributes,
        obj: Mapping[str, Any],
        old: Mapping[str, Any] | None,
        request: WriteRequest,
    ) -> None:
        self._note("validate", attributes, obj, old)

    def _note(
        self,
        what: str,
        attributes: Attributes,
        obj: Mapping[str, Any],
        old: Mapping[str, Any] | None,
    ) -> None:
        labels = sorted(obj["metadata"].get("labels") or {})
        self._calls.append(
            (self._name, what, attributes.verb, attributes.name, labels, old is not None)
        )


async def test_all_admit_before_any_validates() -> None:
    """Plugins are asked in their order; what validates sees what all have admitted, and what was there."""
    calls: list[tuple[Any, ...]] = []
    writes = ("create", "update", "patch", "delete")
    store = Store(Recorder("one", calls, *writes), Recorder("two", calls, "create", "patch"))
    await store.create("Namespace", named("ns"))
    calls.clear()
    await store.create("ConfigMap", named())
    assert calls == [
        ("one", "admit", "create", "a", [], False),
        ("two", "admit", "create", "a", ["one"], False),
        ("one", "validate", "create", "a", ["one", "two"], False),
        ("two", "validate", "create", "a", ["one", "two"], False),
    ]
    assert sorted(store.get("ConfigMap", "a")["metadata"]["labels"]) == ["one", "two"]
    calls.clear()
    await store.update("ConfigMap", "a", named())
    assert calls == [
        ("one", "admit", "update", "a", [], True),
        ("one", "validate", "update", "a", ["one"], True),
    ]
    calls.clear()
    await store.patch("ConfigMap", "a", {"data": {"k": "v"}}, dry_run=True)
    assert [call[:3] for call in calls] == [
        ("one", "admit", "patch"),
        ("two", "admit", "patch"),
        ("one", "validate", "patch"),
        ("two", "validate", "patch"),
    ]
    calls.clear()
    await store.delete("ConfigMap", "a")
    assert calls == [("one", "validate", "delete", "a", ["one"], True)]


class Once:
    """Waits while others do something, so many times, and may then refuse."""

    def __init__(self, *verbs: str) -> None:
        self._verbs = verbs
        self.refuse: ApiError | None = None
        self.meanwhile: list[Meanwhile] = []
        self.asked = 0

    def handles(self, attributes: Attributes) -> bool:
        return attributes.verb in self._verbs and attributes.name == "a"

    async def admit(self, *_: Any) -> None:
        pass

    async def validate(self, *_: Any) -> None:
        self.asked += 1
        if self.meanwhile:
            await self.meanwhile.pop(0)()
        if self.refuse is not None:
            raise self.refuse


async def store_with(plugin: Once) -> Store:
    store = Store(plugin)
    await store.create("Namespace", named("ns"))
    return store


def overwritten(store: Store, times: int) -> list[Meanwhile]:
    """Writes that go past admission, as those of others do."""

    def write() -> Awaitable[object]:
        row = store.backend.get("configmaps", "ns/a")
        assert row is not None
        obj = thaw(row.object)
        obj["data"] = {**obj.get("data", {}), "theirs": str(row.revision)}
        store.backend.put("configmaps", "ns/a", obj, expected=row.revision)
        return nothing()

    return [write] * times


async def nothing() -> None:
    pass


@pytest.mark.parametrize("verb", ["create", "update", "patch", "delete"])
async def test_what_admission_refuses_leaves_no_trace(verb: str) -> None:
    """An error of a plugin is the answer, for every verb, and nothing is stored."""
    plugin = Once(verb)
    store = await store_with(plugin)
    if verb != "create":
        await store.create("ConfigMap", named())
    plugin.refuse = Forbidden("because")
    writes: dict[str, Callable[[], Awaitable[object]]] = {
        "create": lambda: store.create("ConfigMap", named()),
        "update": lambda: store.update("ConfigMap", "a", {**named(), "data": {"k": "v"}}),
        "patch": lambda: store.patch("ConfigMap", "a", {"data": {"k": "v"}}),
        "delete": lambda: store.delete("ConfigMap", "a"),
    }
    found = await store.status(writes[verb]())
    assert (found["code"], found["message"], plugin.asked) == (403, "because", 1)
    assert store.there("ConfigMap", "a") is (verb != "create")


@pytest.mark.parametrize("losses", range(1, CONFLICT_ATTEMPTS))
async def test_patch_is_worked_out_anew_when_others_are_faster(losses: int) -> None:
    """A patch without a revision loses no race: it is applied to what the others left."""
    plugin = Once("patch")
    store = await store_with(plugin)
    await store.create("ConfigMap", named())
    plugin.meanwhile = overwritten(store, losses)
    found = await store.patch("ConfigMap", "a", {"data": {"mine": "1"}})
    assert plugin.asked == losses + 1
    assert found["data"] == {"theirs": str(store.backend.revision - 2), "mine": "1"}


async def test_update_without_a_revision_overwrites_what_others_left() -> None:
    """The last one wins, with exactly what was sent."""
    plugin = Once("update")
    store = await store_with(plugin)
    await store.create("ConfigMap", named())
    plugin.meanwhile = overwritten(store, 2)
    found = await store.update("ConfigMap", "a", {**named(), "data": {"mine": "1"}})
    assert (found["data"], plugin.asked) == ({"mine": "1"}, 3)


@pytest.mark.parametrize("verb", ["update", "patch"])
async def test_write_that_names_its_revision_loses_the_race(verb: str) -> None:
    """With a precondition the one who was slower is told, and nothing of theirs is lost."""
    plugin = Once(verb)
    store = await store_with(plugin)
    old = await store.create("ConfigMap", named())
    body = {**named(resourceVersion=old["metadata"]["resourceVersion"]), "data": {"mine": "1"}}
    plugin.meanwhile = overwritten(store, 1)
    with pytest.raises(Conflict, match="the object has been modified"):
        await getattr(store, verb)("ConfigMap", "a", body)
    assert [*store.get("ConfigMap", "a")["data"]] == ["theirs"]


async def test_write_that_always_loses_gives_up() -> None:
    """After five races the client is told to try again, rather than kept waiting for ever."""
    plugin = Once("patch")
    store = await store_with(plugin)
    await store.create("ConfigMap", named())
    plugin.meanwhile = overwritten(store, CONFLICT_ATTEMPTS)
    with pytest.raises(Conflict) as refused:
        await store.patch("ConfigMap", "a", {"data": {"mine": "1"}})
    assert refused.value.message == (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to '
        "the latest version and try again"
    )
    assert plugin.asked == CONFLICT_ATTEMPTS == 5


async def test_deletion_is_checked_again_when_others_were_faster() -> None:
    """What is deleted is what is there at that moment, and preconditions hold for it."""
    plugin = Once("delete")
    store = await store_with(plugin)
    old = await store.create("ConfigMap", named())
    plugin.meanwhile = overwritten(store, 1)
    with pytest.raises(Conflict, match="might have been modified"):
        await store.delete("ConfigMap", "a", revision=old["metadata"]["resourceVersion"])
    assert store.there("ConfigMap", "a")
    plugin.meanwhile = overwritten(store, 7)
    found, gone = await store.delete("ConfigMap", "a", uid=old["metadata"]["uid"])
    assert gone
    assert found["data"] == {"theirs": str(store.backend.revision - 2)}


async def test_nothing_is_created_in_a_namespace_that_ends_meanwhile() -> None:
    """The namespace is looked at once more when nothing waits any longer."""
    plugin = Once("create")
    store = await store_with(plugin)
    plugin.meanwhile = [lambda: store.delete("Namespace", "ns")]
    with pytest.raises(Forbidden, match="because it is being terminated"):
        await store.create("ConfigMap", named())
    assert not store.there("ConfigMap", "a")


async def test_creation_that_is_overtaken_finds_the_name_taken() -> None:
    """Of two creations of one name one wins, and the other is told."""
    plugin = Once("create")
    store = await store_with(plugin)

    async def theirs() -> None:
        await store.create("ConfigMap", {**named(), "data": {"theirs": "1"}})

    plugin.meanwhile = [theirs]
    refused = await status_of(store.create("ConfigMap", {**named(), "data": {"mine": "1"}}))
    assert (refused["code"], refused["message"]) == (409, 'configmaps "a" already exists')
    assert store.get("ConfigMap", "a")["data"] == {"theirs": "1"}


async def status_of(write: Awaitable[object]) -> dict[str, Any]:
    with pytest.raises(ApiError) as refused:
        await write
    return refused.value.status()
