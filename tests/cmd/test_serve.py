"""`verger serve`: it says when it is ready, keeps what is secret, and ends in good order."""

import contextlib
import json
import os
import pty
import re
import signal
import stat
import time
from collections.abc import Iterator
from http.client import HTTPResponse, HTTPSConnection
from pathlib import Path

import pytest
from verger.identity.certificates import Authority

from tests.cmd.conftest import DEADLINE, Kubeconfig, Serve, Server, serving

LOOPBACK = "0100007F"
"""127.0.0.1 as the kernel prints it."""
JWT = re.compile(r"eyJ[\w-]{8,}\.eyJ[\w-]+\.")


@contextlib.contextmanager
def watching(config: Kubeconfig, path: str) -> Iterator[HTTPResponse]:
    """An open watch, on which nothing has been read but the head."""
    with contextlib.closing(config.connect()) as connection:
        connection.request("GET", path, headers=config.headers)
        with contextlib.closing(connection.getresponse()) as answer:
            yield answer


@contextlib.contextmanager
def half_sent(config: Kubeconfig, length: int) -> Iterator[HTTPSConnection]:
    """A request to create a namespace whose body is still to come."""
    with contextlib.closing(config.connect()) as connection:
        connection.putrequest("POST", "/api/v1/namespaces")
        for name, value in {**config.headers, "Content-Length": str(length)}.items():
            connection.putheader(name, value)
        connection.endheaders()
        # It has been seen: what came later on another connection is answered.
        assert config.ask("GET", "/livez")[0] == 200
        yield connection


