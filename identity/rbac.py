"""Role-based access: who may do what, by the roles that bindings give.

The policy is kept as indexes: bindings by subject and by namespace, rules by role. A decision looks at the bindings of
the user and of the user's groups, in all namespaces together and in the one that is asked for; how many bindings there
are elsewhere does not matter. The indexes follow the store's own log and are brought up to date before each decision,
so a right that was taken away is gone with the answer to that request.

upstream: plugin/pkg/auth/authorizer/rbac
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from verger.identity.authz import Decision, PolicyRule
from verger.identity.tokens import username
from verger.store.backend import Backend, Row
from verger.store.request import Attributes, User
from verger.watch.event import EventType, Expired
from verger.watch.log import Cursor

GROUP: Final = "rbac.authorization.k8s.io"
ROLES: Final = f"roles.{GROUP}"
CLUSTER_ROLES: Final = f"clusterroles.{GROUP}"
ROLE_BINDINGS: Final = f"rolebindings.{GROUP}"
CLUSTER_ROLE_BINDINGS: Final = f"clusterrolebindings.{GROUP}"
_RESOURCES: Final = (CLUSTER_ROLES, ROLES, CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS)
ALL: Final = "*"
DECIDED_MAX: Final = 4096
"""Decisions that are kept until the policy changes."""
DECIDED_LENGTH: Final = 1024
"""Characters of a question whose answer is kept: who asks for a review chooses them."""

_Question = tuple[str, tuple[str, ...], str, str, str, str, str, str]
"""User, groups, verb, resource, path, group, subresource, namespace: all that decides but for the name. A resource and
a path of the same spelling are two things."""
Subject = tuple[str, str]
"""A kind of subject (User or Group), and the name that it has in requests."""
RoleKey = tuple[str, str]
"""The namespace of a role, empty for a cluster role, and its name."""


class Rule(NamedTuple):
    """One rule of a role, ready to be asked."""

    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    names: frozenset[str]
    urls: tuple[str, ...]
    policy: PolicyRule

    def covers(self, attributes: Attributes) -> bool:
        """Whether the rule allows the request."""
        verbs = self.verbs
        if ALL not in verbs and attributes.verb not in verbs:
            return False
        resource = attributes.resource
        if not resource:
            return any(url_matches(url, attributes.path) for url in self.urls)
        groups = self.groups
        if ALL not in groups and attributes.group not in groups:
            return False
        if not resource_matches(self.resources, resource, attributes.subresource):
            return False
        return not self.names or attributes.name in self.names


def resource_matches(known: Iterable[str], resource: str, subresource: str) -> bool:
    """Whether a set of resources holds one; `*/sub` stands for that part of any resource."""
    known = known if isinstance(known, frozenset) else frozenset(known)
    if ALL in known:
        return True
    if not subresource:
        return resource in known
    return f"{resource}/{subresource}" in known or f"{ALL}/{subresource}" in known


def url_matches(pattern: str, path: str) -> bool:
    """Whether a path is meant by a pattern: itself, anything that begins so when it ends in a star, or all."""
    return pattern in (ALL, path) or (pattern.endswith(ALL) and path.startswith(pattern[:-1]))


def compile_rule(rule: Mapping[str, Any]) -> Rule:
    """A rule of a Role or ClusterRole."""

    def texts(key: str) -> tuple[str, ...]:
        return tuple(rule.get(key) or ())

    policy = PolicyRule(
        texts("verbs"),
        texts("apiGroups"),
        texts("resources"),
        texts("resourceNames"),
        texts("nonResourceURLs"),
    )
    return Rule(
        frozenset(policy.verbs),
        frozenset(policy.groups),
        frozenset(policy.resources),
        frozenset(policy.names),
        policy.urls,
        policy,
    )


class Grant(NamedTuple):
    """What a binding gives to one of its subjects."""

    binding: str
    namespace: str
    """Of a RoleBinding; empty for a ClusterRoleBinding."""
    role_kind: str
    role: str
    subject: str
    """The subject as the reason names it."""

    def reason(self) -> str:
        """Why somebody is allowed, in upstream's words (which put the namespace last)."""
        if self.namespace:
            binding = f'RoleBinding "{self.binding}/{self.namespace}"'
        else:
            binding = f'ClusterRoleBinding "{self.binding}"'
        return f'RBAC: allowed by {binding} of {self.role_kind} "{self.role}" to {self.subject}'


