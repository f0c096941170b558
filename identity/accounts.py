"""Pods get an account and its credentials: the admission plugin ServiceAccount.

A pod that names no account runs as `default`. Its account has to exist; where the account says so, the pod may use no
Secrets but those that the account lists. Unless somebody has said no, each container finds a token, the root CA and
the name of the namespace at the usual place.

upstream: plugin/pkg/admission/serviceaccount/admission.go; the messages are compatibility facts
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from verger.identity.issue import INJECTED_SECONDS
from verger.identity.validate import Lookup
from verger.store.errors import Forbidden, UnreasonedError
from verger.store.invalid import quote
from verger.store.objects import NAME_ALPHABET, Object, annotations_of
from verger.store.request import Attributes, WriteRequest
from verger.store.rules.configuration import ACCOUNT_UID, TOKEN_SECRET
from verger.watch.chance import CHANCE
from verger.watch.clock import Clock

DEFAULT_ACCOUNT: Final = "default"
MOUNT_PATH: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX: Final = "kube-api-access-"
ROOT_CA: Final = "kube-root-ca.crt"
MIRROR: Final = "kubernetes.io/config.mirror"
ENFORCE: Final = "kubernetes.io/enforce-mountable-secrets"
FILE_MODE: Final = 0o644
_TRUE: Final = ("1", "t", "T", "TRUE", "true", "True")
_WAITS: Final = (0.01, 0.02, 0.04, 0.08, 0.15, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2)
"""Seconds between looks for something that a controller is about to make: 2 s in all, as upstream, but soon at first."""
_VOLUMES_WITH_SECRETS: Final = (
    ("secret", "secretName"),
    ("azureFile", "secretName"),
    ("cephfs", "secretRef"),
    ("cinder", "secretRef"),
    ("flexVolume", "secretRef"),
    ("rbd", "secretRef"),
    ("scaleIO", "secretRef"),
    ("iscsi", "secretRef"),
    ("storageos", "secretRef"),
    ("csi", "nodePublishSecretRef"),
)

PodTokens = Literal["projected", "secret"]


class Use(NamedTuple):
    """A Secret that a container's environment uses, and how."""

    container: str
    how: str
    secret: str


def uses(containers: Sequence[Mapping[str, Any]] | None) -> Iterator[Use]:
    """The Secrets in the environments of containers: for each container its variables first."""
    for container in containers or ():
        name = container.get("name") or ""
        for variable in container.get("env") or ():
            reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
            if reference is not None:
                yield Use(name, f"envVar {variable.get('name')}", reference.get("name") or "")
        for source in container.get("envFrom") or ():
            reference = source.get("secretRef")
            if reference is not None:
                yield Use(name, "envFrom", reference.get("name") or "")


def secrets_of(spec: Mapping[str, Any]) -> Iterator[str]:
    """The names of all Secrets that a pod refers to anywhere."""
    for reference in spec.get("imagePullSecrets") or ():
        yield reference.get("name") or ""
    for key in ("initContainers", "containers", "ephemeralContainers"):
        yield from (use.secret for use in uses(spec.get(key)))
    for volume in spec.get("volumes") or ():
        for source, field in _VOLUMES_WITH_SECRETS:
            value = (volume.get(source) or {}).get(field)
            if value is not None:
                yield value if isinstance(value, str) else value.get("name") or ""
        for projection in (volume.get("projected") or {}).get("sources") or ():
            if projection.get("secret") is not None:
                yield projection["secret"].get("name") or ""


