"""Server-side apply and the tracking of managed fields agree with a plain model of them, on random types and histories.

The model knows no trees: an object is a dict from paths to what stands there, an owner is a set of paths, and every rule
is a sentence over them. Types are structural schemas of all sorts of maps and lists; values come from few letters, so
that owners meet.
"""

import json
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from verger.store.apply import ApplyConflict, apply, track_update
from verger.store.fieldsets import FieldSet, Path
from verger.store.managedfields import Entry, but_for_times
from verger.store.schemas import load
from verger.store.shapes import BuiltInShapes, Shape, structural_shape

Schema = Mapping[str, Any]
Object = dict[str, Any]
METADATA = BuiltInShapes(load()).of("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
LETTERS = ("a", "b", "c")
SERVER = ("apiVersion", "kind", "metadata")
"""What the tables test; here it is the same in all objects."""

# --- types and values

STRING: Schema = {"type": "string"}
DEDUCED: Schema = {"x-kubernetes-preserve-unknown-fields": True}
LEAVES: tuple[Schema, ...] = (
    STRING,
    {"type": "integer"},
    DEDUCED,
    {"type": "array", "items": STRING},
    {"type": "array", "items": STRING, "x-kubernetes-list-type": "set"},
    {"type": "object", "additionalProperties": STRING},
    {"type": "object", "additionalProperties": STRING, "x-kubernetes-map-type": "atomic"},
    {"type": "object", "properties": {"a": STRING}, "x-kubernetes-map-type": "atomic"},
)


class Dice(random.Random):
    """Draws types, and values of them. hypothesis draws its seed: whole objects would take it much longer."""

    def chance(self, share: float) -> bool:
        return self.random() < share

    def letters(self, most: int) -> list[str]:
        return self.sample(LETTERS, self.randint(0, most))

    def type(self, depth: int = 2) -> Schema:
        """A leaf, or a map with any keys, a struct, a list known by a key, of further types."""
        match self.randrange(6) if depth else 0:
            case 3:
                return {"type": "object", "additionalProperties": self.type(depth - 1)}
            case 4:
                fields = {name: self.type(depth - 1) for name in LETTERS[:2]}
                return {"type": "object", "properties": fields}
            case 5:
                fields = {"k": STRING, "v": self.type(depth - 1)}
                keys = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
                return {"type": "array", "items": {"type": "object", "properties": fields}, **keys}
            case _:
                return self.choice(LEAVES)

    def value(self, schema: Schema) -> Any:
        match schema.get("type"):
            case "string":
                return self.choice(LETTERS)
            case "integer":
                return self.randint(0, 2)
            case "array" if "x-kubernetes-list-map-keys" in schema:
                value = schema["items"]["properties"]["v"]
                return [
                    {"k": key, **({"v": self.value(value)} if self.chance(0.8) else {})}
                    for key in self.letters(3)
                ]
            case "array":
                return self.letters(3)
            case "object" if "properties" in schema:
                fields = schema["properties"].items()
                return {name: self.value(inner) for name, inner in fields if self.chance(0.7)}
            case "object":
                inner = schema["additionalProperties"]
                return {name: self.value(inner) for name in self.letters(3)}
            case _:
                return self.anything(2)

    def anything(self, depth: int) -> Any:
        match self.randrange(4) if depth else 0:
            case 2:
                return [self.anything(0) for _ in range(self.randint(0, 2))]
            case 3:
                return {name: self.anything(depth - 1) for name in self.letters(2)}
            case _:
                return self.choice(("a", "b", 1, 0, True, False))

    def variation(self, schema: Schema, value: Object | None) -> Object:
        """Another value that has most fields from this one."""
        fresh: Object = self.value(schema)
        for name in schema["properties"]:
            if value is not None and self.chance(0.6):
                fresh.pop(name, None)
                if name in value:
                    fresh[name] = value[name]
        return fresh


# --- the model


class Cell(NamedTuple):
    """What stands at a path: a leaf with its value, a map, or a list with the order of its items."""

    sort: str
    value: Any
    declared: bool
    """Whether the type declares it as a field, unlike keys of maps and items of lists."""


Flat = dict[Path, Cell]


def sort_of(schema: Schema, value: Any) -> str:
    if not schema.get("type"):
        return "map" if isinstance(value, dict) else "leaf"
    if schema["type"] == "array":
        return "list" if "x-kubernetes-list-type" in schema else "leaf"
    if schema["type"] == "object":
        return "leaf" if schema.get("x-kubernetes-map-type") == "atomic" else "map"
    return "leaf"


def element(schema: Schema, item: Any) -> str:
    if schema["x-kubernetes-list-type"] == "set":
        return f"v:{json.dumps(item)}"
    return f'k:{{"k":{json.dumps(item["k"])}}}'


def flatten(schema: Schema, value: Any, path: Path = (), *, declared: bool = True) -> Flat:
    sort = sort_of(schema, value)
    flat: Flat = {}
    content: Any = json.dumps(value, sort_keys=True) if sort == "leaf" else None
    if sort == "list":
        content = tuple(element(schema, item) for item in value)
        for item in value:
            at = (*path, element(schema, item))
            flat |= flatten(schema["items"], item, at, declared=False)
    if sort == "map":
        properties = schema.get("properties", {})
        for name, item in value.items():
            if path == () and name in SERVER:
                continue
            inner = properties.get(name) or schema.get("additionalProperties") or DEDUCED
            flat |= flatten(inner, item, (*path, f"f:{name}"), declared=name in properties)
    if path:
        flat[path] = Cell(sort, content, declared)
    return flat


def below(path: Path, paths: Iterable[Path]) -> bool:
    """Whether one of the paths is this one or lies below it."""
    return any(other[: len(path)] == path for other in paths)


def differs(a: Cell, b: Cell) -> bool:
    return "leaf" in (a.sort, b.sort) and a[:2] != b[:2]


def arranged(live: tuple[str, ...], patch: tuple[str, ...]) -> tuple[str, ...]:
    """The items of both: those of the patch in its order, those of the live list alone before the next that both have."""
    shared = [item for item in patch if item in live]
    slots: list[tuple[list[str], list[str]]] = [([], []) for _ in range(len(shared) + 1)]
    at = 0
    for item in live:
        if item not in patch:
            slots[at][0].append(item)
        elif at < len(shared) and item == shared[at]:
            at += 1
    at = 0
    for item in patch:
        if item in shared:
            at += 1
        else:
            slots[at][1].append(item)
    out: list[str] = []
    for index, (of_live, of_patch) in enumerate(slots):
        out += [*of_live, *of_patch, *shared[index : index + 1]]
    return tuple(out)


def merged(live: Flat, patch: Flat) -> Flat:
    out = dict(live)
    for path, cell in sorted(patch.items(), key=lambda pair: len(pair[0])):
        old = live.get(path)
        if cell.sort == "leaf" or (old is not None and old.sort == "leaf"):
            out = {p: c for p, c in out.items() if not below(path, [p]) or p in patch}
            out[path] = cell
        elif cell.sort == "list" and old is not None:
            out[path] = cell._replace(value=arranged(old.value, cell.value))
        else:
            out[path] = cell
    return out


def without(flat: Flat, gone: Iterable[Path]) -> Flat:
    """The object without some paths and all that is below them; lists forget their items."""
    cut = set(gone)
    left = {p: c for p, c in flat.items() if not any(p[:n] in cut for n in range(1, len(p) + 1))}
    return {
        path: cell._replace(value=tuple(e for e in cell.value if (*path, e) in left))
        if cell.sort == "list"
        else cell
        for path, cell in left.items()
    }


class Identity(NamedTuple):
    manager: str
    operation: str
    version: str
    """Of an updater."""
    subresource: str


@dataclass
class Held:
    paths: set[Path]
    version: str
    time: str


class Conflicts(Exception):
    pass


@dataclass
class Model:
    """The object and its owners."""

    schema: Schema
    flat: Flat | None = None
    owners: dict[Identity, Held] = field(default_factory=dict)

    def _change(self, new: Flat, ignored: set[Path]) -> tuple[set[Path], set[Path]]:
        """What a change sets, and what it takes away."""
        old = self.flat or {}
        taken = {p for p in new if p not in old or differs(old[p], new[p])}
        gone = {p for p in old if p not in new}
        return tuple(  # type: ignore[return-value]
            {p for p in paths if not any(below(path, [p]) for path in ignored)}
            for paths in (taken, gone)
        )

    def _store(self, new: Flat, ignored: set[Path]) -> None:
        """What the endpoint ignores stays as it was."""
        old = self.flat or {}
        self.flat = {
            path: cell
            for ours, flat in ((False, new), (True, old))
            for path, cell in flat.items()
            if any(below(reset, [path]) for reset in ignored) == ours
        }

    def _lose(self, paths: set[Path], *, but: Identity | None) -> None:
        for identity, held in self.owners.items():
            if identity != but:
                held.paths -= paths
        self.owners = {i: h for i, h in self.owners.items() if h.paths}

    def update(self, who: Identity, new: Flat, now: str, *, ignored: set[Path]) -> None:
        """Whoever changes a field owns it alone. An object that nobody tracks stays so."""
        tracked = self.flat is None or bool(self.owners)
        taken, gone = self._change(new, ignored)
        self._store(new, ignored)
        if not tracked:
            return
        self._lose(taken | gone, but=None)
        if taken:
            held = self.owners.setdefault(who, Held(set(), who.version, now))
            held.paths |= taken
            held.time = now

    def apply(
        self, who: Identity, patch: Flat, now: str, *, version: str, force: bool, ignored: set[Path]
    ) -> None:
        """Raises Conflicts, with the owners and the paths."""
        before = self.owners.get(who)
        wanted = {
            path
            for path, cell in patch.items()
            if cell.sort == "leaf"
            or not cell.declared
            or (cell.sort == "map" and not any(below(path, [p]) for p in patch if p != path))
        }
        wanted = {p for p in wanted if not any(below(path, [p]) for path in ignored)}
        new = merged(self.flat or {}, patch)
        if before is not None:
            others = {p for i, held in self.owners.items() if i != who for p in held.paths}
            new = self._given_up(new, before.paths, others | wanted)
        taken, gone = self._change(new, ignored)
        conflicts = {
            (i, path) for i, held in self.owners.items() if i != who for path in held.paths & taken
        }
        if conflicts and not force:
            raise Conflicts(conflicts)
        unchanged = new == self.flat
        left = {path: cell for path, cell in new.items() if cell.sort != "emptied"}
        self._store(
            merged(left, patch), ignored
        )  # what the applier says is empty is, and not absent
        self._lose(taken | gone, but=who)
        self.owners.pop(who, None)
        if wanted:
            idle = unchanged and before is not None and before.paths == wanted
            if not (idle and before is not None and before.version == version):
                before = Held(wanted, version, now)
            self.owners[who] = before

    @staticmethod
    def _given_up(flat: Flat, last: set[Path], owned: set[Path]) -> Flat:
        """Without what was applied before and has no owner left; a declared field is owned by who owns what is in it."""
        gone = {
            path
            for path, cell in flat.items()
            if (
                below(path, last) and not below(path, owned)
                if cell.declared
                else path in last - owned
            )
        }
        left = without(flat, gone)
        parents = {path[:-1] for path in flat}
        return {
            # A container that has lost all it had is no longer there, but nobody has taken it away either.
            path: Cell("emptied", None, cell.declared)
            if cell.sort != "leaf" and path in parents and path not in {p[:-1] for p in left}
            else cell
            for path, cell in left.items()
        }


# --- both, side by side


class Step(NamedTuple):
    """One request."""

    operation: str
    manager: str
    version: str
    value: Object
    force: bool
    subresource: str
    """An endpoint of its own, that ignores all but the field r. Where there is one, the other endpoint ignores r."""


def drop_nulls(value: Any) -> Any:
    """What storing does to fields that cannot be null; here also where types are deduced."""
    if isinstance(value, dict):
        return {key: drop_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [drop_nulls(item) for item in value]
    return value


def owners_of(entries: Iterable[Entry]) -> dict[Identity, Held]:
    return {
        Identity(
            entry["manager"],
            entry["operation"],
            entry["apiVersion"] if entry["operation"] == "Update" else "",
            entry.get("subresource", ""),
        ): Held(set(FieldSet(entry["fieldsV1"]).paths()), entry["apiVersion"], entry["time"])
        for entry in entries
    }


class Play:
    """The real thing and the model, doing the same."""

    def __init__(self, seed: int) -> None:
        self.dice = Dice(seed)
        fields = {name: self.dice.type() for name in ("p", "q", "r")}
        self.schema: Schema = {"type": "object", "properties": fields}
        self.shape: Shape = structural_shape(self.schema, METADATA)
        self.model = Model(self.schema)
        self.live: Object | None = None
        self.applied: dict[str, Object] = {}
        self.has_status = self.dice.chance(0.4)
        self.now = 0
        note(f"{self.schema}")

    def step(self) -> Step:
        """The next request: an update of what is there, or an apply of what the manager applied last, both varied."""
        dice = self.dice
        operation = dice.choice(("Apply", "Apply", "Update"))
        manager = dice.choice(("one", "two", "three"))
        base = self.applied.get(manager) if operation == "Apply" else self.live
        step = Step(
            operation,
            manager,
            dice.choice(("v1", "v1", "v1", "v2")),
            dice.variation(self.schema, base),
            force=dice.chance(0.4),
            subresource="status" if self.has_status and self.live and dice.chance(0.3) else "",
        )
        if operation == "Apply":
            self.applied[manager] = step.value
        return step

    def object(self, step: Step) -> Object:
        return {
            "apiVersion": step.version,
            "kind": "Thing",
            "metadata": {"name": "x"},
            **step.value,
        }

    def ignored(self, step: Step) -> tuple[str, ...]:
        """The fields that the endpoint resets."""
        if not self.has_status:
            return ()
        return ("p", "q") if step.subresource else ("r",)

    def store(self, step: Step, obj: Object, entries: list[Entry]) -> None:
        stored: Object = drop_nulls(obj)
        for name in self.ignored(step):
            stored.pop(name, None)
            if self.live is not None and name in self.live:
                stored[name] = self.live[name]
        stored["metadata"] = {"name": "x", **({"managedFields": entries} if entries else {})}
        self.live = stored

    def run(self) -> None:
        """One request to both."""
        step = self.step()
        if self.live is not None:
            self.live = {**self.live, "apiVersion": step.version}  # converted, that is
        self.now += 1
        time = f"2024-01-01T00:00:{self.now:02d}Z"
        note(f"{step}")
        request: dict[str, Any] = {
            "shape": self.shape,
            "manager": step.manager,
            "api_version": step.version,
            "time": time,
            "subresource": step.subresource,
            "reset": FieldSet.named(*self.ignored(step)),
        }
        obj = self.object(step)
        given = json.dumps((self.live, obj))
        if step.operation == "Update":
            self._update(step, obj, request)
        else:
            self._apply(step, obj, request)
        if self.live is not None and step.operation == "Update":
            given = json.dumps((json.loads(given)[0], obj))
        assert json.loads(given)[1] == obj
        self.compare()

    def _update(self, step: Step, obj: Object, request: dict[str, Any]) -> None:
        who = Identity(step.manager, "Update", step.version, step.subresource)
        ignored: set[Path] = {(f"f:{name}",) for name in self.ignored(step)}
        entries = track_update(self.live, obj, **request)
        self.model.update(who, flatten(self.schema, obj), request["time"], ignored=ignored)
        self.store(step, obj, entries)

    def _apply(self, step: Step, obj: Object, request: dict[str, Any]) -> None:
        who = Identity(step.manager, "Apply", "", step.subresource)
        ignored: set[Path] = {(f"f:{name}",) for name in self.ignored(step)}
        model = self.model
        if self.live is not None and not model.owners:
            first = {p for p in model.flat or {} if not any(below(path, [p]) for path in ignored)}
            if first:
                identity = Identity("before-first-apply", "Update", step.version, step.subresource)
                model.owners[identity] = Held(first, step.version, request["time"])
        untouched = {i: Held(set(h.paths), h.version, h.time) for i, h in model.owners.items()}
        flat = flatten(self.schema, obj)
        how = {"version": step.version, "force": step.force, "ignored": ignored}
        expected: set[tuple[Identity, Path]] = set()
        try:
            model.apply(who, flat, request["time"], **how)  # type: ignore[arg-type]
        except Conflicts as conflicts:
            expected = conflicts.args[0]
        if expected:
            with pytest.raises(ApplyConflict) as raised:
                apply(self.live, obj, kind="Thing", force=step.force, **request)
            found = {(Identity(*c.owner), c.path) for c in raised.value.conflicts}
            assert found == expected
            tracked = self.live is not None and "managedFields" in self.live["metadata"]
            model.owners = untouched if tracked else {}
            return
        applied = apply(self.live, obj, kind="Thing", force=step.force, **request)
        self.store(step, applied.object, applied.managed_fields)
        self._apply_again(step, obj, request)

    def _apply_again(self, step: Step, obj: Object, request: dict[str, Any]) -> None:
        """An apply twice is a no-op, whenever it comes, and is never a conflict."""
        assert self.live is not None
        request = {**request, "time": "2030-01-01T00:00:00Z"}
        again = apply(self.live, obj, kind="Thing", **request)
        live, entries = self.live, self.live["metadata"].get("managedFields", [])
        self.store(step, again.object, entries)
        assert self.live == live
        if not entries:
            return  # an apply of nothing that can be owned leaves the object untracked
        # Where the endpoint ignores a part of what is applied, times are new each time, until the object is stored.
        if not any(name in step.value for name in self.ignored(step)):
            assert again.managed_fields is entries
        assert but_for_times(entries, again.managed_fields) == entries

    def compare(self) -> None:
        if self.live is None:
            assert self.model.flat is None
            return
        assert flatten(self.schema, self.live) == self.model.flat
        entries = self.live["metadata"].get("managedFields", [])
        assert owners_of(entries) == self.model.owners
        for entry in entries:
            read = FieldSet.parse(json.loads(json.dumps(entry["fieldsV1"])))
            assert list(read.written()) == list(entry["fieldsV1"])
            assert read == FieldSet(entry["fieldsV1"])
        order = [(e["operation"], e["time"], e["manager"], e["apiVersion"]) for e in entries]
        assert order == sorted(order)


def played(seed: int, length: int) -> Iterator[Play]:
    """A type, and requests for one object of it."""
    play = Play(seed)
    for _ in range(length):
        play.run()
        yield play


SEEDS = st.integers(0, 2**32)
QUICK = settings(deadline=None, derandomize=True, database=None)


@settings(QUICK, max_examples=150)
@given(seed=SEEDS, length=st.integers(1, 8))
def test_histories_of_applies_and_updates_agree_with_the_model(seed: int, length: int) -> None:
    """Objects, owners, times and conflicts are those of the model, after every request."""
    for _ in played(seed, length):
        pass


@pytest.mark.soak
@settings(QUICK, max_examples=20_000, derandomize=False)
@given(seed=SEEDS, length=st.integers(1, 20))
def test_long_histories_agree_with_the_model(seed: int, length: int) -> None:
    """The same over many more and longer histories, new ones in each run."""
    for _ in played(seed, length):
        pass


@settings(QUICK, max_examples=100)
@given(seed=SEEDS, length=st.integers(1, 6))
def test_what_its_only_applier_gives_up_is_gone(seed: int, length: int) -> None:
    """When an applier gives all up, of its paths only those are left that others own, or that are around those."""
    for play in played(seed, length):
        assert play.live is not None
        entries = play.live["metadata"].get("managedFields", [])
        for entry in entries:
            if entry["operation"] != "Apply":
                continue
            version = entry["apiVersion"]
            outcome = apply(
                play.live,
                {"apiVersion": version, "kind": "Thing", "metadata": {"name": "x"}},
                shape=play.shape,
                manager=entry["manager"],
                api_version=version,
                kind="Thing",
                time="2030-01-01T00:00:00Z",
                subresource=entry.get("subresource", ""),
            )
            left = set(flatten(play.schema, drop_nulls(outcome.object)))
            kept = {
                path
                for other in outcome.managed_fields
                for path in FieldSet(other["fieldsV1"]).paths()
            }
            mine = FieldSet(entry["fieldsV1"]).paths()
            assert all(below(path, kept) or path not in left for path in mine)
            who = entry["manager"], entry.get("subresource")
            assert who not in [
                (other["manager"], other.get("subresource"))
                for other in outcome.managed_fields
                if other["operation"] == "Apply"
            ]


@settings(QUICK, max_examples=100)
@given(seed=SEEDS, length=st.integers(1, 6))
def test_a_forced_apply_always_succeeds(seed: int, length: int) -> None:
    """Afterwards the object has all that was applied, and its applier owns that."""
    for play in played(seed, length):
        step = play.step()
        outcome = apply(
            play.live,
            play.object(step),
            shape=play.shape,
            manager="forcing",
            api_version=step.version,
            kind="Thing",
            time="2030-01-01T00:00:00Z",
            force=True,
        )
        wanted, stands = (
            flatten(play.schema, obj) for obj in (step.value, drop_nulls(outcome.object))
        )
        assert {p: c[:2] for p, c in wanted.items() if c.sort == "leaf"}.items() <= {
            p: c[:2] for p, c in stands.items()
        }.items()
        mine = {
            path
            for entry in outcome.managed_fields
            if entry["manager"] == "forcing"
            for path in FieldSet(entry["fieldsV1"]).paths()
        }
        assert {path for path, cell in wanted.items() if cell.sort == "leaf"} <= mine
