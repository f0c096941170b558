"""Evictions: how a pod is asked to go, unless a disruption budget says that there would be too few then.

Nothing here keeps the status of budgets. One that nobody has ever observed holds up nothing; one that somebody keeps is
obeyed, and an eviction takes one from what it allows in the same moment in which that is looked at.

upstream: pkg/registry/core/pod/storage/eviction.go
"""

from collections.abc import Mapping
from typing import Any, Final

from verger.apiserver.options import Query, delete_options
from verger.store.backend import Row
from verger.store.errors import BadRequest, Forbidden, TooManyRequests, UnreasonedError
from verger.store.kinds import Kinds
from verger.store.objects import Object, is_terminating, labels_of, meta, name_of, thaw, uid_of
from verger.store.refusals import check_deletion
from verger.store.registry import Registry
from verger.store.request import Answerer, Posting
from verger.store.rules import labelselectors
from verger.store.timestamps import format_time
from verger.watch.clock import Clock

_NO_QUERY: Final = Query("")
_FREE_PHASES: Final = ("Succeeded", "Failed", "Pending")
"""upstream: a pod that does not run disrupts nothing when it goes."""
_REFUSED: Final = "Cannot evict pod as it would violate the pod's disruption budget."
_TARGET: Final = "DisruptionTarget"
_CAUSE: Final = "DisruptionBudget"
_RETRY_AFTER: Final = 10
_DISRUPTED_MAX: Final = 2000
"""Evicted pods that whoever keeps the budget has not yet seen to be gone."""


class Evictions:
    """Answers evictions of pods."""

    def __init__(self, registry: Registry, kinds: Kinds, clock: Clock) -> None:
        self._registry = registry
        self._pods = kinds.core("Pod")
        self._budgets = kinds.get("policy", "v1", "PodDisruptionBudget")
        self._clock = clock

    def answerers(self) -> Mapping[tuple[str, str], Answerer]:
        """Who answers what, by resource."""
        return {("pods", "eviction"): self.evict}

    async def evict(self, posting: Posting) -> Object:
        """Deletes a pod as its eviction says. Raises BadRequest, NotFound, Conflict, Forbidden, TooManyRequests."""
        if name_of(posting.obj) != posting.name:
            raise BadRequest("name in URL does not match name in Eviction object")
        namespace, name, request = posting.namespace, posting.name, posting.request
        options, dry_run = delete_options(_NO_QUERY, posting.obj.get("deleteOptions") or {})
        request.dry_run = request.dry_run or dry_run
        row = self._registry.get(self._pods, namespace, name)
        check_deletion(self._pods, row.object, row.revision, options)
        if not _is_free(row.object):
            await self._ask_budget(posting, row.object)
        # The pod that was judged is the one that goes, whatever has its name by then.
        only = options._replace(uid=uid_of(row.object), revision="")
        await self._registry.patch(
            self._pods, namespace, name, self._marked, request, subresource="status"
        )
        await self._registry.delete(self._pods, namespace, name, only, request)
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "code": 201,
        }

    def _marked(self, pod: Mapping[str, Any] | None) -> Object:
        """The pod, which now says why it goes."""
        new = thaw(pod or {})
        status = new.setdefault("status", {})
        kept = [each for each in status.get("conditions") or () if each["type"] != _TARGET]
        status["conditions"] = [
            *kept,
            {
                "type": _TARGET,
                "status": "True",
                "lastProbeTime": None,
                "lastTransitionTime": format_time(self._clock.time()),
                "reason": "EvictionByEvictionAPI",
                "message": "Eviction API: evicting",
            },
        ]
        return new

    # Budgets

    async def _ask_budget(self, posting: Posting, pod: Mapping[str, Any]) -> None:
        """Takes one from what the budget of a pod allows. Raises Forbidden and TooManyRequests."""
        if self._budgets is None:
            return
        found = self._budgets_of(posting.namespace, pod)
        if len(found) > 1:
            raise UnreasonedError(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
            )
        if not found or not _holds_up(found[0].object, pod):
            return

        def taken(budget: Mapping[str, Any] | None) -> Object:
            new = thaw(budget or {})
            status = new["status"]
            _check(new, status)
            status["disruptionsAllowed"] -= 1
            moment = format_time(self._clock.time())
            status.setdefault("disruptedPods", {})[posting.name] = moment
            return new

        name = name_of(found[0].object)
        await self._registry.patch(
            self._budgets, posting.namespace, name, taken, posting.request, subresource="status"
        )

    def _budgets_of(self, namespace: str, pod: Mapping[str, Any]) -> list[Row]:
        def selects(row: Row) -> bool:
            selector = (row.object.get("spec") or {}).get("selector")
            return labelselectors.matches(selector, labels_of(pod))

        backend = self._registry.backend
        return backend.list("poddisruptionbudgets.policy", namespace, match=selects).rows


def _is_free(pod: Mapping[str, Any]) -> bool:
    return is_terminating(pod) or (pod.get("status") or {}).get("phase") in _FREE_PHASES


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _holds_up(budget: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    """Whether the budget has a say: somebody keeps it, and the pod is one of those that it counts on."""
    spec, status = budget.get("spec") or {}, budget.get("status") or {}
    if not status.get("observedGeneration"):
        return False
    if _is_ready(pod):
        return True
    if spec.get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return False
    return not 0 < status["desiredHealthy"] <= status["currentHealthy"]


def _check(budget: Mapping[str, Any], status: Mapping[str, Any]) -> None:
    name, allowed = name_of(budget), status["disruptionsAllowed"]
    if status["observedGeneration"] < meta(budget)["generation"]:
        text = f"The disruption budget {name} is still being processed by the server."
        raise _too_many(text, retry_after=_RETRY_AFTER)
    if len(status.get("disruptedPods") or ()) > _DISRUPTED_MAX:
        resource = "poddisruptionbudget.policy"
        raise Forbidden(
            f'{resource} "{name}" is forbidden: DisruptedPods map too big - too many evictions not confirmed by PDB '
            "controller",
            {"name": name, "group": "policy", "kind": "poddisruptionbudget"},
        )
    if allowed > 0:
        return
    for condition in status.get("conditions") or ():
        told = (condition["type"], condition["status"], condition["reason"])
        if told == ("DisruptionAllowed", "False", "SyncFailed"):
            raise _too_many(
                f"The disruption budget {name} does not allow evicting pods currently because it failed sync: "
                f"{condition['message']}"
            )
    raise _too_many(
        f"The disruption budget {name} needs {status['desiredHealthy']} healthy pods and has "
        f"{status['currentHealthy']} currently"
    )


def _too_many(text: str, *, retry_after: int | None = None) -> TooManyRequests:
    cause = {"reason": _CAUSE, "message": text}
    return TooManyRequests(_REFUSED, {"causes": [cause]}, retry_after=retry_after)
