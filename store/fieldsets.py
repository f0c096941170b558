"""Sets of fields: which paths of an object somebody set, as managedFields keeps them.

A path is a tuple of elements, each spelled as in fieldsV1: `f:name` is a field or a key of a map, `k:{"name":"x"}` an
item of a list that is a map, `v:"x"` an item of a list that is a set, `i:3` an item by its index. A set is the tree of
its paths in the very form of fieldsV1, so that reading and writing one costs next to nothing.

What must stay true: there is one tree for a set. A node without children is a path of the set; a node with children is
one when it has the child `.`, which never stands alone; the elements are in their one spelling. So equal sets are equal
dicts. Trees are shared between sets and never changed.

upstream: structured-merge-diff, fieldpath
"""

import functools
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
from verger.store.invalid import quote
from verger.store.objects import encode

Tree = dict[str, "Tree"]
Path = tuple[str, ...]

SELF: Final = "."
"""The child that says: the path up to here is in the set too."""


MAX_KEPT: Final = 128
"""Characters of a value whose element is kept for the next time. Names are shorter, and memory is bounded by it."""
_KEPT: Final = frozenset((str, int, bool))


class FieldSetError(ValueError):
    """The value is no fieldsV1."""


class FieldSet:
    """A set of paths. Having a path says nothing about the paths above or below it."""

    __slots__ = ("tree",)

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        """As fieldsV1, the elements in any order."""

    @classmethod
    def of(cls, *paths: Path) -> "FieldSet":
        """The set of these paths."""
        found = NOTHING
        for path in paths:
            tree: Tree = {}
            for element in reversed(path):
                tree = {element: tree}
            found |= cls(tree)
        return found

    @classmethod
    def named(cls, *names: str) -> "FieldSet":
        """The set of fields given by their names, such as `spec` and `metadata.ownerReferences`."""
        return cls.of(*(tuple(f"f:{part}" for part in name.split(".")) for name in names))

    @classmethod
    def parse(cls, fields: Any) -> "FieldSet":
        """Reads a fieldsV1 that a client wrote, in whatever order and spelling. Raises FieldSetError.

        Elements of an unknown sort are dropped. upstream: so that a newer server may add some
        """
        try:
            tree = _parse(fields)
        except RecursionError:
            raise FieldSetError("nested too deeply") from None
        tree.pop(SELF, None)  # nobody owns an object as such
        return cls(tree)

    def written(self) -> Tree:
        """As fieldsV1, in upstream's order."""
        return _in_order(self.tree)

    def paths(self) -> Iterator[Path]:
        """The paths in upstream's order: of each level first those that end there, then those below."""
        return _paths((), self.tree)

    def without(self, other: "FieldSet") -> "FieldSet":
        """The paths that neither are in `other` nor lie below one that is."""
        left = _cut(self.tree, other.tree)
        return self if left is self.tree else FieldSet(left)

    def __or__(self, other: "FieldSet") -> "FieldSet":
        if not self.tree or not other.tree:
            return other if other.tree else self
        return FieldSet(_union(self.tree, other.tree))

    def __sub__(self, other: "FieldSet") -> "FieldSet":
        left = _difference(self.tree, other.tree)
        return self if left is self.tree else FieldSet(left)

    def __and__(self, other: "FieldSet") -> "FieldSet":
        return FieldSet(_intersection(self.tree, other.tree))

    def __contains__(self, path: Path) -> bool:
        node = self.tree
        for element in path:
            below = node.get(element)
            if below is None:
                return False
            node = below
        return bool(path) and is_member(node)

    def __bool__(self) -> bool:
        return bool(self.tree)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldSet) and self.tree == other.tree

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"FieldSet({', '.join(map(render, self.paths()))})"


NOTHING: Final = FieldSet({})
"""The set without paths."""


def is_member(node: Tree) -> bool:
    """Whether the path of a node is in the set."""
    return not node or SELF in node


def render(path: Path) -> str:
    """A path as messages show it: `.spec.containers[name="x"].image`, `.metadata.finalizers[="a"]`."""
    return "".join(map(_render, path))


def _render(element: str) -> str:
    text = element[2:]
    match element[0]:
        case "f":
            return f".{text}"
        case "k":
            pairs = orjson.loads(text).items()
            return f"[{','.join(f'{name}={_shown(value)}' for name, value in pairs)}]"
        case "v":
            return f"[={_shown(orjson.loads(text))}]"
        case _:
            return f"[{text}]"


def _shown(value: Any) -> str:
    return quote(value) if value.__class__ is str else json_text(value)


def key_element(*parts: Any) -> str:
    """The element of an item that is known by some of its fields: name, value, name, value, in the order of names."""
    for part in parts:
        if part.__class__ not in _KEPT or (part.__class__ is str and len(part) > MAX_KEPT):
            return _key_element(*parts)
    return _kept_key_element(*parts)


def value_element(value: Any) -> str:
    """The element of an item that is known by what it is."""
    if value.__class__ not in _KEPT or (value.__class__ is str and len(value) > MAX_KEPT):
        return _value_element(value)
    return _kept_value_element(value)


def _key_element(*parts: Any) -> str:
    return f"k:{json_text(dict(zip(parts[::2], parts[1::2], strict=True)))}"


def _value_element(value: Any) -> str:
    return f"v:{json_text(value)}"


# The same few items are looked for many times in one write, and in every write.
_kept_key_element = functools.lru_cache(maxsize=4096, typed=True)(_key_element)
_kept_value_element = functools.lru_cache(maxsize=4096, typed=True)(_value_element)


