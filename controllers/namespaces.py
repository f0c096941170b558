"""A namespace that was deleted is emptied, pods first, and then let go.

What is left and why stands in five conditions of its status, so that a namespace that is stuck says what holds it.

upstream: pkg/controller/namespace/deletion/namespaced_resources_deleter.go
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from verger.controllers.reconcile import DONE, Enqueue, Object, Result, Subscriber
from verger.controllers.recorder import Recorder
from verger.store.client import Client, PartialDiscovery
from verger.store.errors import ApiError, Conflict, MethodNotAllowed, NotFound
from verger.store.kinds import Kind, Kinds
from verger.store.objects import (
    finalizers_of,
    is_terminating,
    name_of,
    namespace_of,
    thaw,
    uid_of,
)
from verger.store.rules.identity import NAMESPACE_FINALIZER
from verger.store.timestamps import format_time, parse
from verger.watch.cache import Cache, Change
from verger.watch.clock import Clock

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

FINALIZER_ESTIMATE: Final = 15
"""Seconds that content with finalizers is expected to stay. upstream: finalizerEstimateSeconds"""
_CONFLICT_ATTEMPTS: Final = 10


class Remaining(NamedTuple):
    """What one kind still has in the namespace."""

    resource: str
    """`<plural>.<group>`; the core group leaves a trailing dot, as upstream shows it."""
    instances: int
    finalizers: Mapping[str, int]


class Outcome(NamedTuple):
    """What a pass over the content came to."""

    remaining: Sequence[Remaining]
    discovery_error: str
    errors: Sequence[str]
    estimate: int
    """Seconds until another look is worth it, 0 when there is nothing to wait for."""


@dataclass(slots=True)
class Namespaces:
    """Keys are names of namespaces. `grace` seconds pass between a change of a terminating namespace and our work on it.

    upstream waits 5 s, because other API servers may not have heard of the deletion and still let content in. Where
    there is one server, which refuses new content from the moment of the deletion on, a moment is enough: time for a
    client to see the namespace as it left it. `recheck_max` bounds how long stuck content is left alone.
    """

    client: Client
    kinds: Kinds
    recorder: Recorder
    log: "FilteringBoundLogger"
    clock: Clock
    grace: float = 5.0
    recheck_max: float = 8.0
    name: str = "namespace-controller"
    workers: int = 10
    backoff_cap: float = 60.0
    _cached: Cache[Object] = field(default_factory=Cache, init=False)

    def subscribe(self, subscriber: Subscriber, enqueue: Enqueue[str]) -> None:
        """Namespaces that have been deleted."""

        def changed(change: Change[Object]) -> None:
            if change.new is not None and is_terminating(change.new):
                enqueue(change.key, self.grace)

        self._cached = subscriber.follow(self.kinds.core("Namespace"), changed)

    async def reconcile(self, key: str) -> Result:
        """One pass: mark, empty, tell, and finalize when nothing is left."""
        kind = self.kinds.core("Namespace")
        try:
            namespace = await self.client.get(kind, key)
        except NotFound:
            return DONE
        if not is_terminating(namespace):
            return DONE
        if (namespace.get("status") or {}).get("phase") != "Terminating":
            namespace = await self._update_status(namespace, {"phase": "Terminating"})
        if not (namespace.get("spec") or {}).get("finalizers"):
            return DONE
        outcome = await self._empty(namespace)
        namespace = await self._tell(namespace, outcome)
        if outcome.errors:
            raise RemainingContent(key, "; ".join(outcome.errors))
        if outcome.estimate:
            # upstream: half the estimate and a second
            return Result(after=min(outcome.estimate // 2 + 1, self.recheck_max))
        await self._finalize(namespace)
        return DONE

    # Content

    async def _empty(self, namespace: Object) -> Outcome:
        name = name_of(namespace)
        errors: list[str] = []
        discovery_error = ""
        try:
            served = await self.client.kinds()
        except ApiError as error:
            # What is known is emptied all the same; the namespace waits for the rest.
            discovery_error = str(error)
            errors.append(discovery_error)
            served = error.kinds if isinstance(error, PartialDiscovery) else ()
        kinds = [kind for kind in served if kind.namespaced and "delete" in kind.verbs]
        pods = [kind for kind in kinds if kind.resource == "pods"]
        remaining: list[Remaining] = []
        estimate = 0
        # Pods go first and alone: what they use must be there until they are gone.
        for group in (pods, [kind for kind in kinds if kind.resource != "pods"]):
            for kind in group:
                try:
                    left, wait = await self._delete_all(kind, namespace)
                except ApiError as error:
                    errors.append(f"{kind.resource}: {error}")
                    continue
                if left is None:
                    continue
                remaining.append(left)
                estimate = max(estimate, wait)
                if not wait and not left.finalizers:
                    errors.append(
                        f"unexpected items still remain in namespace: {name} for gvr: "
                        f"{kind.group}/{kind.version}, Resource={kind.plural}"
                    )
            if remaining and group is pods:
                break
        return Outcome(remaining, discovery_error, errors, estimate)

    async def _delete_all(self, kind: Kind, namespace: Object) -> tuple[Remaining | None, int]:
        """Deletes the objects of one kind; returns what is left of them, and for how long, in seconds."""
        name = name_of(namespace)
        # Most kinds have nothing in most namespaces: one request says so, and no other one is needed.
        found = (await self.client.list(kind, name)).items
        if not found:
            return None, 0
        estimate = self._pod_grace(found, namespace) if kind.resource == "pods" else 0
        try:
            if "deletecollection" not in kind.verbs:
                raise MethodNotAllowed("")
            await self.client.delete_collection(kind, name, propagation="Background")
        except (MethodNotAllowed, NotFound):
            await self._delete_each(kind, found)
        left = (await self.client.list(kind, name)).items
        if not left:
            return None, 0
        counts: dict[str, int] = {}
        for item in left:
            for finalizer in finalizers_of(item):
                counts[finalizer] = counts.get(finalizer, 0) + 1
        if not estimate and counts:
            estimate = FINALIZER_ESTIMATE
        return Remaining(f"{kind.plural}.{kind.group}", len(left), counts), estimate

    async def _delete_each(self, kind: Kind, items: Sequence[Object]) -> None:
        for item in items:
            try:
                await self.client.delete(
                    kind,
                    name_of(item),
                    namespace_of(item),
                    uid=uid_of(item),
                    propagation="Background",
                )
            except (NotFound, Conflict, MethodNotAllowed):
                continue

    def _pod_grace(self, pods: Sequence[Object], namespace: Object) -> int:
        """Seconds that running pods may take to end, 0 when they have had them."""
        grace = max(
            (
                int((pod.get("spec") or {}).get("terminationGracePeriodSeconds") or 0)
                for pod in pods
                if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
            ),
            default=0,
        )
        elapsed = self.clock.time() - parse(namespace["metadata"]["deletionTimestamp"])
        return 0 if elapsed >= grace else grace

    # Status

    async def _tell(self, namespace: Object, outcome: Outcome) -> Object:
        """Says in the status what a pass came to; returns the namespace as it is then."""
        now = format_time(self.clock.time())
        before = list((namespace.get("status") or {}).get("conditions") or ())
        after = merge_conditions(before, conditions(outcome), now)
        if after == before:
            return namespace

        def change(obj: dict[str, Any]) -> None:
            said = list((obj.get("status") or {}).get("conditions") or ())
            obj["status"]["conditions"] = merge_conditions(said, conditions(outcome), now)

        try:
            namespace = await self._write(namespace, change, "status")
        except ApiError as error:
            self.log.debug("conditions not written", namespace=name_of(namespace), error=str(error))
        if outcome.remaining:
            await self.recorder.record(
                self.kinds.core("Namespace"),
                namespace,
                "Warning",
                "ContentRemains",
                f"the namespace waits for its content: {_contents(outcome.remaining)}",
            )
        return namespace

    async def _update_status(self, namespace: Object, status: Mapping[str, Any]) -> Object:
        def change(obj: dict[str, Any]) -> None:
            obj["status"] = {**(obj.get("status") or {}), **status}

        return await self._write(namespace, change, "status")

    async def _finalize(self, namespace: Object) -> None:
        def change(obj: dict[str, Any]) -> None:
            finalizers = set(obj["spec"].get("finalizers") or ()) - {NAMESPACE_FINALIZER}
            obj["spec"]["finalizers"] = sorted(finalizers)

        try:
            await self._write(namespace, change, "finalize")
        except NotFound:
            return
        self.log.info("finalized", namespace=name_of(namespace))

    async def _write(
        self, namespace: Object, change: Callable[[dict[str, Any]], None], subresource: str
    ) -> Object:
        """Changes one part of a namespace, as it is by now; not that of another namespace of the name."""
        kind = self.kinds.core("Namespace")
        uid = uid_of(namespace)
        live = namespace
        for _ in range(_CONFLICT_ATTEMPTS):
            try:
                wanted = thaw(live)
                change(wanted)
                return await self.client.update(kind, wanted, subresource=subresource)
            except Conflict:
                live = await self.client.get(kind, name_of(namespace))
                if uid_of(live) != uid:
                    raise NotFound(f"namespace {name_of(namespace)} has been replaced") from None
        raise Conflict(f"namespace {name_of(namespace)} keeps changing")


class RemainingContent(Exception):
    """Content could not be deleted; it is tried again."""

    def __init__(self, namespace: str, why: str) -> None:
        super().__init__(f"namespace {namespace} is not empty: {why}")


class Condition(NamedTuple):
    """One condition of a namespace's status."""

    type: str
    status: str
    reason: str
    message: str


