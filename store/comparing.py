"""What an object says part by part, as its Shape divides it: which paths it sets, and which a change touches.

Everything here is a pure function over JSON-shaped values. Where a value does not fit its shape, it counts as having
no parts.

upstream: structured-merge-diff, typed/tofieldset.go, typed/compare.go
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from verger.store.fieldsets import (
    SELF,
    FieldSet,
    Tree,
    key_element,
    ordered,
    value_element,
)
from verger.store.invalid import quote
from verger.store.shapes import UNDECLARED, UNOWNED, Shape

ABSENT: Final = object()
"""What stands where there is no value, which is not null."""


class ShapeError(ValueError):
    """A list that is divided has an item that cannot be told from others."""


class Change(NamedTuple):
    """What differs between two objects, path by path. No path is in two of the sets."""

    added: FieldSet
    changed: FieldSet
    removed: FieldSet

    @property
    def taken(self) -> FieldSet:
        """The paths that whoever made the change has set."""
        return self.added | self.changed

    def without(self, fields: FieldSet) -> "Change":
        """The change outside of these fields."""
        return Change(*(paths.without(fields) for paths in self)) if fields else self


def same(a: Any, b: Any) -> bool:
    """Whether two JSON values are equal. Unlike in Python, true is not 1."""
    return a is b or (a == b and (a.__class__ is str or _alike(a, b)))


def _alike(a: Any, b: Any) -> bool:
    sort = a.__class__
    if sort is not b.__class__:
        return sort is not bool and b.__class__ is not bool
    if sort is dict:
        return all(_alike(item, b[key]) for key, item in a.items())
    if sort is list:
        return all(map(_alike, a, b))
    return True


def element_of(shape: Shape, item: Any) -> str:
    """The element of the path to an item of a divided list. Raises ShapeError."""
    if not shape.keys:
        if item.__class__ is dict:
            raise ShapeError("associative list without keys has an element that's a map type")
        if item.__class__ is list:
            raise ShapeError("not supported: associative list with lists as elements")
        if item is None:
            raise ShapeError("associative list without keys has an element that's an explicit null")
        return value_element(item)
    if item is None:
        raise ShapeError("associative list with keys may not have a null element")
    if item.__class__ is not dict:
        raise ShapeError("associative list with keys may not have non-map elements")
    parts: list[Any] = []
    for key in shape.sorted_keys:
        value = item.get(key, ABSENT)
        if value is ABSENT:
            # A key that is left out and has no default is not part of what the item is known by.
            value = shape.defaults.get(key, ABSENT)
            if value is ABSENT:
                continue
        parts += key, value
    if not parts:
        keys = " ".join(map(quote, shape.keys))
        raise ShapeError(
            f"associative list with keys has an element that omits all key fields [{keys}] "
            "(and doesn't have default values for any key fields)"
        )
    return key_element(*parts)


def by_element(shape: Shape, items: Any) -> dict[str, list[Any]]:
    """The items of a list by their elements, each with all that have it. Raises ShapeError."""
    found: dict[str, list[Any]] = {}
    if items.__class__ is list:
        for at, item in enumerate(items):
            try:
                found.setdefault(element_of(shape, item), []).append(item)
            except ShapeError as error:
                raise ShapeError(f"element {at}: {error}") from None
    return found


def _parts(value: Any) -> dict[str, Any]:
    return value if value.__class__ is dict else {}


def reconciled(shape: Shape, fields: FieldSet) -> FieldSet:
    """The paths as they would be if the type had always divided values as it does now.

    What was owned inside of a map or list that is one part now becomes that part. upstream: typed/reconcile_schema.go
    """
    tree = _reconciled(shape, fields.tree)
    return fields if tree is fields.tree else FieldSet(tree)


def _reconciled(shape: Shape, tree: Tree) -> Tree:
    out = tree
    for element, below in tree.items():
        if not below:
            continue
        member = UNDECLARED
        if element.startswith("f:") and shape.sort == "map":
            member = shape.members[element[2:]]
        elif element.startswith(("k:", "v:")) and shape.sort == "list":
            member = shape.item
        left = {} if member.atomic else below if member.whole else _reconciled(member, below)
        if left is not below:
            out = {**out, element: left}
    return out


# What an object specifies


_DIVIDED: Final[Mapping[str, tuple[type, ...]]] = {
    "map": (dict,),
    "list": (list,),
    "deduced": (dict,),
}
"""What values are divided by shapes of a sort. Others are leaves there, such as null."""


def specified(shape: Shape, value: Any) -> FieldSet:
    """The paths that an applier of this object wants to own: its leaves, keys of maps, and items. Raises ShapeError."""
    return FieldSet(_specified(shape, value))


def _specified(shape: Shape, value: Any) -> Tree:
    """The children of the place's node. A place that is one part has none."""
    out: Tree = {}
    if shape.sort == "list":
        for element, items in by_element(shape, value).items():
            # Of items that cannot be told apart nothing below is owned.
            out[element] = {} if len(items) > 1 else _owned(shape.item, items[0])
        return out
    for name, item in _parts(value).items():
        member = shape.members[name]
        if member.whole:
            out[f"f:{name}"] = {}
        elif name in shape.declared and item.__class__ in _DIVIDED[member.sort] and item != {}:
            if below := _specified(member, item):
                out[f"f:{name}"] = below
        else:
            out[f"f:{name}"] = _owned(member, item)
    return out


