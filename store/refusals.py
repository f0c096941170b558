"""What the registry refuses to write: what is not there, and what is not as the client thinks.

upstream: apimachinery/pkg/api/errors, apiserver/pkg/storage (Preconditions), apiserver/pkg/registry/rest
"""

from collections.abc import Mapping
from typing import Any, Final

from verger.store.errors import Conflict, NotFound, UnreasonedError
from verger.store.invalid import quote
from verger.store.kinds import Kind
from verger.store.objects import name_of, split_key, uid_of
from verger.store.request import DeleteOptions

_MODIFIED: Final = (
    "the object has been modified; please apply your changes to the latest version and try again"
)


def cannot(resource: str, name: str) -> str:
    """How the message of a conflict begins."""
    return f'Operation cannot be fulfilled on {resource} "{name}"'


def details_of(kind: Kind, name: str) -> dict[str, Any]:
    """The details of a Status about one object."""
    details = {"name": name} if name else {}
    if kind.group:
        details["group"] = kind.group
    details["kind"] = kind.plural
    return details


def not_found(kind: Kind, name: str) -> NotFound:
    """There is no such object."""
    return NotFound(f'{kind.resource} "{name}" not found', details_of(kind, name))


def modified(kind: Kind, name: str) -> Conflict:
    """Somebody else was faster."""
    return Conflict(f"{cannot(kind.resource, name)}: {_MODIFIED}", details_of(kind, name))


def check_uid(kind: Kind, key: str, uid: str, stored: Mapping[str, Any] | None) -> None:
    """A uid in the body of an update is a precondition, which nothing stored does not meet. Raises Conflict."""
    found = uid_of(stored or {})
    if uid and uid != found:
        name = split_key(key)[1]
        raise Conflict(
            f"{cannot(kind.resource, name)}: StorageError: invalid object, Code: 4, Key: /registry/{kind.plural}/{key}, "
            f"ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object "
            f"meta: {found}",
            details_of(kind, name),
        )


def check_deletion(
    kind: Kind, obj: Mapping[str, Any], revision: int, options: DeleteOptions
) -> None:
    """The uid and the revision that a deletion names are those of the object. Raises Conflict."""
    name, uid = name_of(obj), uid_of(obj)
    plain = kind.resource == "namespaces"
    if options.uid and options.uid != uid:
        why = (
            f"Precondition failed: UID in precondition: {options.uid}, UID in object meta: {uid}"
            if plain
            else f"the UID in the precondition ({options.uid}) does not match the UID in record ({uid}). The object "
            "might have been deleted and then recreated"
        )
    elif options.revision and options.revision != str(revision):
        why = (
            f"Precondition failed: ResourceVersion in precondition: {options.revision}, ResourceVersion in object "
            f"meta: {revision}"
            if plain
            else f"the ResourceVersion in the precondition ({options.revision}) does not match the ResourceVersion "
            f"in record ({revision}). The object might have been modified"
        )
    else:
        return
    if plain:
        raise Conflict(f"{cannot(kind.resource, name)}: {why}", details_of(kind, name))
    # upstream puts the kind where the resource stands elsewhere
    qualified = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    details = {**details_of(kind, name), "kind": kind.kind}
    raise Conflict(f"{cannot(qualified, name)}: {why}", details)


def parse_update_revision(text: str) -> int:
    """The resourceVersion in an object that is written, 0 for none. upstream answers nonsense with a bare 500."""
    if not text:
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > 20:
        raise UnreasonedError(f"strconv.ParseUint: parsing {quote(text)}: invalid syntax")
    return int(text)
