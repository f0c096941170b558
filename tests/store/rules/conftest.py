"""Writes of single objects, with the rules of their kind alone: no store, no admission, no other objects."""

import copy
from collections.abc import Mapping
from typing import Any

from verger.store.decoding import Decoder
from verger.store.invalid import FieldError
from verger.store.kinds import Kind, built_in
from verger.store.objects import new_meta, ordered_meta, with_type
from verger.store.schemas import load

Object = dict[str, Any]

NAME = "a"
NAMESPACE = "ns"
UID = "0f9a2c34-7e51-4d0b-9d6e-5a1c3b7f8e21"
CREATED = "2024-05-06T07:08:09Z"
ABSENT: Any = object()

DECODER = Decoder(load())
STORED = {kind.kind: kind for kind in built_in() if kind.stored and kind.view is None}
"""Kinds by name, each in the version in which it is stored."""


def fitted(kind: Kind, obj: Mapping[str, Any]) -> Object:
    """A body as it comes out of the decoder."""
    given = copy.deepcopy(dict(obj))
    DECODER.decode(kind.type_name, given)
    return given


def create(kind: Kind, obj: Mapping[str, Any]) -> tuple[Object, list[FieldError]]:
    """A POST: what would be stored, and what is wrong with it. The object has a name unless it gives another."""
    given = fitted(kind, obj)
    named = {"name": NAME, "uid": UID, **(given.get("metadata") or {})}
    new = with_type(kind.api_version, kind.kind, given)
    new["metadata"] = new_meta(
        named,
        name=named["name"],
        namespace=NAMESPACE if kind.namespaced else "",
        created=CREATED,
    )
    new["metadata"]["uid"] = UID
    kind.rules.default(new)
    kind.rules.prepare_create(new)
    return new, kind.rules.validate_create(new, namespaced=kind.namespaced)


def update(
    kind: Kind, old: Mapping[str, Any], obj: Mapping[str, Any], subresource: str = ""
) -> tuple[Object, list[FieldError]]:
    """A PUT over an object that is stored: what would be stored then, and what is wrong with that."""
    given = fitted(kind, obj)
    new = with_type(kind.api_version, kind.kind, given)
    kept = {key: given["metadata"].get(key) for key in ("labels", "annotations")}
    new["metadata"] = ordered_meta({**old["metadata"], **kept})
    kind.rules.default(new)
    kind.rules.prepare_update(new, old, subresource)
    errors = kind.rules.validate_update(new, old, subresource)
    if kind.rules.validates_whole_on_update(subresource):
        errors += kind.rules.validate(new)
    return new, errors


def stored(kind: str, obj: Mapping[str, Any]) -> Object:
    """What becomes of a body that nothing is wrong with."""
    new, errors = create(STORED[kind], obj)
    assert [str(error) for error in errors] == []
    return new


def refusals(kind: str, obj: Mapping[str, Any]) -> list[str]:
    """What is wrong with a body, in the words of the answer."""
    return [str(error) for error in create(STORED[kind], obj)[1]]


def changed(kind: str, obj: Mapping[str, Any], path: str, value: Any) -> Object:
    """What becomes of a stored object when one field of it is changed and nothing is wrong with that."""
    old = stored(kind, obj)
    new, errors = update(STORED[kind], old, put(old, path, value))
    assert [str(error) for error in errors] == []
    return new


def change_refusals(
    kind: str, obj: Mapping[str, Any], path: str, value: Any, subresource: str = ""
) -> list[str]:
    """What is wrong with the change of one field of a stored object, in the words of the answer."""
    old = stored(kind, obj)
    _, errors = update(STORED[kind], old, put(old, path, value), subresource)
    return [str(error) for error in errors]


def put(obj: Mapping[str, Any], path: str, value: Any) -> Object:
    """A copy in which one field is another; ABSENT takes it out. Members of lists are named by their number.

    The number behind the last one appends.
    """
    out = copy.deepcopy(dict(obj))
    holder: Any = out
    *way, last = path.split("/")
    for key in way:
        holder = holder[int(key)] if isinstance(holder, list) else holder.setdefault(key, {})
    if value is ABSENT:
        holder.pop(last, None)
    elif isinstance(holder, list):
        holder[int(last) : int(last) + 1] = [value]
    else:
        holder[last] = value
    return out


def at(obj: Mapping[str, Any], path: str) -> Any:
    """The value under a path, or ABSENT."""
    value: Any = obj
    for key in path.split("/"):
        if isinstance(value, list):
            value = value[int(key)] if int(key) < len(value) else ABSENT
        elif isinstance(value, dict):
            value = value.get(key, ABSENT)
    return value
