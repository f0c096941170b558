"""What one object may do: the sequential rules that concurrent histories are compared with.

Pure functions of the state before and the request; None stands for "there is no such object". Written from the
promises of the API alone, and nothing here is shared with the server.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from tests.histories.history import (
    Object,
    Operation,
    finalizers_of,
    is_terminating,
    revision_of,
    uid_of,
)


class Content(NamedTuple):
    """The part of an object that clients write."""

    annotations: Mapping[str, str]
    labels: Mapping[str, str]
    finalizers: list[str]
    data: Mapping[str, str]


class Outcome(NamedTuple):
    """What a request comes to."""

    status: int
    effect: Literal["nothing", "write", "remove"] = "nothing"
    content: Content | None = None
    """What is stored, when something is."""


_NOT_FOUND: Final = Outcome(404)
_CONFLICT: Final = Outcome(409)
_INVALID: Final = Outcome(422)


def content_of(obj: Object) -> Content:
    """What a client wrote, or wants to."""
    metadata = obj.get("metadata") or {}
    return Content(
        metadata.get("annotations") or {},
        metadata.get("labels") or {},
        list(metadata.get("finalizers") or ()),
        obj.get("data") or {},
    )


def is_removal(answer: Object) -> bool:
    """Whether this answer to an update says that the object has gone: nobody holds it any more."""
    return "metadata" in answer and is_terminating(answer) and not finalizers_of(answer)


def outcome(operation: Operation, state: Object | None) -> Outcome:
    """What the operation comes to when the object is in this state."""
    sent = operation.sent
    match operation.verb:
        case "get":
            return Outcome(200) if state is not None else _NOT_FOUND
        case "create":
            return Outcome(201, "write", content_of(sent)) if state is None else _CONFLICT
        case "delete":
            return _deleted(sent.get("preconditions") or {}, state)
    if state is None:
        # upstream: a PUT that names a uid means one object, and that one is not there
        named = operation.verb == "update" and sent["metadata"].get("uid")
        return _CONFLICT if named else _NOT_FOUND
    match operation.verb:
        case "update":
            return _written(sent["metadata"], state, content_of(sent))
        case "merge-patch":
            wanted = merged({**content_as_object(state)}, sent)
            return _written(
                {"resourceVersion": sent["metadata"].get("resourceVersion")},
                state,
                content_of(wanted),
            )
        case "json-patch":
            patched = _patched(sent, state)
            return _INVALID if patched is None else _written({}, state, content_of(patched))
    raise AssertionError(operation.verb)


def content_as_object(state: Object) -> dict[str, Any]:
    """The part of a stored object that a patch of ours can reach."""
    annotations, labels, finalizers, data = content_of(state)
    metadata = {"annotations": annotations, "labels": labels, "finalizers": finalizers}
    return {"metadata": metadata, "data": data}


def _deleted(preconditions: Mapping[str, str], state: Object | None) -> Outcome:
    if state is None:
        return _NOT_FOUND
    if preconditions.get("uid") not in (None, uid_of(state)):
        return _CONFLICT
    if preconditions.get("resourceVersion") not in (None, str(revision_of(state))):
        return _CONFLICT
    if not finalizers_of(state):
        return Outcome(200, "remove")
    if is_terminating(state):
        return Outcome(200)
    return Outcome(200, "write", content_of(state))


def _written(asked: Mapping[str, Any], state: Object, wanted: Content) -> Outcome:
    if asked.get("uid") and asked["uid"] != uid_of(state):
        return _CONFLICT
    if asked.get("resourceVersion") and asked["resourceVersion"] != str(revision_of(state)):
        return _CONFLICT
    if is_terminating(state) and not set(wanted.finalizers) <= set(finalizers_of(state)):
        return _INVALID
    if wanted == content_of(state):
        return Outcome(200)
    if is_terminating(state) and not wanted.finalizers:
        return Outcome(200, "remove")
    return Outcome(200, "write", wanted)


def merged(target: Any, patch: Any) -> Any:
    """A JSON merge patch, applied."""
    if not isinstance(patch, Mapping):
        return patch
    out = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            out.pop(name, None)
        else:
            out[name] = merged(out.get(name), value)
    return out


def _patched(steps: list[dict[str, Any]], state: Object) -> dict[str, Any] | None:
    """A JSON patch of tests and replacements, applied; None when a test fails."""
    out: dict[str, Any] = merged({}, content_as_object(state))
    out["metadata"]["resourceVersion"] = str(revision_of(state))
    for step in steps:
        *parents, last = step["path"].removeprefix("/").split("/")
        place = out
        for parent in parents:
            place = place[parent]
        if step["op"] == "replace":
            place[last] = step["value"]
        elif place.get(last) != step["value"]:
            return None
    return out
