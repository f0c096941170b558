"""Kubeconfig files: which counts, what they say, what is said about a wrong one, and that no secret is shown."""

import asyncio
import base64
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from verger.store import kubeconfig
from verger.store.credentials import LOOK_PERIOD, ClientCertificate, Credential, KubeconfigError
from verger.store.execplugin import REFUSED_AGE, RUN_MAX
from verger.store.kubeconfig import Connection, connect
from verger.watch.clock import FakeClock

PEM: Final = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
SECRET: Final = "the-secret-of-this-test"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def document(
    *,
    cluster: Mapping[str, Any] | None = None,
    user: Mapping[str, Any] | None = None,
    context: Mapping[str, Any] | None = None,
    current: str = "here",
) -> dict[str, Any]:
    """A kubeconfig with one of each."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": current,
        "clusters": [
            {"name": "c", "cluster": {"server": "https://10.0.0.1:6443", **(cluster or {})}}
        ],
        "users": [{"name": "u", "user": dict(user or {})}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", **(context or {})}}],
    }


class Files:
    """A folder with kubeconfigs in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock()

    def write(self, name: str, content: Any) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    def connect(self, path: Path | None = None, **options: Any) -> Connection:
        environment = {"HOME": str(self.folder), **options.pop("environment", {})}
        return connect(path, environment=environment, clock=self.clock, **options)

    def of(self, **parts: Any) -> Connection:
        return self.connect(self.write("kubeconfig", document(**parts)))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


# Which file counts


def at(server: str, name: str = "c") -> dict[str, Any]:
    found = document(cluster={"server": server})
    found["clusters"][0]["name"] = found["contexts"][0]["context"]["cluster"] = name
    return found


def test_named_file_counts_before_all_others(files: Files) -> None:
    """--kubeconfig, then $KUBECONFIG, then ~/.kube/config."""
    usual = files.write(".kube/config", at("https://usual"))
    variable = files.write("variable", at("https://variable"))
    flag = files.write("flag", at("https://flag"))
    environment = {"KUBECONFIG": str(variable)}
    assert files.connect(flag, environment=environment).server == "https://flag"
    assert files.connect(environment=environment).server == "https://variable"
    assert files.connect().server == "https://usual"
    usual.unlink()
    with pytest.raises(KubeconfigError, match="--kubeconfig"):
        files.connect()


def test_listed_files_are_merged(files: Files) -> None:
    """Of two entries with one name the one in the earlier file counts, as does the first current-context."""
    first = files.write(
        "first", {"current-context": "here", "clusters": at("https://a")["clusters"]}
    )
    second = files.write("second", at("https://b"))
    missing = files.folder / "missing"
    listed = f"{missing}:{first}::{second}"
    assert files.connect(environment={"KUBECONFIG": listed}).server == "https://a"


def test_relative_paths_start_at_their_own_file(files: Files) -> None:
    """A file that is merged in from elsewhere finds what lies next to it."""
    files.write("far/ca.crt", PEM)
    far = document(cluster={"certificate-authority": "ca.crt"})
    path = files.write("far/config", far)
    near = files.write("near", {"current-context": "here"})
    found = files.connect(environment={"KUBECONFIG": f"{near}:{path}"})
    assert found.authority == PEM.encode()


def test_context_that_is_asked_for(files: Files) -> None:
    """It counts instead of the current one, with its namespace."""
    content = document(current="gone", context={"namespace": "work"})
    found = files.connect(files.write("kubeconfig", content), context="here")
    assert (found.server, found.namespace) == ("https://10.0.0.1:6443", "work")


def test_master_stands_in_for_the_address(files: Files) -> None:
    """Everything else of the kubeconfig stays, but for the name of a certificate that belonged to the address."""
    path = files.write("kubeconfig", document(cluster={"tls-server-name": "old"}))
    found = files.connect(path, master="10.9.9.9:443/prefix/")
    assert (found.server, found.server_name) == ("https://10.9.9.9:443/prefix", "")
    assert files.connect(path).server_name == "old"


def test_master_alone(files: Files) -> None:
    """A server that asks for nothing needs no kubeconfig."""
    assert files.connect(master="http://127.0.0.1:8080").server == "http://127.0.0.1:8080"


