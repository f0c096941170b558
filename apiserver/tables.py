"""Tables, which `kubectl get` shows, and objects reduced to their metadata, which metadata clients ask for.

What is returned shares its parts with the objects that were passed in: it is for encoding, not for changing.

upstream: apiserver/pkg/endpoints/handlers/response.go, apiserver/pkg/registry/rest/table.go
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from verger.apiserver import columns_api, columns_cluster, columns_network, columns_workloads
from verger.apiserver.columns import NAME, Column, Printer, human_duration, name, text_at
from verger.apiserver.columns_pods import POD
from verger.store.kinds import Kind
from verger.store.objects import Object, with_type

__all__ = [
    "Column",
    "Printer",
    "human_duration",
    "partial_metadata",
    "partial_metadata_list",
    "printer_for",
    "table",
]

_NEVER: Final = "0001-01-01T00:00:00Z"
"""How Go writes the time of an object that has none."""


def _created(obj: Mapping[str, Any], now: float) -> list[Any]:
    return [name(obj, now), text_at(obj, "metadata", "creationTimestamp", missing=_NEVER)]


_DEFAULT: Final = Printer(
    columns=(NAME[0], Column("Created At", "date", description="When the object was created.")),
    cells=_created,
    null_when_empty=True,
)
"""For kinds without columns of their own."""

_PRINTERS: Final[Mapping[tuple[str, str], Printer]] = {
    **columns_api.PRINTERS,
    **columns_cluster.PRINTERS,
    **columns_network.PRINTERS,
    **columns_workloads.PRINTERS,
    ("", "Pod"): POD,
}


def printer_for(kind: Kind) -> Printer:
    """How the objects of a kind are printed, as they are stored."""
    if kind.custom is not None:
        from verger.apiserver.columns_custom import printer_of

        return printer_of(kind.custom)
    stored = kind.storage
    return _PRINTERS.get((stored.group, stored.kind), _DEFAULT)


def partial_metadata(obj: Mapping[str, Any], *, version: str = "v1") -> Object:
    """An object as a PartialObjectMetadata of that version of meta.k8s.io."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": obj.get("metadata") or {},
    }


def partial_metadata_list(
    objects: Sequence[Mapping[str, Any]], metadata: Mapping[str, Any], *, version: str = "v1"
) -> Object:
    """Objects as a PartialObjectMetadataList; the metadata is the list's own."""
    return {
        "kind": "PartialObjectMetadataList",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": metadata,
        "items": [partial_metadata(obj, version=version) for obj in objects],
    }


def _included(
    kind: Kind, include: str, version: str
) -> Callable[[Mapping[str, Any]], Object | None]:
    """What a row holds of its object."""
    match include:
        case "" | "Metadata":
            return lambda obj: partial_metadata(obj, version=version)
        case "Object":
            view = kind.view
            return lambda obj: with_type(
                kind.api_version, kind.kind, view.from_stored(obj) if view else obj
            )
        case "None":
            return lambda _: None
        case _:
            raise ValueError(f"no such part of an object: {include}")


def table(
    kind: Kind,
    objects: Sequence[Mapping[str, Any]],
    *,
    include: str,
    version: str,
    metadata: Mapping[str, Any],
    now: float,
    definitions: bool = True,
) -> Object:
    """A Table of objects as they are stored.

    `include` is what rows hold of their objects: "" and "Metadata", "Object" or "None". `version` is that of
    meta.k8s.io, v1 or v1beta1. `metadata` is the list's, or for a single object its resourceVersion. `now` is in
    seconds since the epoch. Of the events of a watch only the first one has the definitions.

    Raises ValueError for another `include`.
    """
    printer = printer_for(kind)
    held = _included(kind, include, version)
    ordered = sorted(objects, key=printer.order) if printer.order else objects
    rows: list[Object] = []
    for obj in ordered:
        row: Object = {"cells": printer.cells(obj, now)}
        if printer.conditions and (conditions := printer.conditions(obj)):
            row["conditions"] = conditions
        row["object"] = held(obj)
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": metadata,
        "columnDefinitions": (
            [column.definition() for column in printer.columns] if definitions else None
        ),
        "rows": None if printer.null_when_empty and not rows else rows,
    }
