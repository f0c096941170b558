"""`verger run`: the controllers as a process of their own, beside a control plane that has none."""

import asyncio
import json
import re
import signal
import socket
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import fields
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from verger.cmd.run_settings import RunSettings
from verger.cmd.settings import flag_of
from verger.identity.certificates import Authority
from verger.store.errors import NotFound
from verger.store.kubeconfig import connect
from verger.store.remote import RemoteServer
from verger.store.throttle import TokenBucket
from verger.watch.clock import SystemClock

from tests.cmd.beside import FAST, KEY, SHORT, Site, ask, free_port, site_in
from tests.cmd.conftest import DEADLINE, Run

ALIVE = "WATCHDOG=1"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with site_in(tmp_path) as site:
        yield site


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


async def test_it_does_not_start_where_new_namespaces_are_served(site: Site) -> None:
    """The other one stands for no election; what it has just written tells."""
    await site.namespace("demo")
    connection = connect(
        site.plane.kubeconfig, context="", master="", environment={}, clock=SystemClock()
    )
    throttle = TokenBucket(SystemClock(), qps=0, burst=1)
    server = RemoteServer(connection, site.plane.kinds, SystemClock(), throttle=throttle)
    published = {"metadata": {"name": "kube-root-ca.crt", "namespace": "demo"}, "data": {"a": "b"}}
    client = server.client("kube-controller-manager")
    await client.create(site.plane.kinds.core("ConfigMap"), published)
    await server.close()
    code, said = await site.failed(*FAST)
    assert code == 2
    assert said.count("\n") == 1
    assert "as root-ca-publisher (it wrote ConfigMap demo/kube-root-ca.crt" in said
    assert "--adopt" in said
    daemon = await site.run(*FAST, "--controllers=*,-root-ca-publisher")
    await daemon.until("became leader")
    assert await daemon.end() == 0


async def test_it_starts_where_another_manager_has_gone(site: Site) -> None:
    """A lease that is old and does not change is nobody's."""
    await site.hold_lease("kube-controller-manager", "master-1_x", time.time() - 3600)
    daemon = await site.run(*FAST, *SHORT)
    await daemon.until("became leader")
    assert await daemon.end() == 0


# Health


async def test_health_and_metrics(site: Site) -> None:
    """On loopback, by HTTPS; health for everybody, the rest for those whom the API server lets."""
    port = free_port()
    daemon = await site.run(*FAST, f"--secure-port={port}")
    assert (await daemon.until("serving health and metrics"))["url"] == f"https://127.0.0.1:{port}"
    await daemon.until("ready")
    await site.namespace("demo")
    account = await site.served("demo")
    assert await ask(port, "/livez") == (200, "ok")
    assert await ask(port, "/healthz") == (200, "ok")
    code, text = await ask(port, "/readyz?verbose")
    assert code == 200
    assert "[+]leaderElection ok\n" in text
    assert "[+]serviceaccount-token-controller ok\n" in text
    for path in ("/metrics", "/debug/controllers", "/readyz/leaderElection", "/nothing"):
        assert await ask(port, path) == (401, "Unauthorized\n")
        code, text = await ask(port, path, account)
        assert (code, "system:serviceaccount:demo:default" in text) == (403, True)
    admin = site.plane.token
    _, text = await ask(port, "/metrics", admin)
    assert 'leader_election_master_status{name="verger"} 1.0' in text
    assert 'leader_election_slowpath_total{name="verger"} 0.0' in text
    host = site.plane.url.removeprefix("https://")
    assert f'rest_client_requests_total{{code="201",host="{host}",method="POST"}}' in text
    for name in ("request_duration", "rate_limiter_duration"):
        assert f'rest_client_{name}_seconds_count{{host="{host}",verb="POST"}}' in text
    assert 'workqueue_adds_total{name="namespace-controller"}' in text
    assert "process_resident_memory_bytes" in text
    _, text = await ask(port, "/debug/controllers", admin)
    shown = {one["name"]: one for one in json.loads(text)["controllers"]}
    assert shown["serviceaccount-controller"]["running"]
    assert shown["serviceaccount-controller"]["queue"]["adds"] >= 1
    assert await ask(port, "/readyz/leaderElection", admin) == (200, "ok")
    assert (await ask(port, "/api", admin))[0] == 404
    assert await daemon.end() == 0
    assert admin not in json.dumps(daemon.lines)


async def test_port_with_a_certificate_and_open_metrics(site: Site) -> None:
    """It shows the certificate of the files, also the one that they hold later; what everybody may read is for choice."""
    authority = Authority(time.time())
    files = (site.folder / "tls.crt", site.folder / "tls.key")

    def provide(host: str) -> None:
        pair = authority.server([host])
        for file, content in zip(files, (pair.certificate, pair.key), strict=True):
            file.write_bytes(content)

    async def metrics_at(host: str) -> tuple[int, str]:
        context = ssl.create_default_context(cadata=authority.certificate.decode())
        url = f"https://127.0.0.1:{port}/metrics"
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, ssl=context, server_hostname=host) as answer,
        ):
            return answer.status, await answer.text()

    provide("one.example")
    port = free_port()
    daemon = await site.run(
        *FAST,
        f"--secure-port={port}",
        "--tls-cert-file=tls.crt",
        "--tls-private-key-file=tls.key",
        "--authorization-always-allow-paths=/livez, /metrics",
    )
    await daemon.until("serving health and metrics")
    code, text = await metrics_at("one.example")
    assert (code, "workqueue_depth" in text) == (200, True)
    assert (await ask(port, "/livez"))[0] == 200
    assert (await ask(port, "/readyz"))[0] == 401
    provide("two.example")
    daemon.send(signal.SIGHUP)
    await daemon.until("certificate reloaded")
    assert (await metrics_at("two.example"))[0] == 200
    files[1].write_text("no key")
    daemon.send(signal.SIGHUP)
    assert "--tls-cert-file" in (await daemon.until("certificate not reloaded"))["error"]
    assert (await metrics_at("two.example"))[0] == 200
    assert await daemon.end() == 0


async def test_systemd_is_told(site: Site) -> None:
    """When the caches are full, while it lives, and when it ends."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(site.folder / "notify"))
        heard.setblocking(False)
        variables = {"NOTIFY_SOCKET": heard.getsockname(), "WATCHDOG_USEC": "100000"}
        daemon = await site.run(*FAST, variables=variables)
        said: list[str] = []
        async with asyncio.timeout(DEADLINE):
            while not any(text.startswith("READY=1\n") for text in said) or said[-1:] != [ALIVE]:
                said.append((await loop.sock_recv(heard, 4096)).decode())
        assert await daemon.end() == 0
        async with asyncio.timeout(DEADLINE):
            while not said[-1].startswith("STOPPING=1"):
                said.append((await loop.sock_recv(heard, 4096)).decode())
    assert said[-1] == "STOPPING=1\nSTATUS=stopping"


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
        pytest.param(
            ["--secure-port=1", "--tls-cert-file=signing.key"],
            "go together",
            id="half a certificate",
        ),
        pytest.param(
            [
                "--secure-port=1",
                "--tls-cert-file=signing.key",
                "--tls-private-key-file=signing.key",
            ],
            "no certificate and key in PEM",
            id="no certificate",
        ),
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
