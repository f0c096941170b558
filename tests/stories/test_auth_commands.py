"""`kubectl create token`, `kubectl auth ...` and `--as`, with every kubectl that is installed.

From 1.32 on kubectl sends reviews and token requests as protobuf.
"""

import pytest
from verger.identity.tokens import payload_of

from tests.identity.https import Api
from tests.kubectl.conftest import Kubectl, executables
from tests.stories.conftest import as_token, kubectl_at

RECONCILED = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: readers, namespace: NAMESPACE}
rules:
- {apiGroups: [""], resources: [configmaps], verbs: [get]}
"""


@pytest.fixture(scope="module", params=range(len(executables()) or 1))
def each(
    request: pytest.FixtureRequest, api: Api, tmp_path_factory: pytest.TempPathFactory
) -> Kubectl:
    """One kubectl after the other, in a namespace of its own with an account that may read ConfigMaps."""
    kubectl = kubectl_at(request.param, api, tmp_path_factory.mktemp("kubectl"))
    name = f"auth-{request.param}"
    api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    api.create(f"/api/v1/namespaces/{name}/serviceaccounts", {"metadata": {"name": "app"}})
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{name}"
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}]
    api.create(f"{rbac}/roles", {"metadata": {"name": "readers"}, "rules": rules})
    binding = {
        "metadata": {"name": "readers"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "readers"},
        "subjects": [{"kind": "ServiceAccount", "name": "app", "namespace": name}],
    }
    api.create(f"{rbac}/rolebindings", binding)
    return Kubectl(kubectl.path, kubectl.kubeconfig, kubectl.folder, name)


def test_token_and_whoami(each: Kubectl) -> None:
    """A token of an account, for an hour and this server; and the server knows whose it is."""
    token = each("create", "token", "app")
    claims = payload_of(token)
    assert claims["sub"] == f"system:serviceaccount:{each.namespace}:app"
    assert claims["exp"] - claims["iat"] == 3600
    account = as_token(each, token)
    if each.path.endswith(".1.27"):
        # It asks for a beta of the API alone, which servers do not have unless somebody switches it on.
        assert "selfsubjectreviews API is not enabled" in account.fails("auth", "whoami")
        return
    who = account("auth", "whoami")
    assert f"system:serviceaccount:{each.namespace}:app" in who
    assert "system:serviceaccounts" in who


def test_can_i(each: Kubectl) -> None:
    """What the account may, asked by the administrator in its name; the answer no is an exit code, too."""
    account = f"--as=system:serviceaccount:{each.namespace}:app"
    assert each("auth", "can-i", "get", "configmaps", account) == "yes"
    no = each.run("auth", "can-i", "create", "configmaps", account)
    assert (no.returncode, no.stdout.strip()) == (1, "no")
    listed = each("auth", "can-i", "--list", account, "--no-headers").splitlines()
    rows = {line.split()[0]: line for line in listed}
    assert rows["configmaps"].split() == ["configmaps", "[]", "[]", "[get", "list]"]
    assert rows["selfsubjectreviews.authentication.k8s.io"].endswith("[create]")
    assert "secrets" not in rows


def test_reconcile(each: Kubectl) -> None:
    """Roles are mended, and what they have on top stays unless somebody says otherwise."""
    path = each.folder / f"{each.namespace}.yaml"
    text = RECONCILED.replace("NAMESPACE", each.namespace).replace("[get]", "[get, watch]")
    path.write_text(text)
    said = each("auth", "reconcile", "-f", str(path))
    assert said.startswith("role.rbac.authorization.k8s.io/readers reconciled")
    rules = each("get", "role", "readers", "-o", "jsonpath={.rules[*].verbs}")
    assert rules == '["get","list"] ["watch"]'


# Once is enough


@pytest.fixture(scope="module")
def space(api: Api, kubectl: Kubectl) -> Kubectl:
    """The kubectl on the PATH in a namespace with an account."""
    api.create("/api/v1/namespaces", {"metadata": {"name": "once"}})
    api.create("/api/v1/namespaces/once/serviceaccounts", {"metadata": {"name": "app"}})
    return Kubectl(kubectl.path, kubectl.kubeconfig, kubectl.folder, "once")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            ["--duration=1m"], "may not specify a duration less than 10 minutes", id="short"
        ),
        pytest.param(
            ["--bound-object-kind=Secret", "--bound-object-name=gone"],
            'secrets "gone" not found',
            id="bound to nothing",
        ),
    ],
)
def test_token_that_is_refused(space: Kubectl, arguments: list[str], message: str) -> None:
    """In the server's words."""
    assert message in space.fails("create", "token", "app", *arguments)


def test_token_of_nobody(space: Kubectl) -> None:
    """An account that is not there has no tokens."""
    assert 'serviceaccounts "nobody" not found' in space.fails("create", "token", "nobody")


def test_as_somebody_in_groups(space: Kubectl, api: Api) -> None:
    """The administrator may be anybody; an account nobody, and least of all an administrator."""
    who = space(
        "auth", "whoami", "--as=jane", "--as-group=devs", "-o", "jsonpath={.status.userInfo}"
    )
    assert who == '{"groups":["devs","system:authenticated"],"username":"jane"}'
    space(
        "get", "pods"
    )  # from now on kubectl knows what there is, and need not ask as somebody else
    app = as_token(space, api.token("once", "app"))
    for somebody in (["--as=jane"], ["--as=x", "--as-group=system:masters"]):
        said = app.fails("get", "pods", *somebody)
        assert said.startswith("Error from server (Forbidden): ")
        assert "system:serviceaccount:once:app" in said
        assert "impersonate" in said