# Ready


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for those who only look, which has said that it is ready."""
    folder = tmp_path_factory.mktemp("ready")
    with serving(folder) as serve:
        server = serve("--write-kubeconfig", "admin.conf")
        server.until("ready")
        yield server


def test_ready_line_names_where_and_how(ready: Server) -> None:
    """Whoever starts it by hand or by program learns the URL and the kubeconfig from one line."""
    (line,) = ready.lines
    entry = json.loads(line)
    assert re.fullmatch(r"https://127\.0\.0\.1:\d+", entry["url"])
    assert Path(entry["kubeconfig"]).is_absolute()
    assert Path(entry["kubeconfig"]).name == "admin.conf"
    config = Kubeconfig.read(Path(entry["kubeconfig"]))
    assert config.url == entry["url"]
    assert config.ask("GET", "/readyz") == (200, b"ok")


def test_kubeconfig_is_for_its_owner_alone(ready: Server) -> None:
    """It holds an administrator's credentials."""
    path = Path(json.loads(ready.lines[0])["kubeconfig"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_listens_beyond_loopback(ready: Server) -> None:
    """Nobody else on the network reaches a control plane that somebody tries out."""
    assert listening(ready.process.pid) == [LOOPBACK]


def listening(process: int) -> list[str]:
    """The addresses, as the kernel prints them, on which a process listens."""
    handles = Path(f"/proc/{process}/fd")
    sockets = {os.readlink(handles / name) for name in os.listdir(handles)}
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{process}/net/{table}").read_text().splitlines()[1:]:
            columns = line.split()
            local, state, inode = columns[1], columns[3], columns[9]
            if state == "0A" and f"socket:[{inode}]" in sockets:
                found.append(local.rpartition(":")[0])
    return found


def test_hints_are_lines_to_type(serve: Serve) -> None:
    """They stand on standard output, with the kubeconfig as it is reached from here."""
    server = serve("--write-kubeconfig", "admin.conf", "--hints")
    server.until("ready")
    assert server.end() == 0
    assert "export KUBECONFIG=admin.conf\n" in server.output
    assert "kubectl create namespace demo\n" in server.output


# Logs


@pytest.mark.parametrize(
    ("arguments", "json_lines"),
    [
        pytest.param([], False, id="for people by default"),
        pytest.param(["--log-format", "json"], True, id="JSON when asked for"),
    ],
)
def test_log_on_a_terminal(arguments: list[str], json_lines: bool, serve: Serve) -> None:
    """A person sees lines that a person can read."""
    terminal, other_end = pty.openpty()
    with open(terminal, "rb", buffering=0) as reader:
        server = serve(*arguments, stderr=other_end)
        os.close(other_end)
        text = b""
        while b"ready" not in text or not text.endswith(b"\n"):
            text += reader.read(4096)
        server.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(OSError):  # a terminal that nobody writes to any more
            while chunk := reader.read(4096):
                text += chunk
        assert server.process.wait(DEADLINE) == 0
    line = next(line for line in text.decode().splitlines() if "ready" in line)
    assert line.startswith("{") == json_lines
    assert "https://127.0.0.1:" in line


def test_log_for_people_on_a_pipe_has_no_colours(serve: Serve, tmp_path: Path) -> None:
    """Escape sequences in a file help nobody."""
    server = serve("--log-format", "console", "--write-kubeconfig", "admin.conf")
    line = server.stderr.readline()
    assert "ready" in line
    assert "\x1b" not in line


def test_garbage_from_clients_does_not_get_into_the_log(serve: Serve) -> None:
    """Every line stays JSON, and a token in a header that is not well formed stays with its sender."""
    server = serve()
    config = server.kubeconfig
    for sent in (
        f"GET /livez HTTP/1.1\r\nAuthorization : Bearer {config.token}\r\n\r\n",
        f"GET /livez?token={config.token} nonsense\r\n\r\n",
        f"{config.token}\r\n\r\n",
        f"POST /livez HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{config.token}\r\n",
    ):
        with contextlib.closing(config.connect()) as connection:
            connection.connect()
            connection.sock.sendall(sent.encode())
            connection.sock.recv(65536)
    assert server.end() == 0
    assert all(json.loads(line)["event"] for line in server.lines)
    assert config.token not in "".join(server.lines)


# The end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_in_good_order(number: signal.Signals, serve: Serve) -> None:
    """Watches get their clean end, the log says what happened, nothing is left, and the exit code is 0."""
    server = serve("--log-level", "debug")
    folder = Path(server.until("ready")["kubeconfig"]).parent
    with watching(server.kubeconfig, "/api/v1/namespaces?watch=1") as watch:
        assert server.end(number) == 0
        # A body that is cut off would be an IncompleteRead.
        assert watch.read().count(b'"ADDED"') >= 4
    assert not folder.exists()
    entries = [json.loads(line) for line in server.lines]
    assert [entry["event"] for entry in entries[-2:]] == ["stopping", "stopped"]
    assert entries[-2]["signal"] == number.name
    assert {entry["level"] for entry in entries} <= {"debug", "info"}
    assert all(re.fullmatch(r"[\d-]{10}T[\d:.]+Z", entry["timestamp"]) for entry in entries)
    assert server.output == ""


def test_signal_during_the_start_ends_it_in_good_order(serve: Serve, tmp_path: Path) -> None:
    """Whoever changes his mind does not have to wait until it is ready."""
    server = serve("--log-level", "debug")
    server.until("controller started")
    assert server.end() == 0
    events = [json.loads(line)["event"] for line in server.lines]
    assert "ready" not in events[events.index("stopping") :]
    assert events[-1] == "stopped"
    assert list(tmp_path.iterdir()) == []


def test_request_in_flight_is_answered_before_the_end(serve: Serve) -> None:
    """A client whose request was begun hears what came of it."""
    server = serve()
    body = json.dumps({"metadata": {"name": "a"}}).encode()
    with half_sent(server.kubeconfig, len(body)) as connection:
        server.process.send_signal(signal.SIGTERM)
        server.until("stopping")
        connection.send(body)
        with contextlib.closing(connection.getresponse()) as answer:
            assert answer.status == 201
    assert server.end(None) == 0


def test_second_signal_ends_it_at_once(serve: Serve) -> None:
    """Whoever asks twice does not want to wait for what is in flight."""
    server = serve("--shutdown-grace", "600")
    with half_sent(server.kubeconfig, 100):
        server.process.send_signal(signal.SIGTERM)
        server.until("stopping")
        started = time.monotonic()
        assert server.end() == 128 + signal.SIGTERM
        assert time.monotonic() - started < 2.5, "it waited for the request, which takes 5 s"


def test_end_does_not_take_longer_than_the_grace(serve: Serve) -> None:
    """What does not end in time is left, and the log says so."""
    server = serve("--shutdown-grace", "0.1")
    with half_sent(server.kubeconfig, 100):
        started = time.monotonic()
        assert server.end() == 0
        assert time.monotonic() - started < 2.5, "it waited for the request, which takes 5 s"
    assert "not everything ended in time" in [json.loads(line)["event"] for line in server.lines]


# Secrets


def test_no_secret_is_written_anywhere(serve: Serve, tmp_path: Path) -> None:
    """Tokens and keys are in Secrets and in the kubeconfig, never in output, logs, metrics or health."""
    key = Authority(time.time()).server(["any"]).key.decode()
    (tmp_path / "signing.key").write_text(key)
    server = serve(
        "--log-level", "debug", "--hints", "--service-account-private-key-file", "signing.key"
    )
    config = server.kubeconfig
    config.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "a"}})
    with watching(config, "/api/v1/namespaces/a/secrets?watch=1") as watch:
        token = next(
            value
            for line in watch
            if (value := json.loads(line)["object"].get("data", {}).get("token"))
        )
    # Credentials where they do not belong, and in requests that fail.
    config.ask("GET", f"/api/v1/namespaces/{config.token}")
    config.ask("GET", f"/nothing?token={config.token}")
    config.ask("POST", f"/api/v1/namespaces/{config.token}/secrets", {"metadata": {"name": "a"}})
    seen = b"".join(
        config.ask("GET", path)[1]
        for path in ("/metrics", "/readyz?verbose", "/livez?verbose", "/version", "/")
    ).decode()
    assert server.end() == 0
    seen += server.output + "".join(server.lines)
    assert "apiserver_request_total" in seen
    assert config.token not in seen
    assert token not in seen
    assert config.client_key not in seen
    assert "PRIVATE KEY" not in seen
    assert "".join(key.splitlines()[1:-1]) not in seen
    assert JWT.search(seen) is None
