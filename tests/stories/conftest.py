"""A plane in this process, and the tools that the stories are told with: curl and kubectl, as everybody has them."""

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from verger.embed import ControlPlane

from tests.identity.https import Api, served
from tests.kubectl.conftest import DEADLINE, MISSING, Kubectl, executables


class Page(NamedTuple):
    """What curl has got."""

    status: int
    json: Any


@dataclass(frozen=True)
class Curl:
    """curl, which trusts the plane."""

    path: str
    url: str
    authority: Path

    def __call__(self, path: str, token: str = "") -> Page:
        """The answer to a GET, as whoever the token stands for."""
        command = [self.path, "--silent", "--show-error", "--cacert", str(self.authority)]
        command += ["--write-out", "\n%{http_code}", f"{self.url}{path}"]
        if token:
            command += ["--header", f"Authorization: Bearer {token}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=True)
        body, _, status = done.stdout.rpartition("\n")
        return Page(int(status), json.loads(body))


@pytest.fixture(scope="module")
def options() -> dict[str, Any]:
    """The options of the plane; a module may say something else."""
    return {}


@pytest.fixture(scope="module")
def api(options: dict[str, Any]) -> Iterator[Api]:
    """The plane, for what is no part of a story."""
    with served(ControlPlane(**options)) as api:
        yield api


@pytest.fixture(scope="module")
def curl(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Curl:
    """curl with the plane's certificate authority."""
    found = shutil.which("curl")
    if found is None:
        pytest.fail("curl is not on the PATH; these tests tell stories with it")
    authority = tmp_path_factory.mktemp("curl") / "ca.crt"
    authority.write_bytes(api.plane.ca)
    return Curl(found, api.plane.url, authority)


@pytest.fixture(scope="module")
def kubectl(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    """The kubectl on the PATH, as administrator, in namespace default."""
    return kubectl_at(0, api, tmp_path_factory.mktemp("kubectl"))


def kubectl_at(index: int, api: Api, folder: Path) -> Kubectl:
    """One of the kubectls that are installed."""
    found = executables()
    if not found:
        pytest.fail(MISSING)
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(api.plane.kubeconfig.read_text())
    return Kubectl(found[index], kubeconfig, folder)


def as_token(kubectl: Kubectl, token: str) -> Kubectl:
    """The same kubectl with a token instead of the administrator's credentials."""
    text = kubectl.kubeconfig.read_text()
    path = kubectl.folder / f"as-{abs(hash(token))}"
    user = f"  user:\n    token: {token}\n"
    path.write_text(re.sub(r"  user:\n(    .*\n)+", user, text))
    return Kubectl(kubectl.path, path, kubectl.folder, kubectl.namespace)


def token_in(api: Api, namespace: str, pod: str) -> str:
    """What a container of a pod reads from its token file: out of a Secret, or as the kubelet asks for it."""
    found = api.does("GET", f"/api/v1/namespaces/{namespace}/pods/{pod}")
    mounts = {
        mount["name"]: mount["mountPath"]
        for container in found["spec"]["containers"]
        for mount in container["volumeMounts"]
    }
    for volume in found["spec"]["volumes"]:
        assert mounts[volume["name"]] == "/var/run/secrets/kubernetes.io/serviceaccount"
        if "secret" in volume:
            path = f"/api/v1/namespaces/{namespace}/secrets/{volume['secret']['secretName']}"
            return base64.b64decode(api.does("GET", path)["data"]["token"]).decode()
        wanted = volume["projected"]["sources"][0]["serviceAccountToken"]
        reference = {
            "kind": "Pod",
            "apiVersion": "v1",
            "name": pod,
            "uid": found["metadata"]["uid"],
        }
        return api.token(
            namespace,
            found["spec"]["serviceAccountName"],
            expirationSeconds=wanted["expirationSeconds"],
            boundObjectRef=reference,
        )
    raise AssertionError("the pod has no token")
