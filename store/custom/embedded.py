"""Objects inside custom objects (`x-kubernetes-embedded-resource`): what they say they are, and their metadata.

upstream: apiextensions-apiserver/pkg/apiserver/schema/objectmeta
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from verger.store import metadata, names
from verger.store.custom.schema import Node
from verger.store.decoding import DecodeError, Decoder
from verger.store.invalid import FieldError, invalid, required

METADATA: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_MIXED: Final = "may have mixed case, but should otherwise match: "


def fit(node: Node, value: Any, decoder: Decoder, path: str = "") -> list[str]:
    """Removes from the metadata of embedded objects what metadata do not have; returns the paths of that.

    Raises DecodeError for metadata that are none.
    """
    unknown: list[str] = []
    if value.__class__ is dict:
        if path and node.embedded:
            unknown += _fit_metadata(value, decoder, path)
        for name, item in value.items():
            below = node.member(name)
            if below is not None and below.embeds:
                unknown += fit(below, item, decoder, f"{path}.{name}" if path else name)
    elif value.__class__ is list and node.items is not None and node.items.embeds:
        for index, item in enumerate(value):
            unknown += fit(node.items, item, decoder, f"{path}[{index}]")
    return unknown


def _fit_metadata(obj: dict[str, Any], decoder: Decoder, path: str) -> list[str]:
    given = obj.get("metadata")
    if given is None:
        return []
    where = f"{path}.metadata"
    if not isinstance(given, dict):
        raise DecodeError(f"{where}: Invalid value: must be an object")
    return [f"{where}.{each}" for each in decoder.decode(METADATA, given)]


def check(obj: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    """What is wrong with what an embedded object says of itself."""
    version, kind = obj.get("apiVersion"), obj.get("kind")
    if version is None:
        yield required(f"{path}.apiVersion", "must not be empty")
    elif not isinstance(version, str):
        yield invalid(f"{path}.apiVersion", version, "must be a string")
    elif not version:
        yield invalid(f"{path}.apiVersion", version, "must not be empty")
    elif version.count("/") > 1:
        text = f"unexpected GroupVersion string: {version}"
        yield invalid(f"{path}.apiVersion", version, text)
    if kind is None:
        yield required(f"{path}.kind", "must not be empty")
    elif not isinstance(kind, str):
        yield invalid(f"{path}.kind", kind, "must be a string")
    elif not kind:
        yield invalid(f"{path}.kind", kind, "must not be empty")
    elif wrong := names.label_1035(kind.lower()):
        yield invalid(f"{path}.kind", kind, _MIXED + ",".join(wrong))
    yield from _check_metadata(obj.get("metadata"), path)


def _check_metadata(given: Any, path: str) -> Iterator[FieldError]:
    if not isinstance(given, dict):
        return
    found = metadata.validate(
        {**given, "name": given.get("name") or "fakename"},
        namespaced=bool(given.get("namespace")),
        name_rule=names.path_segment,
        plain_finalizers=True,
    )
    for error in found:
        yield error._replace(field=f"{path}.{error.field}")
