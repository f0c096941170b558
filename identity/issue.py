"""Issuing tokens on request: who asks for an account's token says for whom it is, for how long, and what it dies with.

upstream: pkg/registry/core/serviceaccount/storage/token.go
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import uuid4

from verger.identity.keyring import KeyRing
from verger.identity.tokens import Reference, bound_claims
from verger.identity.validate import Lookup
from verger.store.errors import BadRequest, Conflict, Invalid, NotFound
from verger.store.invalid import FieldError, invalid, quote
from verger.store.objects import meta, name_of, ordered_meta, uid_of
from verger.store.request import Posting
from verger.store.timestamps import format_time
from verger.watch.clock import Clock

GROUP: Final = "authentication.k8s.io"
DEFAULT_SECONDS: Final = 3600
MIN_SECONDS: Final = 600
MAX_SECONDS: Final = 1 << 32
INJECTED_SECONDS: Final = 3607
"""What the token volume of a pod asks for: an odd number, so that such requests can be told from others."""
EXTENDED_SECONDS: Final = 365 * 24 * 3600
"""How long the token of a pod lives that was written for times when tokens did not expire."""


class Bindings(NamedTuple):
    """What a token dies with; the node of a pod is only noted."""

    secret: Reference | None = None
    pod: Reference | None = None
    node: Reference | None = None


class TokenIssuer:
    """Answers TokenRequests."""

    def __init__(
        self,
        keys: KeyRing,
        lookup: Lookup,
        clock: Clock,
        *,
        issuer: str,
        audiences: Sequence[str],
        max_seconds: int = 0,
        extend: bool = True,
    ) -> None:
        self._keys = keys
        self._lookup = lookup
        self._clock = clock
        self._issuer = issuer
        self._audiences = tuple(audiences)
        self._max_seconds = max_seconds
        self._extend = extend

    async def answer(self, posting: Posting) -> Mapping[str, Any]:
        """The TokenRequest with the token in its status. Raises BadRequest, NotFound, Conflict, Invalid."""
        namespace, name = posting.namespace, posting.name
        given = meta(posting.obj)
        if (stated := given.get("name")) and stated != name:
            text = "must match the service account name if specified"
            raise _invalid(name, [invalid("metadata.name", stated, text)])
        account = self._lookup.get("serviceaccounts", namespace, name)
        if account is None:
            raise _missing("serviceaccounts", name)
        self._check_uid(name, given.get("uid"), uid_of(account))
        spec = posting.obj.get("spec") or {}
        audiences = list(spec.get("audiences") or self._audiences)
        stated_seconds = spec.get("expirationSeconds")
        asked = DEFAULT_SECONDS if stated_seconds is None else int(stated_seconds)
        if errors := _duration_errors(asked):
            raise _invalid("", errors)
        reference = spec.get("boundObjectRef")
        bindings = self._bound(reference, namespace, name) if reference else Bindings()
        seconds = self._shortened(asked, posting)
        now = self._clock.time()
        extended = self._extends(seconds, bindings, audiences)
        claims = bound_claims(
            issuer=self._issuer,
            audiences=audiences,
            namespace=namespace,
            account=Reference(name, uid_of(account)),
            now=int(now),
            expires=int(now) + (EXTENDED_SECONDS if extended else seconds),
            jti=str(uuid4()),
            secret=bindings.secret,
            pod=bindings.pod,
            node=bindings.node,
            warn_after=int(now) + seconds if extended else None,
        )
        token = await self._keys.signing.sign(claims)
        fields = {
            **given,
            "name": name,
            "namespace": namespace,
            "uid": uid_of(account),
            "creationTimestamp": format_time(now),
        }
        return {
            "kind": posting.form.kind,
            "apiVersion": posting.form.api_version,
            "metadata": ordered_meta(fields),
            "spec": {
                "audiences": audiences,
                "expirationSeconds": seconds,
                "boundObjectRef": reference,
            },
            # What the client is told is what it asked for: it should renew in time even if it need not.
            "status": {"token": token, "expirationTimestamp": format_time(now + seconds)},
        }

    @staticmethod
    def _check_uid(name: str, wanted: str | None, actual: str) -> None:
        if wanted and wanted != actual:
            raise Conflict(
                f"Operation cannot be fulfilled on TokenRequest.{GROUP} {quote(name)}: the UID in the token request "
                f"({wanted}) does not match the UID of the service account ({actual})",
                {"name": name, "group": GROUP, "kind": "TokenRequest"},
            )

    def _shortened(self, asked: int, posting: Posting) -> int:
        longest = self._max_seconds
        if not longest or asked <= longest:
            return asked
        posting.request.warnings.append(
            f"requested expiration of {asked} seconds shortened to {longest} seconds"
        )
        return longest

    def _extends(self, seconds: int, bindings: Bindings, audiences: Sequence[str]) -> bool:
        return (
            self._extend
            and bindings.pod is not None
            and seconds == INJECTED_SECONDS
            and set(audiences) <= set(self._audiences)
        )

    def _bound(self, reference: Mapping[str, Any], namespace: str, account: str) -> Bindings:
        version, kind = reference.get("apiVersion") or "", reference.get("kind") or ""
        name, uid = reference.get("name") or "", reference.get("uid") or ""
        if "/" not in version:  # the core group, in whatever version
            if kind == "Pod":
                pod = self._referred("pods", namespace, name)
                spec = pod.get("spec") or {}
                if spec.get("serviceAccountName") != account:
                    raise BadRequest(
                        f"cannot bind token for serviceaccount {quote(account)} to pod running with different "
                        "serviceaccount name."
                    )
                node_name = spec.get("nodeName") or ""
                node = self._lookup.get("nodes", "", node_name) if node_name else None
                return Bindings(
                    pod=_matching(kind, pod, uid),
                    node=Reference(node_name, uid_of(node) if node is not None else "")
                    if node_name
                    else None,
                )
            if kind == "Node":
                return Bindings(node=_matching(kind, self._referred("nodes", "", name), uid))
            if kind == "Secret":
                secret = self._referred("secrets", namespace, name)
                return Bindings(secret=_matching(kind, secret, uid))
        group, _, version = version.rpartition("/")
        raise BadRequest(f"cannot bind token to object of type {group}/{version}, Kind={kind}")

    def _referred(self, plural: str, namespace: str, name: str) -> Mapping[str, Any]:
        found = self._lookup.get(plural, namespace, name)
        if found is None:
            raise _missing(plural, name)
        return found


def _matching(kind: str, obj: Mapping[str, Any], uid: str) -> Reference:
    if uid and uid != uid_of(obj):
        raise Conflict(
            f"Operation cannot be fulfilled on {kind} {quote(name_of(obj))}: the UID in the bound object reference "
            f"({uid}) does not match the UID in record. The object might have been deleted and then recreated",
            {"name": name_of(obj), "kind": kind},
        )
    return Reference(name_of(obj), uid_of(obj))


def _duration_errors(seconds: int) -> list[FieldError]:
    field = "spec.expirationSeconds"
    if seconds < MIN_SECONDS:
        return [invalid(field, seconds, "may not specify a duration less than 10 minutes")]
    if seconds > MAX_SECONDS:
        return [invalid(field, seconds, "may not specify a duration larger than 2^32 seconds")]
    return []


def _invalid(name: str, errors: Sequence[FieldError]) -> Invalid:
    return Invalid.of("TokenRequest", GROUP, name, errors)


def _missing(plural: str, name: str) -> NotFound:
    return NotFound(f"{plural} {quote(name)} not found", {"name": name, "kind": plural})
