"""How an applied object and the live one become one, part by part, as their Shape divides them.

First the patch must fit (`problems`), then it is merged in, then goes what its applier has given up (`prune`). What is
passed in stays as it is; what comes out shares with it what did not change.

upstream: structured-merge-diff, typed/validate.go, typed/merge.go, merge/update.go
"""

from collections.abc import Sequence
from typing import Any, Final

from verger.store.comparing import ABSENT, ShapeError, by_element, element_of
from verger.store.fieldsets import FieldSet, Tree, is_member, render
from verger.store.gojson import go_print
from verger.store.invalid import quote
from verger.store.shapes import UNDECLARED, Shape

# How two merge


def merge(shape: Shape, live: Any, patch: Any) -> Any:
    """The live value with everything that the patch specifies. Nothing goes away. Raises ShapeError.

    Items of a divided list stand in the order of the patch; those that only the live list has keep their place before
    the next item that both have.
    """
    if shape.whole:
        return patch
    divided: Any = list if shape.sort == "list" else dict
    if not live or live.__class__ is not divided:
        return patch
    if patch is None or (patch.__class__ is divided and not patch):
        return live  # what the applier had in there goes when the result is pruned
    if patch.__class__ is not divided:
        return patch
    if divided is list:
        return _merge_lists(shape, live, patch)
    out = dict(live)
    for name, value in patch.items():
        before = live.get(name, ABSENT)
        out[name] = value if before is ABSENT else merge(shape.members[name], before, value)
    return out


def _merge_lists(shape: Shape, live: list[Any], patch: list[Any]) -> list[Any]:
    known = by_element(shape, live)
    wanted = {element: items[0] for element, items in by_element(shape, patch).items()}
    out: list[Any] = []

    def merged(element: str) -> Any:
        theirs = known.get(element, ())
        # Items that cannot be told apart are replaced together.
        return (
            merge(shape.item, theirs[0], wanted[element]) if len(theirs) == 1 else wanted[element]
        )

    shared = iter([element for element in wanted if element in known])
    following = next(shared, None)
    left = list(wanted)
    for item in live:
        element = element_of(shape, item)
        if element not in wanted:
            out.append(item)
        elif element == following:
            upto = left.index(element) + 1
            out += map(merged, left[:upto])
            del left[:upto]
            following = next(shared, None)
        elif following is None and left and element not in left:
            # upstream: the place of an item that stood there a second time goes to the patch's next one
            out.append(merged(left.pop(0)))
    return [*out, *map(merged, left)]


# What goes when its applier gives it up


Emptied = list[tuple[dict[str, Any], str]]
"""Maps and lists that have become empty: where they are, and under which name."""


def prune(shape: Shape, value: Any, last: FieldSet, owned: FieldSet) -> tuple[Any, Emptied]:
    """Takes out of a merged object what its applier set before (`last`) and nobody owns now (`owned`).

    A field that a type declares and that was set before only by what is below it goes too, with all that it still
    holds, when nobody owns anything below it: so defaults go with what they belong to. What has become empty is null,
    which is not the same as gone: who owns it still does. The object itself comes back when nothing goes.
    """
    emptied: Emptied = []
    return _prune(shape, value, (last.tree, owned.tree), (False, False), emptied), emptied


_State = tuple[bool, bool]
"""Of a place: whether it, or what it is in, was given up, and whether no owner keeps it."""


def _prune(
    shape: Shape, value: Any, trees: tuple[Tree, Tree], above: _State, emptied: Emptied
) -> Any:
    last, owned = trees
    if shape.whole or not last:
        return value
    if shape.sort == "list" and value.__class__ is list:
        items, changed = [], False
        for item in value:
            element = element_of(shape, item)
            left = item
            if element in last:
                applied, theirs = last[element], owned.get(element)
                goes, state = _verdict(applied, theirs, above, declared=False)
                if goes:
                    changed = True
                    continue
                left = _prune(shape.item, item, (applied, theirs or {}), state, emptied)
            changed = changed or left is not item
            items.append(left)
        return (items or None) if changed else value
    if shape.sort == "list" or value.__class__ is not dict:
        return value
    out = value
    for element, applied in last.items():
        name = element[2:]
        if name not in value or not element.startswith("f:"):
            continue
        theirs = owned.get(element)
        goes, state = _verdict(applied, theirs, above, declared=name in shape.declared)
        left = value[name]
        if not goes:
            left = _prune(shape.members[name], left, (applied, theirs or {}), state, emptied)
            if left is value[name]:
                continue
        if out is value:
            out = dict(value)
        if goes:
            del out[name]
            continue
        out[name] = left
        if left is None:
            emptied.append((out, name))
    return value if out is value else out or None


