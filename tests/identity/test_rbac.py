"""Role-based access: what a rule covers, whom a binding means, and the index against a plain reading."""

import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from verger.identity.rbac import Rbac, compile_rule
from verger.store.request import Attributes, User

from tests.identity.policies import Bindings, Object, is_allowed, rule

JANE = User("jane", groups=("devs", "system:authenticated"))
BOT = User("system:serviceaccount:a:bot", groups=("system:serviceaccounts",))


def asks(
    verb: str,
    what: str = "",
    namespace: str = "",
    *,
    name: str = "",
    group: str = "",
    path: str = "",
    user: User = JANE,
) -> Attributes:
    """A request for `resource` or `resource/subresource`, or for a path."""
    resource, _, part = what.partition("/")
    return Attributes(
        user,
        verb,
        namespace=namespace,
        name=name,
        subresource=part,
        path=path,
        other_group=group,
        other_resource=resource,
    )


@pytest.mark.parametrize(
    ("role", "request_", "allowed"),
    [
        pytest.param(rule("get", "pods"), asks("get", "pods"), True, id="verb and resource"),
        pytest.param(rule("get", "pods"), asks("list", "pods"), False, id="another verb"),
        pytest.param(rule("get", "pods"), asks("GET", "pods"), False, id="verbs have a case"),
        pytest.param(rule("*", "pods"), asks("anything", "pods"), True, id="any verb"),
        pytest.param(rule("get", "pods"), asks("*", "pods"), False, id="a star in the request"),
        pytest.param(rule("get", "pods"), asks("get", "secrets"), False, id="another resource"),
        pytest.param(rule("get", "*"), asks("get", "secrets"), True, id="any resource"),
        pytest.param(rule("get", "*"), asks("get", "pods/log"), True, id="and any part of it"),
        pytest.param(rule("get", "pods"), asks("get", "pods/status"), False, id="not its parts"),
        pytest.param(rule("get", "pods/log"), asks("get", "pods"), False, id="nor the whole"),
        pytest.param(rule("get", "pods/log"), asks("get", "pods/log"), True, id="the very part"),
        pytest.param(rule("get", "*/scale"), asks("get", "x/scale"), True, id="a part of any"),
        pytest.param(rule("get", "*/scale"), asks("get", "x"), False, id="but not without it"),
        pytest.param(rule("get", "*/scale"), asks("get", "x/status"), False, id="nor another part"),
        pytest.param(rule("get", "pods/*"), asks("get", "pods/log"), False, id="no other stars"),
        pytest.param(rule("get", "po*"), asks("get", "pods"), False, id="nor inside of words"),
        pytest.param(
            rule("get", "pods"), asks("get", "pods", group="apps"), False, id="another group"
        ),
        pytest.param(
            rule("get", "pods", groups=["*"]),
            asks("get", "pods", group="apps"),
            True,
            id="any group",
        ),
        pytest.param(
            rule("get", "pods", groups=["apps"]),
            asks("get", "pods"),
            False,
            id="not the core group",
        ),
        pytest.param(
            rule("get", "pods", names="x"), asks("get", "pods", name="x"), True, id="a name"
        ),
        pytest.param(
            rule("get", "pods", names="x"), asks("get", "pods", name="y"), False, id="another name"
        ),
        pytest.param(rule("list", "pods", names="x"), asks("list", "pods"), False, id="no name"),
        pytest.param(
            rule("get", "pods", names="*"),
            asks("get", "pods", name="y"),
            False,
            id="names: no stars",
        ),
        pytest.param(
            rule("get", "pods", names="x"),
            asks("get", "pods/log", name="x"),
            False,
            id="name, part",
        ),
        pytest.param(rule("get", urls="/a"), asks("get", path="/a"), True, id="a path"),
        pytest.param(rule("get", urls="/a"), asks("get", path="/a/"), False, id="a slash more"),
        pytest.param(rule("get", urls="/a"), asks("get", path="/a/b"), False, id="below it"),
        pytest.param(rule("get", urls="/a/*"), asks("get", path="/a/b/c"), True, id="all below"),
        pytest.param(rule("get", urls="/a/*"), asks("get", path="/a"), False, id="not itself"),
        pytest.param(
            rule("get", urls="/a*"), asks("get", path="/abc"), True, id="all that begin so"
        ),
        pytest.param(rule("get", urls="*"), asks("get", path="/x"), True, id="any path"),
        pytest.param(
            rule("get", urls="/*/b"), asks("get", path="/a/b"), False, id="stars end only"
        ),
        pytest.param(rule("*", urls="/a"), asks("post", path="/a"), True, id="any method"),
        pytest.param(rule("get", "*"), asks("get", path="/a"), False, id="resources are no paths"),
        pytest.param(rule("get", urls="*"), asks("get", "pods"), False, id="paths, no resources"),
        pytest.param({"verbs": ["get"]}, asks("get", "pods"), False, id="a rule about nothing"),
        pytest.param({}, asks("get", "pods"), False, id="an empty rule"),
    ],
)
def test_rule(role: Object, request_: Attributes, allowed: bool) -> None:
    """What one rule covers."""
    assert compile_rule(role).covers(request_) is allowed


