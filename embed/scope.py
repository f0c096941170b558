"""Which requests are meant: the words with which recorded ones are found, and faults are aimed.

A resource is written as in a role, with its group behind it where two groups have one of that name: `pods`,
`pods/status`, `deployments.apps`, `pods/*`. An account may be written `namespace/name` instead of its long user name.
Every word may be one text or several; a word that is left out means all.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TypedDict

from verger.apiserver.calls import Call
from verger.identity.tokens import username

Words = str | Collection[str]


class Scope(TypedDict, total=False):
    """The words, as keyword arguments."""

    verb: Words
    """get, list, watch, create, update, patch, delete, deletecollection."""
    resource: Words
    namespace: Words
    name: Words
    user: Words


@dataclass(frozen=True, slots=True)
class Wanted:
    """The requests of a scope."""

    verbs: frozenset[str]
    resources: tuple[tuple[str, str | None, str], ...]
    """(plural, group or None for any, part), where the part `*` is the resource and all of its parts."""
    namespaces: frozenset[str]
    names: frozenset[str]
    users: frozenset[str]

    @classmethod
    def of(cls, scope: Scope) -> "Wanted":
        """Raises TypeError for words that there are not."""
        if unknown := sorted(set(scope) - set(Scope.__annotations__)):
            known = ", ".join(Scope.__annotations__)
            raise TypeError(f"requests are not told apart by {', '.join(unknown)}, but by {known}")
        return cls(
            _texts(scope.get("verb")),
            tuple(_resource(text) for text in sorted(_texts(scope.get("resource")))),
            _texts(scope.get("namespace")),
            _texts(scope.get("name")),
            frozenset(_user(text) for text in _texts(scope.get("user"))),
        )

    def holds(self, call: Call) -> bool:
        """Whether the request is one of them."""
        return (
            _among(call.verb, self.verbs)
            and _among(call.namespace, self.namespaces)
            and _among(call.name, self.names)
            and _among(call.user.name, self.users)
            and (not self.resources or self._about(call))
        )

    def _about(self, call: Call) -> bool:
        return any(
            plural in (call.resource, "*")
            and group in (call.group, None)
            and part in (call.subresource, "*")
            for plural, group, part in self.resources
        )


def _among(word: str, words: frozenset[str]) -> bool:
    return not words or word in words


def _texts(words: Words | None) -> frozenset[str]:
    if words is None:
        return frozenset()
    return frozenset([words] if isinstance(words, str) else words)


def _resource(text: str) -> tuple[str, str | None, str]:
    whole, _, part = text.partition("/")
    plural, dot, group = whole.partition(".")
    return plural, group if dot else None, part


def _user(text: str) -> str:
    namespace, slash, name = text.partition("/")
    return username(namespace, name) if slash else text
