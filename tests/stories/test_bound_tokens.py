"""Tokens that live as long as what they are bound to, rights across namespaces, and Secrets that only some may mount."""

import base64
import json
from typing import Any

import pytest
from verger.identity.keys import KeySet, parse_jwks
from verger.identity.tokens import payload_of, verify

from tests.identity.https import Api
from tests.kubectl.conftest import Kubectl
from tests.stories.conftest import as_token, token_in

REVIEW = """\
apiVersion: authentication.k8s.io/v1
kind: TokenReview
spec:
  token: {token}
"""
PODS = "/api/v1/namespaces/dev/pods"


def pod(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "i"}], **spec},
    }


def run_app(api: Api, name: str) -> dict[str, Any]:
    """A pod of account dev/app."""
    made: dict[str, Any] = api.create(PODS, pod(name, serviceAccountName="app"))
    return made


def kill(api: Api, name: str) -> None:
    """Deletes a pod, and does not wait for it to end."""
    api.does("DELETE", f"{PODS}/{name}?gracePeriodSeconds=0")


def is_let_in(api: Api, token: str) -> bool:
    """Whether the API takes a token."""
    status = api.ask("GET", "/api", token=token).status
    assert status in (200, 401)
    return status == 200


@pytest.fixture(scope="module")
def space(kubectl: Kubectl) -> Kubectl:
    """kubectl in a namespace of its own, with an account."""
    kubectl("create", "namespace", "dev")
    inside = Kubectl(kubectl.path, kubectl.kubeconfig, kubectl.folder, "dev")
    inside("create", "serviceaccount", "app")
    return inside


def test_token_dies_with_its_pod(space: Kubectl, api: Api) -> None:
    """From the moment in which the pod is gone a review says that the token is good no more."""
    run_app(api, "app")
    token = token_in(api, "dev", "app")
    assert is_let_in(api, token)
    status = api.review(token)
    assert status["authenticated"] is True
    assert status["user"]["username"] == "system:serviceaccount:dev:app"
    assert status["user"]["extra"]["authentication.kubernetes.io/pod-name"] == ["app"]
    kill(api, "app")
    found = space("create", "-f", "-", "-o", "json", stdin=REVIEW.format(token=token))
    assert json.loads(found)["status"] == {
        "user": {},
        "error": "[invalid bearer token, service account token has been invalidated]",
    }
    assert not is_let_in(api, token)
    run_app(api, "app")
    assert "does not match" in api.review(token)["error"]


def test_token_is_for_its_audience_alone(space: Kubectl, api: Api) -> None:
    """A token for the vault is no key to the API, and the vault takes no other."""
    for_vault = space("create", "token", "app", "--audience=vault")
    assert api.review(for_vault, "vault")["audiences"] == ["vault"]
    assert api.review(for_vault, "vault", "other")["audiences"] == ["vault"]
    assert "authenticated" not in api.review(for_vault)
    assert "authenticated" not in api.review(api.token("dev", "app"), "vault")
    assert "You must be logged in" in as_token(space, for_vault).fails("get", "--raw", "/api")


def test_account_sees_into_another_namespace(space: Kubectl, kubectl: Kubectl, api: Api) -> None:
    """A Role and a RoleBinding where the jobs are, for an account of where the pods are."""
    kubectl("create", "namespace", "maintenance")
    there = ("-n", "maintenance")
    kubectl("create", "role", "see-jobs", "--verb=get,list,watch", "--resource=jobs", *there)
    kubectl(
        "create", "rolebinding", "see-jobs", "--role=see-jobs", "--serviceaccount=dev:app", *there
    )
    app = as_token(space, api.token("dev", "app"))
    assert app("get", "jobs", *there) == ""
    assert 'cannot list resource "jobs" in API group "batch" in the namespace "dev"' in (
        app.fails("get", "jobs", "-n", "dev")
    )
    other = as_token(space, api.token("dev", "default"))
    assert "is forbidden" in other.fails("get", "jobs", *there)


@pytest.mark.parametrize(
    ("of_account", "of_pod", "mounted"),
    [
        pytest.param(None, None, True, id="by default"),
        pytest.param(None, False, False, id="the pod does not want it"),
        pytest.param(False, None, False, id="its account does not want it"),
        pytest.param(False, True, True, id="the pod wins"),
        pytest.param(True, False, False, id="in both directions"),
    ],
)
def test_automount(
    space: Kubectl, api: Api, of_account: bool | None, of_pod: bool | None, mounted: bool
) -> None:
    """Credentials are not mounted where somebody has said so; the pod's word counts more than the account's."""
    name = f"mount-{of_account}-{of_pod}".lower()
    account: dict[str, Any] = {"metadata": {"name": name}}
    if of_account is not None:
        account["automountServiceAccountToken"] = of_account
    spec: dict[str, Any] = {"serviceAccountName": name}
    if of_pod is not None:
        spec["automountServiceAccountToken"] = of_pod
    api.create("/api/v1/namespaces/dev/serviceaccounts", account)
    found = api.create(PODS, pod(name, **spec))["spec"]
    assert bool(found.get("volumes")) is mounted
    assert bool(found["containers"][0].get("volumeMounts")) is mounted