@pytest.mark.parametrize(
    ("subject", "user", "meant"),
    [
        pytest.param("User jane", JANE, True, id="by name"),
        pytest.param("User Jane", JANE, False, id="names have a case"),
        pytest.param("User *", JANE, False, id="a star is a name"),
        pytest.param("Group devs", JANE, True, id="by group"),
        pytest.param("Group jane", JANE, False, id="a user is no group"),
        pytest.param("User devs", JANE, False, id="and a group no user"),
        pytest.param("ServiceAccount a/bot", BOT, True, id="an account of another namespace"),
        pytest.param("ServiceAccount bot", BOT, False, id="of the binding's own namespace"),
        pytest.param("ServiceAccount a/jane", JANE, False, id="an account is no plain user"),
        pytest.param("User system:serviceaccount:a:bot", BOT, True, id="an account by user name"),
        pytest.param("Robot bot", BOT, False, id="a kind that nobody knows"),
    ],
)
def test_subject(subject: str, user: User, meant: bool) -> None:
    """Whom a binding means, in namespace ns."""
    world = Bindings()
    world.role("all", rule("*", "*"))
    world.bind("ns/b", "ClusterRole all", subject)
    assert Rbac(world.policy).decide(asks("get", "pods", "ns", user=user)).allowed is meant


def test_account_of_the_bindings_own_namespace() -> None:
    """A RoleBinding may leave the namespace of an account out; a ClusterRoleBinding means nobody then."""
    world = Bindings()
    world.role("all", rule("*", "*"))
    world.bind("a/b", "ClusterRole all", "ServiceAccount bot")
    rbac = Rbac(world.policy)
    assert rbac.decide(asks("get", "pods", "a", user=BOT)).allowed
    world.drop("RoleBinding", "a/b")
    world.bind("b", "ClusterRole all", "ServiceAccount bot")
    for name in ("system:serviceaccount::bot", "system:serviceaccount:a:bot", "bot"):
        assert not rbac.decide(asks("get", "pods", "a", user=User(name))).allowed


def test_binding_counts_in_its_namespace() -> None:
    """A RoleBinding gives a ClusterRole where it stands, and nowhere else."""
    world = Bindings()
    world.role("admin", rule("*", "*"), rule("*", urls="*"))
    world.bind("ns1/b", "ClusterRole admin", "User jane")
    rbac = Rbac(world.policy)
    assert rbac.decide(asks("get", "pods", "ns1")).allowed
    assert not rbac.decide(asks("get", "pods", "ns2")).allowed
    assert not rbac.decide(asks("get", "pods")).allowed
    assert not rbac.decide(asks("get", path="/metrics")).allowed


