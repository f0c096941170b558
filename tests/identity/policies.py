"""Roles and bindings in a store, and a plain reading of them: every binding is looked at for every question."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from verger.identity.rbac import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    GROUP,
    ROLE_BINDINGS,
    ROLES,
    Policy,
)
from verger.store.memory import MemoryBackend
from verger.store.objects import key_of
from verger.store.request import Attributes, User
from verger.watch.clock import FakeClock

Object = dict[str, Any]
RESOURCES = {
    "Role": ROLES,
    "ClusterRole": CLUSTER_ROLES,
    "RoleBinding": ROLE_BINDINGS,
    "ClusterRoleBinding": CLUSTER_ROLE_BINDINGS,
}


def rule(
    verbs: str = "",
    resources: str = "",
    *,
    groups: Sequence[str] = ("",),
    names: str = "",
    urls: str = "",
) -> Object:
    """A rule; several values of a member are separated by blanks."""
    out: Object = {"verbs": verbs.split()}
    if resources:
        out |= {"apiGroups": list(groups), "resources": resources.split()}
    if names:
        out["resourceNames"] = names.split()
    if urls:
        out["nonResourceURLs"] = urls.split()
    return out


def subject(text: str) -> Object:
    """`User jane`, `Group devs` or `ServiceAccount ns/sa`; an account without a namespace has none."""
    kind, _, name = text.partition(" ")
    if kind != "ServiceAccount":
        return {"kind": kind, "apiGroup": GROUP, "name": name}
    namespace, _, account = name.rpartition("/")
    return {"kind": kind, "name": account} | ({"namespace": namespace} if namespace else {})


class Bindings:
    """A store with roles and bindings, the policy that follows it, and the plain reading."""

    def __init__(self) -> None:
        self.backend = MemoryBackend(FakeClock())
        self.policy = Policy(self.backend)

    def put(self, kind: str, key: str, **body: Any) -> None:
        """Makes or replaces a role or binding, named `name` or `namespace/name`."""
        namespace, _, name = key.rpartition("/")
        resource, where = RESOURCES[kind], key_of(namespace, name)
        before = self.backend.get(resource, where)
        metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
        obj = {"kind": kind, "metadata": metadata, **body}
        self.backend.put(resource, where, obj, expected=before.revision if before else 0)

    def drop(self, kind: str, key: str) -> None:
        """Takes one away; it need not be there."""
        namespace, _, name = key.rpartition("/")
        before = self.backend.get(RESOURCES[kind], key_of(namespace, name))
        if before is not None:
            self.backend.remove(RESOURCES[kind], before.key, expected=before.revision)

    def role(self, key: str, *rules: Object) -> None:
        self.put("Role" if "/" in key else "ClusterRole", key, rules=list(rules))

    def bind(self, key: str, role: str, *subjects: str) -> None:
        """Binds `Role name` or `ClusterRole name` to subjects."""
        kind, _, name = role.partition(" ")
        self.put(
            "RoleBinding" if "/" in key else "ClusterRoleBinding",
            key,
            roleRef={"apiGroup": GROUP, "kind": kind, "name": name},
            subjects=[subject(text) for text in subjects],
        )

    # The plain reading

    def _all(self, kind: str, namespace: str = "") -> Iterator[Mapping[str, Any]]:
        for row in self.backend.list(RESOURCES[kind], namespace).rows:
            yield row.object

    def _given(self, user: User, namespace: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for binding in self._all("ClusterRoleBinding"):
            if any(is_meant(s, user, "") for s in binding["subjects"]):
                yield "", binding
        if namespace:
            for binding in self._all("RoleBinding", namespace):
                if any(is_meant(s, user, namespace) for s in binding["subjects"]):
                    yield namespace, binding

    def rules(self, user: User, namespace: str) -> tuple[list[Object], int]:
        """The rules of the user's roles, and how many roles are missing."""
        found: list[Object] = []
        missing = set()
        for where, binding in self._given(user, namespace):
            reference = binding["roleRef"]
            owner = where if reference["kind"] == "Role" else ""
            roles = [
                role
                for role in self._all(reference["kind"], owner)
                if role["metadata"]["name"] == reference["name"]
                and role["metadata"].get("namespace", "") == owner
            ]
            if not roles:
                missing.add((reference["kind"], reference["name"]))
            found += [item for role in roles for item in role["rules"]]
        return found, len(missing)

    def allows(self, attributes: Attributes) -> bool:
        """Whether any rule of any role allows the request."""
        rules, _ = self.rules(attributes.user, attributes.namespace)
        return any(is_allowed(item, attributes) for item in rules)


def is_meant(item: Mapping[str, Any], user: User, namespace: str) -> bool:
    """Whether a subject of a binding is the user."""
    if item["kind"] == "User":
        return bool(item["name"] == user.name)
    if item["kind"] == "Group":
        return item["name"] in user.groups
    if item["kind"] == "ServiceAccount":
        where = item.get("namespace") or namespace
        return bool(where) and user.name == f"system:serviceaccount:{where}:{item['name']}"
    return False


def is_allowed(item: Mapping[str, Any], asked: Attributes) -> bool:
    """Whether a rule allows a request, member by member."""
    if not {"*", asked.verb} & set(item["verbs"]):
        return False
    if not asked.resource:
        return any(
            url in ("*", asked.path) or (url[-1:] == "*" and asked.path.startswith(url[:-1]))
            for url in item.get("nonResourceURLs", ())
        )
    if not {"*", asked.group} & set(item.get("apiGroups", ())):
        return False
    wanted = {"*", asked.resource}
    if asked.subresource:
        wanted = {"*", f"{asked.resource}/{asked.subresource}", f"*/{asked.subresource}"}
    if not wanted & set(item.get("resources", ())):
        return False
    names = item.get("resourceNames", ())
    return not names or asked.name in names
