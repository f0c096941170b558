"""The default roles and bindings, and what is mended of one that was changed."""

import copy
from typing import Any

import pytest
from verger.identity.policy import (
    AUTOUPDATE,
    Default,
    defaults,
    is_of_another_role,
    is_protected,
    mended,
    seed,
)
from verger.identity.rbac import Policy, Rbac
from verger.store.memory import MemoryBackend
from verger.store.request import Attributes, User
from verger.watch.clock import FakeClock

from tests.identity.policies import rule

Object = dict[str, Any]
BOB = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "bob"}
NOTES = {
    "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
    "annotations": {AUTOUPDATE: "true"},
}
ACCOUNT = User(
    "system:serviceaccount:ns:sa",
    groups=("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"),
)
NOBODY = User("system:anonymous", groups=("system:unauthenticated",))


def thawed(default: Default) -> Object:
    """A default as it stands in a store, to be changed."""
    return copy.deepcopy(dict(default.object))


def role(*rules: Object, **more: Any) -> Default:
    return Default("ClusterRole", "", "r", {"metadata": dict(NOTES), "rules": list(rules), **more})


def binding(*subjects: Object) -> Default:
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "r"}
    body = {"metadata": dict(NOTES), "roleRef": reference, "subjects": list(subjects)}
    return Default("ClusterRoleBinding", "", "b", body)


def test_every_default_is_as_it_should_be() -> None:
    """Nothing is mended of what was just made; each says that it is a default and looked after."""
    assert len(defaults()) > 80
    for (kind, namespace, name), default in defaults().items():
        assert (default.kind, default.namespace, default.name) == (kind, namespace, name)
        assert mended(default, default.object) is None
        metadata = default.object["metadata"]
        assert metadata["labels"]["kubernetes.io/bootstrapping"] == "rbac-defaults"
        assert metadata["annotations"] == {AUTOUPDATE: "true"}


def test_every_binding_gives_a_role_that_is_there() -> None:
    """And the roles stand before the bindings that give them."""
    order = list(defaults())
    for key, default in defaults().items():
        if reference := default.object.get("roleRef"):
            where = default.namespace if reference["kind"] == "Role" else ""
            given = (reference["kind"], where, reference["name"])
            assert order.index(given) < order.index(key)


@pytest.mark.parametrize(
    ("default", "found", "expected"),
    [
        pytest.param(
            role(rule("get", "pods")),
            {"metadata": NOTES, "rules": []},
            [rule("get", "pods")],
            id="a rule that is missing",
        ),
        pytest.param(
            role(rule("get", "pods")),
            {"metadata": NOTES, "rules": [rule("list", "nodes")]},
            [rule("list", "nodes"), rule("get", "pods")],
            id="what was added stays in front",
        ),
        pytest.param(
            role(rule("get", "pods")),
            {"metadata": NOTES, "rules": [rule("*", "*")]},
            None,
            id="a rule that covers it is enough",
        ),
        pytest.param(
            role(rule("get list", "pods")),
            {"metadata": NOTES, "rules": [rule("get", "pods"), rule("list", "pods")]},
            None,
            id="and so are two in parts",
        ),
        pytest.param(
            role(rule("get list", "pods")),
            {"metadata": NOTES, "rules": [rule("get", "pods")]},
            [rule("get", "pods"), rule("get list", "pods")],
            id="a part of it is not",
        ),
    ],
)
def test_rules(default: Default, found: Object, expected: list[Object] | None) -> None:
    """Rules are added as far as they are not covered, and never taken away."""
    better = mended(default, found)
    assert (better["rules"] if better else None) == expected
    if better:
        assert mended(default, better) is None


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param([BOB], None, id="as it should be"),
        pytest.param([], [BOB], id="missing"),
        pytest.param(
            [{**BOB, "name": "eve"}], [{**BOB, "name": "eve"}, BOB], id="what was added stays"
        ),
    ],
)
def test_subjects(found: list[Object], expected: list[Object] | None) -> None:
    """Subjects are added, and never taken away."""
    default = binding(BOB)
    better = mended(default, {**default.object, "subjects": found})
    assert (better["subjects"] if better else None) == expected


def test_labels_and_annotations() -> None:
    """Missing ones are added, those that are there win."""
    default = role(rule("get", "pods"))
    bare = mended(default, {**default.object, "metadata": {"name": "r"}})
    assert bare is not None
    assert bare["metadata"] == {"name": "r", **NOTES}
    own = {"labels": {"kubernetes.io/bootstrapping": "mine", "a": "b"}, "annotations": {"c": "d"}}
    better = mended(default, {**default.object, "metadata": own})
    assert better is not None
    assert better["metadata"]["labels"] == {"kubernetes.io/bootstrapping": "mine", "a": "b"}
    assert better["metadata"]["annotations"] == {AUTOUPDATE: "true", "c": "d"}