# In a pod


@pytest.fixture
def pod(files: Files, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """The variables of a pod, whose files lie in the folder."""
    monkeypatch.setattr(kubeconfig, "SERVICE_ACCOUNT", files.folder)
    files.write("token", f"{SECRET}\n")
    files.write("ca.crt", PEM)
    files.write("namespace", "mine\n")
    return {"KUBERNETES_SERVICE_HOST": "10.0.0.9", "KUBERNETES_SERVICE_PORT": "443"}


async def test_pod_without_a_kubeconfig(files: Files, pod: Mapping[str, str]) -> None:
    """It is its service account."""
    found = files.connect(environment=pod)
    assert (found.server, found.namespace) == ("https://10.0.0.9:443", "mine")
    assert found.authority == PEM.encode()
    assert (await found.credentials.current()).authorization == f"Bearer {SECRET}"


def test_pod_with_the_address_of_the_other_family(files: Files, pod: Mapping[str, str]) -> None:
    """It stands in brackets."""
    found = files.connect(environment={**pod, "KUBERNETES_SERVICE_HOST": "fd00::1"})
    assert found.server == "https://[fd00::1]:443"


async def test_token_of_a_pod_is_read_again(files: Files, pod: Mapping[str, str]) -> None:
    """The kubelet exchanges it; a look a minute is enough, and a refusal looks at once."""
    credentials = files.connect(environment=pod).credentials
    first = await credentials.current()
    files.write("token", "second")
    assert await credentials.current() is first
    await files.clock.advance(LOOK_PERIOD)
    second = await credentials.current()
    assert second.authorization == "Bearer second"
    files.write("token", "third-and-last")
    assert credentials.refused(second)
    assert (await credentials.current()).authorization == "Bearer third-and-last"
    assert not credentials.refused(await credentials.current())


@pytest.mark.parametrize("content", ["", "with a blank", None], ids=["empty", "odd", "gone"])
async def test_token_that_has_gone_bad_changes_nothing(
    content: str | None, files: Files, pod: Mapping[str, str]
) -> None:
    """The last good one stays, until there is a good one again."""
    credentials = files.connect(environment=pod).credentials
    first = await credentials.current()
    (files.folder / "token").unlink()
    if content is not None:
        files.write("token", content)
    await files.clock.advance(LOOK_PERIOD)
    assert await credentials.current() is first
    files.write("token", "good-again")
    await files.clock.advance(LOOK_PERIOD)
    assert (await credentials.current()).authorization == "Bearer good-again"


# What users show


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        pytest.param({}, Credential(), id="nothing"),
        pytest.param({"token": SECRET}, Credential(f"Bearer {SECRET}"), id="token"),
        pytest.param(
            {"username": "me", "password": SECRET},
            Credential(f"Basic {encoded(f'me:{SECRET}')}"),
            id="password",
        ),
        pytest.param(
            {"client-certificate-data": encoded(PEM), "client-key-data": encoded(SECRET)},
            Credential("", ClientCertificate(PEM.encode(), SECRET.encode())),
            id="certificate",
        ),
        pytest.param(
            {"client-certificate": "crt", "client-key": "key", "token": "t"},
            Credential("Bearer t", ClientCertificate(b"crt", b"key")),
            id="certificate in files, and a token",
        ),
        pytest.param({"tokenFile": "crt"}, Credential("Bearer crt"), id="token in a file"),
        pytest.param(
            {"tokenFile": "missing", "token": "t"},
            Credential("Bearer t"),
            id="token, as long as its file is not there",
        ),
    ],
)
async def test_user(user: Mapping[str, Any], expected: Credential, files: Files) -> None:
    """Each way to say who one is comes out as what a request shows."""
    files.write("crt", "crt")
    files.write("key", "key")
    found = files.of(user=user)
    credential = await found.credentials.current()
    assert credential == expected
    assert SECRET not in f"{found!r} {credential!r} {found.credentials!r}"
    assert encoded(f"me:{SECRET}") not in repr(credential)


