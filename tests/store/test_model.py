"""The store and a plain model of it agree, whatever is done to them in whatever order.

P1 to P22 in the comments are the properties that clients count on: spec, section 6.6.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from verger.store.backend import Row
from verger.store.errors import ApiError, Gone, Timeout
from verger.store.kinds import Kind, built_in
from verger.store.memory import MemoryBackend
from verger.store.objects import uid_of
from verger.store.reading import FUTURE_WAIT, ListResult, Subscription
from verger.store.registry import Registry
from verger.store.request import (
    DeleteOptions,
    ListOptions,
    User,
    WatchOptions,
    WriteRequest,
)
from verger.store.rules import Rules
from verger.store.selectors import parse_fields, parse_labels
from verger.watch.clock import FakeClock
from verger.watch.event import Expired

from tests.store.model import (
    GC_FINALIZERS,
    Claim,
    Key,
    Model,
    Obj,
    Refused,
    Test,
    Traits,
    Wish,
    sort_key,
)

T = TypeVar("T")

WINDOW = 60.0
ALICE = User("alice")
ANOTHER_UID = "00000000-0000-4000-8000-000000000000"
NAMESPACES = ("a-b", "a", "ab")


def thing(plural: str, **rules: Any) -> Kind:
    """A kind that follows the general rules, but for those facts."""
    return Kind(
        group="example.com",
        version="v1",
        kind="Thing",
        plural=plural,
        singular="thing",
        namespaced=True,
        verbs=frozenset({"get", "create"}),
        type_name="",
        rules=Rules(**rules),
    )


LOCKS = thing("locks", unconditional_update=False, create_on_update=True)
COUNTED = thing("counted", counts_generation=True)
KINDS = {kind.resource: kind for kind in [*built_in(), LOCKS, COUNTED]}
TRAITS = {
    "configmaps": Traits("v1", "ConfigMap", "data"),
    LOCKS.resource: Traits("example.com/v1", "Thing", "spec", False, create_on_update=True),
    COUNTED.resource: Traits("example.com/v1", "Thing", "spec", counts_generation=True),
}


def label(obj: Obj, name: str) -> str | None:
    value: str | None = obj["metadata"].get("labels", {}).get(name)
    return value


# Label selector and field selector, and what they mean.
SELECTIONS: dict[tuple[str, str], Test] = {
    ("", ""): lambda obj: True,
    ("x=1", ""): lambda obj: label(obj, "x") == "1",
    ("x!=1", ""): lambda obj: label(obj, "x") != "1",
    ("x in (1,2),y", ""): lambda obj: label(obj, "x") in ("1", "2") and label(obj, "y") is not None,
    ("!x", ""): lambda obj: label(obj, "x") is None,
    ("", "metadata.name=x"): lambda obj: name(obj) == "x",
    ("x", "metadata.name!=x"): lambda obj: label(obj, "x") is not None and name(obj) != "x",
}
WISHES = [
    Wish(value, labels, finalizers)
    for value in "123"
    for labels in [(), (("x", "1"),), (("x", "2"),), (("y", "1"),), (("x", "2"), ("y", "1"))]
    for finalizers in [(), (), ("e.com/f",), ("e.com/f", "e.com/g")]
]
# What is said of the uid and the revision, to be filled in when the object is known.
CLAIMS = [
    Claim(uid, revision, dry_run)
    for dry_run in [False, False, False, True]
    for revision in ["", "", "0", "right", "right", "right", "wrong"]
    for uid in ["", "", "right", "wrong"]
]
KEYS = [(namespace, name) for namespace in NAMESPACES for name in "xy"]
# What is done, and how: what a patch changes (value, labels, finalizers), the policy of a deletion.
ACTIONS = [
    *[("create", "")] * 3,
    *[("update", "")] * 2,
    *[("patch", parts) for parts in ["l", "l", "l", "v", "f", "lf", ""]],
    *[("delete", policy) for policy in ["", "", "Background", "Orphan", "Foreground"]],
    *[("follow", "")] * 5,
]
TARGETS = [(kind, pick) for kind in ["configmaps", *TRAITS] for pick in range(len(KEYS) + 1)]


class Op(NamedTuple):
    """One write, or one look at an open watch."""

    action: tuple[str, Any]
    target: tuple[str, int]
    wish: Wish
    claim: Claim


kinds = st.sampled_from(["configmaps", *TRAITS])
ops = st.builds(
    Op,
    st.sampled_from(ACTIONS),
    st.sampled_from(TARGETS),
    st.sampled_from(WISHES),
    st.sampled_from(CLAIMS),
)
bursts = st.lists(ops, min_size=3, max_size=9)
scopes = st.sampled_from(("", *NAMESPACES))
selections = st.sampled_from([*SELECTIONS])
limits = st.sampled_from([1, 2, 3, 0])
steps_back = st.integers(0, 25)


def name(obj: Obj) -> str:
    return str(obj["metadata"]["name"])


def key_of(obj: Obj) -> Key:
    return obj["metadata"]["namespace"], name(obj)


def by_key(rows: Iterable[Row]) -> dict[Key, Obj]:
    return {key_of(row.object): row.object for row in rows}


def step(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs what never waits for anything but its next turn."""
    while True:
        try:
            coroutine.send(None)
        except StopIteration as done:
            result: T = done.value
            return result