def test_sums() -> None:
    """Of a sum its selectors are mended, and its rules are left to others."""
    default = defaults()["ClusterRole", "", "view"]
    changed = {**thawed(default), "rules": [rule("get", "x")]}
    assert mended(default, changed) is None
    own = {"matchLabels": {"mine": "yes"}}
    changed["aggregationRule"] = {"clusterRoleSelectors": [own]}
    better = mended(default, changed)
    assert better is not None
    selectors = better["aggregationRule"]["clusterRoleSelectors"]
    assert selectors == [own, *default.object["aggregationRule"]["clusterRoleSelectors"]]
    assert better["rules"] == [rule("get", "x")]


@pytest.mark.parametrize(
    ("value", "protected"), [("false", True), ("true", False), ("False", False), (None, False)]
)
def test_protection(value: str | None, protected: bool) -> None:
    """Exactly "false" protects."""
    notes = {} if value is None else {AUTOUPDATE: value}
    obj = {"metadata": {"annotations": notes}, "rules": []}
    assert is_protected(obj) is protected
    assert (mended(role(rule("get", "pods")), obj) is None) is protected


def test_binding_of_another_role() -> None:
    """It has to be made anew; a role has no such thing."""
    default = binding(BOB)
    other = {**default.object, "roleRef": {**default.object["roleRef"], "name": "cluster-admin"}}
    assert is_of_another_role(default, other)
    assert not is_of_another_role(default, default.object)
    assert not is_of_another_role(role(), {"roleRef": other["roleRef"]})


def test_mending_changes_neither_side() -> None:
    """Defaults are shared by all planes of a process, and objects by all readers of a store."""
    for default in defaults().values():
        before = copy.deepcopy(dict(default.object))
        obj: Object = {
            "metadata": {},
            **({"roleRef": before["roleRef"]} if "roleRef" in before else {}),
        }
        kept = copy.deepcopy(obj)
        mended(default, obj)
        assert default.object == before
        assert obj == kept


@pytest.mark.parametrize(
    ("user", "asked", "allowed"),
    [
        pytest.param(ACCOUNT, {"path": "/api"}, True, id="an account sees the API"),
        pytest.param(ACCOUNT, {"path": "/version"}, True, id="and the version"),
        pytest.param(ACCOUNT, {"path": "/openid/v1/jwks"}, True, id="and the keys of the issuer"),
        pytest.param(ACCOUNT, {"path": "/metrics"}, False, id="but no metrics"),
        pytest.param(
            ACCOUNT,
            {"verb": "create", "group": "authorization.k8s.io", "what": "selfsubjectaccessreviews"},
            True,
            id="it may ask what it may",
        ),
        pytest.param(ACCOUNT, {"what": "pods"}, False, id="it sees no pods"),
        pytest.param(ACCOUNT, {"what": "secrets"}, False, id="nor Secrets"),
        pytest.param(
            ACCOUNT,
            {"verb": "create", "group": "authentication.k8s.io", "what": "tokenreviews"},
            False,
            id="and judges no tokens",
        ),
        pytest.param(NOBODY, {"path": "/healthz"}, True, id="nobody sees whether it is well"),
        pytest.param(NOBODY, {"path": "/version"}, True, id="and its version"),
        pytest.param(NOBODY, {"path": "/api"}, False, id="but not the API"),
        pytest.param(NOBODY, {"path": "/openid/v1/jwks"}, False, id="nor the keys"),
        pytest.param(
            User("jane", groups=("system:authenticated",)),
            {"path": "/openid/v1/jwks"},
            False,
            id="people have no business with the issuer",
        ),
    ],
)
def test_what_the_defaults_give(user: User, asked: dict[str, str], allowed: bool) -> None:
    """Accounts begin with discovery and questions about themselves, and with nothing else."""
    backend = MemoryBackend(FakeClock())
    seed(backend, 0.0)
    question = Attributes(
        user,
        asked.get("verb", "get"),
        namespace="ns" if "what" in asked else "",
        path=asked.get("path", ""),
        other_group=asked.get("group", ""),
        other_resource=asked.get("what", ""),
    )
    assert Rbac(Policy(backend)).decide(question).allowed is allowed
