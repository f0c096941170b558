"""The kinds that a definition stands for: one for each version that is served, all stored as one of them.

upstream: apiextensions-apiserver/pkg/apiserver/customresource_handler.go, .../pkg/registry/customresource
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from verger.store.custom import conversion, embedded, schema, validation
from verger.store.custom.definitions import schema_of, stored_version, versions_of
from verger.store.custom.paths import parse_path, values_at
from verger.store.decoding import Decoder
from verger.store.errors import Forbidden
from verger.store.invalid import FieldError
from verger.store.kinds import Kind, Subresource, View
from verger.store.objects import Object, finalizers_of, is_terminating, meta, thaw
from verger.store.rules import Rules
from verger.store.rules.base import SERVER_FIELDS
from verger.store.scales import GROUP, KIND, VERSION, Scaling
from verger.store.shapes import Shape, structural_shape

VERBS: Final = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
"""In the order in which discovery shows them for custom kinds."""
_PART_VERBS: Final = ("get", "patch", "update")
_STANDARD_FINALIZERS: Final = ("orphan", "foregroundDeletion")


class CustomType:
    """What a definition says of the objects of one version."""

    __slots__ = ("_shape", "columns", "node", "schema", "terminating", "warning")

    def __init__(self, version: Mapping[str, Any], warning: str, *, terminating: bool) -> None:
        self.schema: Mapping[str, Any] = schema_of(version) or {}
        self.node = schema.Node(self.schema, root=True)
        self.columns: Sequence[Mapping[str, Any]] = version.get("additionalPrinterColumns") or ()
        """The columns of its tables besides the name; none: the default ones."""
        self.warning = warning
        """What every request for a version that is deprecated hears."""
        self.terminating = terminating
        """Whether the definition is being deleted."""
        self._shape: Shape | None = None

    def prune(self, obj: Object) -> list[str]:
        """Removes what the schema does not know, in place; returns the paths of that."""
        return schema.prune(self.node, obj)

    def fit_embedded(self, obj: Object, decoder: Decoder) -> list[str]:
        """The same for the metadata of objects inside the object. Raises DecodeError."""
        return embedded.fit(self.node, obj, decoder) if self.node.embeds else []

    def shape(self, metadata: Shape) -> Shape:
        """How its objects are divided among owners."""
        if self._shape is None:
            self._shape = structural_shape(self.schema, metadata)
        return self._shape


class CustomRules(Rules):
    """The rules of one version of a custom kind."""

    unconditional_update: bool = False
    counts_generation: bool = True
    plain_finalizers: bool = True
    own_field_converter: bool = True
    terminating: bool = False
    """Whether the definition is being deleted."""

    def __init__(self, node: schema.Node, **facts: Any) -> None:
        super().__init__(**facts)
        self.node = node

    def default(self, obj: Object) -> None:
        """What the schema says that a missing field is."""
        schema.default(self.node, obj)

    def prepare_create(self, obj: Object) -> None:
        """A kind that is about to go takes no more objects. Raises Forbidden."""
        if self.terminating:
            raise Forbidden("create not allowed while custom resource definition is terminating")
        Rules.prepare_create(self, obj)
        if self.has_status:
            schema.default(self.node, obj)

    def prepare_update(self, new: Object, old: Mapping[str, Any], subresource: str) -> None:
        """Of a status even the metadata stay as they are."""
        if subresource == "status":
            managed = new["metadata"].get("managedFields")
            new["metadata"] = {**meta(old), "uid": new["metadata"]["uid"]}
            if managed is not None:
                new["metadata"]["managedFields"] = managed
        Rules.prepare_update(self, new, old, subresource)

    def spec_differs(self, new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
        """Everything counts but the metadata, and a status with an endpoint of its own."""
        passed = SERVER_FIELDS if self.has_status else SERVER_FIELDS[:3]
        return any(new.get(key) != old.get(key) for key in {*new, *old} if key not in passed)

    def validate_create(self, obj: Mapping[str, Any], *, namespaced: bool) -> list[FieldError]:
        """The metadata, and what the schema says."""
        return Rules.validate_create(self, obj, namespaced=namespaced) + validation.validate(
            self.node, obj
        )

    def validate_update(
        self, new: Mapping[str, Any], old: Mapping[str, Any], subresource: str
    ) -> list[FieldError]:
        """What the schema says of that which has changed."""
        return validation.validate(self.node, new, old)

    def warnings(self, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[str]:
        """Finalizers that may be somebody else's."""
        known = finalizers_of(old) if old is not None else []
        return [
            f'metadata.finalizers: "{name}": prefer a domain-qualified finalizer name including a path (/) to avoid '
            "accidental conflicts with other finalizer writers"
            for name in finalizers_of(new)
            if "/" not in name and name not in known and name not in _STANDARD_FINALIZERS
        ]


