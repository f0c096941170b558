"""Containers of pods, of every sort: defaults and validation.

upstream: pkg/apis/core/v1/defaults.go, pkg/apis/core/validation (validateContainerCommon and its neighbours)
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from verger.store import names
from verger.store.invalid import FieldError, duplicate, forbidden, invalid, not_supported, required
from verger.store.objects import Object
from verger.store.rules import resources, values
from verger.store.rules.environment import default_env, validate_env, validate_env_from
from verger.store.rules.probes import PROBES, default_probes, validate_running
from verger.store.rules.values import EMPTY, Json, not_found, one_of, required_name
from verger.store.rules.volumes import descending_path, no_backsteps, pull_policy

MESSAGE_PATH: Final = "/dev/termination-log"
ID_MAX: Final = 0xFFFF_FFFF

_NOT_EPHEMERAL: Final = (
    "ports", "resources", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "restartPolicy",
)  # fmt: skip


def default_container(container: Object) -> None:
    """Fills in one container, of whichever sort."""
    # The keys that are nearly always absent are looked for once, in the order of how often they come.
    container.setdefault("resources", {})
    container.setdefault("terminationMessagePath", MESSAGE_PATH)
    container.setdefault("terminationMessagePolicy", "File")
    if "imagePullPolicy" not in container:
        container["imagePullPolicy"] = pull_policy(container.get("image") or "")
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    if env := container.get("env"):
        default_env(env)
    default_probes(container)


def requests_from_limits(containers: Iterable[Json]) -> None:
    """What is limited but not requested is requested up to the limit: in pods, not in their templates."""
    for container in containers:
        held = container.get("resources") or {}
        if limits := held.get("limits"):
            held["requests"] = {**limits, **(held.get("requests") or {})}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a container is judged by besides itself."""

    volumes: Mapping[str, Json]
    """Those that can be mounted, by name."""
    claims: frozenset[str]
    """The names of the pod's resource claims."""
    restart_policy: str
    grace: int | None
    """The pod's terminationGracePeriodSeconds."""


def validate_containers(
    field: str, containers: list[Json], around: Surroundings
) -> list[FieldError]:
    """What is wrong with the containers that make up a pod."""
    if not containers:
        return [required(field)]
    errors: list[FieldError] = []
    repeated = values.duplicates([item.get("name") or "" for item in containers])
    for index, container in enumerate(containers):
        at = f"{field}[{index}]"
        errors += _common(at, container, around)
        if index in repeated:
            errors.append(duplicate(f"{at}.name", container.get("name") or ""))
        errors += validate_running(at, container, around.grace)
        if "restartPolicy" in container:
            text = "may not be set for non-init containers"
            errors.append(forbidden(f"{at}.restartPolicy", text))
    return errors + _host_port_conflicts(field, containers)


def validate_init_containers(
    field: str, containers: list[Json], regular: list[Json], around: Surroundings
) -> list[FieldError]:
    """What is wrong with the containers that run first."""
    errors: list[FieldError] = []
    taken = {item.get("name") or "" for item in regular}
    for index, container in enumerate(containers):
        at, name = f"{field}[{index}]", container.get("name") or ""
        errors += _common(at, container, around)
        policy = container.get("restartPolicy")
        if policy is not None and policy != "Always":
            errors.append(not_supported(f"{at}.restartPolicy", policy, ("Always",)))
        if name in taken:
            errors.append(duplicate(f"{at}.name", name))
        elif name:
            taken.add(name)
        errors += _host_port_conflicts(field, [container])
        if policy == "Always":
            errors += validate_running(at, container, around.grace)
        else:
            text = "may not be set for init containers without restartPolicy=Always"
            errors += [
                forbidden(f"{at}.{key}", text) for key in ("lifecycle", *PROBES) if key in container
            ]
    return errors


def validate_ephemeral_containers(
    field: str, containers: list[Json], others: list[Json], around: Surroundings
) -> list[FieldError]:
    """What is wrong with the containers that were added to look into a running pod."""
    errors: list[FieldError] = []
    targets = {item.get("name") or "" for item in others}
    taken = set(targets)
    for index, container in enumerate(containers):
        at, name = f"{field}[{index}]", container.get("name") or ""
        errors += _common(at, container, around)
        errors += untrimmed_image(at, container)
        if name in taken:
            errors.append(duplicate(f"{at}.name", name))
        taken.add(name)
        target = container.get("targetContainerName")
        if target and target not in targets:
            errors.append(not_found(f"{at}.targetContainerName", target))
        text = "cannot be set for an Ephemeral Container"
        errors += [forbidden(f"{at}.{key}", text) for key in _NOT_EPHEMERAL if container.get(key)]
        for place, mount in enumerate(container.get("volumeMounts") or ()):
            errors += [
                forbidden(f"{at}.volumeMounts[{place}].{key}", text)
                for key in ("subPath", "subPathExpr")
                if mount.get(key)
            ]
    return errors