def _contents(remaining: Sequence[Remaining]) -> str:
    return ", ".join(
        sorted(f"{item.resource} has {item.instances} resource instances" for item in remaining)
    )


def conditions(outcome: Outcome) -> list[Condition]:
    """The five conditions, in their order. upstream: status_condition_utils.go"""
    finalizers: dict[str, int] = {}
    for item in outcome.remaining:
        for name, count in item.finalizers.items():
            finalizers[name] = finalizers.get(name, 0) + count
    held = ", ".join(
        sorted(f"{name} in {count} resource instances" for name, count in finalizers.items())
    )
    failed = [error for error in outcome.errors if error != outcome.discovery_error]
    return [
        Condition(
            "NamespaceDeletionDiscoveryFailure", "True", "DiscoveryFailed", outcome.discovery_error
        )
        if outcome.discovery_error
        else Condition(
            "NamespaceDeletionDiscoveryFailure",
            "False",
            "ResourcesDiscovered",
            "All resources successfully discovered",
        ),
        Condition(
            "NamespaceDeletionGroupVersionParsingFailure",
            "False",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        Condition(
            "NamespaceDeletionContentFailure",
            "True",
            "ContentDeletionFailed",
            f"Failed to delete all resource types, {len(failed)} remaining: {', '.join(sorted(failed))}",
        )
        if failed
        else Condition(
            "NamespaceDeletionContentFailure",
            "False",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        Condition(
            "NamespaceContentRemaining",
            "True",
            "SomeResourcesRemain",
            f"Some resources are remaining: {_contents(outcome.remaining)}",
        )
        if outcome.remaining
        else Condition(
            "NamespaceContentRemaining",
            "False",
            "ContentRemoved",
            "All content successfully removed",
        ),
        Condition(
            "NamespaceFinalizersRemaining",
            "True",
            "SomeFinalizersRemain",
            f"Some content in the namespace has finalizers remaining: {held}",
        )
        if held
        else Condition(
            "NamespaceFinalizersRemaining",
            "False",
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished",
        ),
    ]


def merge_conditions(
    before: Sequence[Mapping[str, Any]], wanted: Sequence[Condition], now: str
) -> list[Mapping[str, Any]]:
    """Puts conditions in place of those of their type; others stay. The transition time moves with the status alone."""
    out = list(before)
    for condition in wanted:
        at = next((i for i, old in enumerate(out) if old.get("type") == condition.type), None)
        old = out[at] if at is not None else {}
        if (old.get("status"), old.get("reason"), old.get("message")) == condition[1:]:
            continue
        moved = old.get("status") != condition.status
        entry = {
            "type": condition.type,
            "status": condition.status,
            "lastTransitionTime": now if moved else old.get("lastTransitionTime"),
            "reason": condition.reason,
            "message": condition.message,
        }
        if at is None:
            out.append(entry)
        else:
            out[at] = entry
    return out
