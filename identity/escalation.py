"""Nobody gives what he does not have: writers of roles and bindings must hold the rights that they write.

Two verbs lift the rule: `escalate` on a role, `bind` on the role that a binding refers to. What is compared are atoms:
one verb on one resource of one group (and one name), or one verb on one path; each must be covered by a single rule
that the writer holds.

upstream: pkg/registry/rbac/validation/rule.go, pkg/registry/rbac/*/policybased
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from verger.identity.authz import Authorizer, PolicyRule
from verger.identity.rbac import ALL, GROUP, Policy, compile_rule, resource_matches, url_matches
from verger.store.errors import Forbidden, NotFound
from verger.store.invalid import quote
from verger.store.kinds import Kind, Kinds
from verger.store.objects import Object, meta
from verger.store.request import MASTERS, Attributes, User, WriteRequest

_ROLES: Final = ("roles", "clusterroles")
_BINDINGS: Final = ("rolebindings", "clusterrolebindings")
_HARMLESS: Final = (
    "ownerReferences",
    "finalizers",
    "managedFields",
    "resourceVersion",
    "generation",
)
ATOMS_MAX: Final = 100_000
"""Rules beyond this are refused before they are compared: their product may be larger than anyone could mean."""


def atoms(rules: Iterable[PolicyRule]) -> Iterator[PolicyRule]:
    """The rules taken apart: one verb, one resource or one path each."""
    for rule in rules:
        for verb in rule.verbs:
            for group in rule.groups:
                for resource in rule.resources:
                    for name in rule.names or ("",):
                        yield PolicyRule((verb,), (group,), (resource,), (name,) if name else ())
            for url in rule.urls:
                yield PolicyRule((verb,), urls=(url,))


def size(rules: Iterable[PolicyRule]) -> int:
    """How many atoms there are."""
    return sum(
        len(rule.verbs)
        * (len(rule.groups) * len(rule.resources) * max(1, len(rule.names)) + len(rule.urls))
        for rule in rules
    )


def covers(held: PolicyRule, atom: PolicyRule) -> bool:
    """Whether a rule that somebody holds covers an atom."""
    if ALL not in held.verbs and atom.verbs[0] not in held.verbs:
        return False
    if atom.urls:
        wanted = atom.urls[0]
        return any(url_matches(url, wanted) for url in held.urls)
    if ALL not in held.groups and atom.groups[0] not in held.groups:
        return False
    resource, _, subresource = atom.resources[0].partition("/")
    if not resource_matches(frozenset(held.resources), resource, subresource):
        return False
    return not held.names or bool(atom.names and atom.names[0] in held.names)


def uncovered(held: Sequence[PolicyRule], wanted: Sequence[PolicyRule]) -> list[PolicyRule]:
    """The atoms of the wanted rules that no single held rule covers."""
    return [atom for atom in atoms(wanted) if not any(covers(rule, atom) for rule in held)]


def compact(missing: Sequence[PolicyRule]) -> list[str]:
    """Atoms as people read them: those that differ in the verb alone are one."""
    verbs: dict[tuple[Any, ...], list[str]] = {}
    for atom in missing:
        known = verbs.setdefault(atom[1:], [])
        if atom.verbs[0] not in known:
            known.append(atom.verbs[0])
    lines = []
    for (groups, resources, names, urls), found in verbs.items():
        parts = [
            f"{title}:[{' '.join(map(quote, values))}]"
            for title, values in (
                ("APIGroups", groups),
                ("Resources", resources),
                ("ResourceNames", names),
                ("NonResourceURLs", urls),
            )
            if values
        ]
        parts.append(f"Verbs:[{' '.join(map(quote, found))}]")
        lines.append(f"{{{', '.join(parts)}}}")
    return sorted(lines)


class EscalationCheck:
    """The admission of roles and bindings."""

    def __init__(self, policy: Policy, authorizer: Authorizer, kinds: Kinds) -> None:
        self._policy = policy
        self._authorizer = authorizer
        self._kinds = kinds

    def handles(self, attributes: Attributes) -> bool:
        """Writes of roles and bindings by anybody but administrators."""
        return (
            attributes.group == GROUP
            and attributes.verb in ("create", "update", "patch")
            and attributes.resource in (*_ROLES, *_BINDINGS)
            and MASTERS not in attributes.user.groups
        )

    async def admit(
        self,
        attributes: Attributes,
        obj: Object,
        old: Mapping[str, Any] | None,
        request: WriteRequest,
    ) -> None:
        """Refuses what would give more than the writer has. Raises Forbidden, and NotFound for a role that is missing."""
        if old is not None and _harmless(obj, old):
            return
        kind = attributes.kind
        if kind is None:
            return
        if attributes.resource in _ROLES:
            self._check_role(attributes, kind, obj, old)
        else:
            self._check_binding(attributes, kind, obj)

    async def validate(
        self,
        attributes: Attributes,
        obj: Mapping[str, Any],
        old: Mapping[str, Any] | None,
        request: WriteRequest,
    ) -> None:
        """Everything has been said."""

    def _check_role(
        self, attributes: Attributes, kind: Kind, obj: Object, old: Mapping[str, Any] | None
    ) -> None:
        user, namespace, name = attributes.user, attributes.namespace, attributes.name
        # A create is asked about without a name, as an update is with one.
        asked = "" if attributes.verb == "create" else name
        if self._may(user, "escalate", kind, namespace, asked):
            return
        wanted = [compile_rule(rule).policy for rule in obj.get("rules") or ()]
        self._compare(attributes, kind, wanted)
        if _aggregates(obj) or (old is not None and _aggregates(old)):
            everything = [PolicyRule((ALL,), (ALL,), (ALL,)), PolicyRule((ALL,), urls=(ALL,))]
            held, _ = self._authorizer.rules(user, "")
            if uncovered(held, everything):
                raise _refused(
                    kind, name, "must have cluster-admin privileges to use the aggregationRule"
                )

    def _check_binding(self, attributes: Attributes, kind: Kind, obj: Object) -> None:
        role = obj.get("roleRef") or {}
        role_kind, role_name = str(role.get("kind") or ""), str(role.get("name") or "")
        bound = self._kinds.get(GROUP, "v1", role_kind)
        if bound is None:
            return  # validation has something to say about that
        if self._may(attributes.user, "bind", bound, attributes.namespace, role_name):
            return
        rules = self._policy.rules_of(role_kind, attributes.namespace, role_name)
        if rules is None:
            raise NotFound(
                f'{bound.resource} "{role_name}" not found',
                {"name": role_name, "group": GROUP, "kind": bound.plural},
            )
        self._compare(attributes, kind, [rule.policy for rule in rules])

    def _may(self, user: User, verb: str, kind: Kind, namespace: str, name: str) -> bool:
        return self._authorizer.decide(Attributes(user, verb, kind, namespace, name)).allowed

    def _compare(self, attributes: Attributes, kind: Kind, wanted: Sequence[PolicyRule]) -> None:
        if size(wanted) > ATOMS_MAX:
            raise _refused(kind, attributes.name, "the rules are more than can be compared")
        user = attributes.user
        held, error = self._authorizer.rules(user, attributes.namespace)
        missing = uncovered(held, wanted)
        if not missing:
            return
        groups = " ".join(map(quote, user.groups))
        text = (
            f"user {quote(user.name)} (groups=[{groups}]) is attempting to grant RBAC permissions not currently held:\n"
            + "\n".join(compact(missing))
        )
        if error:
            text += f"; resolution errors: [{error}]"
        raise _refused(kind, attributes.name, text)


def _aggregates(role: Mapping[str, Any]) -> bool:
    return bool((role.get("aggregationRule") or {}).get("clusterRoleSelectors"))


def _harmless(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Whether an update changes nothing that gives rights: housekeeping of metadata alone."""

    def rest(obj: Mapping[str, Any]) -> Mapping[str, Any]:
        kept = {key: value for key, value in meta(obj).items() if key not in _HARMLESS}
        return {**obj, "metadata": kept}

    return rest(new) == rest(old)


def _refused(kind: Kind, name: str, why: str) -> Forbidden:
    details: dict[str, Any] = {"name": name} if name else {}
    return Forbidden(
        f'{kind.resource} "{name}" is forbidden: {why}',
        {**details, "group": kind.group, "kind": kind.plural},
    )
