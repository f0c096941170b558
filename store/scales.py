"""Scales: how many replicas an object has, shown and written as an object of its own, whatever the object looks like.

Writing a Scale changes that one number of its object, and nothing else.

upstream: pkg/registry/apps/deployment/storage/storage.go (ScaleREST), pkg/apis/autoscaling/validation
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from verger.store.errors import Conflict, Invalid
from verger.store.invalid import invalid
from verger.store.objects import Object, meta, name_of, thaw, uid_of
from verger.store.selectors import labels_text, selector_text

GROUP: Final = "autoscaling"
VERSION: Final = "v1"
KIND: Final = "Scale"
_SHOWN: Final = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
_STATED: Final = ("name", "namespace", "resourceVersion")

Selector = Callable[[Mapping[str, Any]], str]
"""Which pods are counted, as text, from the object."""


def by_labels(obj: Mapping[str, Any]) -> str:
    """Of an object whose selector is a plain map of labels."""
    return labels_text((obj.get("spec") or {}).get("selector") or {})


def by_selector(obj: Mapping[str, Any]) -> str:
    """Of an object whose selector has `matchLabels` and `matchExpressions`."""
    return selector_text((obj.get("spec") or {}).get("selector") or {})


class Scaling(NamedTuple):
    """Where the objects of a resource keep what a Scale shows."""

    group: str
    plural: str
    selector: Selector
    replicas: tuple[str, ...] = ("spec", "replicas")
    observed: tuple[str, ...] = ("status", "replicas")

    def shown(self, obj: Mapping[str, Any]) -> Object:
        """The Scale of an object."""
        before = meta(obj)
        replicas, selector = _number(obj, self.replicas), self.selector(obj)
        return {
            "kind": KIND,
            "apiVersion": f"{GROUP}/{VERSION}",
            "metadata": {key: before[key] for key in _SHOWN if key in before},
            "spec": {"replicas": replicas} if replicas else {},
            "status": {
                "replicas": _number(obj, self.observed),
                **({"selector": selector} if selector else {}),
            },
        }

    def written(self, obj: Mapping[str, Any], scale: Mapping[str, Any]) -> Object:
        """The object as a Scale wants it; what the Scale says of name and revision, it says of the object.

        Raises Invalid, and Conflict when the Scale is that of another object.
        """
        given, uid = meta(scale), uid_of(scale)
        replicas = _wanted(scale, name_of(obj))
        if uid and uid != uid_of(obj):
            raise self._other_uid(name_of(obj), uid, uid_of(obj))
        new = thaw(obj)
        new["metadata"] |= {key: given[key] for key in _STATED if given.get(key)}
        _put(new, self.replicas, replicas)
        return new

    def applied(self, scale: Mapping[str, Any], *, api_version: str, kind: str) -> Object:
        """What is applied to the object by applying a Scale. Raises Invalid."""
        wanted: Object = {"apiVersion": api_version, "kind": kind, "metadata": {**meta(scale)}}
        if "replicas" in (scale.get("spec") or {}):
            _put(wanted, self.replicas, _wanted(scale, name_of(scale)))
        return wanted

    def _other_uid(self, name: str, uid: str, found: str) -> Conflict:
        part = f"{self.plural}/scale"
        resource = f"{part}.{self.group}" if self.group else part
        details = {"name": name, **({"group": self.group} if self.group else {}), "kind": part}
        return Conflict(
            f'Operation cannot be fulfilled on {resource} "{name}": Precondition failed: UID in precondition: {uid}, '
            f"UID in object meta: {found}",
            details,
        )


def _number(obj: Mapping[str, Any], path: tuple[str, ...]) -> int:
    value: Any = obj
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, int) else 0


def _put(obj: Object, path: tuple[str, ...], value: int) -> None:
    for key in path[:-1]:
        obj = obj.setdefault(key, {})
    obj[path[-1]] = value


def _wanted(scale: Mapping[str, Any], name: str) -> int:
    replicas = int((scale.get("spec") or {}).get("replicas") or 0)
    if replicas < 0:
        error = invalid("spec.replicas", replicas, "must be greater than or equal to 0")
        raise Invalid.of(KIND, GROUP, name, [error])
    return replicas
