"""`verger run`: the controllers as a process of their own, beside a control plane that has none."""

import asyncio
import base64
import json
import re
import signal
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from aiohttp import web
from verger.cmd.run_settings import RunSettings
from verger.cmd.settings import flag_of
from verger.embed import ControlPlane
from verger.identity.certificates import Authority
from verger.store.errors import NotFound
from verger.store.objects import name_of
from verger.store.timestamps import format_micro

from tests.cmd.conftest import COMMAND, DEADLINE, Run, environment_in
from tests.cmd.relay import Relay, relaying

KEY: Final = "signing.key"
SHORT: Final = (
    "--leader-elect-lease-duration=2",
    "--leader-elect-renew-deadline=1.6",
    "--leader-elect-retry-period=0.25",
)
"""A lease that expires within the patience of a test."""
FAST: Final = ("--kube-api-qps=0", f"--service-account-private-key-file={KEY}")


@dataclass
class Daemon:
    """A `verger run` that runs."""

    process: asyncio.subprocess.Process
    lines: list[dict[str, Any]] = field(default_factory=list)

    async def until(self, event: str) -> dict[str, Any]:
        """Reads the log up to an event; fails when it ends before."""
        assert self.process.stderr is not None
        async with asyncio.timeout(DEADLINE):
            while line := await self.process.stderr.readline():
                entry: dict[str, Any] = json.loads(line)
                self.lines.append(entry)
                if entry["event"] == event:
                    return entry
        raise AssertionError(f"no {event!r} in {self.lines}")

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.send(number)
        assert self.process.stderr is not None
        async with asyncio.timeout(DEADLINE):
            async for line in self.process.stderr:
                self.lines.append(json.loads(line))
            return await self.process.wait()


class Site:
    """A control plane without controllers, and the daemons beside it."""

    def __init__(self, plane: ControlPlane, folder: Path, stack: AsyncExitStack) -> None:
        self.plane = plane
        self.folder = folder
        self._stack = stack

    async def run(self, *arguments: str) -> Daemon:
        process = await asyncio.create_subprocess_exec(
            COMMAND,
            "run",
            f"--kubeconfig={self.plane.kubeconfig}",
            *arguments,
            env=environment_in(self.folder),
            cwd=self.folder,
            stderr=asyncio.subprocess.PIPE,
        )
        self._stack.push_async_callback(process.wait)
        self._stack.callback(lambda: process.returncode is None and process.kill())
        return Daemon(process)

    async def failed(self, *arguments: str) -> tuple[int, str]:
        """Exit code and what is said by a daemon that does not start."""
        daemon = await self.run(*arguments)
        async with asyncio.timeout(DEADLINE):
            _, said = await daemon.process.communicate()
            return await daemon.process.wait(), said.decode()

    async def relay(self) -> Relay:
        return await self._stack.enter_async_context(relaying(self.plane.url))

    async def namespace(self, name: str) -> None:
        await self.plane.client.create(
            self.plane.kinds.core("Namespace"), {"metadata": {"name": name}}
        )

    async def until(self, kind: str, namespace: str, is_so: Callable[[list[Any]], bool]) -> None:
        """Waits until the objects of a kind are as they should be."""
        client, row = self.plane.client, self.plane.kinds.core(kind)
        async with asyncio.timeout(DEADLINE):
            while not is_so(list((found := await client.list(row, namespace)).items)):
                stream = await client.watch(row, namespace, after=found.revision)
                await stream.read()
                stream.close()

    async def served(self, namespace: str) -> str:
        """Waits until a namespace has all that it should have; returns its token."""
        await self.until(
            "ConfigMap", namespace, lambda maps: [name_of(m) for m in maps] == ["kube-root-ca.crt"]
        )
        await self.until(
            "ServiceAccount", namespace, lambda found: bool(found and found[0].get("secrets"))
        )
        secrets = await self.plane.client.list(self.plane.kinds.core("Secret"), namespace)
        (secret,) = secrets.items
        return base64.b64decode(secret["data"]["token"]).decode()

    async def lease(self, name: str = "verger") -> Mapping[str, Any]:
        kind = self.plane.kinds.get("coordination.k8s.io", "v1", "Lease")
        assert kind is not None
        return (await self.plane.client.get(kind, name, "kube-system"))["spec"]

    async def hold_lease(self, name: str, holder: str, renewed: float) -> None:
        kind = self.plane.kinds.get("coordination.k8s.io", "v1", "Lease")
        assert kind is not None
        metadata = {"name": name, "namespace": "kube-system"}
        spec = {
            "holderIdentity": holder,
            "leaseDurationSeconds": 15,
            "renewTime": format_micro(renewed),
        }
        await self.plane.client.create(kind, {"metadata": metadata, "spec": spec})


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    (tmp_path / KEY).write_bytes(Authority(time.time()).server(["any"]).key)
    async with (
        ControlPlane(controllers=(), private_key_file=tmp_path / KEY) as plane,
        AsyncExitStack() as stack,
    ):
        yield Site(plane, tmp_path, stack)