def json_text(value: Any) -> str:
    """Compact JSON as Go writes it: an integral number has no fraction, however it came."""
    return encode(_whole_numbers(value)).decode()


def _whole_numbers(value: Any) -> Any:
    if value.__class__ is float and value.is_integer() and abs(value) < 1e21:
        return int(value)
    if value.__class__ is dict:
        return {key: _whole_numbers(item) for key, item in value.items()}
    if value.__class__ is list:
        return [_whole_numbers(item) for item in value]
    return value


# Algebra. Functions on trees take the children of a node; those on nodes know that a node without children is a path.


def _settled(children: Tree) -> Tree | None:
    """A node in its one form, None when no path is left of it."""
    if not children:
        return None
    return {} if len(children) == 1 and SELF in children else children


def _union(a: Tree, b: Tree) -> Tree:
    out = dict(a)
    for element, theirs in b.items():
        mine = out.get(element)
        if mine is None:
            out[element] = theirs
        elif mine is not theirs:
            out[element] = _joined(mine, theirs)
    return out


def _joined(a: Tree, b: Tree) -> Tree:
    if not a:
        return b if is_member(b) else {SELF: {}, **b}
    if not b:
        return a if SELF in a else {SELF: {}, **a}
    return _union(a, b)


def _difference(a: Tree, b: Tree) -> Tree:
    """`a` itself when it shares no path with `b`: most entries are not touched by most changes."""
    out = a
    for element, theirs in b.items():
        mine = a.get(element)
        if mine is None:
            continue
        left = _less(mine, theirs) if mine or theirs else None
        if left is mine:
            continue
        if out is a:
            out = dict(a)
        if left is None:
            del out[element]
        else:
            out[element] = left
    return out


def _less(a: Tree, b: Tree) -> Tree | None:
    if not a:
        return None if is_member(b) else a
    if not b:
        return {key: below for key, below in a.items() if key != SELF} if SELF in a else a
    left = _difference(a, b)
    return a if left is a else _settled(left)


def _intersection(a: Tree, b: Tree) -> Tree:
    out: Tree = {}
    for element, mine in a.items():
        theirs = b.get(element)
        if theirs is not None and (both := _common(mine, theirs)) is not None:
            out[element] = both
    return out


def _common(a: Tree, b: Tree) -> Tree | None:
    if not a or not b:
        return {} if is_member(a) and is_member(b) else None
    return _settled(_intersection(a, b))


def _cut(a: Tree, b: Tree) -> Tree:
    out = a
    for element, theirs in b.items():
        mine = a.get(element)
        if mine is None or element == SELF:
            continue
        left: Tree | None = None
        if not is_member(theirs):
            left = mine
            if mine and (below := _cut(mine, theirs)) is not mine:
                left = _settled(below)
        if left is mine:
            continue
        if out is a:
            out = dict(a)
        if left is None:
            del out[element]
        else:
            out[element] = left
    return out


# Reading, and upstream's order


def _parse(fields: Any) -> Tree:
    if fields is None:
        return {}
    if not isinstance(fields, Mapping):
        raise FieldSetError("expected object")
    out: Tree = {}
    for text, value in fields.items():
        if text == SELF:
            continue
        element = _spelled(text)
        if element is None:
            continue
        below = _parse(value)
        known = out.get(element)
        out[element] = below if known is None else _joined(known, below)
    if SELF in fields and out:
        out[SELF] = {}
    return out


def _spelled(text: str) -> str | None:
    """An element in its one spelling, None for one of an unknown sort."""
    if len(text) < 2:
        raise FieldSetError("key must be 2 characters long")
    if text[1] != ":":
        raise FieldSetError(f"missing colon: {text}")
    try:
        match text[0]:
            case "f":
                return text
            case "k":
                fields = sorted(orjson.loads(text[2:]).items())
                return _key_element(*(part for pair in fields for part in pair))
            case "v":
                return _value_element(orjson.loads(text[2:]))
            case "i":
                return f"i:{int(text[2:])}"
            case _:
                return None
    except (AttributeError, ValueError):
        raise FieldSetError(f"no path element: {text}") from None


_RANKS: Final = {float: 0, int: 0, str: 1, bool: 2, list: 3, dict: 4, type(None): 5}


def _sortable(value: Any) -> tuple[int, Any]:
    rank = _RANKS[value.__class__]
    return rank, value if rank < 3 else json_text(value)


def _order(element: str) -> tuple[int, Any]:
    text = element[2:]
    match element[0]:
        case "f":
            return 0, text
        case "k":
            return 1, [(name, _sortable(value)) for name, value in orjson.loads(text).items()]
        case "v":
            return 2, _sortable(orjson.loads(text))
        case "i":
            return 3, int(text)
        case _:  # the path itself comes first
            return -1, None


def ordered(tree: Mapping[str, Any]) -> list[str]:
    """The elements of a node in the order in which they are written."""
    elements = sorted(tree)
    # Only names: they sort as text, and almost every node has nothing else.
    return elements if not elements or elements[-1] < "g" else sorted(tree, key=_order)


def _in_order(tree: Tree) -> Tree:
    return {
        element: _in_order(below) if (below := tree[element]) else below
        for element in ordered(tree)
    }


def _paths(above: Path, tree: Tree) -> Iterator[Path]:
    elements = [element for element in ordered(tree) if element != SELF]
    for element in elements:
        if is_member(tree[element]):
            yield (*above, element)
    for element in elements:
        yield from _paths((*above, element), tree[element])
