"""PersistentVolumes, StorageClasses, and what drivers say about themselves.

upstream: pkg/apis/core/validation (ValidatePersistentVolumeSpec and ...Update), pkg/apis/storage
"""

from collections.abc import Mapping
from typing import Any, Final

from verger.store import names
from verger.store.invalid import FieldError, forbidden, immutable, invalid, not_supported, required
from verger.store.objects import Object
from verger.store.rules import claims, resources, scheduling, values
from verger.store.rules.base import Rules
from verger.store.rules.podupdates import difference
from verger.store.rules.values import EMPTY, Json, maybe_one_of, named, one_of, required_name
from verger.store.rules.volumes import default_source, validate_source

PARAMETERS_MAX: Final = 512
PARAMETERS_SIZE_MAX: Final = 256 * 1024

_SOURCES: Final = (
    "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "flocker", "nfs", "rbd", "quobyte", "cephfs",
    "iscsi", "cinder", "fc", "flexVolume", "azureFile", "vsphereVolume", "photonPersistentDisk", "portworxVolume",
    "azureDisk", "scaleIO", "local", "storageos", "csi",
)  # fmt: skip
_RECLAIM: Final = ("Delete", "Recycle", "Retain")
_CLASS_RECLAIM: Final = ("Delete", "Retain")
_BINDING: Final = ("Immediate", "WaitForFirstConsumer")


class VolumeRules(Rules):
    """A piece of storage; where it is never changes."""

    has_status: bool = True
    returns_deleted: bool = True

    def default(self, obj: Object) -> None:
        """Kept when it is given back; with files on it."""
        spec = values.part(obj, "spec")
        spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
        spec.setdefault("volumeMode", "Filesystem")
        for source in _SOURCES:
            if source in spec:
                default_source(spec, source)
        values.part(obj, "status").setdefault("phase", "Pending")

    def prepare_create(self, obj: Object) -> None:
        """Just made: its first phase begins with it."""
        since = obj["metadata"].get("creationTimestamp")
        obj["status"] = {"phase": "Pending"}
        if since:
            obj["status"]["lastPhaseTransitionTime"] = since

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """Size, modes, and one place where it is."""
        spec = obj.get("spec") or EMPTY
        modes, capacity = spec.get("accessModes") or (), spec.get("capacity") or EMPTY
        errors: list[FieldError] = []
        if not modes:
            errors.append(required("spec.accessModes"))
        errors += claims.access_modes("spec.accessModes", modes)
        if not capacity:
            errors.append(required("spec.capacity"))
        if "storage" not in capacity or len(capacity) > 1:
            errors.append(not_supported("spec.capacity", dict(capacity) or None, ("storage",)))
        for name, quantity in capacity.items():
            at = f"spec.capacity[{name}]"
            if values.amount_of(quantity) <= 0:
                errors.append(invalid(at, str(quantity), "must be greater than zero"))
            else:
                errors += resources.resource_quantity(at, name, quantity)
        policy = spec.get("persistentVolumeReclaimPolicy")
        errors += maybe_one_of("spec.persistentVolumeReclaimPolicy", policy, _RECLAIM)
        nodes = (spec.get("nodeAffinity") or EMPTY).get("required")
        if spec.get("nodeAffinity") is not None:
            at = "spec.nodeAffinity.required"
            if nodes is None:
                errors.append(required(at, "must specify required node constraints"))
            else:
                errors += scheduling.node_selector(at, nodes)
        errors += _place(spec)
        if name := spec.get("storageClassName"):
            errors += named("spec.storageClassName", name, names.subdomain)
        modes_known = claims.VOLUME_MODES
        return errors + maybe_one_of("spec.volumeMode", spec.get("volumeMode"), modes_known)

    def validate_update(
        self, new: Mapping[str, Any], old: Mapping[str, Any], subresource: str
    ) -> list[FieldError]:
        """Comes after the spec's own rules, as upstream has it."""
        if subresource == "status":
            return []
        spec, before = new.get("spec") or EMPTY, old.get("spec") or EMPTY
        errors = self.validate(new)
        moved = [key for key in _SOURCES if _fixed(spec, key) != _fixed(before, key)]
        if moved:
            text = "spec.persistentvolumesource is immutable after creation"
            shown = difference(before, spec, moved)
            errors.append(forbidden("spec.persistentvolumesource", f"{text}\n{shown}"))
        if spec.get("volumeMode") != before.get("volumeMode"):
            errors.append(immutable("volumeMode", spec.get("volumeMode")))
        affinity = before.get("nodeAffinity")
        if affinity is not None and spec.get("nodeAffinity") != affinity:
            errors.append(immutable("nodeAffinity", spec.get("nodeAffinity")))
        return errors

    def validates_whole_on_update(self, subresource: str) -> bool:
        """`validate_update` does."""
        return False


