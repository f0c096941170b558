"""What is wrong with a CustomResourceDefinition, and what is filled into one.

upstream: apiextensions-apiserver/pkg/apis/apiextensions/v1/defaults.go, .../validation/validation.go
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from verger.store import names
from verger.store.custom import conversion
from verger.store.custom.facts import unenforced
from verger.store.custom.paths import PathError, parse_path
from verger.store.custom.rules import available
from verger.store.custom.schema import Node
from verger.store.custom.structural import check_schema
from verger.store.invalid import FieldError, duplicate, immutable, invalid, not_supported, required
from verger.store.objects import Object, annotations_of, name_of

APPROVAL: Final = "api-approved.kubernetes.io"
_PROTECTED: Final = (".k8s.io", ".kubernetes.io")
_SCOPES: Final = ("Cluster", "Namespaced")
_COLUMN_TYPES: Final = ("integer", "number", "string", "boolean", "date")
_COLUMN_FORMATS: Final = (
    "int32",
    "int64",
    "float",
    "double",
    "byte",
    "date",
    "date-time",
    "password",
)
_SELECTABLE: Final = ("string", "boolean", "integer")
_SELECTABLE_MAX: Final = 8
_MIXED: Final = "may have mixed case, but should otherwise match: "


def set_defaults(obj: Object) -> None:
    """Fills in the names that follow from others, and how versions are converted."""
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        return
    given = spec.setdefault("names", {})
    if kind := given.get("kind"):
        given["singular"] = given.get("singular") or kind.lower()
        given["listKind"] = given.get("listKind") or f"{kind}List"
    if not (spec.get("conversion") or {}).get("strategy"):
        spec["conversion"] = {
            **(spec.get("conversion") or {}),
            "strategy": conversion.strategy_of(spec),
        }


def versions_of(obj: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The versions that a definition states."""
    return (obj.get("spec") or {}).get("versions") or ()


def stored_version(obj: Mapping[str, Any]) -> str:
    """The version as which objects are stored; empty when none is."""
    return next((each["name"] for each in versions_of(obj) if each.get("storage")), "")


