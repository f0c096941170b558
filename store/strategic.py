"""Strategic merge patch: a merge that knows, from the type, which lists are merged and by which
key.

The object and the patch stay as they are. The result is a new object that shares the sub-trees
which the patch does not name, and takes new values from the patch.

upstream: apimachinery/pkg/util/strategicpatch/patch.go, with the options of the server
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from verger.store.gojson import go_print
from verger.store.patches import TOO_DEEP, BadPatch, BrokenPatch, UnprocessablePatch
from verger.store.schemas import Schemas, TypeRef

_DIRECTIVE: Final = "$patch"
_RETAIN: Final = "$retainKeys"
_ORDER: Final = "$setElementOrder"
_DELETE: Final = "$deleteFromPrimitiveList"
_ABSENT: Final = object()

_Identity = tuple[type, Any]
"""What an item of a merged list is known by: its merge key's value, or itself. The class keeps 1
apart from true.
"""


def strategic_merge(
    current: Mapping[str, Any], patch: Mapping[str, Any], type_name: str, schemas: Schemas
) -> dict[str, Any]:
    """The result of a strategic merge patch on an object of the named type.

    What the type does not know merges when it is a map, and is replaced when it is a list.

    Raises BadPatch for a malformed directive, UnprocessablePatch for what no patch can ask for,
    BrokenPatch for what upstream answers with a 500 (an item without its merge key, an unknown
    `$patch`), KeyError for an unknown type.
    """
    place = _Place(schemas, TypeRef("object", schemas.type(type_name).name))
    try:
        return _merge_maps(current, patch, place=place)
    except RecursionError:
        raise BadPatch(TOO_DEEP) from None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the schema a value stands: all that decides how a patch changes it."""

    schemas: Schemas
    type: TypeRef | None
    """None: nothing is known."""
    strategy: str = ""
    """merge, replace or nothing, which means merge for a map and replace for a list."""
    key: str = ""
    """Of a list of objects that is merged."""

    def field(self, name: str) -> "_Place":
        """The place of a member of the map that stands here."""
        if self.type is None:
            return self
        if self.type.shape == "map":
            return _Place(self.schemas, self.type.item)
        if self.type.name:
            field = self.schemas.type(self.type.name).fields.get(name)
            if field is not None:
                # retainKeys as a strategy asks clients to send the directive. The server obeys the
                # directive alone.
                strategy = next((s for s in field.patch_strategies if s != "retainKeys"), "")
                return _Place(self.schemas, field.type, strategy, field.patch_key)
        return _Place(self.schemas, None)

    def item(self) -> "_Place":
        """The place of the items of the list that stands here."""
        return _Place(self.schemas, self.type.item if self.type is not None else None)


def _merge_maps(
    live: Mapping[str, Any], patch: Mapping[str, Any], *, place: _Place
) -> dict[str, Any]:
    if _DIRECTIVE in patch:
        return _replace_map(patch)
    out = dict(live)
    if _RETAIN in patch:
        _retain_keys(out, patch)
    orders = {
        _named_list(key, _ORDER): order for key, order in patch.items() if key.startswith(_ORDER)
    }
    for name, order in orders.items():
        have, change = out.get(name, _ABSENT), patch.get(name, _ABSENT)
        if have is not _ABSENT or change is not _ABSENT:
            out[name] = _merge_ordered(have, change, order=order, place=place.field(name))
    for key, value in patch.items():
        if key in orders or key == _RETAIN or key.startswith(_ORDER):
            continue
        if key.startswith(_DELETE):
            _delete_primitives(out, _named_list(key, _DELETE), unwanted=value)
        elif value is None:
            out.pop(key, None)
        else:
            _merge_value(out, key, value=value, place=place)
    return out


def _replace_map(patch: Mapping[str, Any]) -> dict[str, Any]:
    directive = patch[_DIRECTIVE]
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != _DIRECTIVE}
    if directive == "delete":
        return {}
    raise _unknown_directive(patch)