# Work


async def test_namespace_gets_what_it_should_have(site: Site) -> None:
    """An account, its token, and the root CA; the API accepts the token, and nothing secret is logged."""
    daemon = await site.run(*FAST, "--log-level=debug")
    await site.namespace("demo")
    token = await site.served("demo")
    context = ssl.create_default_context(cadata=site.plane.ca.decode())
    async with aiohttp.ClientSession() as session:
        reviewed = await session.post(
            f"{site.plane.url}/apis/authentication.k8s.io/v1/selfsubjectreviews",
            json={"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"},
            headers={"Authorization": f"Bearer {token}"},
            ssl=context,
        )
        user = (await reviewed.json())["status"]["userInfo"]["username"]
    assert user == "system:serviceaccount:demo:default"
    assert await daemon.end() == 0
    said = json.dumps(daemon.lines)
    assert token not in said
    assert site.plane.token not in said
    assert "PRIVATE KEY" not in said
    assert re.search(r"eyJ[\w-]{8,}\.eyJ", said) is None


async def test_without_a_key_the_token_controller_is_off(site: Site) -> None:
    """It says so, and the others work."""
    daemon = await site.run("--kube-api-qps=0", "--leader-elect=false")
    entry = await daemon.until("controller is off")
    assert entry["controller"] == "serviceaccount-token-controller"
    assert "--service-account-private-key-file" in entry["reason"]
    await site.namespace("demo")
    await site.until("ServiceAccount", "demo", bool)
    await site.until("ConfigMap", "demo", bool)
    assert "serviceaccount-token-controller" not in (await daemon.until("ready"))["controllers"]
    secrets = await site.plane.client.list(site.plane.kinds.core("Secret"), "demo")
    assert list(secrets.items) == []
    # Alone, it needs no lease.
    with pytest.raises(NotFound):
        await site.lease()
    assert await daemon.end() == 0


async def test_world_that_is_as_it_should_be_gets_no_writes(site: Site) -> None:
    """A second start reads, and one watch a kind is all that stays."""
    names = [f"n{number}" for number in range(20)]
    for name in names:
        await site.namespace(name)
    first = await site.run(*FAST)
    for name in names:
        await site.served(name)
    assert await first.end() == 0
    relay = await site.relay()
    second = await site.run(*FAST, f"--master={relay.url}")
    await second.until("ready")
    # Queues are fair: when the last one that comes has been served, those that were there have been looked at.
    await site.namespace("last")
    await site.served("last")
    assert all("/namespaces/last/" in write for write in relay.writes)
    watched = sorted(one.path for one in relay.passed if one.watch)
    assert len(watched) == len(set(watched))
    assert await second.end() == 0


async def test_busy_server_is_not_pressed(site: Site) -> None:
    """Refused requests come again after the time that was asked for, the rate limit holds, and all is done."""
    relay = await site.relay()
    refused = 0

    def busy(request: web.BaseRequest) -> web.StreamResponse | None:
        nonlocal refused
        if request.method != "POST" or "/leases" in request.path or refused >= 3:
            return None
        refused += 1
        return web.json_response({}, status=429, headers={"Retry-After": "0"})

    relay.refuse = busy
    qps, burst = 40, 5
    daemon = await site.run(
        f"--service-account-private-key-file={KEY}",
        f"--kube-api-qps={qps}",
        f"--kube-api-burst={burst}",
        "--leader-elect=false",
        f"--master={relay.url}",
    )
    for name in ("one", "two", "three"):
        await site.namespace(name)
    for name in ("one", "two", "three"):
        await site.served(name)
    assert refused == 3
    times = [one.at for one in relay.passed]
    for start in range(len(times)):
        for end in range(start + burst, len(times)):
            # A fifth more for what gathers on the way.
            assert end - start <= burst + 1 + qps * (times[end] - times[start]) * 1.2 + 5
    assert await daemon.end() == 0


