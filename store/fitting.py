"""Fits what a client sent to the kind it was sent to: the right type, known fields, values of the right sort.

Three ways lead in: a whole object, a change of one (a patch), and options. How strict to be about unknown fields is the
client's choice; it hears of them in warnings, or in the error.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson
from verger.store.decoding import DecodeError, Decoder, unknown_field
from verger.store.errors import (
    ApiError,
    BadRequest,
    Invalid,
    TooLarge,
    UnreasonedError,
    UnsupportedMediaType,
)
from verger.store.invalid import invalid, quote
from verger.store.kinds import Form, Kind
from verger.store.objects import Object, name_of, thaw
from verger.store.patches import (
    BadPatch,
    BrokenPatch,
    PatchError,
    PatchTooLarge,
    apply_json_patch,
    merge,
    parse_json_patch,
    parse_merge,
    parse_strategic,
)
from verger.store.registry import Change
from verger.store.request import WriteRequest
from verger.store.schemas import Schemas
from verger.store.strategic import strategic_merge
from verger.store.tracking import Tracker

if TYPE_CHECKING:
    from verger.store.custom.kinds import CustomType

MERGE_PATCH: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"
_METADATA: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"

_IN_TWO_GROUPS: Final = "Event"
"""The kind whose objects two groups show."""


class Unfit(Exception):
    """The object is not one of the kind; the text says why."""


class Fitter:
    """Decides what an object of a kind may hold."""

    def __init__(self, schemas: Schemas, tracker: Tracker) -> None:
        self._schemas = schemas
        self._decoder = Decoder(schemas)
        self._tracker = tracker

    def body(
        self, form: Form, obj: Object, request: WriteRequest, found: Sequence[str] = ()
    ) -> None:
        """Fits an object that came as the body of a create or update, in place.

        `found` is what the parser already complains of (duplicate keys). Raises BadRequest.
        """
        given = obj.get("kind") or form.kind
        version = str(obj.get("apiVersion") or form.api_version).rpartition("/")[2]
        prefix = f'{given} in version "{version}" cannot be handled as a {form.kind}: '
        try:
            problems = [*found, *self._fit(form, obj)]
        except Unfit as unfit:
            raise BadRequest(f"{prefix}{unfit}") from None
        if problems and request.field_validation == "Strict":
            raise BadRequest(f"{prefix}strict decoding error: {', '.join(problems)}")
        if request.field_validation == "Warn":
            request.warnings += problems

    def _fit(self, form: Form, obj: Object) -> list[str]:
        given = obj.get("metadata")
        wiped = isinstance(given, dict) and given.get("managedFields") == []
        problems = self._fit_type(form, obj)
        if wiped:
            # Of all lists this one means something else when it is empty than when it is not there.
            obj["metadata"] = {**(obj.get("metadata") or {}), "managedFields": []}
        return problems

    def _fit_type(self, form: Form, obj: Object) -> list[str]:
        if form.custom is not None:
            return self._fit_custom(form, form.custom, obj)
        self._check_type(form, obj)
        try:
            unknown = self._decoder.decode(form.type_name, obj)
        except DecodeError as error:
            raise Unfit(str(error)) from None
        return [unknown_field(path) for path in unknown]

    def _fit_custom(self, form: Form, custom: "CustomType", obj: Object) -> list[str]:
        """Of what clients define only the metadata have a type of ours. Raises BadRequest and Invalid."""
        _check_custom_type(form, obj)
        metadata = obj.get("metadata")
        if metadata is None:
            obj.pop("metadata", None)
            metadata = {}
        if not isinstance(metadata, dict):
            raise Unfit("metadata must be an object")
        try:
            unknown = self._decoder.decode(_METADATA, metadata)
            embedded = custom.fit_embedded(obj, self._decoder)
        except DecodeError as error:
            raise Unfit(str(error)) from None
        paths = [*(f"metadata.{path}" for path in unknown), *embedded, *custom.prune(obj)]
        return [unknown_field(path) for path in sorted(paths)]

    def _check_type(self, form: Form, obj: Mapping[str, Any]) -> None:
        """Whether the object says that it is of the kind; saying nothing is saying yes. Raises Unfit and BadRequest."""
        given = obj.get("kind") or form.kind
        api_version = obj.get("apiVersion") or form.api_version
        if given == form.kind and api_version == form.api_version:
            return
        if not isinstance(given, str) or not isinstance(api_version, str):
            raise Unfit(
                "couldn't get version/kind; json parse error: kind and apiVersion must be strings"
            )
        group, _, version = api_version.rpartition("/")
        if not self._is_registered(group, version, given):
            raise Unfit(
                f'no kind {quote(given)} is registered for version {quote(api_version)} in scheme "verger"'
            )
        if given == form.kind and (group == form.group or given == _IN_TWO_GROUPS):
            raise BadRequest(_other_version(api_version, form))
        internal = form.group.split(".")[0] or "core"
        raise Unfit(
            f"converting ({version}.{given}) to ({internal}.{form.kind}): unknown conversion"
        )

    def _is_registered(self, group: str, version: str, kind: str) -> bool:
        name = f"io.k8s.api.{group.partition('.')[0] or 'core'}.{version}.{kind}"
        return name in self._schemas and (group, version, kind) in self._schemas.type(name).gvks

    def change(self, kind: Kind, media_type: str, body: bytes, request: WriteRequest) -> Change:
        """The change that a patch stands for. Raises BadRequest, TooLarge, UnsupportedMediaType.

        The change itself raises Invalid, BadRequest and UnreasonedError.
        """
        try:
            if media_type == MERGE_PATCH:
                fields = parse_merge(body)

                def patched(current: Mapping[str, Any]) -> Any:
                    return merge(current, fields)

            elif media_type == JSON_PATCH:
                operations = parse_json_patch(body)

                def patched(current: Mapping[str, Any]) -> Any:
                    return apply_json_patch(current, operations)

            elif media_type == STRATEGIC_PATCH and kind.type_name in self._schemas:
                directives = parse_strategic(body)

                def patched(current: Mapping[str, Any]) -> Any:
                    return strategic_merge(current, directives, kind.type_name, self._schemas)

            elif kind.custom is not None:
                known = ", ".join((JSON_PATCH, MERGE_PATCH, APPLY_PATCH))
                raise UnsupportedMediaType(
                    f"the body of the request was in an unknown format - accepted media types include: {known}"
                )
            else:
                raise UnsupportedMediaType(f"415: Unsupported Media Type {media_type}")
        except PatchError as error:
            raise _api_error(error) from None

        def change(current: Mapping[str, Any] | None) -> Object:
            try:
                result = patched(current or {})
            except PatchError as error:
                raise _api_error(error) from None
            return self._fit_patched(kind, result, request)

        return change

    def application(
        self, kind: Kind, obj: Object, request: WriteRequest, subresource: str
    ) -> Change:
        """The change that an applied object stands for. It raises BadRequest, Conflict, Invalid and UnreasonedError."""

        def change(current: Mapping[str, Any] | None) -> Object:
            wanted = self._tracker.applied(kind, current, obj, request, subresource)
            return self._fit_patched(kind, wanted, request)

        return change

    def _fit_patched(self, kind: Kind, result: Any, request: WriteRequest) -> Object:
        def refuse(why: str) -> Invalid:
            shown = orjson.dumps(result, option=orjson.OPT_SORT_KEYS).decode()
            return Invalid.of("", "", "", [invalid("patch", shown, why)])

        if not isinstance(result, dict):
            raise refuse("the patched document is no object")
        try:
            obj = thaw(result)
        except TypeError:
            raise BadRequest("the patched object is nested too deeply") from None
        try:
            problems = self._fit(kind.form(), obj)
        except Unfit as unfit:
            raise refuse(str(unfit)) from None
        if problems and request.field_validation == "Strict":
            raise refuse(f"strict decoding error: {', '.join(problems)}")
        if request.field_validation == "Warn":
            request.warnings[:] = [*dict.fromkeys([*request.warnings, *problems])]
        return obj


def _check_custom_type(form: Form, obj: Mapping[str, Any]) -> None:
    """Whether the object is of the kind. Raises BadRequest and Invalid, in other words than for built-in kinds."""
    api_version = obj.get("apiVersion") or ""
    if api_version != form.api_version:
        raise BadRequest(_other_version(api_version, form))
    given = obj.get("kind")
    if given != form.kind:
        shown = given if isinstance(given, str) else ""
        error = invalid("kind", given, f"must be {form.kind}")
        name = name_of(obj) if isinstance(obj.get("metadata"), dict) else ""
        raise Invalid.of(shown, form.group, name, [error])


def _other_version(given: Any, form: Form) -> str:
    return f"the API version in the data ({given}) does not match the expected API version ({form.api_version})"


def _api_error(error: PatchError) -> ApiError:
    if isinstance(error, BadPatch):
        return BadRequest(error.message)
    if isinstance(error, PatchTooLarge):
        return TooLarge(error.message)
    if isinstance(error, BrokenPatch):
        return UnreasonedError(error.message)
    return Invalid(error.message, {})
