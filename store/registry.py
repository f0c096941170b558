"""The API's write rules, in this process: default, admit, validate, compare revisions, finalize, commit.

Every write is a loop over one step: read the stored row, work out the new object from it, let admission see it,
validate it, and commit against the revision that was read. Admission may wait; the commit that follows the last wait
is one plain call, so a row that changed meanwhile is noticed and the step is run again.

upstream: apiserver/pkg/registry/generic/registry/store.go, apiserver/pkg/registry/rest
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from verger.store import metadata
from verger.store.admission import Chain, NamespaceLifecycle
from verger.store.backend import Backend, Mismatch, Row
from verger.store.deletion import deletion
from verger.store.errors import (
    AlreadyExists,
    BadRequest,
    Conflict,
    Invalid,
    NotFound,
    UnreasonedError,
)
from verger.store.invalid import invalid
from verger.store.kinds import Kind
from verger.store.objects import (
    Object,
    finalizers_of,
    generate_name,
    is_terminating,
    key_of,
    meta,
    new_meta,
    ordered_meta,
    uid_of,
    with_type,
)
from verger.store.reading import ListResult, Reader, Subscription
from verger.store.refusals import (
    cannot,
    check_deletion,
    check_uid,
    details_of,
    modified,
    not_found,
    parse_update_revision,
)
from verger.store.request import (
    Attributes,
    DeleteOptions,
    ListOptions,
    WatchOptions,
    WriteRequest,
)
from verger.store.timestamps import format_time
from verger.store.tracking import Tracker, keep_times
from verger.watch.clock import Clock

GENERATE_ATTEMPTS: Final = 8
DELETES_AT_A_TIME: Final = 64
_OWNERS_TWICE: Final = ".metadata.ownerReferences contains duplicate entries{}; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}"
CONFLICT_ATTEMPTS: Final = 5
"""How often a write without a precondition is worked out anew when others are faster."""

_OTHER_NAMESPACE: Final = (
    "the namespace of the provided object does not match the namespace sent on the request"
)

Change = Callable[[Mapping[str, Any] | None], Object]
"""Works out the object that is wanted from the one that is there (in the kind's own form). Pure: it may run again.

Only an apply is asked what it wants when there is none.
"""


class Registry:
    """Reads and writes objects of all kinds."""

    def __init__(
        self,
        backend: Backend,
        clock: Clock,
        *,
        admission: Chain | None = None,
        tracker: Tracker | None = None,
        may_create: Callable[[Attributes], None] | None = None,
    ) -> None:
        """Without a tracker nobody owns fields.

        `may_create` is asked before an update or an apply creates its object; it raises Forbidden.
        """
        self.backend = backend
        self._clock = clock
        self._reader = Reader(backend)
        self._admission = admission or Chain()
        self._tracker = tracker
        self._may_create = may_create
        self._lifecycle = NamespaceLifecycle(backend)

    # Reads

    def get(self, kind: Kind, namespace: str, name: str) -> Row:
        """The newest version of an object. Raises NotFound."""
        row = self.backend.get(kind.storage.resource, key_of(namespace, name))
        if row is None:
            raise not_found(kind, name)
        return row

    async def get_at_least(self, kind: Kind, namespace: str, name: str, revision: int) -> Row:
        """An object no older than a revision. Raises NotFound, Timeout."""
        await self._reader.reach(revision)
        return self.get(kind, namespace, name)

    async def list(self, kind: Kind, namespace: str, options: ListOptions) -> ListResult:
        """One page of a list. Raises BadRequest, Gone, Timeout."""
        return await self._reader.list(kind, namespace, options)

    async def watch(
        self,
        kind: Kind,
        namespace: str,
        options: WatchOptions,
        *,
        relevant: Callable[[Mapping[str, Any]], bool] | None = None,
    ) -> Subscription:
        """Opens a watch; changes of objects of which neither side is `relevant` are left out. Raises BadRequest, Timeout."""
        return await self._reader.watch(kind, namespace, options, relevant=relevant)

    # Create

    async def create(self, kind: Kind, namespace: str, obj: Object, request: WriteRequest) -> Row:
        """Stores a new object and returns its row. `obj` is the registry's own from now on.

        Raises BadRequest, NotFound (of the namespace), AlreadyExists, Forbidden, Invalid, TooLarge.
        """
        _drop_repeated_owners(obj, request)
        given = meta(obj)
        self._check_new(given, namespace)
        base = given.get("generateName") or ""
        attempts = GENERATE_ATTEMPTS if base and not given.get("name") else 1
        for attempt in range(attempts):
            name = given.get("name") or (generate_name(base) if base else "")
            try:
                return await self._create_named(kind, namespace, name, obj, request)
            except AlreadyExists as taken:
                if attempts > 1 and attempt == attempts - 1:
                    raise AlreadyExists(
                        f'{kind.resource} "{name}" already exists, the server was not able to generate a unique name '
                        "for the object",
                        taken.details,
                        retry_after=1,
                    ) from None
                if attempts == 1:
                    raise
        raise AssertionError("the last attempt returns or raises")

    @staticmethod
    def _check_new(given: Mapping[str, Any], namespace: str) -> None:
        if (stated := given.get("namespace")) and stated != namespace:
            raise BadRequest(_OTHER_NAMESPACE)
        if parse_update_revision(given.get("resourceVersion") or ""):
            raise UnreasonedError("resourceVersion should not be set on objects to be created")

    async def _create_named(
        self, kind: Kind, namespace: str, name: str, obj: Object, request: WriteRequest
    ) -> Row:
        stored = kind.storage
        given = meta(obj)
        # upstream: admission runs before a name is made up
        known = given.get("name") or given.get("generateName") or "Unknown"
        attributes = Attributes(request.user, "create", kind, namespace, known)
        if request.verb != "create" and self._may_create is not None:
            self._may_create(attributes)
        self._lifecycle.check_create(attributes)
        new = with_type(
            stored.api_version, stored.kind, kind.view.to_stored(obj) if kind.view else obj
        )
        new["metadata"] = new_meta(
            given, name=name, namespace=namespace, created=format_time(self._clock.time())
        )
        kind.rules.default(new)
        if request.verb == "apply":
            if owners := given.get("managedFields"):
                new["metadata"]["managedFields"] = owners
        elif self._tracker is not None:
            self._tracker.created(kind, new, request)
        plugins = self._admission.plan(attributes)
        for plugin in plugins:
            await plugin.admit(attributes, new, None, request)
        kind.rules.prepare_create(new)
        errors = kind.rules.validate_create(new, namespaced=kind.namespaced)
        if errors:
            raise Invalid.of(stored.kind, stored.group, name, errors)
        for plugin in plugins:
            await plugin.validate(attributes, new, None, request)
        request.warnings += kind.rules.warnings(new, None)
        if plugins:
            # They may have waited. From here to the commit nothing does.
            self._lifecycle.check_create(attributes)
        key = key_of(namespace, name)
        if request.dry_run:
            self._refuse_existing(kind, name, self.backend.get(stored.resource, key))
            del new["metadata"]["resourceVersion"]
            return Row(key, namespace, new, revision=0, older=None)
        try:
            return self.backend.put(stored.resource, key, new, expected=0)
        except Mismatch as mismatch:
            self._refuse_existing(kind, name, mismatch.row)
            raise

    @staticmethod
    def _refuse_existing(kind: Kind, name: str, row: Row | None) -> None:
        if row is not None:
            prefix = "object is being deleted: " if is_terminating(row.object) else ""
            raise AlreadyExists(
                f'{prefix}{kind.resource} "{name}" already exists', details_of(kind, name)
            )

    def check_posting(
        self, kind: Kind, namespace: str, name: str, obj: Object, request: WriteRequest
    ) -> None:
        """Whether something that is only answered may be asked in that namespace. Raises BadRequest, NotFound, Forbidden."""
        stated = meta(obj).get("namespace")
        if stated and stated != namespace:
            raise BadRequest(_OTHER_NAMESPACE)
        self._lifecycle.check_create(Attributes(request.user, "create", kind, namespace, name))

    # Update

    async def update(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        obj: Object,
        request: WriteRequest,
        *,
        subresource: str = "",
    ) -> tuple[Row, bool]:
        """Replaces an object, or a part of it; returns the row and whether it was created.

        `obj` is the registry's own from now on. Raises BadRequest, NotFound, Conflict, Invalid, TooLarge.
        """
        _drop_repeated_owners(obj, request)
        given = meta(obj)
        stated = given.get("name") or ""
        if stated and stated != name:
            raise BadRequest(
                f"the name of the object ({stated}) does not match the name on the URL ({name})"
            )
        if (stated := given.get("namespace") or "") and stated != namespace:
            raise BadRequest(_OTHER_NAMESPACE)
        stored = kind.storage
        revision = parse_update_revision(given.get("resourceVersion") or "")
        uid = given.get("uid") or ""
        key = key_of(namespace, name)
        row = self.backend.get(stored.resource, key)
        check_uid(kind, key, uid, row.object if row is not None else None)
        if row is None:
            if not kind.rules.create_on_update or subresource:
                raise not_found(kind, name)
            obj["metadata"] = {**given, "name": name, "resourceVersion": ""}
            return await self.create(kind, namespace, obj, request), True
        if not revision and not kind.rules.unconditional_update:
            error = invalid("metadata.resourceVersion", 0, "must be specified for an update")
            # upstream names the resource here where it names the kind elsewhere
            raise Invalid.of(kind.plural, kind.group, name, [error])

        def replace(_: Mapping[str, Any] | None) -> Object:
            return obj

        return await self._modify(
            kind, namespace, name, replace, request, subresource=subresource, uid=uid
        ), False

    async def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        change: Change,
        request: WriteRequest,
        *,
        subresource: str = "",
    ) -> tuple[Row, bool]:
        """Changes an object by a function of its current state; returns the row and whether it was created (by an apply).

        Raises NotFound, Conflict, Invalid, and what `change` raises.
        """
        if request.verb == "apply" and not subresource:
            for _ in range(CONFLICT_ATTEMPTS):
                if self.backend.get(kind.storage.resource, key_of(namespace, name)) is not None:
                    break
                wanted = change(None)
                self._check_applied(kind, wanted, name)
                wanted["metadata"]["resourceVersion"] = ""  # no obstacle when nothing is stored
                try:
                    return await self.create(kind, namespace, wanted, request), True
                except AlreadyExists:
                    continue  # somebody was faster: it is a change now
        return await self._modify(
            kind, namespace, name, change, request, subresource=subresource, patch=True
        ), False

    @staticmethod
    def _check_applied(kind: Kind, wanted: Mapping[str, Any], name: str) -> None:
        given = meta(wanted)
        if uid := given.get("uid"):
            raise Conflict(
                f"{cannot(kind.resource, name)}: uid mismatch: the provided object specified uid {uid}, and no existing "
                "object was found",
                details_of(kind, name),
            )
        stated = given.get("name")
        if not stated:
            raise BadRequest(
                f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
            )
        if stated != name:
            raise BadRequest(
                f"the name of the object ({stated}) does not match the name on the URL ({name})"
            )

    async def _modify(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        change: Change,
        request: WriteRequest,
        *,
        subresource: str,
        uid: str = "",
        patch: bool = False,
    ) -> Row:
        attributes = Attributes(
            request.user, "patch" if patch else "update", kind, namespace, name, subresource
        )
        view = kind.view
        for attempt in range(CONFLICT_ATTEMPTS):
            row = self.get(kind, namespace, name)
            old = row.object
            check_uid(kind, row.key, uid, old)
            wanted = change(view.from_stored(old) if view else old)
            if patch:
                _drop_repeated_owners(wanted, request, " after mutating admission happens")
            self._check_names(meta(wanted), namespace, name)
            revision = parse_update_revision(meta(wanted).get("resourceVersion") or "")
            if revision and revision != row.revision:
                raise modified(kind, name)
            new = self._merge_update(kind, old, wanted, request, subresource)
            plugins = self._admission.plan(attributes)
            for plugin in plugins:
                await plugin.admit(attributes, new, old, request)
            self._validate_update(kind, name, new, old, subresource)
            for plugin in plugins:
                await plugin.validate(attributes, new, old, request)
            request.warnings += kind.rules.warnings(new, old)
            try:
                return self._commit_update(kind, row, new, request)
            except Mismatch:
                # With a precondition the next attempt finds the revision moved and says so.
                if attempt == CONFLICT_ATTEMPTS - 1:
                    raise modified(kind, name) from None
        raise AssertionError("the last attempt returns or raises")

    @staticmethod
    def _check_names(given: Mapping[str, Any], namespace: str, name: str) -> None:
        if (stated := given.get("name") or name) != name:
            raise BadRequest(
                f"the name of the object ({stated}) does not match the name on the URL ({name})"
            )
        if (given.get("namespace") or namespace) != namespace:
            raise BadRequest(_OTHER_NAMESPACE)

    def _merge_update(
        self,
        kind: Kind,
        old: Mapping[str, Any],
        wanted: Object,
        request: WriteRequest,
        subresource: str,
    ) -> Object:
        """The new object: what the client may write from `wanted`, what the server keeps from `old`."""
        stored = kind.storage
        before, given = meta(old), meta(wanted)
        new = with_type(
            stored.api_version, stored.kind, kind.view.to_stored(wanted) if kind.view else wanted
        )
        new["metadata"] = ordered_meta(
            {
                **before,
                "generateName": given.get("generateName") or before.get("generateName"),
                "uid": given.get("uid") or before["uid"],
                "labels": given.get("labels"),
                "annotations": given.get("annotations"),
                "ownerReferences": given.get("ownerReferences"),
                "finalizers": given.get("finalizers"),
            }
        )
        kind.rules.default(new)
        kind.rules.prepare_update(new, old, subresource)
        managed = given.get("managedFields")
        if managed is not None:
            new["metadata"]["managedFields"] = managed
        if self._tracker is not None and request.verb != "apply":
            self._tracker.updated(kind, old, new, request, subresource)
        elif not managed:
            new["metadata"].pop("managedFields", None)
        return new

    @staticmethod
    def _validate_update(
        kind: Kind, name: str, new: Object, old: Mapping[str, Any], subresource: str
    ) -> None:
        rules = kind.rules
        before, after = meta(old), meta(new)
        # The common rules are applied by the generic code and once more by each kind, and clients see both.
        common = metadata.validate(
            after,
            namespaced=kind.namespaced,
            name_rule=_any_name,
            plain_finalizers=rules.plain_finalizers,
        ) + metadata.validate_update(after, before)
        own = rules.validate_update(new, old, subresource)
        whole = rules.validates_whole_on_update(subresource)
        if whole:
            own += rules.validate(new)
        if common:
            again = metadata.validate_update(after, before)
            if whole:
                again += metadata.validate(
                    after,
                    namespaced=kind.namespaced,
                    name_rule=rules.name_rule,
                    plain_finalizers=rules.plain_finalizers,
                )
            own = again + own
        if common or own:
            stored = kind.storage
            raise Invalid.of(stored.kind, stored.group, name, common + own)

    def _commit_update(self, kind: Kind, row: Row, new: Object, request: WriteRequest) -> Row:
        """Commits, in one step: nothing when nothing changed, a removal when nothing holds the object any more."""
        new["metadata"]["resourceVersion"] = str(row.revision)
        keep_times(row.object, new)
        if new == row.object:
            return row
        resource = kind.storage.resource
        finished = (
            is_terminating(new)
            and not finalizers_of(new)
            and not kind.rules.held(new)
            and not meta(new).get("deletionGracePeriodSeconds")
        )
        if finished:
            if not request.dry_run:
                self.backend.remove(resource, row.key, expected=row.revision)
            # upstream answers with what was asked for, at the old revision
            return Row(row.key, row.namespace, new, revision=row.revision, older=None)
        if request.dry_run:
            return Row(row.key, row.namespace, new, revision=row.revision, older=None)
        return self.backend.put(resource, row.key, new, expected=row.revision)

    # Delete

    async def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        options: DeleteOptions,
        request: WriteRequest,
    ) -> tuple[Row, bool]:
        """Deletes an object; returns its last row, and whether it is gone (or waits for whoever holds it).

        Raises NotFound, Conflict, Forbidden.
        """
        attributes = Attributes(request.user, "delete", kind, namespace, name)
        self._lifecycle.check_delete(attributes)
        plugins = self._admission.plan(attributes)
        while True:
            row = self.get(kind, namespace, name)
            check_deletion(kind, row.object, row.revision, options)
            for plugin in plugins:
                await plugin.validate(attributes, row.object, row.object, request)
            try:
                return self._commit_delete(kind, row, options, request)
            except Mismatch:
                continue

    def _commit_delete(
        self, kind: Kind, row: Row, options: DeleteOptions, request: WriteRequest
    ) -> tuple[Row, bool]:
        new, gone = deletion(kind.rules, row.object, options, self._clock.time())
        resource = kind.storage.resource
        if new is None:
            if not gone or request.dry_run:
                return row, gone
            return self.backend.remove(resource, row.key, expected=row.revision), True
        if request.dry_run:
            return Row(row.key, row.namespace, new, revision=row.revision, older=None), gone
        marked = self.backend.put(resource, row.key, new, expected=row.revision)
        if not gone:
            return marked, False
        # Whoever would have been given time to end the object sees that there is none before it goes.
        return self.backend.remove(resource, row.key, expected=marked.revision), True

    async def delete_collection(
        self,
        kind: Kind,
        namespace: str,
        selection: ListOptions,
        options: DeleteOptions,
        request: WriteRequest,
    ) -> ListResult:
        """Deletes what a list shows, one by one, each as the very object that was listed; returns the list.

        What has gone meanwhile is passed over. Raises what `list` and `delete` raise.
        """
        found = await self.list(kind, namespace, selection)
        deleted = []
        for done, row in enumerate(found.rows, 1):
            if done % DELETES_AT_A_TIME == 0:
                await asyncio.sleep(0)  # others have work too
            only = DeleteOptions(
                options.grace_seconds,
                options.uid or uid_of(row.object),
                options.revision,
                options.propagation,
            )
            try:
                await self.delete(kind, row.namespace, meta(row.object)["name"], only, request)
            except NotFound:
                continue
            except Conflict:
                if options.uid or options.revision:
                    raise
                continue  # another object of that name has taken its place
            deleted.append(row)
        return found._replace(rows=deleted)


def _drop_repeated_owners(obj: Object, request: WriteRequest, when: str = "") -> None:
    """Owners are named once; the client hears of it. upstream: rest.go, dedupOwnerReferencesAndAddWarning"""
    owners = meta(obj).get("ownerReferences")
    if not owners or len(owners) == 1:
        return
    kept, repeated = metadata.distinct_owners(owners)
    if repeated:
        obj["metadata"] = {**obj["metadata"], "ownerReferences": kept}
        request.warnings.append(_OWNERS_TWICE.format(when, ", ".join(repeated)))


def _any_name(_: str) -> list[str]:
    # The name of a stored object was judged when it was created.
    return []
