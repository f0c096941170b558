"""Volumes of pods: defaults and validation.

upstream: pkg/apis/core/v1/defaults.go, pkg/apis/core/validation (validateVolumeSource)
"""

from collections.abc import Mapping
from typing import Any, Final

from verger.store import names
from verger.store.invalid import FieldError, duplicate, forbidden, invalid, required
from verger.store.objects import Object
from verger.store.rules.values import Json, amount_of, maybe_one_of, required_name

FILE_MODE: Final = 0o644
"""Of files that come from secrets, config maps and the downward API."""
TOKEN_SECONDS: Final = 3600

_SOURCES: Final = (
    "emptyDir", "hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore", "secret", "nfs", "iscsi",
    "glusterfs", "flocker", "persistentVolumeClaim", "rbd", "cinder", "cephfs", "quobyte", "downwardAPI", "fc",
    "flexVolume", "configMap", "azureFile", "vsphereVolume", "photonPersistentDisk", "portworxVolume", "azureDisk",
    "storageos", "projected", "scaleIO", "csi", "ephemeral", "image",
)  # fmt: skip
"""In the order in which upstream looks at them: of two, the later one is complained of."""
_SOURCE_SET: Final = frozenset(_SOURCES)
_HOST_PATH_TYPES: Final = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip
_MODE: Final = "must be a number between 0 and 0777 (octal), both inclusive"
_FIXED: Final[Mapping[str, Mapping[str, Any]]] = {
    "hostPath": {"type": ""},
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "azureDisk": {
        "cachingMode": "ReadWrite",
        "kind": "Shared",
        "fsType": "ext4",
        "readOnly": False,
    },
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
}
"""Defaults that depend on nothing. Also those of persistent volumes."""
_REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "awsElasticBlockStore": ("volumeID",),
    "azureDisk": ("diskName", "diskURI"),
    "azureFile": ("secretName", "shareName"),
    "cephfs": ("monitors",),
    "cinder": ("volumeID",),
    "flexVolume": ("driver",),
    "gcePersistentDisk": ("pdName",),
    "gitRepo": ("repository",),
    "glusterfs": ("endpoints", "path"),
    "iscsi": ("targetPortal", "iqn"),
    "nfs": ("server", "path"),
    "persistentVolumeClaim": ("claimName",),
    "photonPersistentDisk": ("pdID",),
    "portworxVolume": ("volumeID",),
    "quobyte": ("registry", "volume"),
    "rbd": ("monitors", "image"),
    "vsphereVolume": ("volumePath",),
}


def default_field_references(item: Object) -> None:
    """The parts of a reference to a pod's own fields that may be left out."""
    if (reference := item.get("fieldRef")) is not None:
        reference.setdefault("apiVersion", "v1")
    if (reference := item.get("resourceFieldRef")) is not None:
        reference.setdefault("divisor", "0")


def default_volume(volume: Object) -> None:
    """Fills in one volume."""
    source = next((key for key in volume if key in _SOURCE_SET), None)
    match source:
        case None:
            volume["emptyDir"] = {}
        case "secret" | "configMap":
            volume[source].setdefault("defaultMode", FILE_MODE)
        case "downwardAPI":
            volume[source].setdefault("defaultMode", FILE_MODE)
            for item in volume[source].get("items") or ():
                default_field_references(item)
        case "projected":
            _default_projected(volume[source])
        case "ephemeral":
            if (template := volume[source].get("volumeClaimTemplate")) is not None:
                template.setdefault("metadata", {})
                spec = template.setdefault("spec", {})
                spec.setdefault("volumeMode", "Filesystem")
                spec.setdefault("resources", {})
        case "image":
            reference = volume[source].get("reference") or ""
            volume[source].setdefault("pullPolicy", pull_policy(reference))
        case _:
            default_source(volume, source)


def default_source(holder: Object, source: str) -> None:
    """Fills in a source that pods and persistent volumes share."""
    for key, value in _FIXED.get(source, {}).items():
        holder[source].setdefault(key, value)


def _default_projected(projected: Object) -> None:
    projected.setdefault("defaultMode", FILE_MODE)
    for source in projected.get("sources") or ():
        if (token := source.get("serviceAccountToken")) is not None:
            token.setdefault("expirationSeconds", TOKEN_SECONDS)
        for item in (source.get("downwardAPI") or {}).get("items") or ():
            default_field_references(item)


def pull_policy(image: str) -> str:
    """When to pull an image: always if what it names can change, by its tag."""
    name, _, digest = image.partition("@")
    _, _, tag = name.rpartition("/")[2].partition(":")
    if tag:
        return "Always" if tag == "latest" else "IfNotPresent"
    return "IfNotPresent" if digest or not image else "Always"


