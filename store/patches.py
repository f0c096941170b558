"""What the body of a PATCH does to an object: JSON patch and JSON merge patch, and what can be
wrong with any patch.

Everything here is a pure function. Objects and patches that are passed in stay as they are; the
result shares what did not change with the object, and new values with the patch.
"""

import re
from typing import Any, ClassVar, Final, NoReturn

import orjson
from verger.store.gojson import go_json_error, go_kind

MAX_OPERATIONS: Final = 10_000
"""Of one JSON patch. upstream: apiserver/pkg/endpoints/handlers/patch.go, maxJSONPatchOperations"""
MAX_COPIED: Final = 3 * 1024 * 1024
"""Bytes of JSON that the `copy` operations of one patch may add.

upstream: apiserver/pkg/server/config.go, JSONPatchMaxCopyBytes
"""
TOO_DEEP: Final = "exceeded max depth"

_REJECTED: Final = "the server rejected our request due to an error in our request"


class PatchError(Exception):
    """The patch has no result; the object stays as it is."""

    code: ClassVar[int]
    """The HTTP status that follows."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        """The whole message that the client gets."""


class BadPatch(PatchError):
    """The body cannot be decoded, or is no patch."""

    code = 400


class UnprocessablePatch(PatchError):
    """The patch does not apply. Clients are not told why: the message is always the same, with
    empty details.
    """

    code = 422

    def __init__(self, cause: str) -> None:
        super().__init__(_REJECTED)
        self.cause = cause
        """Why, for a log."""


class PatchTooLarge(PatchError):
    """The patch asks for more work than one request may."""

    code = 413

    def __init__(self, limit: str) -> None:
        super().__init__(f"Request entity too large: {limit}")


class BrokenPatch(PatchError):
    """A mistake of the client's that upstream answers with a bare 500, without reason or details."""

    code = 500


def parse_merge(body: bytes) -> dict[str, Any]:
    """The object that a merge patch is. Raises BadPatch."""
    patch = _decode(body, "error decoding patch: ")
    if patch is None:
        # upstream: null passes the decoder and stops in json-patch
        raise BadPatch("Invalid JSON Patch")
    if not isinstance(patch, dict):
        raise BadPatch(f"error decoding patch: {_no_map(patch)}")
    return patch


def parse_strategic(body: bytes) -> dict[str, Any]:
    """The object that a strategic merge patch is; null is an empty one. Raises BadPatch, in barer
    words than the others.
    """
    patch = _decode(body, "")
    if patch is None:
        return {}
    if not isinstance(patch, dict):
        raise BadPatch(_no_map(patch))
    return patch


def parse_json_patch(body: bytes) -> list[dict[str, Any]]:
    """The operations of a JSON patch: `op`, `path` and `from` are strings or null, where present;
    null is no operation.

    What else an operation needs shows when it is applied. Raises BadPatch and PatchTooLarge.
    """
    operations = _decode(body, "error decoding patch: ")
    if operations is None:
        return []
    if not isinstance(operations, list):
        raise BadPatch(
            f"error decoding patch: json: cannot unmarshal {go_kind(operations)}"
            " into Go value of type []handlers.jsonPatchOp"
        )
    for operation in operations:
        if operation is not None:
            _check_shape(operation)
    if len(operations) > MAX_OPERATIONS:
        raise PatchTooLarge(
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, "
            f"got {len(operations)}"
        )
    return [operation or {} for operation in operations]


def _decode(body: bytes, prefix: str) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadPatch(f"{prefix}{go_json_error(body, error)}") from None


def _no_map(value: Any) -> str:
    return (
        f"json: cannot unmarshal {go_kind(value)} into Go value of type map[string]interface {{}}"
    )


def _check_shape(operation: Any) -> None:
    if not isinstance(operation, dict):
        raise BadPatch(
            f"error decoding patch: json: cannot unmarshal {go_kind(operation)}"
            " into Go value of type handlers.jsonPatchOp"
        )
    for key, value in operation.items():
        if key in ("op", "path", "from") and not isinstance(value, str | None):
            raise BadPatch(
                f"error decoding patch: json: cannot unmarshal {go_kind(value)}"
                f" into Go struct field jsonPatchOp.{key} of type string"
            )


def merge(current: Any, patch: Any) -> Any:
    """The result of a JSON merge patch (RFC 7386): null removes a member, objects merge, all else
    replaces.

    Objects inside of lists lose their null members too. upstream: evanphx/json-patch. Raises
    BadPatch for a patch that is nested too deeply.
    """
    try:
        return _merge(current, patch)
    except RecursionError:
        raise BadPatch(f"error decoding patch: {TOO_DEEP}") from None


