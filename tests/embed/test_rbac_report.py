"""The report of rights: what was used, what was not, and the roles that would do: enough, and no more."""

from typing import Any

import pytest
import yaml
from verger.embed import ControlPlane

RBAC = "rbac.authorization.k8s.io"
SUBJECT = {"kind": "ServiceAccount", "name": "robot", "namespace": "team"}

REQUESTS = (
    ("GET", "/api/v1/namespaces/team/pods", None),
    ("GET", "/api/v1/namespaces/team/configmaps", None),
    ("POST", "/api/v1/namespaces/team/configmaps", {"metadata": {"name": "a"}}),
    ("GET", "/api/v1/namespaces/team/configmaps/a", None),
    ("PUT", "/apis/apps/v1/namespaces/other/deployments/d/status", {}),
    ("GET", "/api/v1/nodes", None),
    ("GET", "/api/v1/namespaces/team", None),
    ("DELETE", "/api/v1/namespaces/team/configmaps/a", None),
    ("GET", "/api", None),
)
"""What a robot does: as a client sees it, in two namespaces and in none."""


async def apply(plane: ControlPlane, objects: list[dict[str, Any]]) -> None:
    for obj in objects:
        group, _, version = obj["apiVersion"].partition("/")
        kind = plane.kinds.get(group, version, obj["kind"])
        assert kind is not None
        await plane.client.create(kind, obj)


async def robot(plane: ControlPlane) -> str:
    for name in ("team", "other"):
        await plane.namespace(name)
    account = {"metadata": {"name": "robot", "namespace": "team"}}
    await plane.client.create(plane.kinds.core("ServiceAccount"), account)
    return (await plane.as_service_account("team", "robot")).token


async def codes(api: Any, token: str) -> list[int]:
    return [(await api(*request, token=token))[0] for request in REQUESTS]


