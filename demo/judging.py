"""What of a namespace is as it should be, and what is wrong: found by looking at the objects, whoever has written them.

The same eyes look at both sides, and know nothing of controllers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from verger.demo.history import Object, Place
from verger.demo.verifying import Token, Verifier, read, token_in
from verger.store.objects import (
    annotations_of,
    is_terminating,
    name_of,
    revision_of,
    uid_of,
)
from verger.store.rules.configuration import ACCOUNT_NAME, ACCOUNT_UID, TOKEN_SECRET

ACCOUNT: Final = "default"
"""The account that every namespace has to have."""
_UID_CLAIM: Final = "kubernetes.io/serviceaccount/service-account.uid"
Standing = Literal["good", "bad", "unchecked"]


@dataclass(frozen=True, slots=True)
class SecretView:
    """A token Secret."""

    name: str
    revision: int
    account: str
    token: Token | None
    """What it holds says; None when that is no token."""
    standing: Standing
    why: str
    """What is bad about it."""

    def told(self) -> dict[str, Any]:
        """For a frame."""
        return {
            "name": self.name,
            "revision": self.revision,
            "account": self.account,
            "token": self.token._asdict() if self.token is not None else None,
            "standing": self.standing,
            "why": self.why,
        }


@dataclass(frozen=True, slots=True)
class AccountView:
    """A service account."""

    name: str
    revision: int
    uid: str
    refers: tuple[str, ...]
    """The Secrets that it refers to."""

    def told(self) -> dict[str, Any]:
        """For a frame."""
        return {
            "name": self.name,
            "revision": self.revision,
            "uid": self.uid,
            "refers": list(self.refers),
        }


@dataclass(frozen=True, slots=True)
class NamespaceView:
    """A namespace, with the chain that hangs on it."""

    name: str
    revision: int
    terminating: bool
    accounts: tuple[AccountView, ...]
    secrets: tuple[SecretView, ...]
    wrong: tuple[str, ...]
    """Everything that is not as it should be, one sentence each."""

    @property
    def newest(self) -> int:
        """The revision of the last change in it."""
        return max(
            self.revision,
            *(account.revision for account in self.accounts),
            *(secret.revision for secret in self.secrets),
            0,
        )

    def told(self) -> dict[str, Any]:
        """For a frame."""
        return {
            "name": self.name,
            "revision": self.revision,
            "terminating": self.terminating,
            "accounts": [account.told() for account in self.accounts],
            "secrets": [secret.told() for secret in self.secrets],
            "wrong": list(self.wrong),
            "newest": self.newest,
        }


def judge(
    name: str,
    objects: Mapping[Place, Object],
    verifier: Verifier,
    counted: Callable[[int], int],
    *,
    live: bool,
) -> NamespaceView | None:
    """A namespace as its objects say; None when nothing of it is there.

    `counted` makes a revision one of the demo's. Without `live` signatures are taken as known, or as unchecked.
    """
    if not objects:
        return None
    namespace = objects.get(("namespaces", name))
    accounts = [obj for (resource, _), obj in objects.items() if resource == "serviceaccounts"]
    secrets = [
        obj
        for (resource, _), obj in objects.items()
        if resource == "secrets" and obj.get("type") == TOKEN_SECRET
    ]
    uids = {name_of(account): uid_of(account) for account in accounts}
    terminating = namespace is None or is_terminating(namespace)
    views = tuple(_secret(secret, uids, verifier, counted, live=live) for secret in secrets)
    wrong: list[str] = []
    if namespace is None:
        wrong += [f"{key} is in a namespace that is not there" for _, key in objects]
    elif not terminating:
        if ACCOUNT not in uids:
            wrong.append(f"namespace {name} has no account")
        wrong += [
            f"secret {name}/{secret.name} {secret.why}"
            for secret in views
            if secret.standing == "bad"
        ]
        wrong += _lacking(name, accounts, views)
    return NamespaceView(
        name,
        counted(int(revision_of(namespace))) if namespace is not None else 0,
        terminating,
        tuple(
            AccountView(
                name_of(account),
                counted(int(revision_of(account))),
                uid_of(account),
                _refers(account),
            )
            for account in accounts
        ),
        views,
        tuple(wrong),
    )


def _refers(account: Object) -> tuple[str, ...]:
    return tuple(entry.get("name") or "" for entry in account.get("secrets") or ())


def _lacking(namespace: str, accounts: list[Object], secrets: tuple[SecretView, ...]) -> list[str]:
    """What accounts do not have that they should."""
    wrong = []
    for account in accounts:
        name, there = name_of(account), {secret.name for secret in secrets}
        mine = {secret.name for secret in secrets if secret.account == name}
        fit = {s.name for s in secrets if s.account == name and s.standing != "bad"}
        if not mine:
            wrong.append(f"account {namespace}/{name} has no token")
        elif fit and not fit & set(_refers(account)):
            wrong.append(f"account {namespace}/{name} does not refer to its token")
        wrong += [
            f"account {namespace}/{name} refers to {refers}, which is not there"
            for refers in _refers(account)
            if refers not in there
        ]
    return wrong


def _secret(
    secret: Object,
    uids: Mapping[str, str],
    verifier: Verifier,
    counted: Callable[[int], int],
    *,
    live: bool,
) -> SecretView:
    text = token_in(secret)
    token = read(text)
    annotations = annotations_of(secret)
    account = annotations.get(ACCOUNT_NAME, "")
    standing, why = _standing(secret, text, token, uids.get(account), verifier, live=live)
    return SecretView(
        name_of(secret), counted(int(revision_of(secret))), account, token, standing, why
    )


def _standing(
    secret: Object,
    text: str,
    token: Token | None,
    uid: str | None,
    verifier: Verifier,
    *,
    live: bool,
) -> tuple[Standing, str]:
    if uid is None or annotations_of(secret).get(ACCOUNT_UID) != uid:
        return "bad", "is of an account that is no more"
    if not text:
        return "bad", "holds no token"
    if token is None:
        return "bad", "holds what is no token"
    if token.claims.get(_UID_CLAIM) != uid:
        return "bad", "holds a token of somebody else"
    good = verifier.verify(text) if live else verifier.known(text)
    if good is None:
        return "unchecked", ""
    return ("good", "") if good else ("bad", "holds a token that none of the keys has signed")