def subjects_of(binding: Mapping[str, Any], namespace: str) -> Iterator[tuple[Subject, str]]:
    """The subjects of a binding, as requests know them and as reasons name them. Unknown kinds match nobody."""
    for subject in binding.get("subjects") or ():
        name = subject.get("name") or ""
        match subject.get("kind"):
            case "User":
                yield ("User", name), f'User "{name}"'
            case "Group":
                yield ("Group", name), f'Group "{name}"'
            case "ServiceAccount":
                where = subject.get("namespace") or namespace
                if where:
                    yield ("User", username(where, name)), f'ServiceAccount "{name}/{where}"'


class Policy:
    """The roles and bindings of a store, by who they concern."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._cursors: dict[str, Cursor[Row]] = {}
        self._revision = -1
        self._changes = 0
        self._roles: dict[RoleKey, Sequence[Mapping[str, Any]]] = {}
        self._compiled: dict[RoleKey, tuple[Rule, ...]] = {}
        """The rules of roles that somebody has been asked about: most never are."""
        self._grants: dict[tuple[str, Subject], dict[str, list[Grant]]] = {}
        """(namespace or nothing, subject) -> key of the binding -> what it gives."""
        self._bound: dict[tuple[str, str], list[tuple[str, Subject]]] = {}
        """(resource, key) of a binding -> where its grants stand."""

    def generation(self) -> int:
        """A number that is another one after every change of a role or binding."""
        self._catch_up()
        return self._changes

    def grants(self, user: User, namespace: str) -> Iterator[Grant]:
        """What bindings give to a user: those for all namespaces first."""
        self._catch_up()
        for where in ("", namespace) if namespace else ("",):
            yield from self._given(where, ("User", user.name))
            for group in user.groups:
                yield from self._given(where, ("Group", group))

    def role(self, grant: Grant) -> tuple[Rule, ...] | None:
        """The rules of the role that was given, None when there is no such role."""
        return self._rules(grant.role_kind, grant.namespace, grant.role)

    def rules_of(self, kind: str, namespace: str, name: str) -> tuple[Rule, ...] | None:
        """The rules of a Role or ClusterRole, None when there is no such role."""
        self._catch_up()
        return self._rules(kind, namespace, name)

    def _rules(self, kind: str, namespace: str, name: str) -> tuple[Rule, ...] | None:
        # No Role is in no namespace: there, the key would be that of a ClusterRole.
        if kind != "ClusterRole" and (kind != "Role" or not namespace):
            return None
        key = (namespace if kind == "Role" else "", name)
        compiled = self._compiled.get(key)
        if compiled is None and (rules := self._roles.get(key)) is not None:
            compiled = self._compiled[key] = tuple(compile_rule(rule) for rule in rules)
        return compiled

    def _given(self, where: str, subject: Subject) -> Iterator[Grant]:
        for grants in self._grants.get((where, subject), {}).values():
            yield from grants

    def _catch_up(self) -> None:
        log = self._backend.log
        if log.revision == self._revision:
            return
        self._revision = log.revision
        try:
            for resource in _RESOURCES:
                cursor = self._cursors.get(resource)
                if cursor is None:
                    self._load()
                    return
                while events := cursor.read():
                    self._changes += 1
                    for event in events:
                        self._forget(resource, event.object)
                        if event.type is not EventType.DELETED:
                            self._learn(resource, event.object)
        except Expired:
            self._load()

    def _load(self) -> None:
        """Reads everything anew: at the start, and when the history has moved on without us."""
        self._changes += 1
        for cursor in self._cursors.values():
            cursor.close()
        self._roles.clear()
        self._compiled.clear()
        self._grants.clear()
        self._bound.clear()
        for resource in _RESOURCES:
            page = self._backend.list(resource)
            self._cursors[resource] = self._backend.log.cursor(
                resource, after=page.revision, follows=False
            )
            for row in page.rows:
                self._learn(resource, row)

    def _learn(self, resource: str, row: Row) -> None:
        obj, name = row.object, row.object["metadata"]["name"]
        if resource in (ROLES, CLUSTER_ROLES):
            self._roles[row.namespace, name] = obj.get("rules") or ()
            return
        role = obj.get("roleRef") or {}
        places: list[tuple[str, Subject]] = []
        for subject, shown in subjects_of(obj, row.namespace):
            grant = Grant(
                name, row.namespace, role.get("kind") or "", role.get("name") or "", shown
            )
            place = (row.namespace, subject)
            self._grants.setdefault(place, {}).setdefault(row.key, []).append(grant)
            places.append(place)
        self._bound[resource, row.key] = places

    def _forget(self, resource: str, row: Row) -> None:
        if resource in (ROLES, CLUSTER_ROLES):
            key = (row.namespace, row.object["metadata"]["name"])
            self._roles.pop(key, None)
            self._compiled.pop(key, None)
            return
        for place in self._bound.pop((resource, row.key), ()):
            grants = self._grants.get(place)
            if grants is not None:
                grants.pop(row.key, None)
                if not grants:
                    del self._grants[place]


class Rbac:
    """Allows what a role allows that a binding gives; has no opinion on anything else, which means no."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._generation = -1
        self._decided: dict[_Question, Decision] = {}
        """What has been decided since the policy last changed, for objects of whatever name."""

    def decide(self, attributes: Attributes) -> Decision:
        """Whether some role of the user allows the request."""
        if self._generation != (generation := self._policy.generation()):
            self._decided.clear()
            self._generation = generation
        user = attributes.user
        key = (
            user.name,
            user.groups,
            attributes.verb,
            attributes.resource,
            attributes.path,
            attributes.group,
            attributes.subresource,
            attributes.namespace,
        )
        known = self._decided.get(key)
        if known is not None:
            return known
        decision, named = self._decide(attributes)
        if not named and sum(map(len, (*key[:1], *user.groups, *key[2:]))) <= DECIDED_LENGTH:
            if len(self._decided) >= DECIDED_MAX:
                self._decided.clear()
            self._decided[key] = decision
        return decision

    def _decide(self, attributes: Attributes) -> tuple[Decision, bool]:
        """The decision, and whether a rule that is for certain names alone had a say in it."""
        errors: list[str] = []
        named = False
        for grant in self._policy.grants(attributes.user, attributes.namespace):
            rules = self._policy.role(grant)
            if rules is None:
                errors.append(_missing(grant))
                continue
            for rule in rules:
                named = named or bool(rule.names)
                if rule.covers(attributes):
                    return Decision(True, grant.reason()), named
        return Decision(False, _reason(errors)), named

    def rules(self, user: User, namespace: str) -> tuple[Sequence[PolicyRule], str]:
        """The rules of all roles of the user."""
        found: list[PolicyRule] = []
        errors: list[str] = []
        seen: set[tuple[str, str]] = set()
        for grant in self._policy.grants(user, namespace):
            # A binding that names the user twice, by name and by group, gives its role once.
            if (binding := (grant.namespace, grant.binding)) in seen:
                continue
            seen.add(binding)
            rules = self._policy.role(grant)
            if rules is None:
                errors.append(_missing(grant))
            else:
                found += [rule.policy for rule in rules]
        return found, _joined(errors)


def _missing(grant: Grant) -> str:
    if grant.role_kind not in ("Role", "ClusterRole"):
        return f'unsupported role reference kind: "{grant.role_kind}"'
    return f'{grant.role_kind.lower()}.{GROUP} "{grant.role}" not found'


def _joined(errors: Sequence[str]) -> str:
    unique = list(dict.fromkeys(errors))
    return unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]" if unique else ""


def _reason(errors: Sequence[str]) -> str:
    return f"RBAC: {_joined(errors)}" if errors else ""
