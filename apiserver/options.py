"""Query parameters and option bodies as the registry wants them, and upstream's complaints about them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, cast, get_args
from urllib.parse import parse_qsl

from verger.store.errors import BadRequest, Invalid
from verger.store.invalid import (
    FieldError,
    forbidden,
    invalid,
    not_supported,
    quote,
    required,
)
from verger.store.metadata import FIELD_MANAGER_MAX, validate_field_manager
from verger.store.request import (
    DeleteOptions,
    FieldValidation,
    ListOptions,
    Propagation,
    User,
    WatchOptions,
    WriteRequest,
)
from verger.store.selectors import SelectorError, parse_fields, parse_labels
from verger.store.timestamps import parse_duration

_META_GROUP: Final = "meta.k8s.io"
WriteVerb = Literal["create", "update", "patch", "apply"]
_OPTIONS: Final[Mapping[WriteVerb, str]] = {
    "create": "CreateOptions",
    "update": "UpdateOptions",
    "patch": "PatchOptions",
    "apply": "PatchOptions",
}
_VALIDATIONS: Final = ("", "Ignore", "Strict", "Warn")


class Query:
    """The parameters of a URL; of a key that is repeated the first value counts."""

    __slots__ = ("_values",)

    def __init__(self, raw: str) -> None:
        self._values: dict[str, list[str]] = {}
        if raw:
            for key, value in parse_qsl(raw, keep_blank_values=True, max_num_fields=1000):
                self._values.setdefault(key, []).append(value)

    @property
    def empty(self) -> bool:
        """Whether there are none."""
        return not self._values

    def get(self, key: str) -> str:
        """The first value, or nothing."""
        values = self._values.get(key)
        return values[0] if values else ""

    def all(self, key: str) -> list[str]:
        """All values."""
        return self._values.get(key, [])

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def flag(self, key: str) -> bool:
        """upstream: only absence, 0 and false mean no; an empty value means yes."""
        return key in self._values and self.get(key).lower() not in ("0", "false")

    def named(self) -> str:
        """The one name that a field selector leaves, empty when there is none (or the selector is none)."""
        text = self.get("fieldSelector")
        if "metadata.name" not in text:
            return ""
        try:
            name = parse_fields(text).value_of("metadata.name") or ""
        except SelectorError:
            return ""
        # upstream: only what could stand in a path
        return "" if name in (".", "..") or "/" in name or "%" in name else name

    def integer(self, key: str) -> int | None:
        """A whole number. Raises BadRequest."""
        text = self.get(key)
        return _integer(text) if text else None


def _integer(text: str) -> int:
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not digits.isascii() or not digits.isdigit():
        raise BadRequest(f"strconv.ParseInt: parsing {quote(text)}: invalid syntax")
    value = int(text)
    if not -(2**63) <= value < 2**63:
        raise BadRequest(f"strconv.ParseInt: parsing {quote(text)}: value out of range")
    return value


def check_timeout(query: Query) -> None:
    """A request's `timeout` must be a duration, whatever is made of it. Raises BadRequest."""
    text = query.get("timeout")
    if text and parse_duration(text) is None:
        raise BadRequest(
            f"invalid timeout specified in the request URL - time: invalid duration {quote(text)}"
        )


def _options_invalid(kind: str, errors: Sequence[FieldError]) -> None:
    if errors:
        raise Invalid.of(kind, _META_GROUP, "", errors)


def _dry_run(values: Sequence[str], errors: list[FieldError]) -> bool:
    if values and any(value != "All" for value in values):
        errors.append(not_supported("dryRun", list(values), ("All",)))
    return bool(values)


def _manager(agent: str) -> str:
    """Who writes when he does not say so: the user agent up to the first slash, as far as it is text and fits.

    upstream: apiserver/pkg/endpoints/handlers/create.go, prefixFromUserAgent
    """
    name = agent.partition("/")[0]
    if not name.isprintable():
        name = "".join(char for char in name if char.isprintable())
    return name.encode()[:FIELD_MANAGER_MAX].decode(errors="ignore")


def write_request(
    query: Query,
    user: User,
    verb: WriteVerb,
    agent: str,
) -> WriteRequest:
    """How an object is to be written. Raises Invalid."""
    if query.empty and verb != "apply":
        return WriteRequest(user, field_manager=_manager(agent), verb=verb)
    errors: list[FieldError] = []
    if verb == "patch" and "force" in query:
        errors.append(forbidden("force", "may not be specified for non-apply patch"))
    dry_run = _dry_run(query.all("dryRun"), errors)
    manager = query.get("fieldManager")
    if verb == "apply" and not manager:
        errors.append(required("fieldManager", "is required for apply patch"))
    errors += validate_field_manager(manager)
    validation = query.get("fieldValidation")
    if validation not in _VALIDATIONS:
        errors.append(not_supported("fieldValidation", validation, _VALIDATIONS))
    _options_invalid(_OPTIONS[verb], errors)
    return WriteRequest(
        user,
        dry_run=dry_run,
        field_manager=manager or _manager(agent),
        field_validation=cast("FieldValidation", validation or "Warn"),
        verb=verb,
        force=verb == "apply" and query.flag("force"),
    )