async def test_faulty_server_delays_and_spoils_nothing(site: Site) -> None:
    """Lost requests, lost answers, errors, conflicts, and watches that break off in a line: the world converges."""
    relay = await site.relay()
    relay.cuts = [2000, 1000]
    count = 0

    def trouble(request: web.BaseRequest) -> web.StreamResponse | None:
        nonlocal count
        if "watch" in request.query:
            return None  # these break off, and a pause follows each time
        count += 1
        if count % 5 == 0:
            return web.Response(status=500, text="no")
        if count % 7 == 0:
            assert request.transport is not None
            request.transport.abort()
            return web.Response(status=500)
        if count % 8 == 0 and request.method == "PUT":
            body = {"kind": "Status", "status": "Failure", "reason": "Conflict", "code": 409}
            return web.json_response(body, status=409)
        return None

    relay.refuse = trouble
    daemon = await site.run(*FAST, f"--master={relay.url}")
    names = [f"n{number}" for number in range(10)]
    for name in names:
        await site.namespace(name)
    for name in names:
        await site.served(name)
    # Whatever was made twice while answers were lost is one again.
    for name in names:
        await site.until("Secret", name, lambda found: len(found) == 1)
    assert count > 50
    assert relay.cuts == []
    assert await daemon.end() == 0


# Several of them


async def test_next_one_finishes_what_a_killed_leader_began(site: Site) -> None:
    """It notices by the lease, its caches are full, and no account has two tokens."""
    first = await site.run(*FAST, *SHORT)
    await first.until("became leader")
    second = await site.run(*FAST, *SHORT)
    await second.until("ready")
    names = [f"n{number}" for number in range(30)]
    for name in names[:15]:
        await site.namespace(name)
    await site.served(names[0])
    first.send(signal.SIGKILL)
    for name in names[15:]:
        await site.namespace(name)
    await second.until("became leader")
    led_at = time.monotonic()
    for name in names:
        await site.served(name)
    assert time.monotonic() - led_at < 10
    lease = await site.lease()
    assert lease["leaseTransitions"] >= 1
    for name in names:
        secrets = await site.plane.client.list(site.plane.kinds.core("Secret"), name)
        assert len(secrets.items) == 1
    assert await second.end() == 0


async def test_leader_that_was_stopped_writes_nothing_when_it_wakes(site: Site) -> None:
    """It was in the middle of much work. Its time was over while it slept; the other one works, and it stands by."""
    relays = [await site.relay(), await site.relay()]
    first = await site.run(*FAST, *SHORT, f"--master={relays[0].url}")
    await first.until("became leader")
    second = await site.run(*FAST, *SHORT, f"--master={relays[1].url}")
    await second.until("ready")
    names = [f"n{number}" for number in range(60)]
    for name in names:
        await site.namespace(name)
    await site.served(names[0])
    first.send(signal.SIGSTOP)
    await second.until("became leader")
    before = len(relays[0].writes)
    await site.namespace("late")
    first.send(signal.SIGCONT)
    await first.until("stopped leading")
    for name in (*names, "late"):
        await site.served(name)
    assert 0 < before < 4 * len(names), "there was nothing left to do"
    assert relays[0].writes[before:] == []
    assert await second.end() == 0
    # It is still there, and takes over.
    await first.until("became leader")
    assert await first.end() == 0


async def test_end_in_good_order_releases_the_lease(site: Site) -> None:
    """Whoever waits need not wait for it to expire; and the exit code is 0."""
    often = ("--leader-elect-retry-period=0.2",)
    first = await site.run(*FAST)
    await first.until("became leader")
    assert (await site.lease())["holderIdentity"].startswith(f"{socket.gethostname()}_")
    second = await site.run(*FAST, *often)
    await second.until("ready")
    assert await first.end() == 0
    assert [entry["event"] for entry in first.lines[-3:]] == [
        "stopping",
        "lease released",
        "stopped",
    ]
    await second.until("became leader")
    assert await second.end(signal.SIGINT) == 0
    assert "holderIdentity" not in await site.lease()