def attempt(coroutine: Coroutine[Any, Any, T]) -> T | ApiError:
    try:
        return step(coroutine)
    except ApiError as error:
        return error


def refusal(expect: Callable[[], Obj]) -> Obj | type[ApiError]:
    try:
        return expect()
    except Refused as refused:
        return refused.error


@dataclass(frozen=True)
class Pages:
    """A list that was begun: what its further pages must show."""

    kind: str
    namespace: str
    selection: tuple[str, str]
    revision: int
    token: str = ""
    rest: tuple[tuple[Key, Obj], ...] = ()
    last: str = ""


@dataclass(eq=False)
class Watch:
    """An open watch, how far it was read, and what its reader believes to exist (None: it began in the future)."""

    server: Registry
    subscription: Subscription
    kind: str
    namespace: str
    selection: tuple[str, str]
    position: int
    believed: dict[Key, Obj] | None = None
    waiter: "asyncio.Future[None] | None" = None


class StoreMachine(RuleBasedStateMachine):
    pages = Bundle("pages")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.witnesses: list[Watch] = []
        self.watches: list[Watch] = []

    def teardown(self) -> None:
        self.loop.close()

    @initialize(limit=st.sampled_from([20, 1000, 1000]))
    def start(self, limit: int) -> None:
        self.begin(limit)
        for selection in SELECTIONS:
            self.watches.append(self.open("configmaps", "", selection, WatchOptions())[0])

    def begin(self, limit: int) -> None:
        """A new process: a store with little in it, and a witness of each kind that follows from the start."""
        self.backend = MemoryBackend(self.clock, window=WINDOW, limit=limit)
        self.registry = Registry(self.backend, self.clock)
        clock, revision = self.clock, self.backend.revision
        self.model = Model(TRAITS, revision, WINDOW, limit, clock.time(), clock.monotonic())
        self.uids: set[str] = set()
        for name in NAMESPACES:
            obj, request = {"metadata": {"name": name}}, WriteRequest(ALICE)
            row = step(self.registry.create(KINDS["namespaces"], "", obj, request))
            self.model.commit("namespaces", ("", name), None, row.object)
        self.witnesses = [self.open(kind, "", ("", ""), WatchOptions())[0] for kind in TRAITS]
        for kind in TRAITS:
            for pick, wish in enumerate(WISHES[:16:4]):
                self.create(Op(("create", ""), (kind, pick), wish, CLAIMS[0]))

    # Writes

    @rule(ops=bursts)
    def write(self, ops: list[Op]) -> None:
        for op in ops:
            getattr(self, op.action[0])(op)
            # P1: one revision for each committed change, none for a no-op, a refusal or a dry run.
            assert self.backend.revision == self.model.revision

    @rule(ops=bursts)
    def write_more(self, ops: list[Op]) -> None:
        # Rules are drawn alike; writing is to come more often.
        self.write(ops)

    def aim(self, op: Op) -> tuple[str, Key, Claim]:
        """An object that is there, or one that is not, and what a client says of it: the truth or something else."""
        kind, pick = op.target
        state = self.model.state(kind)
        there = [*state, ("a", "missing"), ("a", "x")]
        key, claim = there[pick % len(there)], op.claim
        metadata = state[key]["metadata"] if key in state else {}
        right = metadata.get("resourceVersion") or str(self.model.revision)
        revision = {"right": right, "wrong": str(int(right) - 1)}.get(
            claim.revision, claim.revision
        )
        uids = {"right": metadata.get("uid", ANOTHER_UID), "wrong": ANOTHER_UID}
        return kind, key, Claim(uids.get(claim.uid, ""), revision, claim.dry_run)

    def agree(self, real: Row | ApiError, expect: Callable[[], Obj]) -> None:
        """Compares the answer to a write with the model's."""
        assert (real.object if isinstance(real, Row) else type(real)) == refusal(expect)

    def new_uid(self, real: Row | ApiError) -> str:
        """The uid of a creation. P17: every incarnation has its own."""
        uid = uid_of(real.object) if isinstance(real, Row) else ""
        assert uid not in self.uids
        self.uids |= {uid} - {""}
        return uid

    def create(self, op: Op) -> None:
        (kind, pick), dry = op.target, op.claim.dry_run
        key = KEYS[pick % len(KEYS)]
        obj = body(kind, key, op.wish)
        creation = self.registry.create(KINDS[kind], key[0], obj, WriteRequest(ALICE, dry))
        real = attempt(creation)
        uid = self.new_uid(real)
        self.agree(real, lambda: self.model.create(kind, key, op.wish, uid=uid, dry_run=dry))

    def update(self, op: Op) -> None:
        # P12: a stale revision never succeeds. P13: nor does the uid of another incarnation.
        kind, key, claim = self.aim(op)
        obj, request = body(kind, key, op.wish, claim), WriteRequest(ALICE, claim.dry_run)
        exists = key in self.model.state(kind)
        answer = attempt(self.registry.update(KINDS[kind], *key, obj, request))
        real = answer if isinstance(answer, ApiError) else answer[0]
        uid = "" if exists else self.new_uid(real)
        self.agree(real, lambda: self.model.update(kind, key, op.wish, claim, uid=uid))
        if isinstance(answer, tuple):
            assert answer[1] is not exists

    def patch(self, op: Op) -> None:
        kind, key, claim = self.aim(op)
        wish, parts = op.wish, op.action[1]
        if (found := self.model.state(kind).get(key)) is not None:
            metadata, value = found["metadata"], found[TRAITS[kind].content]["value"]
            wish = Wish(
                wish.value if "v" in parts else value,
                wish.labels if "l" in parts else tuple(metadata.get("labels", {}).items()),
                wish.finalizers if "f" in parts else tuple(metadata.get("finalizers", ())),
            )

        def change(current: Mapping[str, Any]) -> dict[str, Any]:
            changed = body(kind, key, wish, claim)
            metadata = {**current["metadata"], **changed["metadata"]}
            return {**current, **changed, "metadata": metadata}

        request = WriteRequest(ALICE, claim.dry_run)
        answer = attempt(self.registry.patch(KINDS[kind], *key, change, request))
        real = answer if isinstance(answer, ApiError) else answer[0]
        self.agree(real, lambda: self.model.modify(kind, key, wish, claim))

    def delete(self, op: Op) -> None:
        kind, key, claim = self.aim(op)
        claim = claim._replace(revision=claim.revision.removeprefix("0"))
        policy = op.action[1]
        options = DeleteOptions(None, claim.uid, claim.revision, policy)
        request = WriteRequest(ALICE, claim.dry_run)
        answer = attempt(self.registry.delete(KINDS[kind], *key, options, request))

        def expect() -> Obj:
            last, gone = self.model.delete(kind, key, policy, claim)
            assert isinstance(answer, tuple)
            assert answer[1] is gone
            return last

        self.agree(answer if isinstance(answer, ApiError) else answer[0], expect)

    @rule(kind=kinds, namespace=st.sampled_from(NAMESPACES), selection=selections)
    def delete_collection(self, kind: str, namespace: str, selection: tuple[str, str]) -> None:
        listed = self.model.selected(kind, namespace, SELECTIONS[selection])
        selected, request = list_options(selection), WriteRequest(ALICE)
        deletion = self.registry.delete_collection(
            KINDS[kind], namespace, selected, DeleteOptions(), request
        )
        assert by_key(step(deletion).rows) == listed
        for key in listed:
            self.model.delete(kind, key, "", Claim("", "", False))

    def follow(self, op: Op) -> None:
        if self.watches:
            self.poll(self.watches[TARGETS.index(op.target) % len(self.watches)])

    # Lists

    @rule(
        target=pages,
        kind=kinds,
        namespace=scopes,
        selection=selections,
        limit=limits,
        when=st.sampled_from(["now", "now", "zero", "exact", "legacy", "older", "future"]),
        steps=steps_back,
    )
    def first_page(
        self,
        kind: str,
        namespace: str,
        selection: tuple[str, str],
        limit: int,
        when: str,
        steps: int,
    ) -> Any:
        revision = self.model.revision - steps
        match = {"exact": "Exact", "older": "NotOlderThan"}.get(when, "")
        if when == "future":
            revision, match = (
                self.model.revision + 1 + steps,
                ["", "Exact", "NotOlderThan"][limit % 3],
            )
        text = {"now": "", "zero": "0"}.get(when, str(revision))
        options = list_options(selection, limit=limit, revision=text, match=match)
        if when == "future":
            self.wait_in_vain(kind, options)
            return multiple()
        found = attempt(self.registry.list(KINDS[kind], namespace, options))
        exact = when == "exact" or (when == "legacy" and limit > 0)
        at = revision if exact else self.model.revision
        if at < self.model.compacted:
            assert isinstance(found, Gone)
            assert not found.continue_token
            return multiple()
        snapshot = self.model.selected(kind, namespace, SELECTIONS[selection], at)
        begun = Pages(kind, namespace, selection, at, rest=(*snapshot.items(),))
        return self.compare_page(found, begun, 0 if when == "zero" else limit)

    @rule(target=pages, pages=pages, limit=limits, revision=st.sampled_from(["", "0"]))
    def next_page(self, pages: Pages, limit: int, revision: str) -> Any:
        # P11: tokens reproduce the snapshot until it expires, then they name a token that carries on.
        kind, namespace = KINDS[pages.kind], pages.namespace
        options = list_options(pages.selection, limit=limit, revision=revision)
        carry_on = options._replace(continue_token=pages.token)
        found = attempt(self.registry.list(kind, namespace, carry_on))
        if pages.revision < self.model.compacted:
            assert isinstance(found, Gone)
            carry_on = options._replace(continue_token=found.continue_token)
            found = step(self.registry.list(kind, namespace, carry_on))
            current = self.model.selected(pages.kind, namespace, SELECTIONS[pages.selection])
            rest = tuple(item for item in current.items() if sort_key(item[0]) > pages.last)
            pages = replace(pages, revision=self.model.revision, rest=rest)
        return self.compare_page(found, pages, limit)

    def compare_page(self, found: ListResult | ApiError, pages: Pages, limit: int) -> Any:
        """Compares one page with the snapshot; returns what is to follow."""
        assert isinstance(found, ListResult)
        size = limit or len(pages.rest)
        here, rest = pages.rest[:size], pages.rest[size:]
        assert [row.object for row in found.rows] == [obj for _, obj in here]
        # P3: the list's revision is that of its snapshot, and no item's is above it.
        assert found.revision == pages.revision
        assert all(row.revision <= found.revision for row in found.rows)
        if not rest:
            assert (found.continue_token, found.remaining) == ("", 0)
            return multiple()
        assert found.remaining == (len(rest) if pages.selection == ("", "") else None)
        last = sort_key(here[-1][0])
        return replace(pages, token=found.continue_token, rest=rest, last=last)

    def wait_in_vain(self, kind: str, options: ListOptions) -> None:
        """Reads what has yet to come: it is waited for, and not for ever."""

        async def wait() -> object:
            task = asyncio.ensure_future(self.registry.list(KINDS[kind], "", options))
            await self.clock.advance(FUTURE_WAIT)
            return task.exception()

        error = self.loop.run_until_complete(wait())
        assert isinstance(error, Timeout)
        assert error.has_cause("ResourceVersionTooLarge")
        self.pass_time(0)

    # Watches

    def open(
        self, kind: str, namespace: str, selection: tuple[str, str], options: WatchOptions
    ) -> tuple[Watch, Any]:
        """Opens a watch; returns it, and what it begins with."""
        labels, fields = parse_labels(selection[0]), parse_fields(selection[1])
        options = options._replace(labels=labels, fields=fields)
        subscription = step(self.registry.watch(KINDS[kind], namespace, options))
        position = int(options.revision or 0) or self.model.revision
        watch = Watch(self.registry, subscription, kind, namespace, selection, position)
        begin = subscription.initial()
        assert subscription.initial() is None
        if begin is not None:
            watch.position = self.model.revision
            watch.believed = by_key(begin[0])
            # Initial events are in the order of keys, and show the state at one revision.
            assert [*watch.believed] == sorted(watch.believed, key=sort_key)
            assert subscription.initial_revision == watch.position
        elif position <= self.model.revision:
            test = SELECTIONS[selection]
            watch.believed = self.model.selected(kind, namespace, test, position)
        return watch, begin

    @rule(
        kind=kinds,
        namespace=scopes,
        selection=selections,
        where=st.sampled_from(["", "0", "now", "past", "future", "edge", "before the edge"]),
        steps=steps_back,
        how=st.tuples(st.sampled_from([None, None, True, False]), st.booleans()),
    )
    def watch(
        self,
        kind: str,
        namespace: str,
        selection: tuple[str, str],
        where: str,
        steps: int,
        how: tuple[bool | None, bool],
    ) -> None:
        now, edge = self.model.revision, self.model.compacted
        revisions = {"now": now, "past": now - steps, "future": now + 1 + steps % 3}
        revisions |= {"edge": edge, "before the edge": edge - 1}
        initial, bookmarks = how
        if where == "future" and initial:
            initial = None
        revision = str(revisions.get(where, where))
        options = WatchOptions(revision=revision, initial=initial, bookmarks=bookmarks)
        watch, begin = self.open(kind, namespace, selection, options)
        if initial or (initial is None and where in ("", "0")):
            assert begin is not None
            assert watch.believed == self.model.selected(kind, namespace, SELECTIONS[selection])
            # The end of the initial events is marked for those who can read bookmarks.
            assert begin[1] is bookmarks
        else:
            assert begin is None
        if watch.position < edge:
            # What may be incomplete says so. P21: at the edge and above, nothing is.
            with pytest.raises(Expired):
                watch.subscription.pending()
        else:
            self.watches.append(watch)

    @rule()
    def poll_all(self) -> None:
        for watch in self.watches:
            self.poll(watch)

    def poll(self, watch: Watch) -> None:
        """Reads a watch to its end and compares it with the history that the model remembers."""
        if watch.server is not self.registry:
            self.resume(watch)
        kind, namespace, test = watch.kind, watch.namespace, SELECTIONS[watch.selection]
        expected = self.model.events(kind, namespace, test, watch.position)
        if watch.waiter is not None:
            # A wake-up is never lost; who selects is not woken for anything else.
            assert watch.waiter.done() or not expected
            assert expected or not watch.waiter.done() or watch.believed is None
        try:
            events = watch.subscription.pending()
        except Expired:
            assert self.model.compacted > watch.position
            assert watch not in self.witnesses
            self.relist(watch)
            return
        # P4, P5, P9: every change once and in order, and nothing else; the same for all who ask the same.
        assert [(event.type.value, event.object.object) for event in events] == expected
        for type_, obj in expected:
            # P6: nothing from before the start comes again. P19: a deletion's revision is above all before it.
            assert int(obj["metadata"]["resourceVersion"]) > watch.position
            watch.position = int(obj["metadata"]["resourceVersion"])
            if watch.believed is not None:
                believe(watch.believed, type_, obj)
                # P10: after each event the reader believes what a list at that revision shows.
                assert watch.believed == self.model.selected(kind, namespace, test, watch.position)
        # P7: all up to this revision has been delivered, also when other kinds have moved it on.
        watch.position = max(watch.position, self.model.revision)
        assert watch.subscription.revision == watch.position
        assert not watch.subscription.pending()

        async def waiter() -> "asyncio.Future[None]":
            return watch.subscription.waiter()

        watch.waiter = self.loop.run_until_complete(waiter())

    def resume(self, watch: Watch) -> None:
        # P22: who comes from before a restart is told to begin again.
        options = WatchOptions(revision=str(watch.position))
        again, _ = self.open(watch.kind, watch.namespace, watch.selection, options)
        with pytest.raises(Expired):
            again.subscription.pending()
        self.relist(watch)

    def relist(self, watch: Watch) -> None:
        # P8: after an expiry a list and a watch from its revision lead to the same state.
        watch.subscription.close()
        options = list_options(watch.selection)
        found = step(self.registry.list(KINDS[watch.kind], watch.namespace, options))
        resume = WatchOptions(revision=str(found.revision))
        again, _ = self.open(watch.kind, watch.namespace, watch.selection, resume)
        vars(watch).update(vars(again))
        watch.believed = by_key(found.rows)
        self.poll(watch)

    @precondition(lambda self: self.watches)
    @rule(pick=st.integers(0, 20))
    def close(self, pick: int) -> None:
        watch = self.watches.pop(pick % len(self.watches))
        watch.subscription.close()
        watch.subscription.close()

    # Time

    def pass_time(self, seconds: float) -> None:
        step(self.clock.advance(seconds))
        self.model.time, self.model.elapsed = self.clock.time(), self.clock.monotonic()
        self.backend.trim()
        self.model.forget()

    @rule(
        what=st.sampled_from([*["compact"] * 3, *[0.25, WINDOW / 2, WINDOW + 1] * 2, "restart"]),
        steps=steps_back,
    )
    def time(self, what: str | float, steps: int) -> None:
        if isinstance(what, float):
            self.pass_time(what)
        elif what == "compact":
            self.backend.compact(self.model.revision - steps)
            self.model.compact(self.model.revision - steps)
        else:
            revealed = self.model.revision
            self.pass_time(0.002)
            self.begin(self.model.limit)
            # P22: nothing new is below anything ever shown.
            assert self.model.changes[0].revision > revealed

    # What always holds

    @invariant()
    def agrees(self) -> None:
        if not self.witnesses:
            return
        assert self.backend.revision == self.model.revision
        assert self.backend.log.compacted == self.model.compacted
        # P2, P18: what was written is what is read, by name, in lists and in counts.
        for kind in TRAITS:
            expected = self.model.state(kind)
            page = self.backend.list(kind)
            assert [row.object for row in page.rows] == [*expected.values()]
            assert page.revision == self.model.revision
            for namespace in ("", *NAMESPACES):
                here = [key for key in expected if namespace in ("", key[0])]
                assert self.backend.count(kind, namespace) == len(here)
            for key, obj in expected.items():
                assert self.registry.get(KINDS[kind], *key).object == obj
        for witness in self.witnesses:
            self.poll(witness)