def test_reasons() -> None:
    """Why somebody may, in the words of upstream, which put the namespace last."""
    world = Bindings()
    world.role("r", rule("get", "pods"))
    world.role("ns/r", rule("get", "secrets"))
    world.bind("cb", "ClusterRole r", "Group devs")
    world.bind("ns/rb", "Role r", "ServiceAccount a/bot")
    rbac = Rbac(world.policy)
    assert rbac.decide(asks("get", "pods")).reason == (
        'RBAC: allowed by ClusterRoleBinding "cb" of ClusterRole "r" to Group "devs"'
    )
    assert rbac.decide(asks("get", "secrets", "ns", user=BOT)).reason == (
        'RBAC: allowed by RoleBinding "rb/ns" of Role "r" to ServiceAccount "bot/a"'
    )
    assert rbac.decide(asks("get", "secrets", "ns")) == (False, "", "")


def test_roles_that_are_missing() -> None:
    """They are told of, once each, and stop nothing."""
    world = Bindings()
    world.bind("a", "ClusterRole gone", "User jane")
    world.bind("b", "ClusterRole gone", "Group devs")
    rbac = Rbac(world.policy)
    message = 'clusterrole.rbac.authorization.k8s.io "gone" not found'
    assert rbac.decide(asks("get", "pods", "ns")).reason == f"RBAC: {message}"
    world.bind("ns/c", "Role gone", "User jane")
    world.bind("ns/d", "Robot r", "User jane")
    assert rbac.decide(asks("get", "pods", "ns")).reason == (
        f'RBAC: [{message}, role.rbac.authorization.k8s.io "gone" not found, '
        'unsupported role reference kind: "Robot"]'
    )
    world.role("ok", rule("get", "pods"))
    world.bind("z", "ClusterRole ok", "User jane")
    assert rbac.decide(asks("get", "pods", "ns")).allowed


def test_kind_of_the_role_counts() -> None:
    """A Role of no namespace, or of a kind that nobody knows, is no ClusterRole of the same name."""
    world = Bindings()
    world.role("r", rule("*", "*"))
    rbac = Rbac(world.policy)
    for key, kind in (("b", "Role"), ("b", "Robot"), ("ns/b", "Role"), ("ns/b", "Robot")):
        world.bind(key, f"{kind} r", "User jane")
        decision = rbac.decide(asks("get", "pods", "ns"))
        assert not decision.allowed
        assert decision.reason
        world.drop("RoleBinding" if "/" in key else "ClusterRoleBinding", key)


def test_right_that_was_taken_away_is_gone_with_the_next_question() -> None:
    """The index follows the store, also when history has moved on without it."""
    world = Bindings()
    world.role("r", rule("get", "pods"))
    world.bind("b", "ClusterRole r", "User jane")
    rbac = Rbac(world.policy)
    question = asks("get", "pods")
    assert rbac.decide(question).allowed
    world.role("r", rule("list", "pods"))
    assert not rbac.decide(question).allowed
    world.role("r", rule("get", "pods"))
    assert rbac.decide(question).allowed
    world.bind("b", "ClusterRole r", "User bob")
    assert not rbac.decide(question).allowed
    world.bind("b", "ClusterRole r", "User jane")
    world.backend.compact(world.backend.revision)
    assert rbac.decide(question).allowed
    world.drop("ClusterRoleBinding", "b")
    world.backend.compact(world.backend.revision)
    assert not rbac.decide(question).allowed


def test_more_changes_than_are_read_at_once() -> None:
    """However much has been written since the last question, all of it counts."""
    world = Bindings()
    world.role("r", rule("get", "pods"))
    rbac = Rbac(world.policy)
    assert not rbac.decide(asks("get", "pods")).allowed
    for number in range(1500):
        world.bind(f"b-{number}", "ClusterRole r", "User bob")
    world.bind("last", "ClusterRole r", "User jane")
    assert rbac.decide(asks("get", "pods")).allowed
    world.drop("ClusterRoleBinding", "last")
    assert not rbac.decide(asks("get", "pods")).allowed


def test_what_is_allowed_for_one_name_is_not_for_another() -> None:
    """A decision about one object says nothing about the next one where rules name objects."""
    world = Bindings()
    world.role("r", rule("get", "pods", names="mine"))
    world.bind("b", "ClusterRole r", "User jane")
    rbac = Rbac(world.policy)
    for _ in range(2):
        assert rbac.decide(asks("get", "pods", name="mine")).allowed
        assert not rbac.decide(asks("get", "pods", name="yours")).allowed
        assert not rbac.decide(asks("get", "pods")).allowed