def untrimmed_image(field: str, container: Json) -> list[FieldError]:
    """Spaces around the name of an image: refused in pods, suffered in templates."""
    image = container.get("image") or ""
    if image == image.strip():
        return []
    return [invalid(f"{field}.image", image, "must not have leading or trailing whitespace")]


def _common(field: str, container: Json, around: Surroundings) -> list[FieldError]:
    errors = required_name(f"{field}.name", container.get("name"), names.label)
    if not container.get("image"):
        errors.append(required(f"{field}.image"))
    policy = container.get("terminationMessagePolicy")
    if policy != "File":
        supported = ("File", "FallbackToLogsOnError")
        errors += one_of(f"{field}.terminationMessagePolicy", policy, supported)
    if ports := container.get("ports"):
        errors += _ports(f"{field}.ports", ports)
    if env := container.get("env"):
        errors += validate_env(f"{field}.env", env)
    if env := container.get("envFrom"):
        errors += validate_env_from(f"{field}.envFrom", env)
    mounts, devices = container.get("volumeMounts") or (), container.get("volumeDevices") or ()
    if mounts:
        errors += _mounts(f"{field}.volumeMounts", mounts, devices, around.volumes)
    if devices:
        errors += _devices(f"{field}.volumeDevices", devices, mounts, around.volumes)
    pull = ("Always", "IfNotPresent", "Never")
    errors += one_of(f"{field}.imagePullPolicy", container.get("imagePullPolicy"), pull)
    if held := container.get("resources"):
        errors += resources.requirements(f"{field}.resources", held, around.claims)
    if context := container.get("securityContext"):
        errors += _security_context(f"{field}.securityContext", context)
    if policies := container.get("resizePolicy"):
        errors += _resize_policy(f"{field}.resizePolicy", policies, around.restart_policy)
    return errors


def _ports(field: str, ports: list[Json]) -> list[FieldError]:
    errors: list[FieldError] = []
    taken: set[str] = set()
    for index, port in enumerate(ports):
        at = f"{field}[{index}]"
        if name := port.get("name"):
            wrong = values.port_name(f"{at}.name", name)
            if not wrong and name in taken:
                wrong.append(duplicate(f"{at}.name", name))
            taken.add(name)
            errors += wrong
        if number := port.get("containerPort"):
            errors += values.port_number(f"{at}.containerPort", number)
        else:
            errors.append(required(f"{at}.containerPort"))
        if number := port.get("hostPort"):
            errors += values.port_number(f"{at}.hostPort", number)
        errors += one_of(f"{at}.protocol", port.get("protocol"), values.PROTOCOLS)
    return errors


def _host_port_conflicts(field: str, containers: list[Json]) -> list[FieldError]:
    errors: list[FieldError] = []
    taken: set[str] = set()
    for index, container in enumerate(containers):
        for place, port in enumerate(container.get("ports") or ()):
            if number := port.get("hostPort"):
                key = f"{port.get('protocol') or ''}/{port.get('hostIP') or ''}/{number}"
                if key in taken:
                    at = f"{field}[{index}].ports[{place}].hostPort"
                    errors.append(duplicate(at, key))
                taken.add(key)
    return errors


def _mounts(
    field: str, mounts: list[Json], devices: Iterable[Json], volumes: Mapping[str, Json]
) -> list[FieldError]:
    errors: list[FieldError] = []
    device_names = {item.get("name") or "" for item in devices}
    device_paths = {item.get("devicePath") or "" for item in devices}
    taken: set[str] = set()
    for index, mount in enumerate(mounts):
        at = f"{field}[{index}]"
        name, path = mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            errors.append(required(f"{at}.name"))
        if name not in volumes:
            errors.append(not_found(f"{at}.name", name))
        if not path:
            errors.append(required(f"{at}.mountPath"))
        if path in taken:
            errors.append(invalid(f"{at}.mountPath", path, "must be unique"))
        taken.add(path)
        if name in device_names:
            errors.append(invalid(f"{at}.name", name, "must not already exist in volumeDevices"))
        if path in device_paths:
            text = "must not already exist as a path in volumeDevices"
            errors.append(invalid(f"{at}.mountPath", path, text))
        below, expression = mount.get("subPath"), mount.get("subPathExpr")
        if below:
            errors += descending_path(f"{field}.subPath", below)
        if expression:
            if below:
                text = "subPathExpr and subPath are mutually exclusive"
                errors.append(invalid(f"{at}.subPathExpr", expression, text))
            errors += descending_path(f"{field}.subPathExpr", expression)
    return errors