def schema_of(version: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema of a version."""
    found: Mapping[str, Any] | None = (version.get("schema") or {}).get("openAPIV3Schema")
    return found


def validate(obj: Mapping[str, Any]) -> list[FieldError]:
    """All that is wrong with a definition, its metadata aside."""
    spec = obj.get("spec") or {}
    given = spec.get("names") or {}
    errors: list[FieldError] = []
    name = name_of(obj)
    if name != f"{given.get('plural', '')}.{spec.get('group', '')}":
        errors.append(invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
    errors += _group(spec.get("group") or "")
    scope = spec.get("scope") or ""
    if not scope:
        errors.append(required("spec.scope"))
    elif scope not in _SCOPES:
        errors.append(not_supported("spec.scope", scope, _SCOPES))
    errors += _versions(versions_of(obj))
    errors += _names(given)
    errors += _schemas(versions_of(obj))
    errors += conversion.check(spec)
    if spec.get("preserveUnknownFields"):
        errors.append(
            invalid(
                "spec.preserveUnknownFields",
                True,
                "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
            )
        )
    errors += _status(obj)
    errors += _approval(obj, spec.get("group") or "")
    return errors


def warnings(obj: Mapping[str, Any]) -> list[str]:
    """What a definition asks for that is not done."""
    spec = obj.get("spec") or {}
    found = []
    if conversion.by_webhook(spec):
        found.append(conversion.WARNING)
    for index, version in enumerate(versions_of(obj)):
        path = f"spec.versions[{index}].schema.openAPIV3Schema"
        schema = schema_of(version) or {}
        if available():
            found += unenforced(schema, path)
        elif Node(schema).ruled:
            found.append(
                f"{path}: x-kubernetes-validations are kept, but not enforced: this server was installed without the "
                'extra that evaluates them (pip install "verger[cel]")'
            )
    return found


def validate_update(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[FieldError]:
    """What may not change."""
    errors = []
    after, before = new.get("spec") or {}, old.get("spec") or {}
    conditions = (old.get("status") or {}).get("conditions") or ()
    if any(each["type"] == "Established" and each["status"] == "True" for each in conditions):
        if after.get("scope") != before.get("scope"):
            errors.append(immutable("spec.scope", after.get("scope")))
        kind = (after.get("names") or {}).get("kind")
        if kind != (before.get("names") or {}).get("kind"):
            errors.append(immutable("spec.names.kind", kind))
    if after.get("group") != before.get("group"):
        errors.append(immutable("spec.group", after.get("group")))
    plural = (after.get("names") or {}).get("plural")
    if plural != (before.get("names") or {}).get("plural"):
        errors.append(immutable("spec.names.plural", plural))
    return errors


def _group(group: str) -> Iterator[FieldError]:
    if not group:
        yield required("spec.group")
    elif wrong := names.subdomain(group):
        yield invalid("spec.group", group, ",".join(wrong))
    elif "." not in group:
        yield invalid("spec.group", group, "should be a domain with at least one dot")


def _versions(versions: Sequence[Mapping[str, Any]]) -> Iterator[FieldError]:
    for index, version in enumerate(versions):
        if schema_of(version) is None:
            yield required(f"spec.versions[{index}].schema.openAPIV3Schema")
    for index, version in enumerate(versions):
        name = version.get("name") or ""
        if wrong := names.label_1035(name):
            yield invalid(f"spec.versions[{index}].name", name, ",".join(wrong))
        if version.get("deprecationWarning") and not version.get("deprecated"):
            where = f"spec.versions[{index}].deprecationWarning"
            yield invalid(
                where, version["deprecationWarning"], "can only be set for deprecated versions"
            )
        yield from _columns(version, f"spec.versions[{index}].additionalPrinterColumns")
        yield from _scale(version, f"spec.versions[{index}].subresources.scale")
        yield from _selectable(version, f"spec.versions[{index}].selectableFields")
    shown = [_internal(version, versions) for version in versions] or None
    if len({version.get("name") for version in versions}) != len(versions):
        yield invalid("spec.versions", shown, "must contain unique version names")
    if sum(bool(version.get("storage")) for version in versions) != 1:
        text = "must have exactly one version marked as storage version"
        yield invalid("spec.versions", shown, text)


def _internal(version: Mapping[str, Any], versions: Sequence[Mapping[str, Any]]) -> Object:
    """A version as messages show it: a Go struct, from which has moved what all versions have in common."""

    def own(name: str) -> Any:
        value = version.get(name)
        return None if all(each.get(name) == value for each in versions) else value

    return {
        "Name": version.get("name") or "",
        "Served": bool(version.get("served")),
        "Storage": bool(version.get("storage")),
        "Deprecated": bool(version.get("deprecated")),
        "DeprecationWarning": version.get("deprecationWarning"),
        "Schema": own("schema"),
        "Subresources": own("subresources"),
        "AdditionalPrinterColumns": own("additionalPrinterColumns"),
        "SelectableFields": own("selectableFields"),
    }


def _columns(version: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    for index, column in enumerate(version.get("additionalPrinterColumns") or ()):
        where = f"{path}[{index}]"
        if not column.get("name"):
            yield required(f"{where}.name")
        sort = column.get("type") or ""
        if not sort:
            yield required(f"{where}.type", f"must be one of {','.join(_COLUMN_TYPES)}")
        elif sort not in _COLUMN_TYPES:
            yield invalid(f"{where}.type", sort, f"must be one of {','.join(_COLUMN_TYPES)}")
        form = column.get("format") or ""
        if form and form not in _COLUMN_FORMATS:
            yield invalid(f"{where}.format", form, f"must be one of {','.join(_COLUMN_FORMATS)}")
        yield from _path(column.get("jsonPath") or "", f"{where}.jsonPath")


def _path(text: str, where: str) -> Iterator[FieldError]:
    if not text:
        yield required(where)
        return
    try:
        parse_path(text)
    except PathError as error:
        yield invalid(where, text, f"must be a json path: {error}")


def _scale(version: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    scale = (version.get("subresources") or {}).get("scale")
    if scale is None:
        return
    for name, prefix, needed in (
        ("specReplicasPath", ".spec.", True),
        ("statusReplicasPath", ".status.", True),
        ("labelSelectorPath", "", False),
    ):
        text, where = scale.get(name) or "", f"{path}.{name}"
        if not text:
            if needed:
                yield required(where)
            continue
        parts = text.split(".")
        if parts[0] or "" in parts[1:] or "[" in text:
            yield invalid(where, text, "should be a simple json path in dot notation")
        elif prefix and not text.startswith(prefix):
            yield invalid(where, text, f"should be a json path under {prefix[:-1]}")
        elif not prefix and not text.startswith((".spec.", ".status.")):
            yield invalid(where, text, "should be a json path under either .spec or .status")


def _selectable(version: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    fields = version.get("selectableFields") or ()
    if len(fields) > _SELECTABLE_MAX:
        yield invalid(path, "", f"must have at most {_SELECTABLE_MAX} items")
    seen = set()
    for index, field in enumerate(fields):
        text, where = field.get("jsonPath") or "", f"{path}[{index}].jsonPath"
        if not text:
            yield required(where)
            continue
        schema: Any = schema_of(version) or {}
        for part in text.split(".")[1:]:
            schema = ((schema.get("properties") or {}) if isinstance(schema, dict) else {}).get(
                part
            )
        if not text.startswith(".") or not isinstance(schema, dict):
            yield invalid(where, text, "does not refer to a valid field")
        elif text.startswith(".metadata."):
            yield invalid(where, text, "must not point to fields in metadata")
        elif schema.get("type") not in _SELECTABLE:
            yield invalid(
                where,
                text,
                "must point to a field of type string, boolean or integer. Enum string fields and strings with formats "
                "are allowed",
            )
        elif text in seen:
            yield duplicate(where, text)
        seen.add(text)


def _names(given: Mapping[str, Any]) -> Iterator[FieldError]:
    for name in ("plural", "singular", "kind", "listKind"):
        if not given.get(name):
            yield required(f"spec.names.{name}")
    for name in ("plural", "singular", "kind", "listKind"):
        value = given.get(name) or ""
        mixed = name in ("kind", "listKind")
        if value and (wrong := names.label_1035(value.lower() if mixed else value)):
            yield invalid(f"spec.names.{name}", value, (_MIXED if mixed else "") + ",".join(wrong))
    for name in ("shortNames", "categories"):
        for index, value in enumerate(given.get(name) or ()):
            if wrong := names.label_1035(value):
                yield invalid(f"spec.names.{name}[{index}]", value, ",".join(wrong))
    if given.get("kind") and given["kind"] == given.get("listKind"):
        text = "kind and listKind may not be the same"
        yield invalid("spec.names.listKind", given["listKind"], text)


def _schemas(versions: Sequence[Mapping[str, Any]]) -> Iterator[FieldError]:
    schemas = [schema_of(version) for version in versions]
    if schemas and all(schema == schemas[0] for schema in schemas):
        # upstream: what all versions have in common is judged once, where older definitions had it
        if schemas[0] is not None:
            yield from check_schema(schemas[0], "spec.validation.openAPIV3Schema")
        return
    for index, schema in enumerate(schemas):
        if schema is not None:
            yield from check_schema(schema, f"spec.versions[{index}].schema.openAPIV3Schema")


def _status(obj: Mapping[str, Any]) -> Iterator[FieldError]:
    stored = (obj.get("status") or {}).get("storedVersions") or []
    if not stored:
        yield invalid("status.storedVersions", None, "must have at least one stored version")
    known = {version.get("name") for version in versions_of(obj)}
    for index, name in enumerate(stored):
        if name not in known:
            where = f"status.storedVersions[{index}]"
            yield invalid(where, name, "must appear in spec.versions")


def _approval(obj: Mapping[str, Any], group: str) -> Iterator[FieldError]:
    if not group.endswith(_PROTECTED):
        return
    said = annotations_of(obj).get(APPROVAL, "")
    where = f"metadata.annotations[{APPROVAL}]"
    if not said:
        yield required(
            where,
            'protected groups must have approval annotation "api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111',
        )
    elif not said.startswith(("unapproved", "http://", "https://")):
        yield invalid(
            where,
            said,
            'protected groups must have approval annotation "api-approved.kubernetes.io" with either a URL or a reason starting with "unapproved", see https://github.com/kubernetes/enhancements/pull/1111',
        )