def _owned(shape: Shape, value: Any) -> Tree:
    below = {} if shape.whole else _specified(shape, value)
    return {SELF: {}, **below} if below else below


# What a change touches


def compare(shape: Shape, old: Any, new: Any) -> Change:
    """What differs in `new`. Lists that are divided are the same in any order of their items. Raises ShapeError."""
    out: tuple[Tree, Tree, Tree] = {}, {}, {}
    _compare_maps(shape, _parts(old), _parts(new), out)
    return Change(*map(FieldSet, out))


def set_by(shape: Shape, new: Mapping[str, Any]) -> Tree:
    """What comes into being with an object, as `compare` with nothing would say, in the order in which it is written.

    Creates are frequent, and there is nothing to compare with. Raises ShapeError.
    """
    members, always = shape.members, shape.always
    out: Tree = {}
    for name in sorted(new):
        member, after = members[name], new[name]
        if member is UNOWNED:
            continue
        if name not in always:
            out[f"f:{name}"] = {} if member.whole else _everything(member, after)
        elif member.whole or after.__class__ is not dict:
            found: tuple[Tree, Tree, Tree] = {}, {}, {}
            _compare(member, always[name], after, f"f:{name}", found)
            out |= Change(*map(FieldSet, found)).taken.written()
        elif below := set_by(member, after):
            out[f"f:{name}"] = below
    return out


def _compare(shape: Shape, old: Any, new: Any, element: str, out: tuple[Tree, Tree, Tree]) -> None:
    """Notes what differs at a place where both have a value, under its element in the trees of the place above."""
    if shape.whole:
        if shape is not UNOWNED and not same(old, new):
            out[1][element] = {}
        return
    listed = shape.sort == "list"
    divided: Any = list if listed else dict
    a = old if old.__class__ is divided else divided()
    b = new if new.__class__ is divided else divided()
    if not a and not b and not shape.always:
        # That null becomes an empty map, say, is all that can differ.
        if not same(old, new):
            out[1][element] = {}
        return
    below: tuple[Tree, Tree, Tree] = {}, {}, {}
    if listed:
        _compare_lists(shape, a, b, below)
    else:
        _compare_maps(shape, a, b, below)
    for at in range(3):
        if below[at]:
            out[at][element] = below[at]
    if (a is not old and old is not None) or (b is not new and new is not None):
        # Where types are deduced, a map has come instead of something else, or the other way round.
        out[1][element] = {}


def _compare_maps(
    shape: Shape, old: Mapping[str, Any], new: Mapping[str, Any], out: tuple[Tree, Tree, Tree]
) -> None:
    members, always = shape.members, shape.always
    for name, after in new.items():
        before = old.get(name, ABSENT)
        if before is after or (after.__class__ is str and before == after):
            continue
        member = members[name]
        if before is ABSENT and name in always:
            before = always[name]
        if before is not ABSENT:
            _compare(member, before, after, f"f:{name}", out)
        elif member is not UNOWNED:
            out[0][f"f:{name}"] = _everything(member, after)
    for name, before in old.items():
        if name in new:
            continue
        member = members[name]
        if name in always:
            _compare(member, before, always[name], f"f:{name}", out)
        elif member is not UNOWNED:
            out[2][f"f:{name}"] = _everything(member, before)


def _compare_lists(
    shape: Shape, old: list[Any], new: list[Any], out: tuple[Tree, Tree, Tree]
) -> None:
    item = shape.item
    added, changed, removed = out
    before, after = by_element(shape, old), by_element(shape, new)
    for element in {**before, **after}:
        was, now = before.get(element, ()), after.get(element, ())
        if len(was) == len(now) == 1:
            _compare(item, was[0], now[0], element, out)
        elif len(was) > 1 and len(now) > 1:
            # Items that cannot be told apart are one part together.
            if not same(was, now):
                changed[element] = {}
        else:
            if was:
                removed[element] = _everything(item, was[0]) if len(was) == 1 else {}
            if now:
                added[element] = _everything(item, now[0]) if len(now) == 1 else {}


def _everything(shape: Shape, value: Any) -> Tree:
    """The node of a place that comes or goes as a whole: a path for itself and for everything in it, in order."""
    if shape.whole:
        return {}
    out: Tree = {SELF: {}}
    if shape.sort == "list":
        found = by_element(shape, value)
        for element in ordered(found):
            items = found[element]
            out[element] = {} if len(items) > 1 else _everything(shape.item, items[0])
    elif value.__class__ is dict and shape.item is not None:
        item = shape.item
        for name in sorted(value):
            out[f"f:{name}"] = {} if item.whole else _everything(item, value[name])
    elif value.__class__ is dict:
        members, always = shape.members, shape.always
        for name in sorted({**always, **value} if always else value):
            member = members[name]
            known = value.get(name, ABSENT)
            after = always[name] if known is ABSENT else known
            out[f"f:{name}"] = {} if member.whole else _everything(member, after)
    return out if len(out) > 1 else {}
