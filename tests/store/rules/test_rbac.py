"""Roles and bindings: what is filled in, what is refused, and that a binding stays with its role."""

from typing import Any

import pytest

from tests.store.rules.conftest import STORED, at, change_refusals, changed, put, refusals, stored

GROUP = "rbac.authorization.k8s.io"
RULE = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
PATHS = {"nonResourceURLs": ["/healthz"], "verbs": ["get"]}
ROLE: dict[str, Any] = {"rules": [RULE]}
BINDING: dict[str, Any] = {
    "roleRef": {"kind": "ClusterRole", "name": "r"},
    "subjects": [{"kind": "User", "name": "u"}],
}
ACCOUNT = {"kind": "ServiceAccount", "name": "a", "namespace": "ns"}


@pytest.mark.parametrize(
    ("kind", "body", "where", "expected"),
    [
        pytest.param("Role", {}, "rules", None, id="no rules are null"),
        pytest.param("ClusterRole", {"rules": []}, "rules", None, id="nor any in an empty list"),
        pytest.param("RoleBinding", BINDING, "roleRef/apiGroup", GROUP, id="the group of roles"),
        pytest.param("RoleBinding", BINDING, "subjects/0/apiGroup", GROUP, id="that of users"),
        pytest.param(
            "ClusterRoleBinding",
            put(BINDING, "subjects/0", ACCOUNT),
            "subjects/0",
            ACCOUNT,
            id="accounts are of the core group",
        ),
        pytest.param(
            "RoleBinding",
            {"metadata": {"name": "a:b"}, **BINDING},
            "metadata/name",
            "a:b",
            id="a name may be anything in a path",
        ),
    ],
)
def test_what_is_left_out_is_filled_in(
    kind: str, body: dict[str, Any], where: str, expected: Any
) -> None:
    """Defaults are upstream's."""
    assert at(stored(kind, body), where) == expected


@pytest.mark.parametrize(
    ("kind", "rule", "expected"),
    [
        pytest.param(
            "Role",
            {**RULE, "verbs": []},
            ["rules[0].verbs: Required value: verbs must contain at least one value"],
            id="nothing is allowed",
        ),
        pytest.param(
            "Role",
            {"verbs": ["get"]},
            [
                "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
                "rules[0].resources: Required value: resource rules must supply at least one resource",
            ],
            id="of nothing",
        ),
        pytest.param(
            "Role",
            PATHS,
            [
                'rules[0].nonResourceURLs: Invalid value: ["/healthz"]: namespaced rules cannot apply to non-resource '
                "URLs"
            ],
            id="paths are in no namespace",
        ),
        pytest.param("ClusterRole", PATHS, [], id="but in the cluster"),
        pytest.param(
            "ClusterRole",
            {**RULE, **PATHS},
            [
                'rules[0].nonResourceURLs: Invalid value: ["/healthz"]: rules cannot apply to both regular resources and '
                "non-resource URLs"
            ],
            id="resources and paths in one rule",
        ),
    ],
)
def test_a_rule_that_says_nothing_is_refused(
    kind: str, rule: dict[str, Any], expected: list[str]
) -> None:
    """The sentences are those that clients know from upstream."""
    assert refusals(kind, {"rules": [rule]}) == expected


@pytest.mark.parametrize(
    ("selectors", "expected"),
    [
        pytest.param([{"matchLabels": {"a": "b"}}], [], id="by label"),
        pytest.param(
            [],
            [
                "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if "
                "aggregationRule is non-nil"
            ],
            id="of nothing",
        ),
    ],
)
def test_aggregated_roles_select_others(selectors: list[Any], expected: list[str]) -> None:
    """With at least one selector."""
    body = {"aggregationRule": {"clusterRoleSelectors": selectors}}
    assert refusals("ClusterRole", body) == expected


@pytest.mark.parametrize(
    ("kind", "path", "value", "expected"),
    [
        pytest.param(
            "RoleBinding",
            "roleRef",
            {},
            [
                'roleRef.kind: Unsupported value: "": supported values: "Role", "ClusterRole"',
                "roleRef.name: Required value",
            ],
            id="no role",
        ),
        pytest.param(
            "ClusterRoleBinding",
            "roleRef/kind",
            "Role",
            ['roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"'],
            id="a role of one namespace, for all",
        ),
        pytest.param(
            "RoleBinding",
            "roleRef/apiGroup",
            "example.com",
            [
                f'roleRef.apiGroup: Unsupported value: "example.com": supported values: "{GROUP}"',
            ],
            id="a role of another group",
        ),
        pytest.param(
            "RoleBinding",
            "subjects/0",
            {"kind": "Robot", "name": "r"},
            [
                'subjects[0].kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"'
            ],
            id="an unknown sort of subject",
        ),
        pytest.param(
            "RoleBinding",
            "subjects/0",
            {"kind": "Group"},
            ["subjects[0].name: Required value"],
            id="a group without a name",
        ),
        pytest.param(
            "ClusterRoleBinding",
            "subjects/0",
            {"kind": "ServiceAccount", "name": "a"},
            ["subjects[0].namespace: Required value"],
            id="an account of no namespace",
        ),
        pytest.param(
            "RoleBinding",
            "subjects/0",
            {"kind": "ServiceAccount", "name": "a"},
            [],
            id="unless it is that of the binding",
        ),
        pytest.param(
            "RoleBinding",
            "subjects/0",
            {**ACCOUNT, "apiGroup": GROUP},
            [f'subjects[0].apiGroup: Unsupported value: "{GROUP}": supported values: ""'],
            id="an account of another group",
        ),
        pytest.param(
            "RoleBinding",
            "metadata",
            {"name": "a/b"},
            ["metadata.name: Invalid value: \"a/b\": may not contain '/'"],
            id="a name that is two parts of a path",
        ),
    ],
)
def test_a_binding_of_nothing_or_nobody_is_refused(
    kind: str, path: str, value: Any, expected: list[str]
) -> None:
    """The sentences are those that clients know from upstream."""
    assert refusals(kind, put(BINDING, path, value)) == expected


@pytest.mark.parametrize("kind", ["RoleBinding", "ClusterRoleBinding"])
def test_binding_stays_with_its_role(kind: str) -> None:
    """Its subjects come and go."""
    shown = f'{{"APIGroup":"{GROUP}","Kind":"ClusterRole","Name":"other"}}'
    assert change_refusals(kind, BINDING, "roleRef/name", "other") == [
        f"roleRef: Invalid value: {shown}: cannot change roleRef"
    ]
    assert "subjects" not in changed(kind, BINDING, "subjects", None)
    same = {"kind": "ClusterRole", "name": "r"}
    assert changed(kind, BINDING, "roleRef", same)["roleRef"] == {"apiGroup": GROUP, **same}


@pytest.mark.parametrize("kind", ["Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"])
def test_put_creates_what_is_not_there(kind: str) -> None:
    """So that `kubectl auth reconcile` and its like need not ask first; and no revision is needed to overwrite."""
    rules = STORED[kind].rules
    assert (rules.create_on_update, rules.unconditional_update) == (True, True)


def test_rules_of_a_role_may_change() -> None:
    """There is no generation to count it."""
    role = changed("Role", ROLE, "rules", [{**RULE, "verbs": ["*"]}])
    assert role["rules"][0]["verbs"] == ["*"]
    assert "generation" not in role["metadata"]