def _fixed(spec: Json, source: str) -> Any:
    value = spec.get(source)
    if source != "csi" or value is None:
        return value
    # A secret for later expansion may be added.
    return {key: item for key, item in value.items() if key != "controllerExpandSecretRef"}


def _place(spec: Json) -> list[FieldError]:
    given = [key for key in _SOURCES if spec.get(key) is not None]
    if not given:
        return [required("spec", "must specify a volume type")]
    source, *others = given
    field, value = f"spec.{source}", spec[source]
    match source:
        case "local":
            errors = [] if value.get("path") else [required(f"{field}.path")]
            if spec.get("nodeAffinity") is None:
                text = "Local volume requires node affinity"
                errors.append(required("spec.nodeAffinity", text))
        case "csi":
            errors = required_name(f"{field}.driver", value.get("driver"), names.subdomain)
            if not value.get("volumeHandle"):
                errors.append(required(f"{field}.volumeHandle"))
        case _:
            errors = validate_source(field, source, value)
    text = "may not specify more than 1 volume type"
    errors += [forbidden(f"spec.{key}", text) for key in others]
    path = (spec.get("hostPath") or EMPTY).get("path") or ""
    if path.strip("/") == "" != path and spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        text = "may not be 'recycle' for a hostPath mount of '/'"
        errors.append(forbidden("spec.persistentVolumeReclaimPolicy", text))
    return errors


class StorageClassRules(Rules):
    """How volumes of a class are made. Other ways need another class."""

    returns_deleted: bool = True

    def default(self, obj: Object) -> None:
        """Made at once, deleted when given back."""
        values.fill(obj, provisioner="", reclaimPolicy="Delete", volumeBindingMode="Immediate")

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """There is a provisioner; its parameters are bounded."""
        provisioner = obj.get("provisioner") or ""
        errors: list[FieldError] = []
        if not provisioner:
            errors.append(required("provisioner"))
        else:
            errors += [
                invalid("provisioner", provisioner, text)
                for text in names.qualified(provisioner.lower())
            ]
        errors += _parameters(obj.get("parameters") or EMPTY)
        errors += maybe_one_of("reclaimPolicy", obj.get("reclaimPolicy"), _CLASS_RECLAIM)
        errors += one_of("volumeBindingMode", obj.get("volumeBindingMode"), _BINDING)
        for index, term in enumerate(obj.get("allowedTopologies") or ()):
            for place, label in enumerate(term.get("matchLabelExpressions") or ()):
                at = f"allowedTopologies[{index}].matchLabelExpressions[{place}]"
                if not label.get("values"):
                    errors.append(required(f"{at}.values"))
                errors += named(f"{at}.key", label.get("key") or "", names.qualified)
        return errors

    def validate_update(
        self, new: Mapping[str, Any], old: Mapping[str, Any], subresource: str
    ) -> list[FieldError]:
        """What decides how volumes are made stays."""
        errors = [
            forbidden(key, f"updates to {key} are forbidden.")
            for key in ("parameters", "provisioner", "reclaimPolicy")
            if (new.get(key) or None) != (old.get(key) or None)
        ]
        mode = new.get("volumeBindingMode")
        if mode != old.get("volumeBindingMode"):
            errors.append(immutable("volumeBindingMode", mode))
        return errors


