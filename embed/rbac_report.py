"""Which rights identities have used of those that they have, and the smallest roles that would do.

A right is a verb on a resource in a namespace; names of objects are left out of it, since those of a test mean nothing
elsewhere. What was refused counts as needed: whoever asked for it wanted it. Impersonation is not looked at.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from verger.apiserver.calls import Call
from verger.identity.rbac import GROUP, Grant, Policy, Rule
from verger.store.request import MASTERS, Attributes, User

VERBS: Final = (
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
)
"""In the order in which roles list them."""
_ACCOUNT: Final = "system:serviceaccount:"
_EVERYBODY: Final = (
    'Group "system:authenticated"',
    'Group "system:unauthenticated"',
    'Group "system:serviceaccounts"',
)
"""Subjects whose rights need no role of the user's own."""


_MAY_CREATE: Final = ("update", "patch")
"""Verbs by which an object can come to be; who does so needs the right to create it as well."""


class Right(NamedTuple):
    """A verb on a resource in a namespace; without a namespace, in all of them or of what is in none."""

    namespace: str
    group: str
    resource: str
    """The plural, with the part behind it: `pods/status`."""
    verb: str

    def __str__(self) -> str:
        resource, slash, part = self.resource.partition("/")
        qualified = f"{resource}.{self.group}" if self.group else resource
        return f"{self.verb} {qualified}{slash}{part}"

    def asked(self, user: User) -> Attributes:
        """The request that needs this right."""
        plural, _, part = self.resource.partition("/")
        return Attributes(
            user,
            self.verb,
            namespace=self.namespace,
            subresource=part,
            other_group=self.group,
            other_resource=plural,
        )