class CustomKinds(NamedTuple):
    """The kinds of one definition: as which its objects are stored, and those that are served."""

    stored: Kind
    served: Sequence[Kind]


def kinds_of(definition: Mapping[str, Any], *, restored: bool) -> CustomKinds:
    """The kinds of a definition whose names have been accepted.

    `restored`: objects may have been stored under another schema, so that what is read has to be fitted anew.
    """
    stored_name = stored_version(definition)
    versions = {version["name"]: version for version in versions_of(definition)}
    stored = _kind(definition, versions[stored_name], None, restored=restored)
    served = [
        stored if name == stored_name else _kind(definition, version, stored, restored=True)
        for name, version in versions.items()
        if version.get("served")
    ]
    return CustomKinds(stored, served)


def _kind(
    definition: Mapping[str, Any],
    version: Mapping[str, Any],
    stored: Kind | None,
    *,
    restored: bool,
) -> Kind:
    spec = definition["spec"]
    accepted = definition["status"]["acceptedNames"]
    group = spec["group"]
    parts = version.get("subresources") or {}
    terminating = is_terminating(definition)
    warning = _deprecation(group, accepted["kind"], version)
    custom = CustomType(version, warning, terminating=terminating)
    api_version = f"{group}/{version['name']}"
    view = None
    if restored:
        stored_api_version = stored.api_version if stored is not None else api_version
        foreign = stored is not None and conversion.by_webhook(spec)
        view = (
            _unconverted(stored)
            if foreign
            else _view(custom, stored, api_version, stored_api_version)
        )
    return Kind(
        group=group,
        version=version["name"],
        kind=accepted["kind"],
        plural=accepted["plural"],
        singular=accepted.get("singular", ""),
        namespaced=spec["scope"] == "Namespaced",
        verbs=frozenset(VERBS),
        type_name="",
        short_names=tuple(accepted.get("shortNames") or ()),
        categories=tuple(accepted.get("categories") or ()),
        subresources=_subresources(group, accepted, parts),
        rules=CustomRules(
            custom.node,
            terminating=terminating,
            has_status="status" in parts,
            field_labels=tuple(
                field["jsonPath"].removeprefix(".")
                for field in version.get("selectableFields") or ()
            ),
        ),
        view=view,
        custom=custom,
        list_kind=accepted.get("listKind", ""),
    )


def _deprecation(group: str, kind: str, version: Mapping[str, Any]) -> str:
    if not version.get("deprecated"):
        return ""
    said: str = version.get("deprecationWarning") or ""
    return said or f"{group}/{version['name']} {kind} is deprecated"


def _unconverted(stored: Kind | None) -> View:
    def refuse(obj: Mapping[str, Any]) -> Object:
        conversion.refuse(obj)

    return View(stored, refuse, refuse)


def _view(custom: CustomType, stored: Kind | None, shown_as: str, kept_as: str) -> View:
    def to_stored(obj: Mapping[str, Any]) -> Object:
        return {**obj, "apiVersion": kept_as}

    def from_stored(obj: Mapping[str, Any]) -> Object:
        shown = thaw(obj)
        schema.prune(custom.node, shown)
        schema.default(custom.node, shown)
        shown["apiVersion"] = shown_as
        return shown

    return View(stored, to_stored, from_stored)


def _subresources(
    group: str, accepted: Mapping[str, Any], parts: Mapping[str, Any]
) -> dict[str, Subresource]:
    out = {}
    if "status" in parts:
        out["status"] = Subresource("status", "", "", accepted["kind"], _PART_VERBS)
    if (scale := parts.get("scale")) is not None:
        selected = parse_path(scale.get("labelSelectorPath") or "")

        def selector(obj: Mapping[str, Any]) -> str:
            found = next(values_at(selected, obj), "") if selected else ""
            return found if isinstance(found, str) else ""

        scaling = Scaling(
            group,
            accepted["plural"],
            selector,
            tuple(scale["specReplicasPath"].split(".")[1:]),
            tuple(scale["statusReplicasPath"].split(".")[1:]),
        )
        out["scale"] = Subresource("scale", GROUP, VERSION, KIND, _PART_VERBS, scaling)
    return out
