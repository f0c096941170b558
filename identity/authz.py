"""What a user may do: authorizers decide, and the words in which a refusal is told.

upstream: apiserver/pkg/endpoints/handlers/responsewriters/errors.go
"""

from typing import Final, NamedTuple, Protocol

from verger.store.errors import Forbidden
from verger.store.request import MASTERS, Attributes

PUBLIC_PATHS: Final = ("/healthz", "/livez", "/readyz", "/version")
"""Anyone may read these. upstream: the role system:public-info-viewer"""


class Decision(NamedTuple):
    """Whether a request may go on, and why."""

    allowed: bool
    reason: str = ""


class Authorizer(Protocol):
    """Decides about requests."""

    def decide(self, attributes: Attributes) -> Decision:
        """Whether the user may do that."""


class MastersOnly:
    """Administrators may do everything; others may ask for health and version, and for nothing else."""

    def decide(self, attributes: Attributes) -> Decision:
        """Whether the user is an administrator, or the path is public."""
        if MASTERS in attributes.user.groups:
            return Decision(True)
        if attributes.kind is None and attributes.verb == "get":
            path = attributes.path
            return Decision(any(path == p or path.startswith(f"{p}/") for p in PUBLIC_PATHS))
        return Decision(False)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def forbidden(attributes: Attributes, reason: str = "") -> Forbidden:
    """The refusal of a request."""
    user, verb, kind = attributes.user.name, attributes.verb, attributes.kind
    suffix = f": {reason}" if reason else ""
    if kind is None:
        message = _escaped(f'forbidden: User "{user}" cannot {verb} path "{attributes.path}"')
        return Forbidden(message + suffix, {})
    what = kind.plural + (f"/{attributes.subresource}" if attributes.subresource else "")
    where = (
        f'in the namespace "{attributes.namespace}"'
        if attributes.namespace
        else "at the cluster scope"
    )
    named = f' "{attributes.name}"' if attributes.name else ""
    message = _escaped(
        f'{kind.resource}{named} is forbidden: User "{user}" cannot {verb} resource "{what}" in API group '
        f'"{kind.group}" {where}'
    )
    details: dict[str, object] = {"name": attributes.name} if attributes.name else {}
    if kind.group:
        details["group"] = kind.group
    details["kind"] = kind.plural
    return Forbidden(message + suffix, details)