def list_options(query: Query, name: str = "") -> ListOptions:
    """Which objects a list or deletecollection is about. Raises BadRequest and Invalid."""
    labels, fields = _selectors(query, name)
    query.integer("timeoutSeconds")
    limit = query.integer("limit") or 0
    if limit < 0:
        raise BadRequest(f"limit: Invalid value: {limit}: must be a positive number")
    match, revision = query.get("resourceVersionMatch"), query.get("resourceVersion")
    errors: list[FieldError] = []
    if "sendInitialEvents" in query:
        errors.append(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    if match:
        errors += _match_errors(match, revision, query.get("continue"))
    _options_invalid("ListOptions", errors)
    return ListOptions(
        labels,
        fields,
        limit=limit,
        continue_token=query.get("continue"),
        revision=revision,
        match=cast("Literal['', 'Exact', 'NotOlderThan']", match),
    )


def _match_errors(match: str, revision: str, token: str) -> list[FieldError]:
    field = "resourceVersionMatch"
    errors = []
    if not revision:
        errors.append(forbidden(field, f"{field} is forbidden unless resourceVersion is provided"))
    if token:
        errors.append(forbidden(field, f"{field} is forbidden when continue is provided"))
    if match not in ("Exact", "NotOlderThan"):
        errors.append(not_supported(field, match, ("Exact", "NotOlderThan", "")))
    if match == "Exact" and revision == "0":
        text = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
        errors.append(forbidden(field, text))
    return errors


def watch_options(query: Query, name: str = "") -> tuple[WatchOptions, int | None]:
    """Which changes a watch is about, and for how many seconds. Raises BadRequest and Invalid."""
    labels, fields = _selectors(query, name)
    timeout = query.integer("timeoutSeconds")
    query.integer("limit")  # means nothing here, but has to be a number
    match, revision = query.get("resourceVersionMatch"), query.get("resourceVersion")
    initial = query.flag("sendInitialEvents") if "sendInitialEvents" in query else None
    field = "resourceVersionMatch"
    errors: list[FieldError] = []
    if initial is not None:
        if match != "NotOlderThan":
            text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            errors.append(forbidden(field, text))
        if match and match != "NotOlderThan":
            errors.append(not_supported(field, match, ("NotOlderThan",)))
    elif match:
        text = f"{field} is forbidden for watch unless sendInitialEvents is provided"
        errors.append(forbidden(field, text))
    if match and query.get("continue"):
        errors.append(forbidden(field, f"{field} is forbidden when continue is provided"))
    _options_invalid("ListOptions", errors)
    bookmarks = query.flag("allowWatchBookmarks")
    return WatchOptions(labels, fields, revision, initial, bookmarks), timeout


def _selectors(query: Query, name: str) -> tuple[Any, Any]:
    try:
        labels = parse_labels(query.get("labelSelector"))
        text = query.get("fieldSelector")
        if name:
            escaped = name.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")
            text = f"{text},metadata.name={escaped}" if text else f"metadata.name={escaped}"
        return labels, parse_fields(text)
    except SelectorError as error:
        raise BadRequest(str(error)) from None


def is_cascade(query: Query, body: Mapping[str, Any] | None) -> bool:
    """Whether a deletion asks in the old words that dependents go too: `orphanDependents` is false."""
    if body is None:
        return "orphanDependents" in query and not query.flag("orphanDependents")
    return body.get("orphanDependents") is False


def delete_options(query: Query, body: Mapping[str, Any] | None) -> tuple[DeleteOptions, bool]:
    """How to delete, from the body if there is one, else from the query; and whether nothing is to happen.

    Raises BadRequest and Invalid.
    """
    if body is None:
        preconditions: Mapping[str, Any] = {}
        grace = query.integer("gracePeriodSeconds")
        policy = query.get("propagationPolicy")
        orphan = query.flag("orphanDependents") if "orphanDependents" in query else None
        dry_run_values = query.all("dryRun")
    else:
        preconditions = body.get("preconditions") or {}
        grace = body.get("gracePeriodSeconds")
        policy = body.get("propagationPolicy") or ""
        orphan = body.get("orphanDependents")
        dry_run_values = body.get("dryRun") or query.all("dryRun")
    errors: list[FieldError] = []
    if orphan is not None and policy:
        text = "orphanDependents and deletionPropagation cannot be both set"
        errors.append(invalid("propagationPolicy", policy, text))
    elif policy and policy not in get_args(Propagation):
        known = ("Foreground", "Background", "Orphan", "nil")
        errors.append(not_supported("propagationPolicy", policy, known))
    dry_run = _dry_run(dry_run_values, errors)
    _options_invalid("DeleteOptions", errors)
    if orphan is not None:
        policy = "Orphan" if orphan else "Background"
    if grace is not None and grace < 0:
        grace = 1  # upstream: a negative grace is the shortest one
    return DeleteOptions(
        grace,
        uid=str(preconditions.get("uid") or ""),
        revision=str(preconditions.get("resourceVersion") or ""),
        propagation=cast("Propagation", policy),
    ), dry_run
