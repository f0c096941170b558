"""What a user may do, and the very words in which he is told that he may not."""

from typing import Any

import pytest
from verger.identity.authz import AlwaysAllow, Decision, Masters, PolicyRule, forbidden
from verger.store.kinds import built_in
from verger.store.request import Attributes, User

KINDS = built_in()
CORE = {kind.plural: kind for kind in KINDS if not kind.group}
DEPLOYMENTS = KINDS.get("apps", "v1", "Deployment")
SA = User("system:serviceaccount:ns:sa")
U = User("u")


@pytest.mark.parametrize(
    ("attributes", "message", "details"),
    [
        pytest.param(
            Attributes(SA, "list", CORE["pods"], "ns"),
            'pods is forbidden: User "system:serviceaccount:ns:sa" cannot list resource "pods" in API group "" in the '
            'namespace "ns"',
            {"kind": "pods"},
            id="a list in a namespace",
        ),
        pytest.param(
            Attributes(U, "get", DEPLOYMENTS, "n", "d"),
            'deployments.apps "d" is forbidden: User "u" cannot get resource "deployments" in API group "apps" in the '
            'namespace "n"',
            {"name": "d", "group": "apps", "kind": "deployments"},
            id="an object of a group",
        ),
        pytest.param(
            Attributes(U, "create", CORE["serviceaccounts"], "n", "x", "token"),
            'serviceaccounts "x" is forbidden: User "u" cannot create resource "serviceaccounts/token" in API group "" '
            'in the namespace "n"',
            {"name": "x", "kind": "serviceaccounts"},
            id="a subresource, which the prefix does not name",
        ),
        pytest.param(
            Attributes(U, "list", CORE["nodes"]),
            'nodes is forbidden: User "u" cannot list resource "nodes" in API group "" at the cluster scope',
            {"kind": "nodes"},
            id="cluster scope",
        ),
        pytest.param(
            Attributes(U, "get", CORE["namespaces"], "n", "n"),
            'namespaces "n" is forbidden: User "u" cannot get resource "namespaces" in API group "" in the namespace '
            '"n"',
            {"name": "n", "kind": "namespaces"},
            id="a namespace is in itself",
        ),
        pytest.param(
            Attributes(User("system:anonymous"), "get", path="/metrics"),
            'forbidden: User "system:anonymous" cannot get path "/metrics"',
            {},
            id="a path",
        ),
        pytest.param(
            Attributes(U, "list", other_group="example.com", other_resource="things"),
            'things.example.com is forbidden: User "u" cannot list resource "things" in API group "example.com" at the '
            "cluster scope",
            {"group": "example.com", "kind": "things"},
            id="a resource that is not served",
        ),
        pytest.param(
            Attributes(User("<b>&u"), "get", CORE["pods"], "n", "a&b"),
            'pods "a&amp;b" is forbidden: User "&lt;b&gt;&amp;u" cannot get resource "pods" in API group "" in the '
            'namespace "n"',
            {"name": "a&b", "kind": "pods"},
            id="what would be markup is escaped, in the words alone",
        ),
        pytest.param(
            Attributes(U, "get", path="/<x>&y"),
            'forbidden: User "u" cannot get path "/&lt;x&gt;&amp;y"',
            {},
            id="and in paths",
        ),
    ],
)
def test_words(attributes: Attributes, message: str, details: dict[str, Any]) -> None:
    """Message, details, reason and code are those of upstream."""
    error = forbidden(attributes)
    assert error.status() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": "Forbidden",
        "details": details,
        "code": 403,
    }


def test_reason_is_appended_as_it_is() -> None:
    """What the authorizer says comes behind a colon, and is not escaped."""
    error = forbidden(Attributes(U, "list", CORE["pods"], "n"), 'RBAC: role "<r>" not found')
    assert str(error).endswith(' in the namespace "n": RBAC: role "<r>" not found')
    path = forbidden(Attributes(U, "get", path="/x"), "a & b")
    assert str(path) == 'forbidden: User "u" cannot get path "/x": a & b'


class Never:
    """Allows nothing, and says so."""

    def decide(self, attributes: Attributes) -> Decision:
        return Decision(False, "never")

    def rules(self, user: User, namespace: str) -> tuple[list[PolicyRule], str]:
        return [PolicyRule(("get",), urls=("/x",))], "incomplete"


@pytest.mark.parametrize(
    ("groups", "allowed"),
    [
        pytest.param(("system:masters",), True, id="administrators"),
        pytest.param(("a", "system:masters", "b"), True, id="administrators among other things"),
        pytest.param(("system:masters2",), False, id="almost administrators"),
        pytest.param(("*",), False, id="a star is a letter"),
        pytest.param((), False, id="nobody in particular"),
    ],
)
@pytest.mark.parametrize(
    "about",
    [
        {"kind": CORE["secrets"], "namespace": "n"},
        {"path": "/metrics"},
        {"other_resource": "things"},
    ],
    ids=["resource", "path", "unknown resource"],
)
def test_masters(groups: tuple[str, ...], allowed: bool, about: dict[str, Any]) -> None:
    """Members of system:masters may do everything; about others, somebody else decides, with his own reasons."""
    decision = Masters(Never()).decide(Attributes(User("u", groups=groups), "delete", **about))
    assert decision == (Decision(True) if allowed else Decision(False, "never"))


def test_name_of_an_administrator_means_nothing() -> None:
    """Groups count, not names."""
    named = User("system:masters")
    assert not Masters(Never()).decide(Attributes(named, "get", path="/x")).allowed


def test_rules_of_masters() -> None:
    """Administrators see that they may do everything, besides what the policy says; others see the policy."""
    everything = [PolicyRule(("*",), ("*",), ("*",)), PolicyRule(("*",), urls=("*",))]
    theirs = PolicyRule(("get",), urls=("/x",))
    found, error = Masters(Never()).rules(User("a", groups=("system:masters",)), "n")
    assert (list(found), error) == ([*everything, theirs], "incomplete")
    found, error = Masters(Never()).rules(U, "n")
    assert (list(found), error) == ([theirs], "incomplete")


def test_always_allow() -> None:
    """Everybody may do everything."""
    assert AlwaysAllow().decide(Attributes(U, "delete", CORE["nodes"])).allowed
    assert AlwaysAllow().decide(Attributes(U, "get", path="/metrics")).allowed
    assert AlwaysAllow().rules(U, "")[1] == ""
