"""The kinds that are served, as data: names, scope, verbs, subresources, and the rules that their objects follow.

A kind that shows the objects of another one (events.k8s.io's Event is core's) names it in `stored_as`.
"""

import base64
import functools
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from verger.store.objects import Object
from verger.store.rules import Rules, autoscalingv1, rules_for
from verger.store.rules.events import from_core, to_core
from verger.store.scales import Scaling, by_labels, by_selector
from verger.store.schemas import Schemas, load

if TYPE_CHECKING:
    from verger.store.custom.kinds import CustomType


class Form(NamedTuple):
    """The sort of object that a body is, in its version."""

    group: str
    version: str
    kind: str
    type_name: str
    """Its type in the schemas."""
    custom: "CustomType | None" = None
    """Its type, if it is not in the schemas but a client's own."""

    @property
    def api_version(self) -> str:
        """Group and version as objects state them."""
        return f"{self.group}/{self.version}" if self.group else self.version


class Subresource(NamedTuple):
    """A part of an object, or an action on it, with a path of its own. The kind is that of its body."""

    name: str
    group: str
    version: str
    kind: str
    verbs: tuple[str, ...]
    scaling: Scaling | None = None
    """How it shows and writes its object, if it is a view of it and not the object itself."""


class View(NamedTuple):
    """How a kind shows objects that are stored as another kind's."""

    stored_as: "Kind | None"
    """None: the kind itself, which was stored otherwise than it is shown now."""
    to_stored: Callable[[Mapping[str, Any]], Object]
    from_stored: Callable[[Mapping[str, Any]], Object]


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """One served kind. Compared by identity: there is one of each in a plane."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool
    verbs: frozenset[str]
    type_name: str
    """The full name of its type in the schemas."""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: Mapping[str, Subresource] = field(default_factory=dict)
    rules: Rules = field(default_factory=Rules)
    view: View | None = None
    custom: "CustomType | None" = None
    """What clients have said of its objects, if it is a kind of theirs."""
    list_kind: str = ""
    """The kind of a list of it."""
    api_version: str = field(init=False)
    """As it stands in objects: `v1`, `apps/v1`."""
    resource: str = field(init=False)
    """The plural, qualified by the group, as messages name it: `pods`, `roles.rbac.authorization.k8s.io`."""
    storage: "Kind" = field(init=False)
    """The kind as which its objects are stored."""
    _form: Form = field(init=False)
    stored: bool = field(init=False)
    """Whether its objects are kept at all; reviews are only answered."""

    def __post_init__(self) -> None:
        def derive(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        derive("api_version", f"{self.group}/{self.version}" if self.group else self.version)
        derive("resource", f"{self.plural}.{self.group}" if self.group else self.plural)
        derive("list_kind", self.list_kind or f"{self.kind}List")
        form = Form(self.group, self.version, self.kind, self.type_name, self.custom)
        derive("_form", form)
        derive("storage", (self.view.stored_as if self.view else None) or self)
        derive("stored", "get" in self.verbs and "create" in self.verbs)

    def form(self, subresource: str = "") -> Form:
        """What the body of a write of this kind, or of one of its parts, has to be."""
        if subresource:
            part = self.subresources[subresource]
            if (part.kind, part.group or self.group) != (self.kind, self.group):
                version = part.version or self.version
                package = part.group.partition(".")[0] or "core"
                name = f"io.k8s.api.{package}.{version}.{part.kind}"
                return Form(part.group, version, part.kind, name)
        return self._form

    def scaling(self, subresource: str) -> Scaling | None:
        """How a part of its objects is shown and written, if that is a Scale."""
        part = self.subresources.get(subresource)
        return part.scaling if part is not None else None

    @property
    def deprecation(self) -> str:
        """What every request for it hears, if it is deprecated."""
        return self.custom.warning if self.custom is not None else self.rules.deprecation

    @property
    def storage_version_hash(self) -> str:
        """upstream: the first 8 bytes of a SHA-256 over the stored group, version and kind, in base64."""
        kind = self.storage
        digest = hashlib.sha256(f"{kind.group}/{kind.version}/{kind.kind}".encode()).digest()
        return base64.b64encode(digest[:8]).decode()

    def __repr__(self) -> str:
        return f"Kind({self.api_version}, {self.kind})"


_VIEWS: Final[Mapping[tuple[str, str, str], tuple[tuple[str, str, str], Any, Any]]] = {
    ("autoscaling", "v1", "horizontalpodautoscalers"): (
        ("autoscaling", "v2", "horizontalpodautoscalers"),
        autoscalingv1.to_stored,
        autoscalingv1.from_stored,
    ),
    ("events.k8s.io", "v1", "events"): (("", "v1", "events"), to_core, from_core),
}
"""(group, version, plural) of a view -> that of the stored kind, and how objects go there and come back."""


SCALE: Final = Kind(
    group="autoscaling",
    version="v1",
    kind="Scale",
    plural="scales",
    singular="scale",
    namespaced=True,
    verbs=frozenset(("get", "update", "patch")),
    type_name="io.k8s.api.autoscaling.v1.Scale",
)
"""The kind of what is shown of everything that can be scaled. It is a part of others only, with no path of its own."""


def _scaling(row: Mapping[str, Any], subresource: Mapping[str, Any]) -> Scaling | None:
    if subresource["name"] != "scale":
        return None
    return Scaling(row["group"], row["plural"], by_selector if row["group"] else by_labels)


def _kind(row: Mapping[str, Any], view: View | None) -> Kind:
    return Kind(
        group=row["group"],
        version=row["version"],
        kind=row["kind"],
        plural=row["plural"],
        singular=row["singular"],
        namespaced=row["namespaced"],
        verbs=frozenset(row["verbs"]),
        type_name=row["type"],
        short_names=tuple(row.get("shortNames", ())),
        categories=tuple(row.get("categories", ())),
        subresources={
            sub["name"]: Subresource(
                sub["name"],
                sub["kind"]["group"],
                sub["kind"]["version"],
                sub["kind"]["kind"],
                tuple(sub["verbs"]),
                _scaling(row, sub),
            )
            for sub in row.get("subresources", ())
        },
        rules=rules_for(row["group"], row["kind"]),
        view=view,
    )


_PLAIN_VERSION: Final = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?").fullmatch


def version_order(version: str) -> tuple[Any, ...]:
    """Sorts versions as clients prefer them: v2, v1, v1beta2, v1beta1, v1alpha1, and the rest by the alphabet."""
    found = _PLAIN_VERSION(version)
    if found is None:
        return (1, version)
    stage = {None: 0, "beta": 1, "alpha": 2}[found[2]]
    return (0, stage, -int(found[1]), -int(found[3] or 0))


Heard = Callable[[Kind, bool], None]
"""Hears of a kind, and whether it is served from now on or no more."""


class Kinds:
    """The kinds that one plane serves. `version` grows with every change, so that documents made from them can be kept."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self.version = 0
        self._listeners: list[Heard] = []
        self._by_resource: dict[tuple[str, str, str], Kind] = {}
        self._by_kind: dict[tuple[str, str, str], Kind] = {}
        self.groups_served: Mapping[str, list[str]] = {}
        """The versions of each group, both in the order in which clients prefer them."""
        for kind in kinds:
            self._by_resource[kind.group, kind.version, kind.plural] = kind
            self._by_kind[kind.group, kind.version, kind.kind] = kind
        self._changed()

    def add(self, kind: Kind) -> None:
        """Serves a kind from now on."""
        self._by_resource[kind.group, kind.version, kind.plural] = kind
        self._by_kind[kind.group, kind.version, kind.kind] = kind
        self._changed()
        self._tell(kind, served=True)

    def remove(self, kind: Kind) -> None:
        """Stops serving a kind."""
        del self._by_resource[kind.group, kind.version, kind.plural]
        del self._by_kind[kind.group, kind.version, kind.kind]
        self._changed()
        self._tell(kind, served=False)

    def listen(self, heard: Heard) -> Callable[[], None]:
        """Tells of every kind that comes or goes; returns what ends that."""
        self._listeners.append(heard)
        return lambda: self._listeners.remove(heard)

    def _tell(self, kind: Kind, *, served: bool) -> None:
        for heard in list(self._listeners):
            heard(kind, served)

    def _changed(self) -> None:
        self.version += 1
        groups: dict[str, list[str]] = {}
        own: set[str] = set()
        for (group, version, _), kind in self._by_resource.items():
            versions = groups.setdefault(group, [])
            if version not in versions:
                versions.append(version)
            if kind.custom is not None:
                own.add(group)
        for group in own:
            groups[group].sort(key=version_order)
        self.groups_served = groups

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._by_resource.values())

    def resource(self, group: str, version: str, plural: str) -> Kind | None:
        """The kind with that plural."""
        return self._by_resource.get((group, version, plural))

    def get(self, group: str, version: str, kind: str) -> Kind | None:
        """The kind of that name."""
        return self._by_kind.get((group, version, kind))

    def core(self, kind: str) -> Kind:
        """A kind of the core group, which is always there."""
        return self._by_kind["", "v1", kind]

    def is_custom(self, group: str) -> bool:
        """Whether the kinds of a group are clients' own."""
        return any(kind.custom is not None for kind in self if kind.group == group)

    def in_version(self, group: str, version: str) -> list[Kind]:
        """The kinds of one version of a group."""
        return [kind for (g, v, _), kind in self._by_resource.items() if (g, v) == (group, version)]


def built_in(schemas: Schemas | None = None) -> Kinds:
    """The kinds that every plane serves."""
    return Kinds(_built_in(schemas or load()))


@functools.cache
def _built_in(schemas: Schemas) -> tuple[Kind, ...]:
    # Kinds do not change: planes share them, only which ones they serve is theirs.
    rows = {(row["group"], row["version"], row["plural"]): row for row in schemas.resources()}
    kinds = {key: _kind(row, None) for key, row in rows.items() if key not in _VIEWS}
    for key, (stored, to_stored, from_stored) in _VIEWS.items():
        kinds[key] = _kind(rows[key], View(kinds[stored], to_stored, from_stored))
    return tuple(kinds[key] for key in rows)