class Usage:
    """What has been used, counted as requests come."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self.counts: dict[str, Counter[Right]] = defaultdict(Counter)
        self.refused: dict[str, Counter[Right]] = defaultdict(Counter)

    def note(self, call: Call) -> None:
        """Counts a request for a resource."""
        user = call.user
        if not call.resource or not user.name or call.fault:
            return
        part = f"/{call.subresource}" if call.subresource else ""
        # A namespace is authorized as if it were in itself.
        itself = call.group == "" and call.resource == "namespaces"
        namespace = call.name if itself else call.namespace
        right = Right(namespace, call.group, call.resource + part, call.verb)
        self.users[user.name] = user
        counts = self.refused if call.code == 403 else self.counts
        counts[user.name][right] += 1
        if call.code == 201 and call.verb in _MAY_CREATE:
            counts[user.name][right._replace(verb="create")] += 1

    def clear(self) -> None:
        """Forgets everything."""
        self.users.clear()
        self.counts.clear()
        self.refused.clear()


@dataclass(frozen=True, slots=True)
class Identity:
    """What one identity has used and what it has."""

    user: str
    used: Mapping[Right, int]
    """How often each right was used."""
    refused: Mapping[Right, int]
    """What it asked for and may not do."""
    unused: Sequence[str]
    """What its own bindings give it and it did not use, in words, sorted."""
    needed: frozenset[Right]
    """What a role of its own has to give: not what everybody has."""
    is_master: bool
    """Whether it may do everything, whatever roles say."""

    def manifests(self) -> list[dict[str, Any]]:
        """The smallest roles that would do, and their bindings, ready for kubectl."""
        if self.is_master:
            return []
        namespaces: dict[str, list[Right]] = defaultdict(list)
        # What is needed in all namespaces need not be given in one of them again.
        everywhere = {right for right in self.needed if not right.namespace}
        for right in self.needed:
            if right in everywhere or right._replace(namespace="") not in everywhere:
                namespaces[right.namespace].append(right)
        out: list[dict[str, Any]] = []
        for namespace, rights in sorted(namespaces.items()):
            out += self._role(namespace, rights)
        return out

    def _role(self, namespace: str, rights: Iterable[Right]) -> list[dict[str, Any]]:
        prefix = "" if namespace else "Cluster"
        name = _name(self.user)
        metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
        return [
            {
                "apiVersion": f"{GROUP}/v1",
                "kind": f"{prefix}Role",
                "metadata": metadata,
                "rules": _rules(rights),
            },
            {
                "apiVersion": f"{GROUP}/v1",
                "kind": f"{prefix}RoleBinding",
                "metadata": metadata,
                "roleRef": {"apiGroup": GROUP, "kind": f"{prefix}Role", "name": name},
                "subjects": [_subject(self.user)],
            },
        ]

    def __str__(self) -> str:
        lines = [self.user]
        if self.is_master:
            lines.append("  may do everything (system:masters)")
        for title, rights in (("used", self.used), ("refused", self.refused)):
            for right in sorted(rights, key=_order):
                where = f" in {right.namespace}" if right.namespace else ""
                lines.append(f"  {title:<8} {right}{where}, {rights[right]} times")
        lines += [f"  {'unused':<8} {text}" for text in self.unused]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class RbacReport:
    """What every identity that asked something has used and has."""

    identities: Mapping[str, Identity]
    """User name -> what it did."""

    def of(self, user: str) -> Identity:
        """An identity by its user name, or an account as `namespace/name`. Raises KeyError when it asked nothing."""
        namespace, slash, name = user.partition("/")
        return self.identities[f"{_ACCOUNT}{namespace}:{name}" if slash else user]

    def manifests(self) -> list[dict[str, Any]]:
        """The smallest roles and bindings of all identities."""
        return [obj for identity in self.identities.values() for obj in identity.manifests()]

    def yaml(self) -> str:
        """The manifests as a file for `kubectl apply`."""
        import yaml

        return str(yaml.safe_dump_all(self.manifests(), sort_keys=False))

    def __str__(self) -> str:
        return "\n".join(str(identity) for identity in self.identities.values())


def report(usage: Usage, policy: Policy) -> RbacReport:
    """What has been used up to now, against the bindings of now."""
    return RbacReport(
        {name: _identity(user, usage, policy) for name, user in sorted(usage.users.items())}
    )


def _identity(user: User, usage: Usage, policy: Policy) -> Identity:
    used, asked = usage.counts[user.name], {*usage.counts[user.name], *usage.refused[user.name]}
    own: dict[Grant, tuple[Rule, ...]] = {}
    shared: list[Rule] = []
    for namespace in sorted({"", *(right.namespace for right in asked)}):
        for grant in policy.grants(user, namespace):
            rules = policy.role(grant) or ()
            if grant.subject in _EVERYBODY:
                shared += rules
            else:
                own[grant] = rules
    # Who was refused what he may do would have created an object by it.
    refused: Counter[Right] = Counter()
    for right, times in usage.refused[user.name].items():
        by_the_way = right.verb in _MAY_CREATE and _gives(own, right.asked(user))
        refused[right._replace(verb="create") if by_the_way else right] += times
    asked |= set(refused)
    needed = frozenset(
        right for right in asked if not any(rule.covers(right.asked(user)) for rule in shared)
    )
    unused = sorted(
        {
            text
            for grant, rules in own.items()
            for rule in rules
            for text in _unused(rule, grant, used)
        }
    )
    return Identity(user.name, dict(used), dict(refused), unused, needed, MASTERS in user.groups)


def _gives(own: Mapping[Grant, Iterable[Rule]], asked: Attributes) -> bool:
    return any(
        rule.covers(asked)
        for grant, rules in own.items()
        if grant.namespace in ("", asked.namespace)
        for rule in rules
    )


def _unused(rule: Rule, grant: Grant, used: Iterable[Right]) -> Iterable[str]:
    """What a rule gives and nobody took: a verb on a resource, written as the role has it."""
    where = f" in {grant.namespace}" if grant.namespace else ""
    by = f" ({grant.role_kind} {grant.role})"
    rights = [right for right in used if grant.namespace in ("", right.namespace)]
    for group in sorted(rule.groups):
        for resource in sorted(rule.resources):
            for verb in sorted(rule.verbs):
                if not any(_meant(right, group, resource, verb) for right in rights):
                    yield f"{Right('', group, resource, verb)}{where}{by}"


def _meant(right: Right, group: str, resource: str, verb: str) -> bool:
    part = right.resource.partition("/")[2]
    return (
        group in (right.group, "*")
        and resource in (right.resource, "*", f"*/{part}" if part else "*")
        and verb in (right.verb, "*")
    )


def _rules(rights: Iterable[Right]) -> list[dict[str, Any]]:
    """Few rules: resources of one group that need the same verbs share one."""
    verbs: dict[tuple[str, str], set[str]] = defaultdict(set)
    for right in rights:
        verbs[right.group, right.resource].add(right.verb)
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for (group, resource), needed in sorted(verbs.items()):
        alike[group, tuple(sorted(needed, key=VERBS.index))].append(resource)
    return [
        {"apiGroups": [group], "resources": resources, "verbs": list(needed)}
        for (group, needed), resources in alike.items()
    ]


def _order(right: Right) -> tuple[str, str, str, int]:
    return right.namespace, right.group, right.resource, VERBS.index(right.verb)


def _name(user: str) -> str:
    """A name for a role: an account's own, anything else as far as names of objects allow."""
    if user.startswith(_ACCOUNT):
        return user.rpartition(":")[2]
    return "".join(char if char.isalnum() else "-" for char in user.lower()).strip("-") or "user"


def _subject(user: str) -> dict[str, str]:
    if user.startswith(_ACCOUNT):
        namespace, _, name = user.removeprefix(_ACCOUNT).partition(":")
        return {"kind": "ServiceAccount", "namespace": namespace, "name": name}
    return {"apiGroup": GROUP, "kind": "User", "name": user}
