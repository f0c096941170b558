"""Who asks for what: shared by authentication, authorization, admission and the registry."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

from verger.store.kinds import Form, Kind
from verger.store.selectors import ANY_FIELD, EVERYTHING, FieldSelector, LabelSelector


class User(NamedTuple):
    """An identity that has been proven."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = MappingProxyType({})


MASTERS: Final = "system:masters"
AUTHENTICATED: Final = "system:authenticated"


class Attributes(NamedTuple):
    """What a request is about, as authorization and admission see it.

    A request is about a resource, or about a path: then `path` and `verb` (the method in lower case) count. A resource
    that is served is named by its kind, one that is not (in an access review, say) by its group and plural.
    """

    user: User
    verb: str
    kind: Kind | None = None
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    path: str = ""
    other_group: str = ""
    other_resource: str = ""

    @property
    def group(self) -> str:
        """The group of the resource."""
        return self.kind.group if self.kind is not None else self.other_group

    @property
    def resource(self) -> str:
        """The plural of the resource, empty when the request is about a path."""
        return self.kind.plural if self.kind is not None else self.other_resource


FieldValidation = Literal["Ignore", "Warn", "Strict"]


@dataclass(slots=True)
class WriteRequest:
    """How a write is to be done, and what is to be said about it afterwards."""

    user: User
    dry_run: bool = False
    field_manager: str = ""
    field_validation: FieldValidation = "Warn"
    verb: Literal["create", "update", "patch", "apply"] = "create"
    """What the client asked for. Of an apply the object says itself who owns its fields."""
    force: bool = False
    """Whether an apply takes fields from their owners."""
    warnings: list[str] = field(default_factory=list)
    """Filled by whoever finds something; the client gets them even when the write succeeds."""


class Posting(NamedTuple):
    """A create of something that is answered and not stored: a review, a token, an eviction."""

    form: Form
    """What the body is."""
    namespace: str
    name: str
    """Of the object whose part it is posted to; empty for a review."""
    obj: dict[str, Any]
    request: WriteRequest


Answerer = Callable[[Posting], Awaitable[Mapping[str, Any]]]


class ListOptions(NamedTuple):
    """Which objects, at which revision."""

    labels: LabelSelector = EVERYTHING
    fields: FieldSelector = ANY_FIELD
    limit: int = 0
    continue_token: str = ""
    revision: str = ""
    match: Literal["", "Exact", "NotOlderThan"] = ""


class WatchOptions(NamedTuple):
    """Which changes, and from where on.

    `initial` says whether the objects that exist come first, as ADDED: True asks for them and for the bookmark behind
    them, False for none, None leaves it to the revision (none or 0: yes).
    """

    labels: LabelSelector = EVERYTHING
    fields: FieldSelector = ANY_FIELD
    revision: str = ""
    initial: bool | None = None
    bookmarks: bool = False


Propagation = Literal["", "Orphan", "Background", "Foreground"]


class DeleteOptions(NamedTuple):
    """How an object is to be deleted, and only if it is still the one that is meant."""

    grace_seconds: int | None = None
    uid: str = ""
    revision: str = ""
    propagation: Propagation = ""