def list_options(selection: tuple[str, str], **how: Any) -> ListOptions:
    return ListOptions(parse_labels(selection[0]), parse_fields(selection[1]), **how)


def believe(believed: dict[Key, Obj], type_: str, obj: Obj) -> None:
    """Does to a reader's state what an event says, and checks that the event could follow on it."""
    old, new = believed.pop(key_of(obj), None), obj["metadata"]
    # ADDED is what was not there, and all else is about what was.
    assert (old is None) is (type_ == "ADDED")
    if type_ != "DELETED":
        believed[key_of(obj)] = obj
    if old is not None:
        before = old["metadata"]
        # P17: the incarnation keeps its uid and its birth. P16: the generation does not decrease.
        assert new["uid"] == before["uid"]
        assert new["creationTimestamp"] == before["creationTimestamp"]
        assert new.get("generation", 0) >= before.get("generation", 0)
        if "deletionTimestamp" in before:
            # P14: once terminating, always; finalizers only go, but for those that a later delete asks for.
            assert new["deletionTimestamp"] == before["deletionTimestamp"]
            added = {*new.get("finalizers", ())} - {*before["finalizers"]}
            assert added <= {*GC_FINALIZERS}
    # P15: what terminates has a finalizer, to its last state; when the last one goes, so does the object.
    assert "deletionTimestamp" not in new or new["finalizers"]


def body(kind: str, key: Key, wish: Wish, claim: Claim | None = None) -> dict[str, Any]:
    """What a client sends."""
    metadata: dict[str, Any] = {"name": key[1], "namespace": key[0], "labels": dict(wish.labels)}
    metadata["finalizers"] = [*wish.finalizers]
    if claim and claim.revision:
        metadata["resourceVersion"] = claim.revision
    if claim and claim.uid:
        metadata["uid"] = claim.uid
    return {"metadata": metadata, TRAITS[kind].content: {"value": wish.value}}


def test_store_agrees_with_its_model() -> None:
    """Reads, writes, pages and watches in any order give what the model gives."""
    # Shrinking and explaining a failure takes minutes here: the longer run below does it.
    phases = (Phase.generate,)
    quick = settings(
        max_examples=40, stateful_step_count=40, deadline=None, derandomize=True, phases=phases
    )
    run_state_machine_as_test(StoreMachine, settings=quick)


@pytest.mark.soak
def test_store_agrees_with_its_model_for_long() -> None:
    """The same over many more and longer histories, new ones in each run."""
    long = settings(max_examples=3000, stateful_step_count=100, deadline=None)
    run_state_machine_as_test(StoreMachine, settings=long)
