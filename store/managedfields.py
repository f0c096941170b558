"""The entries of metadata.managedFields: who has set which fields of an object, how, and when.

An entry is known by its manager, operation, version and subresource; an applier by less, since it is the same one in
whatever version it applies. Entries are kept in upstream's order: appliers first, then by time, then by name.

What must stay true: no entry is without fields, there are no two with the same identity, and an entry that nothing
happens to is handed on as it came. Entries are shared with the objects that they come from and never changed.

upstream: apimachinery/pkg/util/managedfields/internal
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from verger.store.fieldsets import FieldSet, FieldSetError

Operation = Literal["Apply", "Update"]
Entry = dict[str, Any]

MAX_UPDATERS: Final = 10
"""Entries of updates that an object may have. upstream: DefaultMaxUpdateManagers"""
ANCIENT: Final = "ancient-changes"
"""The manager that takes over from the oldest when there are more."""


class Identity(NamedTuple):
    """What tells managers of one object apart."""

    manager: str
    operation: Operation
    api_version: str
    """Of an applier: nothing."""
    subresource: str


class Owner(NamedTuple):
    """What one manager owns."""

    identity: Identity
    api_version: str
    """The version in which its paths are to be read."""
    time: str
    """When it last set a field, or nothing."""
    fields: FieldSet
    entry: Entry | None = None
    """What it was read from, as long as it still says the same."""

    def owning(self, fields: FieldSet) -> "Owner":
        """The same manager, at the same time, with other fields."""
        return self if fields is self.fields else self._replace(fields=fields, entry=None)


Owners = dict[Identity, Owner]


def identify(manager: str, operation: Operation, api_version: str, subresource: str) -> Identity:
    """The identity of a manager."""
    return Identity(manager, operation, api_version if operation == "Update" else "", subresource)


def read(entries: Iterable[Entry] | None) -> Owners:
    """The owners in entries that the server has written."""
    owners: Owners = {}
    for entry in entries or ():
        owner = _owner(entry, FieldSet(entry["fieldsV1"]))
        owners[owner.identity] = owner
    return owners


def read_foreign(entries: Any) -> Owners:
    """The owners in entries that a client has written. Raises FieldSetError when one is not well formed."""
    owners: Owners = {}
    if not isinstance(entries, list):
        raise FieldSetError("managedFields must be a list")
    for at, entry in enumerate(entries):
        if not isinstance(entry, Mapping) or entry.get("operation") not in ("Apply", "Update"):
            raise FieldSetError("operation must be `Apply` or `Update`")
        if not entry.get("apiVersion"):
            raise FieldSetError("apiVersion must not be empty")
        if not entry.get("fieldsType"):
            raise FieldSetError(f"missing fieldsType in managed fields entry {at}")
        if entry["fieldsType"] != "FieldsV1":
            raise FieldSetError(
                f'invalid fieldsType "{entry["fieldsType"]}" in managed fields entry {at}'
            )
        owner = _owner(entry, FieldSet.parse(entry.get("fieldsV1")))._replace(entry=None)
        if owner.fields:
            owners[owner.identity] = owner
    return owners


def _owner(entry: Mapping[str, Any], fields: FieldSet) -> Owner:
    version = entry["apiVersion"]
    operation = entry["operation"]
    return Owner(
        Identity(
            entry.get("manager", ""),
            operation,
            version if operation == "Update" else "",
            entry.get("subresource", ""),
        ),
        version,
        entry.get("time") or "",
        fields,
        dict(entry) if entry.__class__ is not dict else entry,
    )


def is_reset(entries: Any) -> bool:
    """Whether a client asks to forget who owns what: by no entries, or by a single one that says nothing."""
    if not isinstance(entries, list) or len(entries) > 1:
        return False
    return not entries or (isinstance(entries[0], Mapping) and not any(entries[0].values()))


def write(owners: Owners) -> list[Entry]:
    """The entries, in upstream's order."""
    return [
        owner.entry or _entry(owner)
        for owner in sorted(
            owners.values(),
            key=lambda owner: (
                owner.identity.operation,
                owner.time,
                owner.identity.manager,
                owner.api_version,
                owner.identity.subresource,
            ),
        )
    ]


def _entry(owner: Owner) -> Entry:
    manager, operation, _, subresource = owner.identity
    fields = owner.fields.written()
    entry = new_entry(manager, operation, owner.api_version, owner.time, fields)
    if subresource:
        entry["subresource"] = subresource
    return entry


def new_entry(
    manager: str, operation: Operation, api_version: str, time: str, fields: Mapping[str, Any]
) -> Entry:
    """An entry of the main resource; `fields` as they are to be written."""
    entry: Entry = {"manager": manager, "operation": operation, "apiVersion": api_version}
    if time:
        entry["time"] = time
    entry["fieldsType"] = "FieldsV1"
    entry["fieldsV1"] = fields
    return entry


def capped(owners: Owners) -> Owners:
    """The owners, the oldest updaters of each version merged until there are few enough."""
    updaters = [owner for owner in owners.values() if owner.identity.operation == "Update"]
    surplus = len(updaters) - MAX_UPDATERS
    if surplus <= 0:
        return owners
    out = dict(owners)
    oldest: dict[str, Identity] = {}
    for owner in sorted(updaters, key=lambda owner: (owner.time, owner.identity)):
        if surplus <= 0:
            break
        version = owner.api_version
        bucket = identify(ANCIENT, "Update", version, "")
        first = oldest.setdefault(version, owner.identity)
        if owner.identity in (first, bucket) or owner.identity not in out:
            continue
        fields = owner.fields
        for identity in (first, bucket):
            if older := out.pop(identity, None):
                fields |= older.fields
        del out[owner.identity]
        # It gets the time of the newest that it takes over from.
        out[bucket] = Owner(bucket, version, owner.time, fields)
        oldest[version] = bucket
        surplus = sum(o.identity.operation == "Update" for o in out.values()) - MAX_UPDATERS
    return out


def but_for_times(live: Sequence[Entry], tracked: list[Entry]) -> list[Entry]:
    """The live entries when the tracked ones differ from them in their times alone, else the tracked ones.

    For a write that changes nothing else: times alone are no change. upstream: IgnoreManagedFieldsTimestampsTransformer
    """
    if len(live) == len(tracked) and all(
        {**entry, "time": ""} == {**other, "time": ""}
        for entry, other in zip(live, tracked, strict=True)
    ):
        return list(live)
    return tracked