class Accounts:
    """The plugin."""

    def __init__(self, lookup: Lookup, clock: Clock, *, tokens: PodTokens = "projected") -> None:
        self._lookup = lookup
        self._clock = clock
        self._tokens = tokens

    def handles(self, attributes: Attributes) -> bool:
        """New pods, and what is added to running ones."""
        if attributes.resource != "pods" or attributes.group:
            return False
        if attributes.subresource == "ephemeralcontainers":
            return attributes.verb in ("update", "patch")
        return attributes.verb == "create" and not attributes.subresource

    async def admit(
        self,
        attributes: Attributes,
        obj: Object,
        old: Mapping[str, Any] | None,
        request: WriteRequest,
    ) -> None:
        """Gives a new pod its account, pull secrets and token volume. Raises Forbidden."""
        if attributes.verb == "create" and MIRROR not in annotations_of(obj):
            await self._complete(attributes, obj.setdefault("spec", {}))
        # upstream: a pod that may not run like that is refused before it is looked at whether it could
        await self.validate(attributes, obj, old, request)

    async def _complete(self, attributes: Attributes, spec: Object) -> None:
        name = spec.get("serviceAccountName") or DEFAULT_ACCOUNT
        spec["serviceAccountName"] = name
        account = await self._account(attributes, name)
        automount = spec.get("automountServiceAccountToken")
        if automount is None:
            automount = account.get("automountServiceAccountToken")
        if automount or automount is None:
            if self._tokens == "projected":
                _mount(spec, VOLUME_PREFIX, _projected)
            else:
                secret = await self._token_secret(attributes, name)
                _mount(spec, secret, lambda: _from_secret(secret))
        pull = account.get("imagePullSecrets")
        if not spec.get("imagePullSecrets") and pull:
            spec["imagePullSecrets"] = [{"name": item.get("name") or ""} for item in pull]

    async def validate(
        self,
        attributes: Attributes,
        obj: Mapping[str, Any],
        old: Mapping[str, Any] | None,
        request: WriteRequest,
    ) -> None:
        """Whether the pod may use what it uses. Raises Forbidden, and a bare 500 where upstream does."""
        spec = obj.get("spec") or {}
        mirror = attributes.verb == "create" and MIRROR in annotations_of(obj)
        if mirror:
            _check_mirror(attributes, spec)
            return
        name = spec.get("serviceAccountName") or ""
        if not name:
            where = f"{attributes.namespace}/{attributes.name}"
            raise refused(attributes, f"no service account specified for pod {where}")
        account = await self._account(attributes, name)
        if annotations_of(account).get(ENFORCE) not in _TRUE:
            return
        allowed = {entry.get("name") for entry in account.get("secrets") or ()}
        if attributes.verb == "create":
            _check_secrets(attributes, spec, account, allowed)
            return
        for use in uses(spec.get("ephemeralContainers")):
            if use.secret not in allowed:
                raise UnreasonedError(_not_listed("ephemeral container", use, name))

    async def _account(self, attributes: Attributes, name: str) -> Mapping[str, Any]:
        namespace = attributes.namespace
        found = self._lookup.get("serviceaccounts", namespace, name)
        # A pod may come right after its namespace, before the controller has made the default account.
        for wait in _WAITS if found is None and name == DEFAULT_ACCOUNT else ():
            await self._clock.sleep(wait)
            found = self._lookup.get("serviceaccounts", namespace, name)
            if found is not None:
                break
        if found is None:
            text = f"error looking up service account {namespace}/{name}: "
            raise refused(attributes, f"{text}serviceaccount {quote(name)} not found")
        return found

    async def _token_secret(self, attributes: Attributes, name: str) -> str:
        """The first token Secret that the account refers to."""
        for wait in (0.0, *_WAITS):
            if wait:
                await self._clock.sleep(wait)
            account = self._lookup.get("serviceaccounts", attributes.namespace, name) or {}
            for entry in account.get("secrets") or ():
                secret = self._lookup.get("secrets", attributes.namespace, entry.get("name") or "")
                if (
                    secret is not None
                    and secret.get("type") == TOKEN_SECRET
                    and annotations_of(secret).get(ACCOUNT_UID) == account["metadata"]["uid"]
                    and (secret.get("data") or {}).get("token")
                ):
                    return str(entry["name"])
        text = (
            f"no API token found for service account {quote(name)}, retry after the token is automatically created and "
            "added to the service account"
        )
        raise refused(attributes, text, retry_after=1)