def _verdict(
    applied: Tree, theirs: Tree | None, above: _State, *, declared: bool
) -> tuple[bool, _State]:
    """Whether a place goes, and how it stands with what is in it."""
    was_mine = declared or is_member(applied)
    kept = theirs is not None and (declared or is_member(theirs))
    given_up = above[0] or was_mine
    lost = above[1] or (given_up and not kept)
    return was_mine and lost, (given_up, lost)


# Whether a patch fits


def problems(shape: Shape, value: Any) -> list[str]:
    """What is wrong with an applied object, in upstream's words; a path and a sentence each."""
    return [f"{path}: {text}" if path else text for path, text in _problems(shape, value)]


_Problems = Sequence[tuple[str, str]]
_NO_PROBLEMS: Final[_Problems] = ()


def _problems(shape: Shape, value: Any) -> _Problems:
    """Each with its path from the value on."""
    if value is None:
        return _NO_PROBLEMS
    sort = value.__class__
    match shape.sort:
        case "map":
            if sort is dict:
                return _map_problems(shape, value)
            text = f"expected map, got &{{{go_print(value)}}}"
        case "list":
            if sort is list:
                return _list_problems(shape, value)
            text = f"expected list, got &{{{go_print(value)}}}"
        case "numeric" if sort is not int and sort is not float:
            text = f"expected numeric (int or float), got {_go_type(value)}"
        case "string" if sort is not str:
            text = f"expected string, got &value.valueUnstructured{{Value:{_go_syntax(value)}}}"
        case "boolean" if sort is not bool:
            text = f"expected boolean, got &{{{go_print(value)}}}"
        case "untyped" if sort is dict or sort is list:
            text = f"expected any scalar, got &{{{go_print(value)}}}"
        case _:
            return _NO_PROBLEMS
    return [("", text)]


def _map_problems(shape: Shape, value: dict[str, Any]) -> _Problems:
    found: list[tuple[str, str]] = []
    members = shape.members
    for name, item in value.items():
        member = members[name]
        if member is UNDECLARED:
            found.append((f".{name}", "field not declared in schema"))
            break
        if below := _problems(member, item):
            found += [(f".{name}{path}", text) for path, text in below]
    return found


def _list_problems(shape: Shape, items: list[Any]) -> _Problems:
    found: list[tuple[str, str]] = []
    seen = set()
    for at, item in enumerate(items):
        element = f"i:{at}"
        if not shape.atomic:
            try:
                element = element_of(shape, item)
            except ShapeError as error:
                found.append(("", f"element {at}: {error}"))
                break
            if element in seen:
                found.append(("", f"duplicate entries for key {render((element,))}"))
            seen.add(element)
        if below := _problems(shape.item, item):
            here = render((element,))
            found += [(f"{here}{path}", text) for path, text in below]
    return found


def _go_type(value: Any) -> str:
    return {
        str: "string",
        bool: "bool",
        dict: "map[string]interface {}",
        list: "[]interface {}",
    }[value.__class__]


def _go_syntax(value: Any) -> str:
    """What Go's %#v makes of a decoded JSON value."""
    match value:
        case None:
            return "interface {}(nil)"
        case bool():
            return "true" if value else "false"
        case str():
            return quote(value)
        case dict():
            pairs = ", ".join(f"{quote(key)}:{_go_syntax(value[key])}" for key in sorted(value))
            return f"map[string]interface {{}}{{{pairs}}}"
        case list():
            return f"[]interface {{}}{{{', '.join(map(_go_syntax, value))}}}"
        case _:
            return f"{value:g}" if value == int(value) and abs(value) < 1e6 else str(value)
