"""What is in deploy/: it applies, it builds, and the rights in it are those that the daemon uses."""

import asyncio
import shutil
import subprocess
import time
import tomllib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml
from aiohttp import web
from verger.apiserver.paths import asked
from verger.cmd.run_settings import RunSettings
from verger.cmd.settings import flag_of, load_settings
from verger.embed import kubeconfig
from verger.identity.validate import INVALID_SINCE
from verger.store.objects import annotations_of, labels_of, name_of, uid_of
from verger.store.rules.configuration import ACCOUNT_NAME, ACCOUNT_UID, TOKEN_SECRET
from verger.store.timestamps import format_date

from tests.cmd.beside import FAST, Site, ask, free_port, site_in
from tests.cmd.conftest import COMMAND, DEADLINE
from tests.cmd.relay import Passed

DEPLOY: Final = Path(__file__).parent.parent.parent / "deploy"
NAMESPACE: Final = "verger-system"
TRACKING: Final = "kube-apiserver-legacy-service-account-token-tracking"
DEFAULT: Final = "default"
DAY: Final = 86400.0


def kubectl(*arguments: str) -> str:
    """Its output; it must succeed."""
    path = shutil.which("kubectl")
    assert path is not None, "these tests drive the real kubectl, and it is not on the PATH"
    done = subprocess.run(
        [path, *arguments], capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def built(overlay: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(kubectl("kustomize", str(DEPLOY / overlay))))


def one(objects: Sequence[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = [item for item in objects if item["kind"] == kind]
    return found


# What is built


def test_three_replicas_are_the_base_on_several_nodes() -> None:
    """They spread, one may be missing, and all that the base says holds for them."""
    base, ha = built("base"), built("ha")
    assert {(o["kind"], o["metadata"]["name"]) for o in ha} - {
        (o["kind"], o["metadata"]["name"]) for o in base
    } == {("PodDisruptionBudget", "verger")}
    single, several = one(base, "Deployment")["spec"], one(ha, "Deployment")["spec"]
    assert (single["replicas"], several["replicas"]) == (1, 3)
    assert several["template"]["spec"]["containers"] == single["template"]["spec"]["containers"]
    spread = several["template"]["spec"]["topologySpreadConstraints"]
    labels = several["template"]["metadata"]["labels"].items()
    assert [item["topologyKey"] for item in spread] == [
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    ]
    budget = one(ha, "PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    for selector in (budget["selector"], *(item["labelSelector"] for item in spread)):
        assert selector["matchLabels"].items() <= labels


def test_pods_are_what_restricted_namespaces_let_in() -> None:
    """No root, no capabilities, nothing to write to but memory: the namespace enforces it."""
    objects = built("base")
    enforced = one(objects, "Namespace")["metadata"]["labels"]
    assert enforced["pod-security.kubernetes.io/enforce"] == "restricted"
    pod = one(objects, "Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "memory" in container["resources"]["limits"]
    assert {next(k for k in volume if k != "name") for volume in pod["volumes"]} == {
        "projected",
        "emptyDir",
    }


def test_settings_of_the_pods_are_settings() -> None:
    """The file has known keys only, and the probes ask where the daemon listens."""
    objects = built("base")
    path = DEPLOY / "base" / "verger.yaml"
    assert one(objects, "ConfigMap")["data"] == {"verger.yaml": path.read_text()}
    settings = load_settings(RunSettings, {"config": str(path)}, {})
    pod = one(objects, "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"] == ["run", "--config=/etc/verger/verger.yaml"]
    assert container["ports"] == [{"name": "health", "containerPort": settings.secure_port}]
    assert settings.bind_address == "0.0.0.0"
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == "health"
        assert container[probe]["httpGet"]["scheme"] == "HTTPS"
    (mount,) = [m for m in container["volumeMounts"] if m["name"] == "settings"]
    sources = pod["volumes"][0]["projected"]["sources"]
    files = {f"{mount['mountPath']}/{item['path']}" for item in sources[1]["secret"]["items"]}
    assert {str(settings.service_account_private_key_file)} == files


# Rights


class Right(NamedTuple):
    """What one rule allows, taken apart."""

    group: str
    resource: str
    verb: str


def rights(objects: Sequence[dict[str, Any]]) -> Iterator[Right]:
    """All rights to named resources."""
    for role in objects:
        if role["kind"] not in ("Role", "ClusterRole"):
            continue
        for rule in role["rules"]:
            for group in rule.get("apiGroups", ()):
                for resource in rule["resources"]:
                    for verb in rule["verbs"]:
                        yield Right(group, resource, verb)


def used(passed: Passed) -> Iterator[Right]:
    """The rights that a request needs."""
    found = asked(passed.path)
    if found is None:
        return
    part = f"{found.resource}/{found.subresource}" if found.subresource else found.resource
    verbs = {"POST": ["create"], "PUT": ["update"], "PATCH": ["patch"]}.get(passed.method)
    if passed.method == "DELETE":
        verbs = ["delete" if found.name else "deletecollection"]
    elif passed.method == "GET":
        # Where a watch does not begin with what there is, a list has to.
        verbs = ["watch", "list"] if passed.watch else ["get" if found.name else "list"]
    for verb in verbs or ():
        yield Right(found.group, part, verb)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A plane to which the manifests have been applied."""
    async with site_in(tmp_path) as site:
        yield site


async def apply(site: Site, overlay: str) -> None:
    """Applies an overlay, and writes a kubeconfig with a token of its account."""
    admin = f"--kubeconfig={site.plane.kubeconfig}"
    await asyncio.to_thread(kubectl, admin, "apply", "-k", str(DEPLOY / overlay))
    of = ("create", "token", "verger", f"--namespace={NAMESPACE}")
    token = await asyncio.to_thread(kubectl, admin, *of)
    text = kubeconfig.render(site.plane.url, site.plane.ca, token.strip())
    kubeconfig.write(site.folder / "daemon", text)


async def heal(site: Site) -> None:
    """What somebody spoils is put right, and what a user asks for is filled."""
    client, core = site.plane.client, site.plane.kinds.core
    secret = {
        "metadata": {"name": "asked", "namespace": "demo", "annotations": {ACCOUNT_NAME: DEFAULT}},
        "type": TOKEN_SECRET,
    }
    await client.create(core("Secret"), secret)
    await site.until(
        "Secret", "demo", lambda found: all("token" in s.get("data", {}) for s in found)
    )
    await client.delete(core("Secret"), "asked", "demo")
    await client.patch(core("ConfigMap"), "kube-root-ca.crt", "demo", {"data": {"ca.crt": "no"}})
    await site.until("ConfigMap", "demo", lambda found: found[0]["data"]["ca.crt"] != "no")
    # A token that goes is revoked: another one comes, and the account refers to that.
    (own,) = (await client.list(core("Secret"), "demo")).items
    await client.delete(core("Secret"), name_of(own), "demo")
    await site.until("ServiceAccount", "demo", lambda found: refers_to_other(found, name_of(own)))
    # With an account, its tokens go, and another one comes that has its own.
    account = await client.get(core("ServiceAccount"), DEFAULT, "demo")
    await client.delete(core("ServiceAccount"), DEFAULT, "demo")
    await site.until("ServiceAccount", "demo", lambda found: is_other(found, uid_of(account)))
    new = await client.get(core("ServiceAccount"), DEFAULT, "demo")
    await site.until(
        "Secret",
        "demo",
        lambda found: {annotations_of(item)[ACCOUNT_UID] for item in found} == {uid_of(new)},
    )


def refers_to_other(accounts: Sequence[Any], name: str) -> bool:
    (account,) = accounts
    return [entry["name"] == name for entry in account.get("secrets") or ()] == [False]


def is_other(accounts: Sequence[Any], uid: str) -> bool:
    return [uid_of(account) == uid for account in accounts] == [False]


async def unused_token(site: Site, name: str, labels: Mapping[str, str]) -> None:
    """A token that was made for its account, and that nobody uses."""
    client, core = site.plane.client, site.plane.kinds.core
    metadata = {"name": name, "namespace": "default"}
    account = {"metadata": metadata, "secrets": [{"name": name}]}
    made = await client.create(core("ServiceAccount"), account)
    notes = {ACCOUNT_NAME: name, ACCOUNT_UID: uid_of(made)}
    noted = {**metadata, "annotations": notes, "labels": dict(labels)}
    await client.create(core("Secret"), {"metadata": noted, "type": TOKEN_SECRET})


async def clean_up(site: Site, *flags: str) -> None:
    """Of two unused tokens one is marked, and one that was marked long ago goes."""
    long_ago = time.time() - 10 * DAY
    await unused_token(site, "unused", {})
    await unused_token(site, "marked", {INVALID_SINCE: format_date(long_ago)})
    tracking = {"metadata": {"name": TRACKING, "namespace": "kube-system"}}
    since = {**tracking, "data": {"since": format_date(long_ago)}}
    await site.plane.client.create(site.plane.kinds.core("ConfigMap"), since)
    daemon = await site.run(
        *flags,
        "--controllers=legacy-serviceaccount-token-cleaner-controller",
        "--legacy-service-account-token-clean-up-period=1ms",
    )
    await site.until(
        "Secret",
        "default",
        lambda found: (
            [(name_of(s), INVALID_SINCE in labels_of(s)) for s in found if own(s)]
            == [("unused", True)]
        ),
    )
    assert await daemon.end() == 0


def own(secret: Mapping[str, Any]) -> bool:
    return name_of(secret) in ("unused", "marked")


async def collect(site: Site, port: int, token: str) -> None:
    """An account reads the metrics once it has the role for it, and nothing else."""
    assert (await ask(port, "/debug/controllers", token))[0] == 403
    bound = ("clusterrolebinding", "scraper", "--clusterrole=verger-metrics")
    admin = f"--kubeconfig={site.plane.kubeconfig}"
    await asyncio.to_thread(kubectl, admin, "create", *bound, "--serviceaccount=demo:default")
    code, text = await ask(port, "/metrics", token)
    assert (code, "rest_client_requests_total" in text) == (200, True)


def refusing_accounts(times: int) -> Callable[[web.BaseRequest], web.StreamResponse | None]:
    """Fails the first creations of accounts in `demo`, each in the same words: the event of it is counted up."""
    left = times

    def refuse(request: web.BaseRequest) -> web.StreamResponse | None:
        nonlocal left
        if request.method != "POST" or not left or "demo/serviceaccounts" not in request.path:
            return None
        left -= 1
        return web.Response(status=500, text="no")

    return refuse


async def test_rights_are_enough_and_all_of_them_are_used(site: Site) -> None:
    """Accounts, tokens, healing, the deletion of a namespace, the clean-up of tokens: all with the account's own token."""
    await apply(site, "ha")
    relay = await site.relay()
    relay.refuse = refusing_accounts(2)
    port = free_port()
    flags = (
        "--kubeconfig=daemon",
        f"--config={DEPLOY / 'base' / 'verger.yaml'}",
        f"--secure-port={port}",
        "--bind-address=127.0.0.1",
        f"--master={relay.url}",
        *FAST,
    )
    client, core = site.plane.client, site.plane.kinds.core
    daemon = await site.run(*flags)
    await daemon.until("became leader")
    assert (await site.lease(namespace=NAMESPACE))["holderIdentity"]
    await site.namespace("going")
    await site.served("going")
    await client.delete(core("Namespace"), "going")
    await site.namespace("demo")
    await collect(site, port, await site.served("demo"))
    await heal(site)
    await site.until("Namespace", "", lambda found: "going" not in map(name_of, found))
    assert await daemon.end() == 0
    await clean_up(site, *flags)
    refused = {str(passed) for passed in relay.passed if passed.status in (401, 403)}
    # Namespaces that are going take nothing new, whoever it is from.
    assert {
        text for text in refused if not text.startswith("POST /api/v1/namespaces/going/")
    } == set()
    given = {right for right in rights(built("ha")) if right.resource != "*"}
    needed = {right for passed in relay.passed for right in used(passed)}
    assert given - needed == set()


# Other machines


def test_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    """It has no setting that is unknown, and shuts the daemon in."""
    unit = (DEPLOY / "systemd" / "verger.service").read_text()
    assert "ExecStart=/opt/verger/bin/verger run " in unit
    copy = tmp_path / "verger.service"
    copy.write_text(unit.replace("/opt/verger/bin/verger", COMMAND))
    analyze = shutil.which("systemd-analyze")
    assert analyze is not None, "systemd-analyze is missing: apt-get install systemd"
    for check in (["verify"], ["security", "--offline=true", "--threshold=20"]):
        done = subprocess.run(
            [analyze, *check, str(copy)], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_flags_in_the_unit_are_flags() -> None:
    """What systemd starts is what the command line takes."""
    unit = (DEPLOY / "systemd" / "verger.service").read_text()
    (line,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    known = {flag_of(item.name) for item in fields(RunSettings)} | {"--config"}
    flags = {word.partition("=")[0] for word in line.split() if word.startswith("--")}
    assert flags <= known


def test_image_has_all_that_is_installed() -> None:
    """Every package of the project is copied, and nobody is root."""
    text = (DEPLOY / "Containerfile").read_text()
    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())
    rooms = {name.split("/")[0] for name in project["tool"]["setuptools"]["package-dir"].values()}
    copied = {line.split()[1] for line in text.splitlines() if line.startswith("COPY ")}
    assert rooms <= copied
    assert "USER 65532:65532" in text