def _merge_value(out: dict[str, Any], key: str, *, value: Any, place: _Place) -> None:
    """Merges one member of a patch into the map that was copied for it."""
    have = out.get(key)
    if isinstance(have, dict) and isinstance(value, dict):
        inner = place.field(key)
        out[key] = value if inner.strategy == "replace" else _merge_maps(have, value, place=inner)
    elif isinstance(have, list) and isinstance(value, list):
        inner = place.field(key)
        out[key] = _merge_lists(have, value, place=inner) if inner.strategy == "merge" else value
    else:
        # upstream: a new map with a directive in it is left out, whatever the directive.
        added = _added(value)
        if added is _ABSENT:
            out.pop(key, None)
        else:
            out[key] = added


def _added(value: Any) -> Any:
    """A value of the patch that meets nothing to merge with: without nulls and directives."""
    if isinstance(value, dict):
        if _DIRECTIVE in value:
            return _ABSENT
        members = (
            (key, _added(item))
            for key, item in value.items()
            if item is not None and not key.startswith((_RETAIN, _ORDER, _DELETE))
        )
        return {key: item for key, item in members if item is not _ABSENT}
    if isinstance(value, list):
        return [item for item in map(_added, value) if item is not _ABSENT]
    return value


def _retain_keys(out: dict[str, Any], patch: Mapping[str, Any]) -> None:
    """Drops the members that the list does not name. The patch may not set one of those."""
    names = patch[_RETAIN]
    if not isinstance(names, list):
        raise BadPatch("invalid patch format of retainKeys")
    for key, value in patch.items():
        if (
            value is not None
            and key not in names
            and not key.startswith((_RETAIN, _ORDER, _DELETE))
        ):
            raise UnprocessablePatch("patch content doesn't match retainKeys list")
    for key in [key for key in out if key not in names]:
        del out[key]


def _named_list(key: str, directive: str) -> str:
    """The field that a directive such as `$setElementOrder/env` speaks of."""
    prefix, _, name = key.partition("/")
    if prefix != directive or not name:
        raise _malformed(directive)
    return name


def _malformed(directive: str) -> BadPatch:
    what = "setElementOrder list" if directive == _ORDER else "primitive list"
    return BadPatch(f"invalid patch format of {what}")


def _delete_primitives(out: dict[str, Any], name: str, *, unwanted: Any) -> None:
    if not isinstance(unwanted, list) or any(isinstance(item, dict | list) for item in unwanted):
        raise _malformed(_DELETE)
    have = out.get(name)
    if isinstance(have, list) and unwanted:
        _check_items(have, unwanted)
        gone = {_identity(item, "") for item in unwanted}
        out[name] = [item for item in have if _identity(item, "") not in gone]


def _merge_lists(live: list[Any], patch: list[Any], *, place: _Place) -> list[Any]:
    """Merges a list whose strategy is merge. New items go to where the patch has them, before what
    follows them live.
    """
    if not patch:
        return live
    _check_items(live, patch)
    if not isinstance(patch[0], dict):
        union = {_identity(item, ""): item for item in [*live, *patch]}
        return _arranged(list(union.values()), order=patch, live=live, key="")
    if not place.key:
        raise BrokenPatch("cannot merge lists without merge key for struct")
    kept, changes = _split(live, patch, key=place.key)
    # An item of the patch without the key is refused before one of the live object is.
    identities = [_identity(change, place.key) for change in changes]
    merged = list(kept)
    # upstream: of several items with one key, the first is changed.
    places = _ranks(kept, place.key)
    for identity, change in zip(identities, changes, strict=True):
        at = places.setdefault(identity, len(merged))
        if at < len(merged):
            merged[at] = _merge_maps(merged[at], change, place=place.item())
        else:
            merged.append(_added(change))
    return _arranged(merged, order=changes, live=kept, key=place.key)


def _check_items(live: list[Any], patch: list[Any]) -> None:
    sorts = [item.__class__ for item in (*live, *patch)]
    if sorts[0] is list:
        raise UnprocessablePatch("lists of lists are not supported")
    if any(sort is not sorts[0] for sort in sorts):
        raise BrokenPatch(f"list element types are not identical: {go_print([live, patch])}")