def _parameters(parameters: Mapping[str, str]) -> list[FieldError]:
    if len(parameters) > PARAMETERS_MAX:
        text = f"must have at most {PARAMETERS_MAX} entries"
        return [invalid("parameters", "Provisioner Parameters exceeded max allowed", text)]
    errors = [
        invalid("parameters", key, "field can not be empty.") for key in parameters if not key
    ]
    size = sum(len(key.encode()) + len(value.encode()) for key, value in parameters.items())
    if size > PARAMETERS_SIZE_MAX:
        text = f"must have at most {PARAMETERS_SIZE_MAX} bytes"
        errors.append(invalid("parameters", "", text))
    return errors


class DriverRules(Rules):
    """A CSI driver that is installed."""

    unconditional_update: bool = False
    returns_deleted: bool = True

    def default(self, obj: Object) -> None:
        """What most drivers need."""
        spec = values.part(obj, "spec")
        values.fill(
            spec,
            attachRequired=True,
            podInfoOnMount=False,
            storageCapacity=False,
            fsGroupPolicy="ReadWriteOnceWithFSType",
            requiresRepublish=False,
            seLinuxMount=False,
        )
        if not spec.get("volumeLifecycleModes"):
            spec["volumeLifecycleModes"] = ["Persistent"]

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """Known policies and modes."""
        spec = obj.get("spec") or EMPTY
        policies = ("ReadWriteOnceWithFSType", "File", "None")
        errors = maybe_one_of("spec.fsGroupPolicy", spec.get("fsGroupPolicy"), policies)
        for mode in spec.get("volumeLifecycleModes") or ():
            if mode not in ("Ephemeral", "Persistent"):
                supported = ("Ephemeral", "Persistent")
                errors.append(not_supported("spec.volumeLifecycleModes", mode, supported))
        return errors

    def validate_update(
        self, new: Mapping[str, Any], old: Mapping[str, Any], subresource: str
    ) -> list[FieldError]:
        """What decides how volumes are attached stays."""
        spec, before = new.get("spec") or EMPTY, old.get("spec") or EMPTY
        return [
            immutable(f"spec.{key}", spec.get(key))
            for key in ("attachRequired", "volumeLifecycleModes")
            if spec.get(key) != before.get(key)
        ]


class AttachmentRules(Rules):
    """That a volume shall be attached to a node, and whether it is."""

    has_status: bool = True
    unconditional_update: bool = False
    returns_deleted: bool = True

    def default(self, obj: Object) -> None:
        """Attached or not is always said."""
        values.part(values.part(obj, "spec"), "source")
        values.part(obj, "status").setdefault("attached", False)

    def prepare_create(self, obj: Object) -> None:
        """Not attached yet."""
        obj["status"] = {"attached": False}

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """Which volume, which node, and by whom."""
        spec = obj.get("spec") or EMPTY
        errors = required_name("spec.attacher", spec.get("attacher"), names.subdomain)
        source = spec.get("source") or EMPTY
        name, inline = source.get("persistentVolumeName"), source.get("inlineVolumeSpec")
        if name is None and inline is None:
            text = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
            errors.append(required("spec.source", text))
        elif name is not None and inline is not None:
            text = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
            errors.append(forbidden("spec.source", text))
        elif name is not None:
            errors += required_name("spec.source.persistentVolumeName", name, names.subdomain)
        return errors + required_name("spec.nodeName", spec.get("nodeName"), names.subdomain)

    def validate_update(
        self, new: Mapping[str, Any], old: Mapping[str, Any], subresource: str
    ) -> list[FieldError]:
        """The spec stays."""
        if new.get("spec") == old.get("spec"):
            return []
        return [invalid("spec", new.get("spec"), "field is immutable")]