def _devices(
    field: str, devices: list[Json], mounts: Iterable[Json], volumes: Mapping[str, Json]
) -> list[FieldError]:
    errors: list[FieldError] = []
    mount_names = {item.get("name") or "" for item in mounts}
    mount_paths = {item.get("mountPath") or "" for item in mounts}
    names_taken: set[str] = set()
    paths_taken: set[str] = set()
    for index, device in enumerate(devices):
        at = f"{field}[{index}]"
        name, path = device.get("name") or "", device.get("devicePath") or ""
        volume = volumes.get(name)
        if not name:
            errors.append(required(f"{at}.name"))
        if name in names_taken:
            errors.append(invalid(f"{at}.name", name, "must be unique"))
        if volume is None:
            errors.append(not_found(f"{at}.name", name))
        elif not {"persistentVolumeClaim", "ephemeral"} & volume.keys():
            text = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            errors.append(invalid(f"{at}.name", name, text))
        if not path:
            errors.append(required(f"{at}.devicePath"))
        if path in paths_taken:
            errors.append(invalid(f"{at}.devicePath", path, "must be unique"))
        if no_backsteps(at, path):
            errors.append(invalid(f"{at}.devicePath", path, "can not contain backsteps ('..')"))
        if name in mount_names:
            errors.append(invalid(f"{at}.name", name, "must not already exist in volumeMounts"))
        if path in mount_paths:
            text = "must not already exist as a path in volumeMounts"
            errors.append(invalid(f"{at}.devicePath", path, text))
        names_taken.add(name)
        paths_taken.add(path)
    return errors


def identifiers(field: str, context: Json, *keys: str) -> Iterator[FieldError]:
    """What is wrong with numbers of users and groups."""
    for key in keys:
        number = context.get(key)
        if number is not None and not 0 <= number <= ID_MAX:
            text = f"must be between 0 and {ID_MAX}, inclusive"
            yield invalid(f"{field}.{key}", number, text)


def _security_context(field: str, context: Json) -> list[FieldError]:
    errors = [*identifiers(field, context, "runAsUser", "runAsGroup")]
    errors += values.maybe_one_of(
        f"{field}.procMount", context.get("procMount"), ("Default", "Unmasked")
    )
    errors += profile(f"{field}.seccompProfile", context.get("seccompProfile"))
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            text = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            errors.append(invalid(field, dict(context), text))
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or EMPTY).get("add") or ()):
            text = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            errors.append(invalid(field, dict(context), text))
    return errors + profile(f"{field}.appArmorProfile", context.get("appArmorProfile"))


def profile(field: str, value: Json | None) -> list[FieldError]:
    """A seccomp or AppArmor profile."""
    if value is None:
        return []
    kind, local = value.get("type"), value.get("localhostProfile")
    supported = ("Localhost", "RuntimeDefault", "Unconfined")
    if kind not in supported:
        return one_of(f"{field}.type", kind, supported)
    if kind == "Localhost":
        if local is None:
            text = "must be set when type is Localhost"
            return [required(f"{field}.localhostProfile", text)]
        return descending_path(f"{field}.localhostProfile", local) if local else []
    if local is not None:
        text = "can only be set when type is Localhost"
        return [invalid(f"{field}.localhostProfile", local, text)]
    return []


def _resize_policy(field: str, policies: list[Json], restart_policy: str) -> list[FieldError]:
    errors: list[FieldError] = []
    repeated = values.duplicates([item.get("resourceName") or "" for item in policies])
    for index, policy in enumerate(policies):
        name, restart = policy.get("resourceName"), policy.get("restartPolicy")
        if index in repeated:
            errors.append(duplicate(f"{field}[{index}]", name or ""))
        errors += one_of(field, name, ("cpu", "memory"))
        errors += one_of(field, restart, ("NotRequired", "RestartContainer"))
        if restart_policy == "Never" and restart != "NotRequired":
            text = "must be 'NotRequired' when `restartPolicy` is 'Never'"
            errors.append(invalid(field, restart or "", text))
    return errors


def ports_on_host(containers: Iterable[Json]) -> None:
    """In the host's network every port is one of the host."""
    for container in containers:
        for port in container.get("ports") or ():
            if not port.get("hostPort") and (number := port.get("containerPort")):
                port["hostPort"] = number


def names_in(containers: Iterable[Mapping[str, Any]]) -> list[str]:
    """The names of containers."""
    return [str(item.get("name") or "") for item in containers]
