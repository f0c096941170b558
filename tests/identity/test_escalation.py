"""Nobody gives what he does not have: what covers what, and the admission of roles and bindings."""

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from verger.identity.authz import Masters, PolicyRule
from verger.identity.escalation import EscalationCheck, compact, uncovered
from verger.identity.rbac import GROUP, Rbac, compile_rule
from verger.store.errors import Forbidden, NotFound
from verger.store.kinds import Kinds, built_in
from verger.store.request import Attributes, User, WriteRequest
from verger.store.schemas import load

from tests.identity.policies import Bindings, Object, is_allowed, rule

BOB = User("bob", groups=("devs", "system:authenticated"))
MASTER = User("root", groups=("system:masters",))


def policy(item: Object) -> PolicyRule:
    return compile_rule(item).policy


@pytest.mark.parametrize(
    ("held", "wanted", "covered"),
    [
        pytest.param([rule("get", "pods")], rule("get", "pods"), True, id="the same"),
        pytest.param([rule("*", "pods")], rule("get list", "pods"), True, id="any verb"),
        pytest.param([rule("get", "pods")], rule("*", "pods"), False, id="any verb is more"),
        pytest.param([rule("get", "*")], rule("get", "pods/log"), True, id="any resource"),
        pytest.param([rule("get", "pods")], rule("get", "pods/log"), False, id="not its parts"),
        pytest.param([rule("get", "pods/log")], rule("get", "pods"), False, id="nor the whole"),
        pytest.param([rule("get", "*/log")], rule("get", "pods/log"), True, id="a part of any"),
        pytest.param([rule("get", "pods/log")], rule("get", "*/log"), False, id="of any is more"),
        pytest.param([rule("get", "*/log")], rule("get", "*"), False, id="any part is more"),
        pytest.param(
            [rule("get", "pods"), rule("list", "pods")],
            rule("get list", "pods"),
            True,
            id="in parts",
        ),
        pytest.param([rule("get", "pods", names="a")], rule("get", "pods"), False, id="a name"),
        pytest.param(
            [rule("get", "pods")], rule("get", "pods", names="a"), True, id="without one, any"
        ),
        pytest.param(
            [rule("get", "pods", names="a")],
            rule("get", "pods", names="a b"),
            False,
            id="two names",
        ),
        pytest.param(
            [rule("get", "pods", names="a"), rule("get", "pods", names="b")],
            rule("get", "pods", names="a b"),
            True,
            id="each name on its own",
        ),
        pytest.param(
            [rule("get", "pods", groups=["*"])],
            rule("get", "pods", groups=["x"]),
            True,
            id="groups",
        ),
        pytest.param([rule("get", urls="/a/*")], rule("get", urls="/a/b"), True, id="below"),
        pytest.param([rule("get", urls="/a/*")], rule("get", urls="/a/*"), True, id="all below"),
        pytest.param(
            [rule("get", urls="/a/*")], rule("get", urls="/a*"), False, id="more than that"
        ),
        pytest.param([rule("get", urls="/*")], rule("get", urls="*"), False, id="all is more"),
        pytest.param([rule("*", "*", groups=["*"])], rule("get", urls="/"), False, id="no paths"),
        pytest.param([], rule("get", "pods"), False, id="nothing"),
        pytest.param([], {"verbs": []}, True, id="nothing for nothing"),
    ],
)
def test_covers(held: list[Object], wanted: Object, covered: bool) -> None:
    """Each atom of what is given has to be covered by a single rule that is held."""
    assert (uncovered([policy(item) for item in held], [policy(wanted)]) == []) is covered


def test_missing_rules_are_told_shortly() -> None:
    """Atoms that differ in the verb alone are one line; lines are sorted."""
    wanted = [policy(rule("list get", "pods secrets")), policy(rule("get", urls="/x"))]
    assert compact(uncovered([], wanted)) == [
        '{APIGroups:[""], Resources:["pods"], Verbs:["list" "get"]}',
        '{APIGroups:[""], Resources:["secrets"], Verbs:["list" "get"]}',
        '{NonResourceURLs:["/x"], Verbs:["get"]}',
    ]
    named = uncovered([], [policy(rule("get", "pods", names="a"))])
    assert compact(named) == [
        '{APIGroups:[""], Resources:["pods"], ResourceNames:["a"], Verbs:["get"]}'
    ]


def some(values: list[str], most: int = 2) -> "st.SearchStrategy[list[str]]":
    return st.lists(st.sampled_from(values), min_size=1, max_size=most)


RULES = st.one_of(
    st.builds(
        lambda verbs, groups, resources, names: {
            "verbs": verbs,
            "apiGroups": groups,
            "resources": resources,
            "resourceNames": names,
        },
        some(["get", "list", "*"]),
        some(["", "apps", "*"]),
        some(["pods", "pods/log", "*/log", "*", "secrets"]),
        st.lists(st.sampled_from(["x", "y"]), max_size=1),
    ),
    st.builds(
        lambda verbs, urls: {"verbs": verbs, "nonResourceURLs": urls},
        some(["get", "*"]),
        some(["/a", "/a/*", "/a*", "*", "/a/b"]),
    ),
)
QUESTIONS = [
    Attributes(
        BOB,
        verb,
        name=name,
        subresource=part,
        other_group=group,
        other_resource=resource,
    )
    for verb, group, resource, part, name in itertools.product(
        ("get", "list", "watch"),
        ("", "apps", "other"),
        ("pods", "secrets", "other"),
        ("", "log", "other"),
        ("", "x", "z"),
    )
] + [
    Attributes(BOB, verb, path=path)
    for verb in ("get", "post")
    for path in ("/a", "/a/", "/a/b", "/ab", "/b", "*")
]