def test_user_who_acts_as_another(files: Files) -> None:
    """The headers are those that the server knows; what is in a key is quoted."""
    user = {
        "as": "jane",
        "as-uid": "7",
        "as-groups": ["a", "b"],
        "as-user-extra": {"Example.com/Scope": ["x"]},
    }
    assert files.of(user=user).impersonation == (
        ("Impersonate-User", "jane"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Group", "a"),
        ("Impersonate-Group", "b"),
        ("Impersonate-Extra-example.com%2Fscope", "x"),
    )


# What is wrong


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        pytest.param({"current": ""}, "no current-context", id="no context"),
        pytest.param(
            {"current": "x"},
            "'x', and there is no such context in .*; there is here",
            id="another context",
        ),
        pytest.param({"context": {"cluster": "x"}}, "no such cluster", id="another cluster"),
        pytest.param({"context": {"user": "x"}}, "no such user", id="another user"),
        pytest.param({"context": {"cluster": ""}}, "cluster is missing", id="no cluster"),
        pytest.param({"cluster": {"server": ""}}, "server is missing", id="no server"),
        pytest.param({"cluster": {"server": "ftp://x"}}, "has to be a URL", id="odd server"),
        pytest.param(
            {"cluster": {"server": f"https://me:{SECRET}@x"}},
            "must not hold a user",
            id="password in the address",
        ),
        pytest.param(
            {"cluster": {"certificate-authority-data": "%%"}}, "is no base64", id="no base64"
        ),
        pytest.param(
            {"cluster": {"certificate-authority-data": encoded("x")}},
            "no certificate in PEM",
            id="no PEM",
        ),
        pytest.param(
            {"cluster": {"certificate-authority": "missing"}}, "cannot read", id="no such authority"
        ),
        pytest.param(
            {
                "cluster": {
                    "certificate-authority-data": encoded(PEM),
                    "insecure-skip-tls-verify": True,
                }
            },
            "exclude each other",
            id="verified and not",
        ),
        pytest.param(
            {"cluster": {"insecure-skip-tls-verify": "yes"}}, "true or false", id="odd flag"
        ),
        pytest.param(
            {"cluster": {"proxy-url": f"socks5://{SECRET}@x"}},
            "HTTP or HTTPS proxy",
            id="odd proxy",
        ),
        pytest.param(
            {"user": {"token": SECRET, "username": "x"}},
            "token and username exclude",
            id="two ways at once",
        ),
        pytest.param({"user": {"token": f"{SECRET}\n{SECRET}"}}, "holds no token", id="two tokens"),
        pytest.param({"user": {"token": 7}}, "a text; put it in quotes", id="number for a token"),
        pytest.param({"user": {"client-key-data": encoded(SECRET)}}, "go together", id="key alone"),
        pytest.param({"user": {"auth-provider": {"name": "gcp"}}}, "exec plugin", id="old plugin"),
        pytest.param({"user": {"as-groups": ["a"]}}, "as is missing", id="groups of nobody"),
        pytest.param({"user": {"as": "a\nb"}}, "control characters", id="header in a header"),
        pytest.param({"user": {"exec": {}}, "current": "here"}, None, id="empty plugin is none"),
        pytest.param(
            {"user": {"exec": {"command": "x"}}}, "apiVersion has to be", id="plugin of no version"
        ),
        pytest.param(
            {"user": {"exec": {"command": "x", "apiVersion": "client.authentication.k8s.io/v1"}}},
            "interactiveMode is missing",
            id="plugin that does not say whether it asks",
        ),
    ],
)
def test_wrong_field(parts: Mapping[str, Any], message: str | None, files: Files) -> None:
    """The error says in which file and entry it is, and what to do; never what stands there."""
    if message is None:
        files.of(**parts)
        return
    with pytest.raises(KubeconfigError, match=message) as caught:
        files.of(**parts)
    text = str(caught.value)
    assert str(files.folder) in text
    assert SECRET not in text
    assert encoded(SECRET) not in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(f"a: [{SECRET}", "this is not YAML", id="no YAML"),
        pytest.param("- a", "has to be a mapping", id="a list"),
        pytest.param("clusters: 7", "clusters has to be a list", id="a number of clusters"),
        pytest.param("clusters: [7]", "has to be a mapping", id="a number as a cluster"),
        pytest.param("clusters: [{name: a}, {name: a}]", "stands there twice", id="one name twice"),
    ],
)
def test_wrong_file(content: str, message: str, files: Files) -> None:
    """What is no kubeconfig is said to be none, without its contents."""
    path = files.write("kubeconfig", content)
    with pytest.raises(KubeconfigError, match=message) as caught:
        files.connect(path)
    assert SECRET not in str(caught.value)


