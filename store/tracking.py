"""Who set which fields of the objects that are written: the one place where the registry's writes meet the rules of ownership.

A create is tracked before admission, and before the server sets what a client cannot choose: all of that is nobody's.
An update is tracked after the server has restored what its endpoint leaves alone: none of that has changed hands.

upstream: apiserver/pkg/endpoints/handlers/create.go, update.go, patch.go
"""

from collections.abc import Mapping
from typing import Any, Final

from verger.store.apply import ApplyConflict, ApplyError, apply, track_create, track_update
from verger.store.errors import BadRequest, Conflict, UnreasonedError
from verger.store.fieldsets import NOTHING, FieldSet
from verger.store.kinds import Kind
from verger.store.managedfields import Entry, but_for_times
from verger.store.objects import Object, meta
from verger.store.request import WriteRequest
from verger.store.schemas import Schemas
from verger.store.shapes import DEDUCED, BuiltInShapes, Shape
from verger.store.timestamps import format_time
from verger.watch.clock import Clock

_METADATA: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_STATUS: Final = FieldSet.named("status")
_SPEC: Final = FieldSet.named("spec")


class Tracker:
    """Keeps metadata.managedFields of every object that is written."""

    def __init__(self, schemas: Schemas, clock: Clock) -> None:
        self._schemas = schemas
        self._shapes = BuiltInShapes(schemas)
        self._clock = clock

    def created(self, kind: Kind, new: Object, request: WriteRequest) -> None:
        """Notes who creates a (stored) object, with all that he sets."""
        shown = kind.view.from_stored(new) if kind.view else new
        entries = track_create(
            shown,
            shape=self._shape(kind),
            manager=request.field_manager,
            api_version=kind.api_version,
            time=self._now(),
            reset=("status",) if "status" in kind.subresources else (),
        )
        if entries:
            new["metadata"]["managedFields"] = entries

    def updated(
        self,
        kind: Kind,
        old: Mapping[str, Any],
        new: Object,
        request: WriteRequest,
        subresource: str,
    ) -> None:
        """Notes who changes a (stored) object, and what. Its managedFields are the client's when it comes in."""
        view = kind.view
        entries = track_update(
            view.from_stored(old) if view else old,
            view.from_stored(new) if view else new,
            shape=self._shape(kind),
            manager=request.field_manager,
            api_version=kind.api_version,
            time=self._now(),
            subresource=subresource,
        )
        if entries:
            new["metadata"]["managedFields"] = entries
        else:
            new["metadata"].pop("managedFields", None)

    def applied(
        self,
        kind: Kind,
        live: Mapping[str, Any] | None,
        patch: Mapping[str, Any],
        request: WriteRequest,
        subresource: str,
    ) -> Object:
        """What becomes of an object (in the kind's own form; None: it is not there) that is applied to.

        Its managedFields are final. Raises BadRequest, Conflict and UnreasonedError.
        """
        try:
            outcome = apply(
                live,
                patch,
                shape=self._shape(kind),
                manager=request.field_manager,
                api_version=kind.api_version,
                kind=kind.kind,
                time=self._now(),
                force=request.force,
                subresource=subresource,
                reset=_reset(kind, subresource),
            )
        except ApplyConflict as conflict:
            raise Conflict(conflict.message, {"causes": conflict.causes()}) from None
        except ApplyError as error:
            refusal = BadRequest if error.code == 400 else UnreasonedError
            raise refusal(error.message) from None
        obj = outcome.object
        obj["metadata"] = {**meta(obj), "managedFields": outcome.managed_fields}
        return obj

    def _shape(self, kind: Kind) -> Shape:
        if kind.custom is not None:
            return kind.custom.shape(self._shapes.of(_METADATA))
        if kind.type_name in self._schemas:
            return self._shapes.of(kind.type_name)
        return DEDUCED

    def _now(self) -> str:
        return format_time(self._clock.time())


def _reset(kind: Kind, subresource: str) -> FieldSet:
    """What an endpoint ignores, so that nobody comes to own it there."""
    if subresource == "status":
        return _SPEC
    return _STATUS if "status" in kind.subresources else NOTHING


def keep_times(old: Mapping[str, Any], new: Object) -> None:
    """Takes back entries that differ from the old ones in their times alone: that is no change."""
    live: list[Entry] = meta(old).get("managedFields") or []
    tracked: list[Entry] = meta(new).get("managedFields") or []
    if tracked is not live and tracked != live:
        kept = but_for_times(live, tracked)
        if kept == live and {**new, "metadata": {**meta(new), "managedFields": kept}} == old:
            new["metadata"]["managedFields"] = kept