@settings(max_examples=60, deadline=None)
@given(st.lists(RULES, max_size=3), RULES)
def test_nothing_is_gained(held: list[Object], wanted: Object) -> None:
    """Where nothing is missing, the new rule allows no request that the held rules do not allow."""
    if uncovered([policy(item) for item in held], [policy(wanted)]):
        return
    for question in QUESTIONS:
        if is_allowed(wanted, question):
            assert any(is_allowed(item, question) for item in held), question


@settings(max_examples=30, deadline=None)
@given(st.lists(RULES, min_size=1, max_size=3))
def test_everybody_may_give_what_he_has(held: list[Object]) -> None:
    """All rules together, and each of them, are covered by themselves."""
    rules = [policy(item) for item in held]
    assert uncovered(rules, rules) == []


# The admission


class Cluster:
    """Roles and bindings, and the check before their writes."""

    def __init__(self) -> None:
        self.world = Bindings()
        self.kinds: Kinds = built_in(load())
        authorizer = Masters(Rbac(self.world.policy))
        self.check = EscalationCheck(self.world.policy, authorizer, self.kinds)

    def give(self, user: str, *rules: Object, namespace: str = "") -> None:
        """Gives rights to a user."""
        name = f"of-{user}-{namespace}"
        self.world.role(name, *rules)
        where = f"{namespace}/{name}" if namespace else name
        self.world.bind(where, f"ClusterRole {name}", f"User {user}")

    async def write(
        self,
        user: User,
        kind: str,
        body: Object,
        *,
        namespace: str = "",
        old: Object | None = None,
        verb: str = "",
    ) -> None:
        """A write of an object called `it`. Raises what the check does."""
        found = self.kinds.get(GROUP, "v1", kind)
        asked = Attributes(user, verb or ("update" if old else "create"), found, namespace, "it")
        if not self.check.handles(asked):
            return
        obj: dict[str, Any] = {"metadata": {"name": "it"}, **body}
        before = {"metadata": {"name": "it"}, **old} if old is not None else None
        await self.check.admit(asked, obj, before, WriteRequest(user))


READER = {"rules": [rule("get", "pods")]}
BINDING = {
    "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "r"},
    "subjects": [{"kind": "User", "name": "bob"}],
}


@pytest.mark.parametrize(
    ("kind", "namespace"), [("ClusterRole", ""), ("Role", "ns")], ids=["cluster", "namespace"]
)
async def test_roles(kind: str, namespace: str) -> None:
    """Who holds the rights may write them down; who does not is told which ones he lacks."""
    cluster = Cluster()
    await cluster.write(MASTER, kind, READER, namespace=namespace)
    with pytest.raises(Forbidden) as caught:
        await cluster.write(BOB, kind, READER, namespace=namespace)
    plural = f"{kind.lower()}s.{GROUP}"
    assert caught.value.message == (
        f'{plural} "it" is forbidden: user "bob" (groups=["devs" "system:authenticated"]) is attempting to grant RBAC '
        'permissions not currently held:\n{APIGroups:[""], Resources:["pods"], Verbs:["get"]}'
    )
    with pytest.raises(Forbidden):
        await cluster.write(BOB, kind, READER, namespace=namespace, old={"rules": []})
    cluster.give("bob", rule("*", "pods"), namespace=namespace)
    await cluster.write(BOB, kind, READER, namespace=namespace)


async def test_rights_in_a_namespace_are_no_rights_elsewhere() -> None:
    """What somebody holds in a namespace he may give there, and nowhere else."""
    cluster = Cluster()
    cluster.give("bob", rule("get", "pods"), namespace="ns")
    await cluster.write(BOB, "Role", READER, namespace="ns")
    for kind, namespace in (("Role", "other"), ("ClusterRole", "")):
        with pytest.raises(Forbidden):
            await cluster.write(BOB, kind, READER, namespace=namespace)


async def test_escalate_lifts_the_rule() -> None:
    """The verb `escalate` on the role that is written; on a create the role has no name yet."""
    cluster = Cluster()
    cluster.give("bob", rule("escalate", "clusterroles", groups=[GROUP], names="it"))
    with pytest.raises(Forbidden):
        await cluster.write(BOB, "ClusterRole", READER)
    await cluster.write(BOB, "ClusterRole", READER, old={"rules": []})
    cluster.give("bob", rule("escalate", "clusterroles", groups=[GROUP]))
    await cluster.write(BOB, "ClusterRole", READER)
    with pytest.raises(Forbidden):
        await cluster.write(BOB, "Role", READER, namespace="ns")


