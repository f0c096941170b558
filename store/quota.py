"""Quotas hold: nothing is stored that would exceed what a quota of its namespace allows.

What is admitted is charged to the status of the quota at once, in one step with the check and with the commit that
follows: two writes at the same time never exceed it. What is freed, and what was charged in vain, is found by the
controller that counts anew.

upstream: apiserver/pkg/admission/plugin/resourcequota/controller.go
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from verger.store.backend import Backend, Row
from verger.store.errors import Forbidden
from verger.store.invalid import quote
from verger.store.objects import Object, key_of, meta, name_of
from verger.store.quantity import added, amount, subtracted
from verger.store.refusals import details_of
from verger.store.request import Attributes, WriteRequest
from verger.store.usage import CHANGING, Usage, bounded, selects, unspecified, usage
from verger.watch.clock import Clock

QUOTAS: Final = "resourcequotas"
_PARTS: Final = ("", "resize")
"""Parts of an object by which it may come to use more."""


class QuotaAdmission:
    """The plugin. It must be the last one: nothing may wait between its check and the commit."""

    def __init__(self, backend: Backend, clock: Clock) -> None:
        self._backend = backend
        self._clock = clock

    def handles(self, attributes: Attributes) -> bool:
        """Writes in namespaces that have quotas."""
        kind = attributes.kind
        return (
            kind is not None
            and bool(attributes.namespace)
            and bool(self._backend.count(QUOTAS, attributes.namespace))
            and attributes.subresource in _PARTS
            and (attributes.verb == "create" or kind.plural in CHANGING)
            and attributes.verb != "delete"
        )

    async def admit(
        self,
        attributes: Attributes,
        obj: Object,
        old: Mapping[str, Any] | None,
        request: WriteRequest,
    ) -> None:
        """Changes nothing."""

    async def validate(
        self,
        attributes: Attributes,
        obj: Mapping[str, Any],
        old: Mapping[str, Any] | None,
        request: WriteRequest,
    ) -> None:
        """Raises Forbidden for what no quota has room for."""
        kind, namespace = attributes.kind, attributes.namespace
        assert kind is not None  # noqa: S101 - see `handles`
        if old is None and self._backend.get(
            kind.storage.resource, key_of(namespace, name_of(obj))
        ):
            return  # refused by the commit, and nothing may be charged for it
        now = self._clock.time()
        used = usage(kind, obj, now)
        if old is not None:
            before = usage(kind, old, now)
            used = {name: _more(value, before.get(name, "0")) for name, value in used.items()}
        charged: list[tuple[Row, Usage]] = []
        for row in self._backend.list(QUOTAS, namespace).rows:
            status = row.object.get("status") or {}
            hard = status.get("hard") or {}
            names = bounded(kind, hard)
            if not names or not selects(kind, row.object["spec"], obj):
                continue
            if missing := unspecified(kind, obj, names) if old is None else "":
                raise _refused(
                    attributes, f"failed quota: {name_of(row.object)}: must specify {missing}"
                )
            known = status.get("used") or {}
            if not all(name in known for name in names):
                listed = ",".join(sorted(names))
                raise _refused(
                    attributes,
                    f"status unknown for quota: {name_of(row.object)}, resources: {listed}",
                )
            asked = {name: used[name] for name in names if amount(used.get(name, "0")) != 0}
            sums = {name: added(known[name], value) for name, value in asked.items()}
            exceeded = [name for name in sorted(asked) if amount(sums[name]) > amount(hard[name])]
            if exceeded:
                raise _refused(
                    attributes,
                    f"exceeded quota: {name_of(row.object)}, requested: {_shown(asked, exceeded)}, used: "
                    f"{_shown(known, exceeded)}, limited: {_shown(hard, exceeded)}",
                )
            if sums:
                charged.append((row, {**known, **sums}))
        if not request.dry_run:
            for row, total in charged:
                self._charge(row, total)

    def _charge(self, row: Row, used: Usage) -> None:
        new = dict(row.object)
        new["metadata"] = {**meta(row.object)}
        new["status"] = {**row.object["status"], "used": used}
        self._backend.put(QUOTAS, row.key, new, expected=row.revision)


def _more(value: str, before: str) -> str:
    """What is used beyond what was used before."""
    difference = subtracted(value, before)
    return difference if amount(difference) > 0 else "0"


def _shown(amounts: Mapping[str, str], names: Iterable[str]) -> str:
    return ",".join(f"{name}={amounts[name]}" for name in names)


def _refused(attributes: Attributes, why: str) -> Forbidden:
    kind, name = attributes.kind, attributes.name
    assert kind is not None  # noqa: S101 - see `handles`
    return Forbidden(f"{kind.resource} {quote(name)} is forbidden: {why}", details_of(kind, name))
