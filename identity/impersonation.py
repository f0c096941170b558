"""Acting as somebody else: who is meant, and whether the one who asks may.

upstream: apiserver/pkg/endpoints/filters/impersonation. Two ways are open: the plain verb `impersonate` on each part of
the identity, and, since 1.36, rights that are limited to what is done as the other.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote

from verger.identity.authn import ANONYMOUS
from verger.identity.authz import Authorizer, forbidden
from verger.identity.tokens import groups_of
from verger.store import names
from verger.store.errors import BadRequest, Forbidden
from verger.store.request import AUTHENTICATED, Attributes, User

_USER: Final = "impersonate-user"
_GROUP: Final = "impersonate-group"
_UID: Final = "impersonate-uid"
_EXTRA: Final = "impersonate-extra-"
_ACCOUNT: Final = "system:serviceaccount:"
_NODE: Final = "system:node:"
_UNAUTHENTICATED: Final = "system:unauthenticated"
_REMEMBERED: Final = 1024


class Wanted(NamedTuple):
    """The identity that the headers of a request ask for."""

    name: str
    uid: str
    groups: tuple[str, ...]
    extra: Mapping[str, tuple[str, ...]]


def wanted(headers: Iterable[tuple[str, str]]) -> Wanted | None:
    """The identity that is asked for, None when none is. Raises BadRequest."""
    names_found: list[str] = []
    uids: list[str] = []
    groups: list[str] = []
    extra: dict[str, list[str]] = {}
    for key, value in headers:
        lower = key.lower()
        if not lower.startswith("impersonate-"):
            continue
        if any("\ud800" <= char <= "\udfff" for char in value):
            raise BadRequest(f"header {key} is no text in UTF-8")
        if lower == _USER:
            names_found.append(value)
        elif lower == _GROUP:
            groups.append(value)
        elif lower == _UID:
            uids.append(value)
        elif lower.startswith(_EXTRA):
            extra.setdefault(unquote(lower.removeprefix(_EXTRA)), []).append(value)
    # Of several the first one counts, as upstream: what a proxy puts in front is not undone behind it.
    name, uid = next(iter(names_found), ""), next(iter(uids), "")
    if not name:
        if groups or uid or extra:
            raise BadRequest("requested impersonation of groups, a uid or extras without a user")
        return None
    return Wanted(name, uid, tuple(groups), {key: tuple(values) for key, values in extra.items()})


def split_account(name: str) -> tuple[str, str] | None:
    """The namespace and the name of the account that a user name stands for, None when it stands for none."""
    if not name.startswith(_ACCOUNT):
        return None
    parts = name.removeprefix(_ACCOUNT).split(":")
    if len(parts) != 2 or names.label(parts[0]) or names.subdomain(parts[1]):
        return None
    return parts[0], parts[1]


def becomes(who: Wanted) -> User:
    """The user that one becomes: with the groups that everybody of that sort has."""
    groups = list(who.groups)
    account = split_account(who.name)
    if account is not None and not groups:
        groups = list(groups_of(account[0]))
    if who.name == ANONYMOUS.name:
        if _UNAUTHENTICATED not in groups:
            groups.append(_UNAUTHENTICATED)
    elif AUTHENTICATED not in groups and _UNAUTHENTICATED not in groups:
        groups.append(AUTHENTICATED)
    return User(who.name, who.uid, tuple(groups), who.extra)


class Impersonation:
    """Decides who may become whom."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer
        # Users who have used the plain verb are told what they lack of it; others, what they lack of the limited one.
        self._plain: OrderedDict[str, None] = OrderedDict()

    def become(self, user: User, who: Wanted, request: Attributes) -> User:
        """The user that the request is made as. Raises Forbidden, in the words of the way that the user takes."""
        plain = self._plain_refusal(user, who)
        if plain is None:
            self._plain[user.name] = None
            self._plain.move_to_end(user.name)
            if len(self._plain) > _REMEMBERED:
                self._plain.popitem(last=False)
            return becomes(who)
        limited = self._limited_refusal(user, who, request)
        if limited is None:
            return becomes(who)
        raise plain if user.name in self._plain else limited

    def _plain_refusal(self, user: User, who: Wanted) -> Forbidden | None:
        return self._first_refusal(
            Attributes(
                user,
                "impersonate",
                namespace=namespace,
                name=name,
                subresource=part,
                other_group=group,
                other_resource=resource,
            )
            for group, resource, part, namespace, name in _parts(who)
        )

    def _limited_refusal(self, user: User, who: Wanted, request: Attributes) -> Forbidden | None:
        mode = _mode(who)
        action = request._replace(user=user, verb=f"impersonate-on:{mode}:{request.verb}")
        return self._first_refusal(
            (
                action,
                *(
                    Attributes(
                        user,
                        f"impersonate:{mode}",
                        namespace=namespace,
                        name=name,
                        subresource=part,
                        other_group="authentication.k8s.io",
                        other_resource=resource,
                    )
                    for _, resource, part, namespace, name in _parts(who)
                ),
            )
        )

    def _first_refusal(self, needed: Iterable[Attributes]) -> Forbidden | None:
        for attributes in needed:
            decision = self._authorizer.decide(attributes)
            if not decision.allowed:
                return forbidden(attributes, decision.reason)
        return None


def _mode(who: Wanted) -> str:
    if split_account(who.name) is not None:
        return "serviceaccount"
    return "arbitrary-node" if who.name.startswith(_NODE) else "user-info"


def _parts(who: Wanted) -> list[tuple[str, str, str, str, str]]:
    """What of an identity has to be allowed: (group, resource, subresource, namespace, name)."""
    authentication = "authentication.k8s.io"
    account = split_account(who.name)
    if account is not None:
        out = [("", "serviceaccounts", "", account[0], account[1])]
    else:
        out = [("", "users", "", "", who.name)]
    out += [("", "groups", "", "", group) for group in who.groups]
    if who.uid:
        out.append((authentication, "uids", "", "", who.uid))
    for key, values in who.extra.items():
        out += [(authentication, "userextras", key, "", value) for value in values]
    return out
