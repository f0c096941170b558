"""Classes: what a pod, a claim or an Ingress gets by the class that it names, or by the one that is the default.

Looked up once, when the object is made; a class that changes later changes nothing that was made before.

upstream: plugin/pkg/admission/{priority, storage/storageclass/setdefault, network/defaultingressclass}
"""

from collections.abc import Mapping
from typing import Any, Final

from verger.store.backend import Backend
from verger.store.errors import Forbidden
from verger.store.objects import Object, annotations_of, key_of, meta, name_of
from verger.store.refusals import details_of
from verger.store.request import Attributes, WriteRequest
from verger.store.rules.pods import SYSTEM_PRIORITIES

PRIORITIES: Final = "priorityclasses.scheduling.k8s.io"
STORAGE: Final = "storageclasses.storage.k8s.io"
INGRESSES: Final = "ingressclasses.networking.k8s.io"
_DEFAULT_STORAGE: Final = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_DEFAULT_INGRESS: Final = ("ingressclass.kubernetes.io/is-default-class",)
_OLD_STORAGE: Final = "volume.beta.kubernetes.io/storage-class"
_OLD_INGRESS: Final = "kubernetes.io/ingress.class"
_CLASSED: Final = frozenset(
    ("pods", "persistentvolumeclaims", "ingresses.networking.k8s.io"),
)


class Classes:
    """The admission of what has a class."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def handles(self, attributes: Attributes) -> bool:
        """Creates."""
        kind = attributes.kind
        return attributes.verb == "create" and kind is not None and kind.resource in _CLASSED

    async def admit(
        self,
        attributes: Attributes,
        obj: Object,
        old: Mapping[str, Any] | None,
        request: WriteRequest,
    ) -> None:
        """Writes the class, or what it stands for. Raises Forbidden for one that there is not."""
        match attributes.resource:
            case "pods":
                self._set_priority(attributes, obj["spec"])
            case "persistentvolumeclaims":
                spec = obj["spec"]
                named = spec.get("storageClassName") is not None
                if not named and _OLD_STORAGE not in annotations_of(obj):
                    self._set_default(spec, "storageClassName", STORAGE, _DEFAULT_STORAGE)
            case _:
                spec = obj["spec"]
                named = spec.get("ingressClassName") is not None
                if not named and _OLD_INGRESS not in annotations_of(obj):
                    self._set_default(spec, "ingressClassName", INGRESSES, _DEFAULT_INGRESS)

    async def validate(
        self,
        attributes: Attributes,
        obj: Mapping[str, Any],
        old: Mapping[str, Any] | None,
        request: WriteRequest,
    ) -> None:
        """Everything has been said."""

    def _set_priority(self, attributes: Attributes, spec: Object) -> None:
        name = spec.get("priorityClassName") or ""
        found = self._priority(name)
        if found is None:
            if not name or name in SYSTEM_PRIORITIES:
                return  # the rules of pods know these
            raise _refused(attributes, f"no PriorityClass with name {name} was found")
        spec["priorityClassName"] = name_of(found)
        value, policy = found.get("value") or 0, found.get("preemptionPolicy")
        if spec.get("priority") not in (None, value):
            why = (
                f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
                "priority admission controller computed "
                f"{value} from the given PriorityClass name"
            )
            raise _refused(attributes, why)
        spec["priority"] = value
        if policy and spec.get("preemptionPolicy") is None:
            spec["preemptionPolicy"] = policy

    def _priority(self, name: str) -> Mapping[str, Any] | None:
        if name:
            row = self._backend.get(PRIORITIES, key_of("", name))
            return row.object if row is not None else None
        chosen = [row.object for row in self._backend.list(PRIORITIES, "").rows]
        # Two defaults are a mistake; the lower one does less harm.
        defaults = [one for one in chosen if one.get("globalDefault")]
        return min(defaults, key=lambda one: one.get("value") or 0, default=None)

    def _set_default(
        self, spec: Object, field: str, resource: str, annotations: tuple[str, ...]
    ) -> None:
        listed = [row.object for row in self._backend.list(resource, "").rows]
        defaults = [
            one
            for one in listed
            if any(annotations_of(one).get(key) == "true" for key in annotations)
        ]
        if defaults:
            # The newest one, and of those the first by its name.
            defaults.sort(key=name_of)
            newest = max(defaults, key=lambda one: str(meta(one).get("creationTimestamp") or ""))
            spec[field] = name_of(newest)


def _refused(attributes: Attributes, why: str) -> Forbidden:
    kind = attributes.kind
    assert kind is not None  # noqa: S101 - see `handles`
    return Forbidden(
        f'{kind.resource} "{attributes.name}" is forbidden: {why}',
        details_of(kind, attributes.name),
    )