def test_file_that_is_not_there(files: Files) -> None:
    """One that was named has to be there."""
    with pytest.raises(KubeconfigError, match="--kubeconfig"):
        files.connect(files.folder / "missing")
    with pytest.raises(KubeconfigError, match="KUBECONFIG names"):
        files.connect(environment={"KUBECONFIG": str(files.folder / "missing")})


# Proxies


@pytest.mark.parametrize(
    ("server", "environment", "proxy"),
    [
        pytest.param("https://a.b", {"HTTPS_PROXY": "http://p:1"}, "http://p:1", id="by scheme"),
        pytest.param("http://a.b", {"HTTPS_PROXY": "http://p:1"}, "", id="other scheme"),
        pytest.param(
            "https://a.b", {"https_proxy": "", "HTTPS_PROXY": "p"}, "", id="small letters win"
        ),
        pytest.param("https://a.b", {"HTTPS_PROXY": "p:1"}, "http://p:1", id="without a scheme"),
        pytest.param("https://127.0.0.1", {"HTTPS_PROXY": "p"}, "", id="this machine"),
        pytest.param("https://localhost", {"HTTPS_PROXY": "p"}, "", id="this machine by name"),
        pytest.param("https://a.b", {"HTTPS_PROXY": "p", "NO_PROXY": "x, .b"}, "", id="domain"),
        pytest.param(
            "https://ab",
            {"HTTPS_PROXY": "p", "NO_PROXY": "b"},
            "http://p",
            id="end of another name",
        ),
        pytest.param(
            "https://10.1.2.3", {"HTTPS_PROXY": "p", "NO_PROXY": "10.0.0.0/8"}, "", id="network"
        ),
        pytest.param(
            "https://a.b:8", {"HTTPS_PROXY": "p", "NO_PROXY": "a.b:9"}, "http://p", id="other port"
        ),
        pytest.param("https://a.b", {"HTTPS_PROXY": "p", "NO_PROXY": "*"}, "", id="everything"),
    ],
)
def test_proxy_of_the_environment(
    server: str, environment: Mapping[str, str], proxy: str, files: Files
) -> None:
    """As Go programs read these variables."""
    path = files.write("kubeconfig", document(cluster={"server": server}))
    assert files.connect(path, environment=environment).proxy == proxy


def test_proxy_of_the_kubeconfig_wins(files: Files) -> None:
    """It was meant for this cluster."""
    path = files.write("kubeconfig", document(cluster={"proxy-url": "http://mine"}))
    found = files.connect(path, environment={"HTTPS_PROXY": "http://theirs"})
    assert found.proxy == "http://mine"


# Exec plugins

PLUGIN: Final = """\
import json, os, pathlib, sys
here = pathlib.Path(__file__).parent
runs = here / "runs"
count = len(runs.read_text().splitlines()) + 1 if runs.exists() else 1
runs.write_text("x\\n" * count)
(here / "info").write_text(os.environ["KUBERNETES_EXEC_INFO"])
answer = json.loads((here / "answer").read_text())
if isinstance(answer, dict) and "status" in answer and "token" in answer["status"]:
    answer["status"]["token"] += str(count)
sys.stdout.write(answer if isinstance(answer, str) else json.dumps(answer))
sys.exit(int(os.environ.get("CODE", "0")))
"""
VERSION: Final = "client.authentication.k8s.io/v1"


def issued(**status: Any) -> dict[str, Any]:
    return {"kind": "ExecCredential", "apiVersion": VERSION, "status": status}


def plugin(files: Files, answer: Any, **more: Any) -> Connection:
    files.write("plugin.py", PLUGIN)
    files.write("answer", json.dumps(answer))
    entry = {
        "apiVersion": VERSION,
        "command": sys.executable,
        "args": [str(files.folder / "plugin.py")],
        "interactiveMode": "Never",
        **more,
    }
    path = files.write("kubeconfig", document(user={"exec": entry}))
    return files.connect(path, environment={"PATH": os.environ["PATH"]})