def validate_volumes(
    field: str, volumes: list[Json], pod_name: str
) -> tuple[dict[str, Json], list[FieldError]]:
    """The volumes that can be mounted, by name, and what is wrong with the others."""
    found: dict[str, Json] = {}
    errors: list[FieldError] = []
    own_claims = {f"{pod_name}-{item.get('name')}" for item in volumes if "ephemeral" in item}
    for index, volume in enumerate(volumes):
        at, name = f"{field}[{index}]", volume.get("name") or ""
        wrong = _source(at, volume)
        wrong += required_name(f"{at}.name", name, names.label)
        if name in found:
            wrong.append(duplicate(f"{at}.name", name))
        if wrong:
            errors += wrong
        else:
            found[name] = volume
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if pod_name and claim in own_claims:
            text = "must not reference a PVC that gets created for an ephemeral volume"
            errors.append(invalid(f"{at}.persistentVolumeClaim.claimName", claim, text))
    return found, errors


def _source(field: str, volume: Json) -> list[FieldError]:
    given = [key for key in volume if key in _SOURCE_SET]
    if not given:
        return [required(field, "must specify a volume type")]
    if len(given) > 1:
        given.sort(key=_SOURCES.index)
    source = given[0]
    errors = validate_source(f"{field}.{source}", source, volume[source])
    errors += [
        forbidden(f"{field}.{other}", "may not specify more than 1 volume type")
        for other in given[1:]
    ]
    return errors


def validate_source(field: str, source: str, value: Json) -> list[FieldError]:
    """What is wrong with a source of a pod's volume or of a persistent volume."""
    match source:
        case "secret":
            errors = [] if value.get("secretName") else [required(f"{field}.secretName")]
            return errors + _files(field, value)
        case "configMap":
            errors = [] if value.get("name") else [required(f"{field}.name")]
            return errors + _files(field, value)
        case "downwardAPI":
            return _mode(f"{field}.defaultMode", value.get("defaultMode"))
        case "projected":
            return _projected(field, value)
        case "hostPath":
            return host_path(field, value)
        case "emptyDir":
            if amount_of(value.get("sizeLimit") or 0) < 0:
                text = "SizeLimit field must be a valid resource quantity"
                return [forbidden(f"{field}.sizeLimit", text)]
        case "csi":
            return required_name(f"{field}.driver", value.get("driver"), names.subdomain)
        case "ephemeral":
            if value.get("volumeClaimTemplate") is None:
                return [required(f"{field}.volumeClaimTemplate")]
        case _:
            return [
                required(f"{field}.{key}")
                for key in _REQUIRED.get(source, ())
                if not value.get(key)
            ]
    return []


def host_path(field: str, value: Json) -> list[FieldError]:
    """A path on the node."""
    path = value.get("path") or ""
    if not path:
        return [required(f"{field}.path")]
    errors = no_backsteps(f"{field}.path", path)
    return errors + maybe_one_of(f"{field}.type", value.get("type"), _HOST_PATH_TYPES)


def no_backsteps(field: str, path: str) -> list[FieldError]:
    """A path that does not lead out of where it begins."""
    return [invalid(field, path, "must not contain '..'")] if ".." in path.split("/") else []


def descending_path(field: str, path: str) -> list[FieldError]:
    """A relative path that leads down."""
    errors = [invalid(field, path, "must be a relative path")] if path.startswith("/") else []
    return errors + no_backsteps(field, path)


def _mode(field: str, mode: int | None) -> list[FieldError]:
    return [] if mode is None or 0 <= mode <= 0o777 else [invalid(field, mode, _MODE)]


def _files(field: str, value: Json) -> list[FieldError]:
    errors = _mode(f"{field}.defaultMode", value.get("defaultMode"))
    return errors + _items(field, value)


def _items(field: str, value: Json) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, item in enumerate(value.get("items") or ()):
        at = f"{field}.items[{index}]"
        if not item.get("key"):
            errors.append(required(f"{at}.key"))
        if path := item.get("path"):
            errors += descending_path(f"{at}.path", path)
        else:
            errors.append(required(f"{at}.path"))
        errors += _mode(f"{at}.mode", item.get("mode"))
    return errors


def _projected(field: str, value: Json) -> list[FieldError]:
    errors = _mode(f"{field}.defaultMode", value.get("defaultMode"))
    for index, source in enumerate(value.get("sources") or ()):
        at = f"{field}.sources[{index}]"
        errors += [
            forbidden(f"{at}.{key}", "may not specify more than 1 volume type")
            for key in list(source)[1:]
        ]
        for key in ("secret", "configMap"):
            if (part := source.get(key)) is not None:
                if not part.get("name"):
                    errors.append(required(f"{at}.{key}.name"))
                errors += _items(f"{at}.{key}", part)
        if (token := source.get("serviceAccountToken")) is not None:
            errors += _token(f"{at}.serviceAccountToken", token)
    return errors


def _token(field: str, token: Json) -> list[FieldError]:
    errors: list[FieldError] = []
    seconds = token.get("expirationSeconds")
    if seconds is not None and seconds < 600:
        text = "may not specify a duration less than 10 minutes"
        errors.append(invalid(f"{field}.expirationSeconds", seconds, text))
    if seconds is not None and seconds > 1 << 32:
        text = "may not specify a duration larger than 2^32 seconds"
        errors.append(invalid(f"{field}.expirationSeconds", seconds, text))
    if path := token.get("path"):
        errors += descending_path(f"{field}.path", path)
    else:
        errors.append(required(f"{field}.path"))
    return errors
