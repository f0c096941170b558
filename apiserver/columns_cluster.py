"""How the kinds are printed that pods draw on: nodes, volumes, drivers and devices.

upstream: pkg/printers/internalversion/printers.go
"""

from collections.abc import Mapping
from typing import Any, Final

from verger.apiserver.columns import (
    AGE,
    NAME,
    NONE,
    UNKNOWN,
    UNSET,
    Column,
    Field,
    Printer,
    derived,
    flag,
    flag_at,
    has,
    joined,
    map_at,
    members_at,
    printer,
    quantity_at,
    size,
    text,
    text_at,
    texts_at,
    value_at,
)

_ROLE_PREFIX: Final = "node-role.kubernetes.io/"
_ROLE_LABEL: Final = "kubernetes.io/role"
_OLD_STORAGE_CLASS: Final = "volume.beta.kubernetes.io/storage-class"
_DEFAULT_CLASS: Final = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_ACCESS_MODES: Final = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}
"""In the order in which they are printed."""


def _node_status(node: Mapping[str, Any]) -> str:
    # Of several conditions of one type the last one counts here, unlike everywhere else.
    states = {text_at(each, "type"): each for each in members_at(node, "status", "conditions")}
    ready = states.get("Ready")
    if ready is None:
        status = "Unknown"
    else:
        status = "Ready" if text_at(ready, "status") == "True" else "NotReady"
    return f"{status},SchedulingDisabled" if flag_at(node, "spec", "unschedulable") else status


def _node_roles(node: Mapping[str, Any]) -> str:
    labels = map_at(node, "metadata", "labels")
    roles = {label.removeprefix(_ROLE_PREFIX) for label in labels if label.startswith(_ROLE_PREFIX)}
    roles.add(labels.get(_ROLE_LABEL, ""))
    return joined(sorted(roles - {""}))


def _node_address(title: str, kind: str) -> Field:
    def read(node: Mapping[str, Any]) -> str:
        addresses = members_at(node, "status", "addresses")
        return next(
            (text_at(each, "address") for each in addresses if each.get("type") == kind), NONE
        )

    return Column(title, description=f"Its first {kind}.", priority=1), derived(read)


def _node_info(title: str, key: str, description: str) -> Field:
    column = Column(title, description=description, priority=1)
    return column, text("status", "nodeInfo", key, missing=UNKNOWN)


def _modes(obj: Mapping[str, Any], *path: str) -> str:
    modes = texts_at(obj, *path)
    return ",".join(short for mode, short in _ACCESS_MODES.items() if mode in modes)


def _storage_class(obj: Mapping[str, Any]) -> str:
    annotations = map_at(obj, "metadata", "annotations")
    named = text_at(obj, "spec", "storageClassName")
    return annotations.get(_OLD_STORAGE_CLASS, named)


def _volume_phase(obj: Mapping[str, Any]) -> str:
    if has(obj, "metadata", "deletionTimestamp"):
        return "Terminating"
    return text_at(obj, "status", "phase", missing="Pending")


def _claim(volume: Mapping[str, Any]) -> str:
    claim = value_at(volume, "spec", "claimRef")
    return "" if claim is None else f"{text_at(claim, 'namespace')}/{text_at(claim, 'name')}"


def _bound(claim: Mapping[str, Any]) -> bool:
    return bool(text_at(claim, "spec", "volumeName"))


def _class_name(storage_class: Mapping[str, Any]) -> str:
    annotations = map_at(storage_class, "metadata", "annotations")
    default = any(annotations.get(key) == "true" for key in _DEFAULT_CLASS)
    return text_at(storage_class, "metadata", "name") + (" (default)" if default else "")


def _token_audiences(driver: Mapping[str, Any]) -> str:
    if not has(driver, "spec", "tokenRequests"):
        return UNSET
    return ",".join(
        text_at(each, "audience") for each in members_at(driver, "spec", "tokenRequests")
    )


def _claim_state(claim: Mapping[str, Any]) -> str:
    deleted = has(claim, "metadata", "deletionTimestamp")
    states = ["deleted"] if deleted else []
    if has(claim, "status", "allocation"):
        states.append("allocated")
        if members_at(claim, "status", "reservedFor"):
            states.append("reserved")
    elif not deleted:
        states.append("pending")
    return ",".join(states)


_VOLUME_CLASS: Final[tuple[Field, Field]] = (
    (Column("StorageClass", description="Its storage class."), derived(_storage_class)),
    (
        Column("VolumeAttributesClass", description="Its class of volume attributes."),
        text("spec", "volumeAttributesClassName", missing=UNSET),
    ),
)
_VOLUME_MODE: Final[Field] = (
    Column("VolumeMode", description="A file system or a block device.", priority=1),
    text("spec", "volumeMode", missing="Filesystem"),
)

