"""What a user may do: authorizers decide, and the words in which a refusal is told.

upstream: apiserver/pkg/endpoints/handlers/responsewriters/errors.go
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from verger.store.errors import Forbidden
from verger.store.request import MASTERS, Attributes, User


class Decision(NamedTuple):
    """Whether a request may go on, and why."""

    allowed: bool
    reason: str = ""
    error: str = ""
    """What kept the authorizer from seeing everything; it may have allowed more."""


class PolicyRule(NamedTuple):
    """What somebody may do, as roles say it."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()


class Authorizer(Protocol):
    """Decides about requests."""

    def decide(self, attributes: Attributes) -> Decision:
        """Whether the user may do that."""

    def rules(self, user: User, namespace: str) -> tuple[Sequence[PolicyRule], str]:
        """All that the user may do in a namespace, and what kept the authorizer from seeing everything."""


_EVERYTHING = (PolicyRule(("*",), ("*",), ("*",)), PolicyRule(("*",), urls=("*",)))


class Masters:
    """Administrators may do everything, whatever the policy says: nobody can lock himself out."""

    def __init__(self, others: Authorizer) -> None:
        self._others = others

    def decide(self, attributes: Attributes) -> Decision:
        """Allows administrators, and asks about everybody else."""
        if MASTERS in attributes.user.groups:
            return Decision(True)
        return self._others.decide(attributes)

    def rules(self, user: User, namespace: str) -> tuple[Sequence[PolicyRule], str]:
        """Everything for administrators, and what the policy says of others."""
        found, error = self._others.rules(user, namespace)
        return ([*_EVERYTHING, *found] if MASTERS in user.groups else found), error


class AlwaysAllow:
    """Everybody may do everything: for tests that are about something else."""

    def decide(self, attributes: Attributes) -> Decision:
        """Allows it."""
        return Decision(True)

    def rules(self, user: User, namespace: str) -> tuple[Sequence[PolicyRule], str]:
        """Everything."""
        return _EVERYTHING, ""


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def forbidden(attributes: Attributes, reason: str = "") -> Forbidden:
    """The refusal of a request."""
    user, verb, group = attributes.user.name, attributes.verb, attributes.group
    suffix = f": {reason}" if reason else ""
    plural = attributes.resource
    if not plural:
        message = _escaped(f'forbidden: User "{user}" cannot {verb} path "{attributes.path}"')
        return Forbidden(message + suffix, {})
    qualified = f"{plural}.{group}" if group else plural
    what = plural + (f"/{attributes.subresource}" if attributes.subresource else "")
    where = (
        f'in the namespace "{attributes.namespace}"'
        if attributes.namespace
        else "at the cluster scope"
    )
    named = f' "{attributes.name}"' if attributes.name else ""
    message = _escaped(
        f'{qualified}{named} is forbidden: User "{user}" cannot {verb} resource "{what}" in API group "{group}" {where}'
    )
    details: dict[str, object] = {"name": attributes.name} if attributes.name else {}
    if group:
        details["group"] = group
    details["kind"] = plural
    return Forbidden(message + suffix, details)


def demand(authorizer: Authorizer) -> Callable[[Attributes], None]:
    """Asks an authorizer, and raises Forbidden when it does not allow what is asked for."""

    def check(attributes: Attributes) -> None:
        decision = authorizer.decide(attributes)
        if not decision.allowed:
            raise forbidden(attributes, decision.reason)

    return check