def refused(attributes: Attributes, why: str, *, retry_after: int | None = None) -> Forbidden:
    """The refusal of a pod."""
    name = attributes.name
    details = {"name": name, "kind": "pods"}
    return Forbidden(f"pods {quote(name)} is forbidden: {why}", details, retry_after=retry_after)


# The volume


def _projected() -> Object:
    sources = [
        {"serviceAccountToken": {"expirationSeconds": INJECTED_SECONDS, "path": "token"}},
        {"configMap": {"name": ROOT_CA, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {
            "downwardAPI": {
                "items": [
                    {
                        "path": "namespace",
                        "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                    }
                ]
            }
        },
    ]
    name = VOLUME_PREFIX + "".join(CHANCE.choices(NAME_ALPHABET, k=5))  # a name, not a secret
    return {"name": name, "projected": {"sources": sources, "defaultMode": FILE_MODE}}


def _from_secret(name: str) -> Object:
    return {"name": name, "secret": {"secretName": name, "defaultMode": FILE_MODE}}


def _mount(spec: Object, prefix: str, make: Callable[[], Object]) -> None:
    """Mounts the volume with the credentials wherever nothing is mounted at its place."""
    volumes = spec.get("volumes") or []
    volume = next((v for v in volumes if (v.get("name") or "").startswith(prefix)), None)
    known = volume is not None
    if volume is None:
        volume = make()
    needed = False
    for key in ("initContainers", "containers"):
        for container in spec.get(key) or ():
            mounts = container.get("volumeMounts") or []
            if any(mount.get("mountPath") == MOUNT_PATH for mount in mounts):
                continue
            mount = {"name": volume["name"], "readOnly": True, "mountPath": MOUNT_PATH}
            container["volumeMounts"] = [*mounts, mount]
            needed = True
    if needed and not known:
        spec["volumes"] = [*volumes, volume]


# What a pod may use


def _check_mirror(attributes: Attributes, spec: Mapping[str, Any]) -> None:
    if spec.get("serviceAccountName"):
        raise refused(attributes, "a mirror pod may not reference service accounts")
    if next(secrets_of(spec), None) is not None:
        raise refused(attributes, "a mirror pod may not reference secrets")
    for volume in spec.get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            if source.get("serviceAccountToken") is not None:
                text = "a mirror pod may not use ServiceAccountToken volume projections"
                raise refused(attributes, text)


def _check_secrets(
    attributes: Attributes,
    spec: Mapping[str, Any],
    account: Mapping[str, Any],
    allowed: set[Any],
) -> None:
    name = account["metadata"]["name"]
    for volume in spec.get("volumes") or ():
        source = volume.get("secret")
        if source is not None and (secret := source.get("secretName") or "") not in allowed:
            text = f"volume with secret.secretName={quote(secret)} is not allowed because service account {name} "
            raise refused(attributes, f"{text}does not reference that secret")
    for what, key in (("init container", "initContainers"), ("container", "containers")):
        for use in uses(spec.get(key)):
            if use.secret not in allowed:
                raise refused(attributes, _not_listed(what, use, name))
    pull = {entry.get("name") for entry in account.get("imagePullSecrets") or ()}
    for index, reference in enumerate(spec.get("imagePullSecrets") or ()):
        if (secret := reference.get("name") or "") not in pull:
            text = f"imagePullSecrets[{index}].name={quote(secret)} is not allowed because service account {name} "
            raise refused(attributes, f"{text}does not reference that imagePullSecret")


def _not_listed(what: str, use: Use, account: str) -> str:
    return (
        f"{what} {use.container} with {use.how} referencing secret.secretName={quote(use.secret)} is not allowed "
        f"because service account {account} does not reference that secret"
    )