ENFORCED = {
    "apiVersion": "v1",
    "kind": "ServiceAccount",
    "metadata": {
        "name": "strict",
        "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"},
    },
    "secrets": [{"name": "allowed"}],
    "imagePullSecrets": [{"name": "registry"}],
}


@pytest.fixture(scope="module")
def strict(space: Kubectl) -> Kubectl:
    """kubectl in a namespace with an account that enforces its Secrets."""
    space("apply", "-f", "-", stdin=json.dumps(ENFORCED))
    return space


NOT_LISTED = "because service account strict does not reference that secret"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param(
            {"volumes": [{"name": "v", "secret": {"secretName": "other"}}]},
            f'volume with secret.secretName="other" is not allowed {NOT_LISTED}',
            id="a volume",
        ),
        pytest.param(
            {
                "containers": [
                    {"name": "c", "image": "i", "envFrom": [{"secretRef": {"name": "other"}}]}
                ]
            },
            f'container c with envFrom referencing secret.secretName="other" is not allowed {NOT_LISTED}',
            id="an environment",
        ),
        pytest.param(
            {"imagePullSecrets": [{"name": "other"}]},
            'imagePullSecrets[0].name="other" is not allowed because service account strict does not reference that '
            "imagePullSecret",
            id="a registry's password",
        ),
    ],
)
def test_enforced_secrets(strict: Kubectl, api: Api, spec: dict[str, Any], message: str) -> None:
    """Pods of such an account use the Secrets that it lists, and no others."""
    refused = pod("strict", serviceAccountName="strict", **spec)
    assert strict.fails("create", "-f", "-", stdin=json.dumps(refused)) == (
        f'Error from server (Forbidden): error when creating "STDIN": pods "strict" is forbidden: {message}'
    )
    listed = "registry" if "imagePullSecrets" in spec else "allowed"
    allowed = json.loads(json.dumps(refused).replace('"other"', f'"{listed}"'))
    api.create(f"{PODS}?dryRun=All", allowed)


def test_deleted_default_account_is_replaced(space: Kubectl, api: Api) -> None:
    """By another one of that name: tokens of the old one are worth nothing."""
    uid_of = ("get", "sa", "default", "-o", "jsonpath={.metadata.uid}")
    token, old = api.token("dev", "default"), space(*uid_of)
    space("delete", "sa", "default")
    new = space.until(lambda uid: uid not in ("", old), *uid_of)
    assert api.review(token)["error"] == (
        f"[invalid bearer token, service account UID ({new}) does not match claim ({old})]"
    )


def test_token_of_a_secret_dies_with_it(space: Kubectl, api: Api) -> None:
    """A long-lived token can be asked for by hand, and is taken back by deleting its Secret."""
    secret = {
        "metadata": {"name": "long", "annotations": {"kubernetes.io/service-account.name": "app"}},
        "type": "kubernetes.io/service-account-token",
    }
    api.create("/api/v1/namespaces/dev/secrets", secret)
    encoded = space.until(bool, "get", "secret", "long", "-o", "jsonpath={.data.token}")
    token = base64.b64decode(encoded).decode()
    assert "exp" not in payload_of(token)
    assert api.review(token)["user"]["username"] == "system:serviceaccount:dev:app"
    api.does("DELETE", "/api/v1/namespaces/dev/secrets/long")
    assert api.review(token)["error"] == "[invalid bearer token, Token has been invalidated]"


def test_reader_of_claims_does_not_learn_of_the_end(space: Kubectl, api: Api) -> None:
    """Who verifies the token himself takes it until it expires: only a review tells that its pod has gone."""
    uid = run_app(api, "reader")["metadata"]["uid"]
    bound = ("--bound-object-kind=Pod", "--bound-object-name=reader", f"--bound-object-uid={uid}")
    token = space("create", "token", "app", *bound, "--duration=10m")
    claims = payload_of(token)
    assert claims["kubernetes.io"]["pod"] == {"name": "reader", "uid": uid}
    assert claims["exp"] - claims["iat"] == 600
    kill(api, "reader")
    keys = KeySet(parse_jwks(api.does("GET", "/openid/v1/jwks")))
    assert verify(token, keys=keys, issuers=(claims["iss"],)).pod == ("reader", uid)
    assert "authenticated" not in api.review(token)
    assert "not found" in space.fails("create", "token", "app", *bound)
