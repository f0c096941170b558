"""Messages that JSON shows as something else than an object of their fields: times, quantities, values of any kind."""

import contextlib
import datetime
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import orjson
from verger.apiserver.wire import ProtobufError

_EPOCH: Final = datetime.datetime(1970, 1, 1)
_RFC_3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:[Zz]|([+-]\d\d:\d\d))", re.ASCII
)
_GO_ZERO_TIME: Final = -62_135_596_800
"""Seconds of the year 1, which Go calls the zero time and JSON shows as null."""


class _Special(NamedTuple):
    """A message whose JSON is not an object of its fields: its fields to JSON, and back."""

    value: Callable[[dict[str, Any]], Any]
    fields: Callable[[Any], dict[str, Any]]


def _moment(fields: dict[str, Any], nanos: int, timespec: str) -> str | None:
    seconds = fields.get("seconds", 0)
    if not fields or seconds == _GO_ZERO_TIME:
        return None
    try:
        moment = _EPOCH + datetime.timedelta(seconds=seconds, microseconds=nanos // 1000)
    except OverflowError:
        raise ProtobufError("a time is not in the years 1 to 9999") from None
    return moment.isoformat(timespec=timespec) + "Z"


def _time_value(fields: dict[str, Any]) -> str | None:
    return _moment(fields, 0, "seconds")


def _micro_time_value(fields: dict[str, Any]) -> str | None:
    return _moment(fields, fields.get("nanos", 0), "microseconds")


def _micro_time_fields(value: Any) -> dict[str, Any]:
    match = _RFC_3339.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ProtobufError("not a time of RFC 3339")
    day, clock, fraction, offset = match.groups()
    try:
        moment = datetime.datetime.fromisoformat(f"{day}T{clock}{offset or '+00:00'}")
    except ValueError:
        raise ProtobufError("not a time of RFC 3339") from None
    since = moment - _EPOCH.replace(tzinfo=datetime.UTC)
    nanos = int((fraction or "")[:6].ljust(6, "0")) * 1000
    return {"seconds": since.days * 86_400 + since.seconds, "nanos": nanos}


def _time_fields(value: Any) -> dict[str, Any]:
    return {**_micro_time_fields(value), "nanos": 0}


def _quantity_value(fields: dict[str, Any]) -> str:
    return fields.get("string") or "0"


def _quantity_fields(value: Any) -> dict[str, Any]:
    # JSON may show a quantity as a bare number.
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    return {"string": value}


def _int_or_string_value(fields: dict[str, Any]) -> int | str:
    match fields.get("type", 0):
        case 0:
            return int(fields.get("intVal", 0))
        case 1:
            return str(fields.get("strVal", ""))
    raise ProtobufError("an int-or-string is neither")


def _int_or_string_fields(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"type": 1, "intVal": 0, "strVal": value}
    return {"type": 0, "intVal": value, "strVal": ""}


def _json_value(fields: dict[str, Any]) -> Any:
    raw = fields.get("raw") or fields.get("Raw")
    if not raw:
        return None
    with contextlib.suppress(orjson.JSONDecodeError):
        return orjson.loads(raw)
    raise ProtobufError("an embedded object is not valid JSON")


def _json_fields(value: Any) -> dict[str, Any]:
    # Bytes are an object that the caller has encoded: what a watch event carries.
    if not isinstance(value, bytes):
        try:
            value = orjson.dumps(value)
        except orjson.JSONEncodeError:
            raise ProtobufError("not a JSON value") from None
    return {"raw": value, "Raw": value}


def _items_value(fields: dict[str, Any]) -> Any:
    return fields.get("items", [])


def _items_fields(value: Any) -> dict[str, Any]:
    return {"items": value}


def _schema_or_array_value(fields: dict[str, Any]) -> Any:
    return fields.get("jSONSchemas") or fields.get("schema")


def _schema_or_array_fields(value: Any) -> dict[str, Any]:
    return {"jSONSchemas" if isinstance(value, list | tuple) else "schema": value}


def _schema_or_bool_value(fields: dict[str, Any]) -> Any:
    return fields["schema"] if "schema" in fields else fields.get("allows", False)


def _schema_or_bool_fields(value: Any) -> dict[str, Any]:
    return {"allows": value} if isinstance(value, bool) else {"allows": True, "schema": value}


def _schema_or_strings_value(fields: dict[str, Any]) -> Any:
    return fields.get("property") or fields.get("schema")


def _schema_or_strings_fields(value: Any) -> dict[str, Any]:
    return {"property" if isinstance(value, list | tuple) else "schema": value}


_EXTENSIONS: Final = "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1"
_META: Final = "k8s.io.apimachinery.pkg.apis.meta.v1"
_JSON: Final = _Special(_json_value, _json_fields)
_ITEMS: Final = _Special(_items_value, _items_fields)
SPECIAL: Final[Mapping[str, _Special]] = {
    "k8s.io.api.authentication.v1.ExtraValue": _ITEMS,
    "k8s.io.api.authorization.v1.ExtraValue": _ITEMS,
    "k8s.io.api.certificates.v1.ExtraValue": _ITEMS,
    f"{_EXTENSIONS}.JSON": _JSON,
    f"{_EXTENSIONS}.JSONSchemaPropsOrArray": _Special(
        _schema_or_array_value, _schema_or_array_fields
    ),
    f"{_EXTENSIONS}.JSONSchemaPropsOrBool": _Special(_schema_or_bool_value, _schema_or_bool_fields),
    f"{_EXTENSIONS}.JSONSchemaPropsOrStringArray": _Special(
        _schema_or_strings_value, _schema_or_strings_fields
    ),
    "k8s.io.apimachinery.pkg.api.resource.Quantity": _Special(_quantity_value, _quantity_fields),
    f"{_META}.FieldsV1": _JSON,
    f"{_META}.MicroTime": _Special(_micro_time_value, _micro_time_fields),
    f"{_META}.Time": _Special(_time_value, _time_fields),
    f"{_META}.Verbs": _ITEMS,
    "k8s.io.apimachinery.pkg.runtime.RawExtension": _JSON,
    "k8s.io.apimachinery.pkg.util.intstr.IntOrString": _Special(
        _int_or_string_value, _int_or_string_fields
    ),
}
TIMES: Final = (f"{_META}.MicroTime", f"{_META}.Time")
TIMES_KEPT: Final = 1024
"""Encoded times that are kept."""