# Good neighbours


async def test_it_does_not_start_where_another_manager_works(site: Site) -> None:
    """One line says what to do; told to adopt, it starts."""
    await site.hold_lease("kube-controller-manager", "master-1_x", time.time())
    code, said = await site.failed(*FAST)
    assert code == 2
    assert said.count("\n") == 1
    assert said.startswith("verger: master-1_x runs the controllers of this cluster")
    assert "--adopt" in said
    daemon = await site.run(*FAST, "--adopt=true")
    await daemon.until("became leader")
    assert await daemon.end() == 0


async def test_it_starts_where_another_manager_has_gone(site: Site) -> None:
    """A lease that is old and does not change is nobody's."""
    await site.hold_lease("kube-controller-manager", "master-1_x", time.time() - 3600)
    daemon = await site.run(*FAST, *SHORT)
    await daemon.until("became leader")
    assert await daemon.end() == 0


# Health


async def ask(port: int, path: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"https://127.0.0.1:{port}{path}", ssl=False) as answer,
    ):
        return answer.status, await answer.text()


async def test_health_and_metrics(site: Site) -> None:
    """On loopback, by HTTPS, and only what can be asked there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    daemon = await site.run(*FAST, f"--secure-port={port}")
    assert (await daemon.until("serving health and metrics"))["url"] == f"https://127.0.0.1:{port}"
    await daemon.until("ready")
    await site.namespace("demo")
    await site.served("demo")
    assert await ask(port, "/livez") == (200, "ok")
    assert await ask(port, "/healthz") == (200, "ok")
    code, text = await ask(port, "/readyz?verbose")
    assert code == 200
    assert "[+]leaderElection ok\n" in text
    assert "[+]serviceaccount-token-controller ok\n" in text
    _, text = await ask(port, "/metrics")
    assert 'leader_election_master_status{name="verger"} 1.0' in text
    assert 'rest_client_requests_total{code="201"}' in text
    assert 'workqueue_adds_total{name="namespace-controller"}' in text
    assert (await ask(port, "/api"))[0] == 404
    assert await daemon.end() == 0


# What is wrong


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--kubeconfig=missing"], "there is no kubeconfig missing", id="kubeconfig"),
        pytest.param(["--controllers=nonsense"], '"nonsense" is not in the list', id="controller"),
        pytest.param(
            ["--service-account-private-key-file=missing"],
            "--service-account-private-key-file: cannot read missing",
            id="key",
        ),
        pytest.param(["--root-ca-file=signing.key"], "holds no certificate in PEM", id="root CA"),
        pytest.param(
            ["--leader-elect-lease-duration=5"], "more than the renew deadline", id="durations"
        ),
        pytest.param(["--kube-api-burst=0"], "must be at least 1", id="no burst"),
        pytest.param(["--context=nobody"], "no such context", id="context"),
    ],
)
async def test_wrong_setting(arguments: list[str], message: str, site: Site) -> None:
    """Exit code 2, and one line that says what."""
    code, said = await site.failed(*arguments)
    assert code == 2
    assert said.startswith("verger: ")
    assert message in said
    assert said.count("\n") == 1


async def test_credentials_that_are_not_accepted(site: Site, tmp_path: Path) -> None:
    """The line says so, and not with which."""
    text = site.plane.kubeconfig.read_text()
    wrong = re.sub(r"client-(certificate|key)-data: .*", "", text)
    wrong = wrong.replace(site.plane.token, "not-the-token")
    (tmp_path / "wrong").write_text(wrong)
    code, said = await site.failed("--kubeconfig=wrong")
    assert code == 2
    assert "does not accept the credentials" in said
    assert "not-the-token" not in said


def test_help_names_every_setting(run: Run) -> None:
    """Nobody has to read code to know what can be set."""
    done = run("run", "--help")
    assert done.returncode == 0
    named = set(re.findall(r"^  (--[\w-]+)", done.stdout, re.MULTILINE))
    assert named == {flag_of(item.name) for item in fields(RunSettings)} | {"--config"}