def test_resource_and_path_of_one_spelling_are_two_things() -> None:
    """Whoever asks for a review chooses the text: an answer about one must not be taken for the other."""
    world = Bindings()
    world.role("all", rule("get", "*"))
    world.role("urls", rule("get", urls="*"))
    world.bind("b", "ClusterRole all", "User jane")
    world.bind("c", "ClusterRole urls", "User bob")
    rbac = Rbac(world.policy)
    bob = User("bob")
    odd = asks("get")._replace(other_resource="/metrics")
    assert rbac.decide(odd).allowed
    assert not rbac.decide(asks("get", path="/metrics")).allowed
    assert rbac.decide(asks("get", path="secrets", user=bob)).allowed
    assert not rbac.decide(asks("get", "secrets", user=bob)).allowed
    assert rbac.decide(asks("get", path="/metrics", user=bob)).allowed


@pytest.mark.parametrize(
    ("allowed", "other"),
    [
        pytest.param(asks("get", path="/a"), asks("get", path="/b"), id="path"),
        pytest.param(asks("get", "pods", "ns"), asks("get", "secrets", "ns"), id="resource"),
        pytest.param(asks("get", "pods", "ns"), asks("list", "pods", "ns"), id="verb"),
        pytest.param(asks("get", "pods", "ns"), asks("get", "pods", "other"), id="namespace"),
        pytest.param(asks("get", "pods", "ns"), asks("get", "pods/log", "ns"), id="part"),
        pytest.param(asks("get", "pods", "ns"), asks("get", "pods", "ns", group="x"), id="group"),
        pytest.param(
            asks("get", "pods", "ns"), asks("get", "pods", "ns", user=User("bob")), id="user"
        ),
        pytest.param(
            asks("get", "nodes"), asks("get", "nodes", user=User("jane")), id="groups of the user"
        ),
    ],
)
def test_what_was_decided_is_for_that_question_alone(
    allowed: Attributes, other: Attributes
) -> None:
    """Whichever of two questions comes first, each has its own answer, and keeps it."""
    world = Bindings()
    world.role("r", rule("get", urls="/a"))
    world.bind("r", "ClusterRole r", "User jane")
    world.role("n", rule("get", "nodes"))
    world.bind("n", "ClusterRole n", "Group devs")
    world.role("ns/p", rule("get", "pods"))
    world.bind("ns/p", "Role p", "User jane")
    for order in ((allowed, other), (other, allowed)):
        rbac = Rbac(world.policy)
        for _ in range(2):
            for question in order:
                assert rbac.decide(question).allowed is (question is allowed)


def test_long_questions_are_not_kept() -> None:
    """Memory is bounded by their length too, and not by their number alone."""
    rbac = Rbac(Bindings().policy)
    tracemalloc.start()
    try:
        for number in range(50):
            rbac.decide(asks("get", path=f"/{number}" + "x" * 100_000))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000


def test_binding_that_names_somebody_twice_gives_its_role_once() -> None:
    """By name and by group: the rules are listed once for each binding."""
    world = Bindings()
    world.role("r", rule("get", "pods"))
    world.bind("b", "ClusterRole r", "User jane", "Group devs", "Group devs")
    world.bind("c", "ClusterRole r", "User jane")
    rules, error = Rbac(world.policy).rules(JANE, "ns")
    assert (len(rules), error) == (2, "")


def test_decision_looks_at_bindings_of_its_namespace_alone() -> None:
    """Ten thousand bindings elsewhere are not looked at."""
    world = Bindings()
    world.role("r", rule("get", "pods"))
    for number in range(200):
        world.bind(f"ns-{number}/b", "ClusterRole r", "User jane", "User bob")
    assert len(list(world.policy.grants(JANE, "ns-7"))) == 1


# Against the plain reading