@pytest.mark.parametrize("verb", ["update", "patch"])
async def test_housekeeping_is_no_escalation(verb: str) -> None:
    """An update that changes no rights is let through; one that changes a label is not."""
    cluster = Cluster()
    kept = {"metadata": {"name": "it", "finalizers": ["a/b"], "ownerReferences": [{}]}, **READER}
    await cluster.write(BOB, "ClusterRole", kept, old=READER, verb=verb)
    labelled = {"metadata": {"name": "it", "labels": {"a": "b"}}, **READER}
    with pytest.raises(Forbidden):
        await cluster.write(BOB, "ClusterRole", labelled, old=READER, verb=verb)


async def test_sums_are_for_administrators() -> None:
    """Who chooses by labels what a role may may choose everything: he has to hold everything."""
    cluster = Cluster()
    body = {"rules": [], "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}}
    verbs = "get list watch create update patch delete bind impersonate"
    cluster.give("bob", rule(verbs, "*", groups=["*"]), rule("*", urls="*"))
    before: list[Object | None] = [None, {"rules": []}]
    for old in before:
        with pytest.raises(Forbidden, match="must have cluster-admin privileges to use the"):
            await cluster.write(BOB, "ClusterRole", body, old=old)
    with pytest.raises(Forbidden, match="must have cluster-admin privileges"):
        await cluster.write(BOB, "ClusterRole", {"rules": []}, old=body)
    cluster.give("bob", rule("*", "*", groups=["*"]), rule("*", urls="*"))
    await cluster.write(BOB, "ClusterRole", body)


@pytest.mark.parametrize(
    ("kind", "namespace"),
    [("ClusterRoleBinding", ""), ("RoleBinding", "ns")],
    ids=["cluster", "namespace"],
)
async def test_bindings(kind: str, namespace: str) -> None:
    """Who binds a role has to hold what it gives, there; or the verb `bind` on it."""
    cluster = Cluster()
    cluster.world.role("r", rule("get", "pods"))
    await cluster.write(MASTER, kind, BINDING, namespace=namespace)
    with pytest.raises(Forbidden, match="permissions not currently held"):
        await cluster.write(BOB, kind, BINDING, namespace=namespace)
    cluster.give("bob", rule("get", "pods"), namespace=namespace)
    await cluster.write(BOB, kind, BINDING, namespace=namespace)
    other = Cluster()
    other.world.role("r", rule("get", "pods"))
    other.give("bob", rule("bind", "clusterroles", groups=[GROUP], names="r"), namespace=namespace)
    await other.write(BOB, kind, BINDING, namespace=namespace)
    other.give("bob", rule("bind", "clusterroles", groups=[GROUP], names="x"), namespace=namespace)
    with pytest.raises(Forbidden):
        await other.write(BOB, kind, BINDING, namespace=namespace)


async def test_escalation_by_binding_oneself() -> None:
    """Who may write bindings, and nothing else, cannot make himself an administrator."""
    cluster = Cluster()
    cluster.world.role("cluster-admin", rule("*", "*", groups=["*"]), rule("*", urls="*"))
    cluster.give("bob", rule("*", "clusterrolebindings rolebindings", groups=[GROUP]))
    admin = {"roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "cluster-admin"}}
    for kind, namespace in (("ClusterRoleBinding", ""), ("RoleBinding", "ns")):
        with pytest.raises(Forbidden):
            await cluster.write(BOB, kind, admin, namespace=namespace)


async def test_role_that_is_missing() -> None:
    """Nobody can say what it would give: 404, unless the writer may bind it all the same."""
    cluster = Cluster()
    with pytest.raises(NotFound) as caught:
        await cluster.write(BOB, "RoleBinding", BINDING, namespace="ns")
    assert caught.value.message == f'clusterroles.{GROUP} "r" not found'
    local = {"roleRef": {"apiGroup": GROUP, "kind": "Role", "name": "r"}}
    cluster.world.role("r", rule("get", "pods"))
    with pytest.raises(NotFound):
        await cluster.write(BOB, "RoleBinding", local, namespace="ns")
    cluster.give("bob", rule("bind", "roles", groups=[GROUP], names="r"))
    await cluster.write(BOB, "RoleBinding", local, namespace="ns")


async def test_role_of_a_namespace_is_none_of_the_cluster() -> None:
    """A cluster-wide binding of kind Role means no ClusterRole of the same name."""
    cluster = Cluster()
    cluster.world.role("r", rule("get", "pods"))
    cluster.give("bob", rule("get", "pods"))
    local = {"roleRef": {"apiGroup": GROUP, "kind": "Role", "name": "r"}}
    with pytest.raises(NotFound):
        await cluster.write(BOB, "ClusterRoleBinding", local)


async def test_rules_that_nobody_could_mean() -> None:
    """Rules whose atoms are too many are refused before they are compared."""
    cluster = Cluster()
    many = [f"x{number}" for number in range(400)]
    huge = {"rules": [{"verbs": many, "apiGroups": [""], "resources": many}]}
    with pytest.raises(Forbidden, match="more than can be compared"):
        await cluster.write(BOB, "ClusterRole", huge)
