"""Limit ranges: what containers get that say nothing of a resource, and how much one object may ask for.

upstream: plugin/pkg/admission/limitranger
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from verger.store.backend import Backend
from verger.store.errors import Forbidden
from verger.store.objects import Object, annotations_of
from verger.store.quantity import amount
from verger.store.refusals import details_of
from verger.store.request import Attributes, WriteRequest
from verger.store.usage import usage
from verger.watch.clock import Clock

LIMIT_RANGES: Final = "limitranges"
ANNOTATION: Final = "kubernetes.io/limit-ranger"
"""On a pod: what was filled in."""
Json = Mapping[str, Any]
_EMPTY: Final[Json] = {}
_GROUPS: Final = (("containers", "container"), ("initContainers", "init container"))


class LimitRanges:
    """The admission of pods and claims in namespaces that have limit ranges."""

    def __init__(self, backend: Backend, clock: Clock) -> None:
        self._backend = backend
        self._clock = clock

    def handles(self, attributes: Attributes) -> bool:
        """Creates of pods, whose resources are frozen afterwards, and all writes of claims."""
        kind = attributes.kind
        return (
            kind is not None
            and not attributes.subresource
            and (
                (kind.resource == "pods" and attributes.verb == "create")
                or (
                    kind.resource == "persistentvolumeclaims"
                    and attributes.verb in ("create", "update", "patch")
                )
            )
            and bool(self._backend.count(LIMIT_RANGES, attributes.namespace))
        )

    def _items(self, namespace: str) -> Iterator[Json]:
        for row in self._backend.list(LIMIT_RANGES, namespace).rows:
            yield from (row.object.get("spec") or _EMPTY).get("limits") or ()

    async def admit(
        self,
        attributes: Attributes,
        obj: Object,
        old: Json | None,
        request: WriteRequest,
    ) -> None:
        """Fills in the requests and the limits of containers, and notes on the pod that it did."""
        if attributes.resource != "pods":
            return
        done: list[str] = []
        for item in self._items(attributes.namespace):
            if item.get("type") == "Container":
                done += _filled(obj["spec"], item)
        if done:
            noted = {ANNOTATION: f"LimitRanger plugin set: {'; '.join(done)}"}
            obj["metadata"]["annotations"] = {**annotations_of(obj), **noted}

    async def validate(
        self,
        attributes: Attributes,
        obj: Json,
        old: Json | None,
        request: WriteRequest,
    ) -> None:
        """Raises Forbidden for what asks for too much or too little."""
        kind = attributes.kind
        assert kind is not None  # noqa: S101 - see `handles`
        errors: list[str] = []
        for item in self._items(attributes.namespace):
            sort = str(item.get("type") or "")
            for requests, limits in self._asked(attributes, obj, sort):
                errors += _judged(item, sort, requests, limits)
        if errors:
            text = errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]"
            raise Forbidden(
                f'{kind.resource} "{attributes.name}" is forbidden: {text}',
                details_of(kind, attributes.name),
            )

    def _asked(
        self, attributes: Attributes, obj: Json, sort: str
    ) -> Iterator[tuple[Json, Json | None]]:
        """The requests and the limits that a sort of limit is about; claims have no limits."""
        spec, kind = obj["spec"], attributes.kind
        assert kind is not None  # noqa: S101 - see `handles`
        match kind.resource, sort:
            case "persistentvolumeclaims", "PersistentVolumeClaim":
                yield (spec.get("resources") or _EMPTY).get("requests") or _EMPTY, None
            case "pods", "Container":
                for group, _ in _GROUPS:
                    for container in spec.get(group) or ():
                        resources = container.get("resources") or _EMPTY
                        yield resources.get("requests") or _EMPTY, resources.get("limits") or _EMPTY
            case "pods", "Pod":
                used = usage(kind, obj, self._clock.time())
                yield _part(used, "requests."), _part(used, "limits.")


def _part(used: Json, prefix: str) -> Json:
    return {
        name.removeprefix(prefix): value for name, value in used.items() if name.startswith(prefix)
    }


def _filled(spec: Object, item: Json) -> list[str]:
    done = []
    for group, word in _GROUPS:
        containers = []
        for container in spec.get(group) or ():
            resources = dict(container.get("resources") or _EMPTY)
            for part, default, shown in (
                ("requests", "defaultRequest", "request"),
                ("limits", "default", "limit"),
            ):
                given = resources.get(part) or _EMPTY
                missing = {k: v for k, v in (item.get(default) or _EMPTY).items() if k not in given}
                if missing:
                    resources[part] = {**given, **missing}
                    names = ", ".join(sorted(missing))
                    done.append(f"{names} {shown} for {word} {container.get('name') or ''}")
            containers.append({**container, "resources": resources})
        if containers:
            spec[group] = containers
    return done


def _judged(item: Json, sort: str, requests: Json, limits: Json | None) -> Iterator[str]:
    for name, bound in sorted((item.get("min") or _EMPTY).items()):
        yield from _bounded(
            f"minimum {name} usage per {sort} is {bound}",
            amount(bound),
            (("request", requests.get(name)), ("limit", (limits or _EMPTY).get(name))),
            Decimal.__lt__,
        )
    for name, bound in sorted((item.get("max") or _EMPTY).items()):
        asked = [("request", requests.get(name))]
        if limits is not None:
            asked.insert(0, ("limit", limits.get(name)))
        yield from _bounded(
            f"maximum {name} usage per {sort} is {bound}", amount(bound), asked, Decimal.__gt__
        )
    if limits is None:
        return
    for name, bound in sorted((item.get("maxLimitRequestRatio") or _EMPTY).items()):
        what = f"{name} max limit to request ratio per {sort} is {bound}"
        if not (request := amount(requests.get(name) or "0")):
            yield f"{what}, but no request is specified or request is 0"
        elif not (limit := amount(limits.get(name) or "0")):
            yield f"{what}, but no limit is specified or limit is 0"
        elif limit / request > amount(bound):
            yield f"{what}, but provided ratio is {float(limit / request):f}"


def _bounded(
    what: str,
    bound: Decimal,
    asked: Sequence[tuple[str, str | None]],
    beyond: Callable[[Decimal, Decimal], bool],
) -> Iterator[str]:
    """The first of what is asked for must be there; what is there must be within the bound."""
    first, value = asked[0]
    if value is None:
        yield f"{what}.  No {first} is specified"
        return
    for word, value in asked:
        if value is not None and beyond(amount(value), bound):
            yield f"{what}, but {word} is {value}"
            return