NAMESPACES = ["", "a", "b"]
USERS = [JANE, BOT, User("bob"), User("system:serviceaccount:b:bot", groups=("devs",))]
SUBJECTS = [
    "User jane",
    "User bob",
    "Group devs",
    "ServiceAccount a/bot",
    "ServiceAccount bot",
    "User system:serviceaccount:b:bot",
    "Robot bob",
]


def some(values: list[str], most: int = 2) -> "st.SearchStrategy[list[str]]":
    return st.lists(st.sampled_from(values), max_size=most)


RULES = st.builds(
    lambda verbs, groups, resources, names, urls: {
        "verbs": verbs,
        "apiGroups": groups,
        "resources": resources,
        "resourceNames": names,
        "nonResourceURLs": urls,
    },
    some(["get", "list", "*"]),
    some(["", "apps", "*"]),
    some(["pods", "pods/log", "*/log", "*", "secrets"]),
    some(["x", "y"], 1),
    some(["/a", "/a/*", "*", "/a*"]),
)
QUESTIONS = st.one_of(
    st.builds(
        lambda user, verb, what, where, name, group: asks(
            verb, what, where, name=name, group=group, user=user
        ),
        st.sampled_from(USERS),
        st.sampled_from(["get", "list", "watch"]),
        st.sampled_from(["pods", "pods/log", "secrets", "secrets/log", "nodes"]),
        st.sampled_from(NAMESPACES),
        st.sampled_from(["", "x", "y"]),
        st.sampled_from(["", "apps"]),
    ),
    st.builds(
        lambda user, path: asks("get", path=path, user=user),
        st.sampled_from(USERS),
        st.sampled_from(["/a", "/a/", "/a/b", "/ab", "/"]),
    ),
)
ROLE_KEYS = st.sampled_from(["r", "s", "a/r", "b/s"])
CHANGES = st.one_of(
    st.tuples(st.just("role"), ROLE_KEYS, st.lists(RULES, max_size=2)),
    st.tuples(
        st.just("bind"),
        st.sampled_from(["b", "c", "a/b", "b/b", "b/c"]),
        st.tuples(
            st.sampled_from(["ClusterRole r", "ClusterRole s", "Role r", "Role s"]),
            some(SUBJECTS, 3),
        ),
    ),
    st.tuples(st.just("drop"), ROLE_KEYS, st.none()),
    st.tuples(st.just("unbind"), st.sampled_from(["b", "c", "a/b", "b/b", "b/c"]), st.none()),
    st.tuples(st.just("forget"), st.none(), st.none()),
)


def change(world: Bindings, what: str, key: Any, value: Any) -> None:
    """Does one of the changes."""
    if what == "role":
        world.role(key, *value)
    elif what == "bind":
        world.bind(key, value[0], *value[1])
    elif what == "drop":
        world.drop("Role" if "/" in key else "ClusterRole", key)
    elif what == "unbind":
        world.drop("RoleBinding" if "/" in key else "ClusterRoleBinding", key)
    else:
        world.backend.compact(world.backend.revision)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(CHANGES, st.lists(QUESTIONS, max_size=3)), max_size=12))
def test_index_against_the_plain_reading(
    steps: list[tuple[tuple[str, Any, Any], list[Attributes]]],
) -> None:
    """Whatever is written, in whatever order: the index and a reading of everything say the same."""
    world = Bindings()
    rbac = Rbac(world.policy)
    for (what, key, value), questions in steps:
        change(world, what, key, value)
        for question in questions:
            decision = rbac.decide(question)
            assert decision.allowed == world.allows(question)
            held, error = rbac.rules(question.user, question.namespace)
            plain, missing = world.rules(question.user, question.namespace)
            assert sorted(held) == sorted(compile_rule(item).policy for item in plain)
            assert bool(error) == bool(missing)
            if not decision.allowed:
                assert bool(decision.reason) == bool(missing)


@settings(max_examples=200, deadline=None)
@given(RULES, QUESTIONS)
def test_rule_against_the_plain_reading(item: Object, question: Attributes) -> None:
    """One rule, one question."""
    assert compile_rule(item).covers(question) == is_allowed(item, question)