def _split(live: list[Any], patch: list[Any], *, key: str) -> tuple[list[Any], list[Any]]:
    """The live items that stay, and the items of the patch that change them: the directives in the
    list are obeyed.
    """
    changes = [item for item in patch if _DIRECTIVE not in item]
    gone: set[_Identity] = set()
    replace = False
    for item in patch:
        match item.get(_DIRECTIVE, _ABSENT):
            case "delete":
                gone.add(_identity(item, key))
            case "replace":
                replace = True
            case "merge":
                raise BrokenPatch("merging lists cannot yet be specified in the patch")
            case directive if directive is not _ABSENT:
                raise _unknown_directive(item)
    if replace:
        return changes, []
    # An item without the key cannot be meant. That it has none shows later.
    return [i for i in live if key not in i or _identity(i, key) not in gone], changes


def _merge_ordered(live: Any, patch: Any, *, order: Any, place: _Place) -> list[Any]:
    """Merges a list, at least one side of which is there, and gives it the order that the directive
    asks for.
    """
    if not isinstance(order, list):
        raise _malformed(_ORDER)
    for side in (live, patch):
        if side is not _ABSENT and not isinstance(side, list):
            raise BrokenPatch(f"expected a []interface {{}}, but received a {_go_type(side)}")
    if patch is _ABSENT:
        merged = live
    else:
        _check_order(patch, order, key=place.key)
        if live is _ABSENT:
            merged = _added(patch)
        else:
            merged = _merge_lists(live, patch, place=place) if place.strategy == "merge" else patch
    return _arranged(merged, order=order, live=[] if live is _ABSENT else live, key=place.key)


def _check_order(patch: list[Any], order: list[Any], *, key: str) -> None:
    """The items of the patch must be in the order list too, in the same order; deletions need not."""
    if not order:
        return
    wanted = iter([_identity(item, key) for item in order])
    for item in patch:
        if isinstance(item, dict) and _DIRECTIVE in item:
            continue
        if _identity(item, key) not in wanted:  # moves on to the match
            raise BrokenPatch(
                f"The order in patch list:\n{go_print(patch)}\n"
                f" doesn't match {_ORDER} list:\n{go_print(order)}\n"
            )


def _arranged(
    merged: list[Any], *, order: Sequence[Any], live: Sequence[Any], key: str
) -> list[Any]:
    """The items in a new order: those that `order` names stand as there, the others as they stood
    live.

    Where both meet, one of the others comes first when it stood before the named one live.
    """
    ranks = _ranks(order, key)
    stood = _ranks(live, key)
    named: list[tuple[int, int | None, Any]] = []
    others: list[tuple[int, Any]] = []
    for item in merged:
        identity = _identity(item, key)
        if identity in ranks:
            named.append((ranks[identity], stood.get(identity), item))
        else:
            others.append((stood.get(identity, len(live)), item))
    named.sort(key=lambda entry: entry[0])
    others.sort(key=lambda entry: entry[0])
    out: list[Any] = []
    at = 0
    for _, was, item in named:
        while was is not None and at < len(others) and others[at][0] < was:
            out.append(others[at][1])
            at += 1
        out.append(item)
    out += (item for _, item in others[at:])
    return out


def _ranks(items: Sequence[Any], key: str) -> dict[_Identity, int]:
    ranks: dict[_Identity, int] = {}
    for at, item in enumerate(items):
        ranks.setdefault(_identity(item, key), at)
    return ranks


def _identity(item: Any, key: str) -> _Identity:
    """What the item is known by. Raises BrokenPatch when that cannot be told."""
    value = item
    if key:
        if not isinstance(item, dict):
            raise BrokenPatch(
                f"expected a map[string]interface {{}}, but received a {_go_type(item)}"
            )
        if key not in item:
            raise BrokenPatch(f"map: {go_print(item)} does not contain declared merge key: {key}")
        value = item[key]
    if isinstance(value, dict | list):
        raise BrokenPatch(f"runtime error: hash of unhashable type {_go_type(value)}")
    return (value.__class__, value)


def _unknown_directive(item: Mapping[str, Any]) -> BrokenPatch:
    return BrokenPatch(
        f"unknown patch type: {go_print(item[_DIRECTIVE])} in map: {go_print(dict(item))}"
    )


def _go_type(value: Any) -> str:
    """What Go's `%s` makes of the type of a decoded JSON value."""
    return {
        dict: "map[string]interface {}",
        list: "[]interface {}",
        str: "string",
        bool: "bool",
        int: "int64",
        float: "float64",
    }.get(value.__class__, "%!s(<nil>)")
