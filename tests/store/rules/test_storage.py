"""PersistentVolumes, their claims, StorageClasses and drivers: what is filled in, refused, and frozen."""

from typing import Any

import pytest

from tests.store.rules.conftest import (
    ABSENT,
    CREATED,
    STORED,
    at,
    change_refusals,
    put,
    refusals,
    stored,
    update,
)

CLAIM: dict[str, Any] = {
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
}
VOLUME: dict[str, Any] = {
    "spec": {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
        "hostPath": {"path": "/data"},
    }
}
CLASS: dict[str, Any] = {"provisioner": "example.com/disk"}
DRIVER: dict[str, Any] = {"spec": {}}
ATTACHMENT: dict[str, Any] = {
    "spec": {"attacher": "a.b", "nodeName": "n", "source": {"persistentVolumeName": "v"}}
}
BODIES = {
    "PersistentVolumeClaim": CLAIM,
    "PersistentVolume": VOLUME,
    "StorageClass": CLASS,
    "CSIDriver": DRIVER,
    "VolumeAttachment": ATTACHMENT,
}
CLAIM_FROZEN = (
    "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound "
    "claims\n"
)
IMMUTABLE = "field is immutable"
MODES = '"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"'


@pytest.mark.parametrize(
    ("kind", "where", "expected"),
    [
        pytest.param("PersistentVolumeClaim", "spec/volumeMode", "Filesystem", id="files"),
        pytest.param("PersistentVolumeClaim", "status", {"phase": "Pending"}, id="it waits"),
        pytest.param("PersistentVolume", "spec/volumeMode", "Filesystem", id="files on a volume"),
        pytest.param(
            "PersistentVolume", "spec/persistentVolumeReclaimPolicy", "Retain", id="it is kept"
        ),
        pytest.param(
            "PersistentVolume",
            "spec/hostPath",
            {"path": "/data", "type": ""},
            id="whatever is there",
        ),
        pytest.param(
            "PersistentVolume",
            "status",
            {"phase": "Pending", "lastPhaseTransitionTime": CREATED},
            id="its first phase",
        ),
        pytest.param("StorageClass", "reclaimPolicy", "Delete", id="volumes of a class go"),
        pytest.param("StorageClass", "volumeBindingMode", "Immediate", id="and come at once"),
        pytest.param("CSIDriver", "spec/attachRequired", True, id="attached first"),
        pytest.param(
            "CSIDriver", "spec/volumeLifecycleModes", ["Persistent"], id="outliving their pods"
        ),
        pytest.param("VolumeAttachment", "status", {"attached": False}, id="not attached yet"),
    ],
)
def test_what_is_left_out_is_filled_in(kind: str, where: str, expected: Any) -> None:
    """Defaults are upstream's, and so is the status of a new object."""
    assert at(stored(kind, BODIES[kind]), where) == expected


@pytest.mark.parametrize(
    ("kind", "path", "value", "expected"),
    [
        pytest.param(
            "PersistentVolumeClaim",
            "spec/accessModes",
            [],
            ["spec.accessModes: Required value: at least 1 access mode is required"],
            id="a claim of no mode",
        ),
        pytest.param(
            "PersistentVolumeClaim",
            "spec/accessModes",
            ["Mine"],
            [f'spec.accessModes: Unsupported value: "Mine": supported values: {MODES}'],
            id="an unknown mode",
        ),
        pytest.param(
            "PersistentVolumeClaim",
            "spec/accessModes",
            ["ReadWriteOnce", "ReadWriteOncePod"],
            ["spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"],
            id="one pod alone, and others",
        ),
        pytest.param(
            "PersistentVolumeClaim",
            "spec/resources",
            {},
            ["spec.resources[storage]: Required value"],
            id="no size",
        ),
        pytest.param(
            "PersistentVolumeClaim",
            "spec/resources/requests/storage",
            "-1Gi",
            ['spec.resources[storage]: Invalid value: "-1Gi": must be greater than zero'],
            id="less than nothing",
        ),
        pytest.param(
            "PersistentVolume",
            "spec/hostPath",
            ABSENT,
            ["spec: Required value: must specify a volume type"],
            id="a volume that is nowhere",
        ),
        pytest.param(
            "PersistentVolume",
            "spec/nfs",
            {"server": "s", "path": "/p"},
            ["spec.nfs: Forbidden: may not specify more than 1 volume type"],
            id="in two places",
        ),
        pytest.param(
            "PersistentVolume",
            "spec/capacity",
            {},
            [
                "spec.capacity: Required value",
                'spec.capacity: Unsupported value: null: supported values: "storage"',
            ],
            id="of no size",
        ),
        pytest.param(
            "PersistentVolume",
            "spec/hostPath/path",
            "/a/../b",
            ["spec.hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"],
            id="on a way that leads up",
        ),
        pytest.param(
            "StorageClass",
            "provisioner",
            "",
            ["provisioner: Required value"],
            id="nobody makes the volumes",
        ),
        pytest.param(
            "StorageClass",
            "reclaimPolicy",
            "Recycle",
            ['reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"'],
            id="classes do not recycle",
        ),
        pytest.param(
            "VolumeAttachment",
            "spec/source",
            {},
            [
                "spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName"
            ],
            id="nothing to attach",
        ),
    ],
)
def test_storage_that_is_not_there_is_refused(
    kind: str, path: str, value: Any, expected: list[str]
) -> None:
    """The sentences are those that clients know from upstream."""
    assert refusals(kind, put(BODIES[kind], path, value)) == expected