def _merge(current: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return without_nulls(patch)
    out = dict(current) if isinstance(current, dict) else {}
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = _merge(out.get(key), value)
    return out


def without_nulls(value: Any) -> Any:
    """The value without the null members of its objects, at any depth; nulls in lists stay."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def apply_json_patch(current: Any, operations: list[dict[str, Any]]) -> Any:
    """The result of a JSON patch (RFC 6902), with the liberties that upstream's library takes.

    upstream: evanphx/json-patch v4. What stands before the first `/` of a path is ignored; a
    negative index counts from the end of the list; `replace` sets a member that is missing; a
    missing member is null to `test` and `copy`; a missing `value` is null; only `test` and
    `replace` know the empty path.

    Raises UnprocessablePatch when an operation fails, PatchTooLarge when copies grow beyond
    MAX_COPIED.
    """
    document = _Document(current)
    try:
        for operation in operations:
            document.apply(operation)
    except RecursionError:
        raise UnprocessablePatch(TOO_DEEP) from None
    return document.root


_INDEX: Final = re.compile(r"[+-]?[0-9]{1,18}")


class _Document:
    """A document under change. What the caller passed in is never written to: a container is copied
    before that.
    """

    def __init__(self, root: Any) -> None:
        self.root = root
        self._mine: dict[int, Any] = {}
        """The containers that were copied, by id; held here, so that no id comes to stand for
        another one.
        """
        self._copied = 0

    def apply(self, operation: dict[str, Any]) -> None:
        """Does one operation. Raises UnprocessablePatch and PatchTooLarge."""
        match operation.get("op"):
            case "add":
                self._add(_pointer(operation, "path"), operation.get("value"))
            case "remove":
                self._remove(_pointer(operation, "path"))
            case "replace":
                self._replace(_pointer(operation, "path"), operation.get("value"))
            case "move":
                source = _pointer(operation, "from")
                value = self._get(source)
                self._remove(source)
                self._add(_pointer(operation, "path"), value)
            case "copy":
                value = self._copy(self._get(_pointer(operation, "from")))
                self._add(_pointer(operation, "path"), value)
            case "test":
                path = _pointer(operation, "path")
                have = self._get(path) if path else self.root
                if not _same(have, operation.get("value")):
                    _fail(f"test of {path} failed")
            case other:
                _fail(f"no such operation: {other}")

    def _add(self, path: str, value: Any) -> None:
        container, key = self._parent(path)
        if isinstance(container, dict):
            container[key] = value
        elif key == "-":
            container.append(value)
        else:
            container.insert(_index(key, len(container) + 1), value)

    def _remove(self, path: str) -> None:
        container, key = self._parent(path)
        if isinstance(container, list):
            del container[_index(key, len(container))]
        elif key in container:
            del container[key]
        else:
            _fail(f"nothing to remove at {path}")

    def _replace(self, path: str, value: Any) -> None:
        if not path:
            if not isinstance(value, dict | list):
                _fail("the whole can be replaced by an object or a list only")
            self.root = value
            return
        container, key = self._parent(path)
        if isinstance(container, dict):
            container[key] = value
        else:
            container[_index(key, len(container))] = value

    def _get(self, path: str) -> Any:
        container, key = self._parent(path)
        return _member(container, key)

    def _copy(self, value: Any) -> Any:
        """A copy that shares nothing, or a later operation would change both."""
        try:
            text = orjson.dumps(value)
        except orjson.JSONEncodeError as error:
            # Nested more deeply than what can be stored.
            raise UnprocessablePatch(str(error)) from None
        self._copied += len(text)
        if self._copied > MAX_COPIED:
            raise PatchTooLarge(
                "Unable to complete the copy, the accumulated size increase of copy is "
                f"{self._copied}, exceeding the limit {MAX_COPIED}"
            )
        return orjson.loads(text)

    def _parent(self, path: str) -> tuple[Any, str]:
        """The container that the path ends in, free to write to, and the last key. The key may be
        missing.
        """
        parts = path.split("/")
        if len(parts) == 1:
            _fail(f"no such path: {path}")
        container = self.root = self._own(self.root, path)
        for part in parts[1:-1]:
            key = _unescape(part)
            child = self._own(_member(container, key), path)
            container[key if isinstance(container, dict) else _index(key, len(container))] = child
            container = child
        return container, _unescape(parts[-1])

    def _own(self, container: Any, path: str) -> Any:
        if id(container) in self._mine:
            return container
        if not isinstance(container, dict | list):
            _fail(f"no such path: {path}")
        copy = container.copy()
        self._mine[id(copy)] = copy
        return copy


def _fail(cause: str) -> NoReturn:
    raise UnprocessablePatch(cause)


def _pointer(operation: dict[str, Any], key: str) -> str:
    path = operation.get(key)
    if not isinstance(path, str):
        _fail(f"operation without {key}")
    return path


def _unescape(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~") if "~" in part else part


def _index(key: str, size: int) -> int:
    """The place that a key means in a list where `size` places exist."""
    if _INDEX.fullmatch(key) is None:
        _fail(f"no index: {key}")
    index = int(key)
    if not -size <= index < size:
        _fail(f"no such index: {index}")
    return index % size


def _member(container: Any, key: str) -> Any:
    if isinstance(container, dict):
        return container.get(key)
    return container[_index(key, len(container))]


def _same(have: Any, want: Any) -> bool:
    """Whether two JSON values are written alike: unlike in Python, 1 is neither true nor 1.0."""
    if have.__class__ is not want.__class__:
        return False
    if isinstance(have, dict):
        return have.keys() == want.keys() and all(_same(have[key], want[key]) for key in have)
    if isinstance(have, list):
        return len(have) == len(want) and all(map(_same, have, want))
    return bool(have == want)