def granted(kind: str, rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A ClusterRole with its binding, for all namespaces or for one."""
    metadata = {"name": "given"}
    where = {**metadata, "namespace": "team"} if kind == "RoleBinding" else metadata
    role = {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules}
    binding = {
        "apiVersion": f"{RBAC}/v1",
        "kind": kind,
        "metadata": where,
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "given"},
        "subjects": [SUBJECT],
    }
    return [role, binding]


async def test_report_writes_the_roles_that_are_needed(plane: ControlPlane, api: Any) -> None:
    """A Role for each namespace and a ClusterRole for what is in none; what everybody may do is in none of them."""
    await codes(api, await robot(plane))
    identity = plane.rbac_report().of("team/robot")
    assert not identity.used
    assert len(identity.refused) == 8
    roles = {
        (obj["kind"], obj["metadata"].get("namespace", "")): obj["rules"]
        for obj in identity.manifests()
        if "rules" in obj
    }
    assert roles == {
        ("ClusterRole", ""): [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}],
        ("Role", "other"): [
            {"apiGroups": ["apps"], "resources": ["deployments/status"], "verbs": ["update"]}
        ],
        ("Role", "team"): [
            {
                "apiGroups": [""],
                "resources": ["configmaps"],
                "verbs": ["get", "list", "create", "delete"],
            },
            {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        ],
    }


async def test_roles_of_the_report_are_enough(plane: ControlPlane, api: Any) -> None:
    """With nothing but them, the same requests are allowed, from the file as it is given to kubectl."""
    token = await robot(plane)
    assert 403 in await codes(api, token)
    await apply(plane, list(yaml.safe_load_all(plane.rbac_report().yaml())))
    assert 403 not in await codes(api, token)


async def test_roles_of_the_report_are_no_more_than_needed(plane: ControlPlane, api: Any) -> None:
    """Without any one verb of any rule, some request is refused."""
    token = await robot(plane)
    await codes(api, token)
    manifests = plane.rbac_report().of("team/robot").manifests()
    before = plane.snapshot()
    taken = 0
    for obj in manifests:
        for rule in obj.get("rules", ()):
            for verb in rule["verbs"]:
                left = [other for other in rule["verbs"] if other != verb]
                rules = [
                    {**other, "verbs": left} if other is rule else other for other in obj["rules"]
                ]
                less = {**obj, "rules": [other for other in rules if other["verbs"]]}
                await apply(plane, [less if item is obj else item for item in manifests])
                assert 403 in await codes(api, token), f"{verb} {rule['resources']}"
                plane.restore(before)
                taken += 1
    assert taken == 8


@pytest.mark.parametrize("kind", ["ClusterRoleBinding", "RoleBinding"])
async def test_report_says_what_was_given_in_vain(plane: ControlPlane, api: Any, kind: str) -> None:
    """A verb on a resource that nobody took, with the role that gave it; a star that was used is not in vain."""
    token = await robot(plane)
    rules = [
        {"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["list", "get"]},
        {"apiGroups": ["apps"], "resources": ["*"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]},
    ]
    await apply(plane, granted(kind, rules))
    await api("GET", "/api/v1/namespaces/team/configmaps", token=token)
    await api("GET", "/api/v1/namespaces/team/pods", token=token)
    where = " in team" if kind == "RoleBinding" else ""
    identity = plane.rbac_report().of("team/robot")
    assert identity.unused == [
        f"* *.apps{where} (ClusterRole given)",
        f"get configmaps{where} (ClusterRole given)",
        f"get secrets{where} (ClusterRole given)",
        f"list secrets{where} (ClusterRole given)",
    ]
    text = str(plane.rbac_report())
    assert "used     list pods in team, 1 times" in text
    assert "unused   get secrets" in text


async def test_right_of_one_namespace_is_not_used_in_another(plane: ControlPlane, api: Any) -> None:
    """Who has it in two namespaces and uses it in one has it in vain in the other."""
    token = await robot(plane)
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    role, binding = granted("RoleBinding", rules)
    elsewhere = {**binding, "metadata": {"name": "given", "namespace": "other"}}
    await apply(plane, [role, binding, elsewhere])
    await api("GET", "/api/v1/namespaces/other/pods", token=token)
    identity = plane.rbac_report().of("team/robot")
    assert [str(right) for right in identity.used] == ["list pods"]
    await api("GET", "/api/v1/namespaces/team", token=token)
    assert plane.rbac_report().of("team/robot").unused == ["list pods in team (ClusterRole given)"]


async def test_right_for_all_namespaces_is_not_given_twice(plane: ControlPlane, api: Any) -> None:
    """Who lists everywhere may list in one of them."""
    token = await robot(plane)
    await api("GET", "/api/v1/pods", token=token)
    await api("GET", "/api/v1/namespaces/team/pods", token=token)
    kinds = [obj["kind"] for obj in plane.rbac_report().of("team/robot").manifests()]
    assert kinds == ["ClusterRole", "ClusterRoleBinding"]


async def test_administrator_needs_no_role(plane: ControlPlane, api: Any) -> None:
    """A report names him, and writes nothing for him; who asked nothing is not in it."""
    await api("GET", "/api/v1/pods")
    report = plane.rbac_report()
    assert report.of("verger-admin").is_master
    assert report.manifests() == []
    assert "may do everything" in str(report)
    with pytest.raises(KeyError):
        report.of("team/robot")


async def test_users_have_roles_of_their_own_name(plane: ControlPlane, api: Any) -> None:
    """Whoever is no account is bound as a user, under a name that an object can have."""
    impersonated = {"Impersonate-User": "Jane Doe@example.com"}
    await api("GET", "/api/v1/pods", None, **impersonated)
    role, binding = plane.rbac_report().of("Jane Doe@example.com").manifests()
    assert role["metadata"]["name"] == "jane-doe-example-com"
    assert binding["subjects"] == [
        {"apiGroup": RBAC, "kind": "User", "name": "Jane Doe@example.com"}
    ]


APPLIED = (
    "PATCH",
    "/api/v1/namespaces/team/configmaps/a?fieldManager=me",
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}},
)
APPLY = {"Content-Type": "application/apply-patch+yaml"}


async def test_apply_that_creates_needs_both_rights(plane: ControlPlane, api: Any) -> None:
    """Both count as used, and the role has both."""
    token = await robot(plane)
    both = [rule(["configmaps"], ["create", "patch"])]
    await apply(plane, granted("RoleBinding", both))
    assert (await api(*APPLIED, token=token, **APPLY))[0] == 201
    report = plane.rbac_report().of("team/robot")
    assert report.manifests()[0]["rules"] == both
    assert not report.unused


async def test_refused_apply_tells_the_right_that_was_missing(
    plane: ControlPlane, api: Any
) -> None:
    """Who may patch and not create is told so, and not that he may not patch."""
    token = await robot(plane)
    await apply(plane, granted("RoleBinding", [rule(["configmaps"], ["patch"])]))
    assert (await api(*APPLIED, token=token, **APPLY))[0] == 403
    report = plane.rbac_report().of("team/robot")
    assert [str(right) for right in report.refused] == ["create configmaps"]
    assert report.manifests()[0]["rules"] == [rule(["configmaps"], ["create", "patch"])]


def rule(resources: list[str], verbs: list[str]) -> dict[str, Any]:
    return {"apiGroups": [""], "resources": resources, "verbs": verbs}