PRINTERS: Final[Mapping[tuple[str, str], Printer]] = {
    ("", "Node"): printer(
        NAME,
        (Column("Status", description="Whether it takes pods."), derived(_node_status)),
        (Column("Roles", description="What its labels say that it is for."), derived(_node_roles)),
        AGE,
        (
            Column("Version", description="The version of its kubelet."),
            text("status", "nodeInfo", "kubeletVersion"),
        ),
        _node_address("Internal-IP", "InternalIP"),
        _node_address("External-IP", "ExternalIP"),
        _node_info("OS-Image", "osImage", "Its operating system."),
        _node_info("Kernel-Version", "kernelVersion", "Its kernel."),
        _node_info("Container-Runtime", "containerRuntimeVersion", "What runs its containers."),
    ),
    ("", "PersistentVolume"): printer(
        NAME,
        (
            Column("Capacity", description="How much it holds."),
            derived(lambda obj: quantity_at(obj, "spec", "capacity", "storage")),
        ),
        (
            Column("Access Modes", description="How it can be mounted."),
            derived(lambda obj: _modes(obj, "spec", "accessModes")),
        ),
        (
            Column("Reclaim Policy", description="What becomes of it without its claim."),
            text("spec", "persistentVolumeReclaimPolicy", missing="Retain"),
        ),
        (Column("Status", description="Whether it is bound."), derived(_volume_phase)),
        (Column("Claim", description="The claim that it is bound to."), derived(_claim)),
        *_VOLUME_CLASS,
        (Column("Reason", description="Why it failed."), text("status", "reason")),
        AGE,
        _VOLUME_MODE,
    ),
    ("", "PersistentVolumeClaim"): printer(
        NAME,
        (Column("Status", description="Whether it is bound."), derived(_volume_phase)),
        (Column("Volume", description="The volume it is bound to."), text("spec", "volumeName")),
        (
            Column("Capacity", description="How much the volume holds."),
            derived(
                lambda obj: quantity_at(obj, "status", "capacity", "storage") if _bound(obj) else ""
            ),
        ),
        (
            Column("Access Modes", description="How the volume can be mounted."),
            derived(lambda obj: _modes(obj, "status", "accessModes") if _bound(obj) else ""),
        ),
        *_VOLUME_CLASS,
        AGE,
        _VOLUME_MODE,
    ),
    ("resource.k8s.io", "DeviceClass"): printer(NAME, AGE),
    ("resource.k8s.io", "ResourceClaim"): printer(
        NAME, (Column("State", description="How far it is."), derived(_claim_state)), AGE
    ),
    ("resource.k8s.io", "ResourceClaimTemplate"): printer(NAME, AGE),
    ("resource.k8s.io", "ResourceSlice"): printer(
        NAME,
        (Column("Node", description="The node that has the devices."), text("spec", "nodeName")),
        (Column("Driver", description="The driver of the devices."), text("spec", "driver")),
        (Column("Pool", description="The pool that they belong to."), text("spec", "pool", "name")),
        AGE,
    ),
    ("storage.k8s.io", "CSIDriver"): printer(
        NAME,
        (
            Column("AttachRequired", "boolean", description="Whether volumes are attached first."),
            flag("spec", "attachRequired", missing=True),
        ),
        (
            Column("PodInfoOnMount", "boolean", description="Whether it is told of the pod."),
            flag("spec", "podInfoOnMount"),
        ),
        (
            Column("StorageCapacity", "boolean", description="Whether it reports free capacity."),
            flag("spec", "storageCapacity"),
        ),
        (
            Column("TokenRequests", description="The audiences of the tokens that it gets."),
            derived(_token_audiences),
        ),
        (
            Column("RequiresRepublish", "boolean", description="Whether it is asked repeatedly."),
            flag("spec", "requiresRepublish"),
        ),
        (
            Column("Modes", description="Whether its volumes outlive pods."),
            derived(
                lambda obj: joined(
                    texts_at(obj, "spec", "volumeLifecycleModes"), missing="Persistent"
                )
            ),
        ),
        AGE,
    ),
    ("storage.k8s.io", "CSINode"): printer(
        NAME,
        (
            Column("Drivers", "integer", description="How many drivers the node has."),
            size("spec", "drivers"),
        ),
        AGE,
    ),
    ("storage.k8s.io", "CSIStorageCapacity"): printer(
        NAME,
        (Column("StorageClassName", description="The storage class."), text("storageClassName")),
        (
            Column("Capacity", description="How much is free."),
            derived(lambda obj: quantity_at(obj, "capacity", missing=UNSET)),
        ),
    ),
    ("storage.k8s.io", "StorageClass"): printer(
        (NAME[0], derived(_class_name)),
        (Column("Provisioner", description="What makes its volumes."), text("provisioner")),
        (
            Column("ReclaimPolicy", description="What becomes of volumes without their claims."),
            text("reclaimPolicy", missing="Delete"),
        ),
        (
            Column("VolumeBindingMode", description="Whether a volume waits for its first pod."),
            text("volumeBindingMode", missing="Immediate"),
        ),
        (
            Column("AllowVolumeExpansion", description="Whether volumes can grow."),
            flag("allowVolumeExpansion"),
        ),
        AGE,
    ),
    ("storage.k8s.io", "VolumeAttachment"): printer(
        NAME,
        (
            Column("Attacher", format="name", description="The driver that attaches."),
            text("spec", "attacher"),
        ),
        (
            Column("PV", description="The volume."),
            text("spec", "source", "persistentVolumeName"),
        ),
        (Column("Node", description="The node that gets it."), text("spec", "nodeName")),
        (
            Column("Attached", "boolean", description="Whether it is attached."),
            flag("status", "attached"),
        ),
        AGE,
    ),
    ("storage.k8s.io", "VolumeAttributesClass"): printer(
        NAME, (Column("DriverName", description="The driver it is for."), text("driverName")), AGE
    ),
}
"""(group, kind) -> how it is printed."""
