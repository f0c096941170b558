"""What can be told of a request to those who listen: who asked for what, and what became of it.

A call holds nothing of what was sent or answered: no body, no header, no credential.
"""

from dataclasses import dataclass
from typing import Protocol

from verger.store.request import Attributes, User

UNKNOWN = User("")
"""Who asks, until that has been proven."""


@dataclass(slots=True, eq=False)
class Call:
    """One request. A watch may be told of when it is let in: then `code` is 200, and `duration` None until it ends."""

    at: float
    """When it came, in seconds since the epoch."""
    verb: str
    """As authorization knows it; the method in lower case for a path that is no resource's."""
    path: str
    """Without the query."""
    user: User = UNKNOWN
    group: str = ""
    version: str = ""
    resource: str = ""
    """The plural; empty for a path that is no resource's."""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    code: int = 0
    duration: float | None = None
    """Seconds until it was answered."""
    let_in: bool = False
    """Of a watch: whether it has been told of at its beginning."""
    fault: str = ""
    """What was done to it on purpose, if anything."""

    def describe(self, attributes: Attributes) -> None:
        """Takes over what has been found out about the request."""
        kind = attributes.kind
        self.user = attributes.user
        self.verb = attributes.verb or self.verb
        self.group, self.resource = attributes.group, attributes.resource
        self.version = kind.version if kind is not None else ""
        self.subresource = attributes.subresource
        # A namespace is authorized as if it were in itself; a reader looks for it among those that are in none.
        named = self.group == "" and self.resource == "namespaces"
        self.namespace = "" if named else attributes.namespace
        self.name = attributes.name


class Listener(Protocol):
    """Hears of every request, and may stand in its way."""

    async def before(self, call: Call) -> None:
        """A request that is allowed is about to be done. May wait; an ApiError refuses it."""

    def after(self, call: Call) -> bool:
        """A request has been answered; returns whether the answer is to go out, or the connection to break."""