@pytest.mark.parametrize(
    ("kind", "path", "value", "expected"),
    [
        pytest.param("PersistentVolumeClaim", "spec/volumeName", "v", [], id="a claim is bound"),
        pytest.param(
            "PersistentVolumeClaim",
            "spec/resources/requests/storage",
            "2Gi",
            [f"{CLAIM_FROZEN}- resources: "],
            id="one that is not bound keeps its size",
        ),
        pytest.param(
            "PersistentVolumeClaim",
            "spec/volumeMode",
            "Block",
            [f"{CLAIM_FROZEN}- volumeMode: ", f'volumeMode: Invalid value: "Block": {IMMUTABLE}'],
            id="and how it is used",
        ),
        pytest.param("PersistentVolume", "spec/capacity/storage", "2Gi", [], id="a volume grows"),
        pytest.param(
            "PersistentVolume",
            "spec/hostPath/path",
            "/other",
            [
                "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation\n"
                "- hostPath: "
            ],
            id="but does not move",
        ),
        pytest.param(
            "StorageClass",
            "provisioner",
            "a.b/c",
            ["provisioner: Forbidden: updates to provisioner are forbidden."],
            id="who makes the volumes of a class",
        ),
        pytest.param(
            "StorageClass",
            "parameters",
            {"a": "b"},
            ["parameters: Forbidden: updates to parameters are forbidden."],
            id="and how",
        ),
        pytest.param(
            "StorageClass",
            "volumeBindingMode",
            "WaitForFirstConsumer",
            [f'volumeBindingMode: Invalid value: "WaitForFirstConsumer": {IMMUTABLE}'],
            id="and when",
        ),
        pytest.param("StorageClass", "allowVolumeExpansion", True, [], id="they may learn to grow"),
        pytest.param(
            "CSIDriver",
            "spec/attachRequired",
            False,
            [f"spec.attachRequired: Invalid value: false: {IMMUTABLE}"],
            id="what a driver needs",
        ),
    ],
)
def test_where_storage_is_stays(kind: str, path: str, value: Any, expected: list[str]) -> None:
    """What holds data is not moved by writing another place into it."""
    found = change_refusals(kind, BODIES[kind], path, value)
    assert [text[: len(want)] for text, want in zip(found, expected, strict=True)] == expected


def test_bound_claim_may_grow() -> None:
    """What has not come of a growth can be taken back, but for what is there already."""
    sized = "spec/resources/requests/storage"
    claim = put(stored("PersistentVolumeClaim", CLAIM), sized, "3Gi")
    old = put(claim, "spec/volumeName", "v")
    old["status"] = {"phase": "Bound", "capacity": {"storage": "1Gi"}}

    def resized(size: str) -> list[str]:
        kind = STORED["PersistentVolumeClaim"]
        return [str(error) for error in update(kind, old, put(old, sized, size))[1]]

    assert resized("4Gi") == []
    assert resized("2Gi") == []
    assert resized("1Gi") == [
        "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"
    ]