def runs(files: Files) -> int:
    return len((files.folder / "runs").read_text().splitlines())


async def test_plugin_is_run_when_its_credential_has_expired(files: Files) -> None:
    """And not before."""
    # Ten minutes after the clock's beginning.
    answer = issued(token=SECRET, expirationTimestamp="2023-11-14T22:23:20Z")
    credentials = plugin(files, answer).credentials
    first = await credentials.current()
    assert first.authorization == f"Bearer {SECRET}1"
    await files.clock.advance(599)
    assert await credentials.current() is first
    assert runs(files) == 1
    await files.clock.advance(1)
    assert (await credentials.current()).authorization == f"Bearer {SECRET}2"
    assert SECRET not in repr(credentials)


async def test_plugin_is_run_again_when_the_server_refuses(files: Files) -> None:
    """But not what it has said just now: it would say the same."""
    credentials = plugin(files, issued(token="t")).credentials
    first = await credentials.current()
    assert not credentials.refused(first)
    await files.clock.advance(REFUSED_AGE)
    assert credentials.refused(first)
    assert (await credentials.current()).authorization == "Bearer t2"


async def test_plugin_that_gives_a_certificate(files: Files) -> None:
    """Both halves, as they stand there."""
    answer = issued(clientCertificateData=PEM, clientKeyData="key")
    credential = await plugin(files, answer).credentials.current()
    assert credential == Credential("", ClientCertificate(PEM.encode(), b"key"))


async def test_plugin_is_told_of_the_cluster_when_it_asks(files: Files) -> None:
    """The address, and that nobody is there to be asked."""
    await plugin(files, issued(token="t"), provideClusterInfo=True).credentials.current()
    info = json.loads((files.folder / "info").read_text())
    assert info["spec"] == {"interactive": False, "cluster": {"server": "https://10.0.0.1:6443"}}


@pytest.mark.parametrize(
    ("answer", "more", "message"),
    [
        pytest.param("nonsense", {}, "printed no JSON", id="no JSON"),
        pytest.param({}, {}, "printed no ExecCredential", id="something else"),
        pytest.param(
            {**issued(token="t"), "apiVersion": "v2"},
            {},
            "another apiVersion",
            id="another version",
        ),
        pytest.param(issued(), {}, "without token and certificate", id="nothing in it"),
        pytest.param(issued(clientKeyData=SECRET), {}, "without the other", id="key alone"),
        pytest.param(
            issued(token="t", expirationTimestamp="soon"), {}, "is no time", id="odd time"
        ),
        pytest.param(
            issued(token=SECRET),
            {"env": [{"name": "CODE", "value": "3"}]},
            "exit code 3",
            id="failure",
        ),
        pytest.param(
            issued(token="t"),
            {"command": "no-such-program", "installHint": "get it there"},
            "(?s)no program no-such-program.*get it there",
            id="not installed",
        ),
        pytest.param(
            issued(token="t"),
            {"interactiveMode": "Always"},
            "there is no terminal",
            id="nobody to ask",
        ),
    ],
)
async def test_plugin_that_fails(
    answer: Any,
    more: Mapping[str, Any],
    message: str,
    files: Files,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error names the program and what is wrong with it, and never what it said."""
    monkeypatch.setattr("os.isatty", lambda _: False)
    with pytest.raises(KubeconfigError, match=message) as caught:
        await plugin(files, answer, **more).credentials.current()
    assert SECRET not in str(caught.value)


async def test_plugin_that_does_not_end(files: Files) -> None:
    """It is ended after a minute by the clock, and nothing of it is left."""
    waiting = files.folder / "waiting"
    code = f"import time; open({str(waiting)!r}, 'w'); time.sleep(600)"
    credentials = plugin(files, issued(token="t"), args=["-c", code]).credentials
    running = asyncio.create_task(credentials.current())
    while not waiting.exists():  # noqa: ASYNC110 - it is another process that makes it
        await asyncio.sleep(0)
    await files.clock.advance(RUN_MAX)
    with pytest.raises(KubeconfigError, match="not ended after 60 s"):
        await running
