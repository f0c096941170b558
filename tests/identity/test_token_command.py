"""`verger token`: what it says of a token, and the file that it keeps."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from verger.cmd.main import main
from verger.embed import ControlPlane
from verger.identity.signing import SigningKey
from verger.identity.tokens import legacy_claims, payload_of

from tests.identity.https import DEADLINE, Api, served
from tests.identity.world import API, ISSUER, NODE, POD, SECRET, claims, part, ring, signed

COMMAND = str(Path(sys.executable).with_name("verger"))
KEY = SigningKey.generate()


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with served(ControlPlane()) as api:
        api.create("/api/v1/namespaces", {"metadata": {"name": "ns"}})
        api.create("/api/v1/namespaces/ns/serviceaccounts", {"metadata": {"name": "sa"}})
        yield api


@pytest.fixture
def jwks(tmp_path: Path) -> str:
    """The name of a file with the key that signs here."""
    path = tmp_path / "jwks"
    path.write_text(json.dumps(ring(KEY).jwks()))
    return str(path)


def inspect(token: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["token", "inspect", *arguments], input=token)


async def fresh(**changes: Any) -> str:
    """A token that was issued now."""
    now = int(time.time())
    return await KEY.sign(claims(now=now, expires=now + 3600, **changes))


def facts(text: str) -> dict[str, str]:
    """The lines that say one thing each."""
    lines = [line.strip() for line in text.splitlines() if line.startswith("  ")]
    return {title: value for title, _, value in (line.partition("  ") for line in lines)}


async def test_good_token(jwks: str) -> None:
    """Whose it is, who issued it, for whom, until when, what it dies with, and that it is good."""
    done = inspect(await fresh(), "--jwks", jwks)
    assert done.exit_code == 0
    first, *_, last = done.output.splitlines()
    assert first == "A token of service account ns/sa, issued on request."
    assert last == "Good, as long as what it dies with is there."
    found = {title: value.strip() for title, value in facts(done.output).items()}
    assert list(found) == [
        "issued by",
        "for",
        "issued",
        "expires",
        "dies with",
        "its id",
        "signature",
    ]
    assert found["issued by"] == ISSUER
    assert found["for"] == API
    assert found["expires"].endswith(("in 59 minutes", "in 1 hour"))
    assert found["dies with"] == "its account"
    assert found["signature"] == f"good: ES256 by key {KEY.kid}"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"pod": POD}, "its account, and Pod pod", id="a pod"),
        pytest.param(
            {"pod": POD, "node": NODE},
            "its account, and Pod pod (issued to Node node)",
            id="a pod on a node",
        ),
        pytest.param({"node": NODE}, "its account, and Node node", id="a node"),
        pytest.param({"secret": SECRET}, "its account, and Secret secret", id="a Secret"),
    ],
)
async def test_what_it_dies_with(changes: dict[str, Any], words: str) -> None:
    """The objects that a token names, in words."""
    assert f"  {words}\n" in inspect(await fresh(**changes)).output


async def test_legacy_token(jwks: str) -> None:
    """A token out of a Secret never expires, and says in which one it lives."""
    token = await KEY.sign(legacy_claims("ns", "sa", "uid", "sa-token"))
    done = inspect(token, "--jwks", jwks)
    assert done.exit_code == 0
    assert done.output.startswith("A token of service account ns/sa, kept in a Secret.\n")
    assert "expires    never" in done.output
    assert "its account, and Secret sa-token" in done.output
    assert "Good, as long as its Secret and its account are there." in done.output


async def test_without_a_key_nothing_is_said_of_the_signature() -> None:
    """What anybody could have written is shown as what it says, and not called good."""
    done = inspect(await SigningKey.generate().sign(claims(expires=2**32)))
    assert done.exit_code == 0
    assert "signature  not checked" in done.output
    assert "Whether it is good is not known" in done.output


@pytest.mark.parametrize(
    ("payload", "arguments", "problem"),
    [
        pytest.param({"exp": 1_700_000_000}, [], "service account token has expired", id="expired"),
        pytest.param(
            {"nbf": 2**32}, [], "service account token is not valid yet", id="not valid yet"
        ),
        pytest.param(
            {"iat": 2**32},
            [],
            "service account token is issued in the future",
            id="from the future",
        ),
        pytest.param(
            {},
            ["--audience", "vault"],
            f'token audiences ["{API}"] is invalid for the target audiences ["vault"]',
            id="for somebody else",
        ),
        pytest.param({"sub": "me"}, [], "sub claim is invalid", id="another subject"),
        pytest.param({"iss": 5}, [], "it names no issuer", id="no issuer"),
    ],
)
async def test_problems(
    jwks: str, payload: dict[str, Any], arguments: list[str], problem: str
) -> None:
    """Why a token is not good, in the server's words, and by the exit code."""
    token = await KEY.sign({**payload_of(await fresh()), **payload})
    done = inspect(token, "--jwks", jwks, *arguments)
    assert done.exit_code == 1
    assert done.output.splitlines()[-1] == f"Not good: {problem}."


async def test_forgery(jwks: str) -> None:
    """A stranger's signature is not good, whoever the stranger says that he is."""
    token = await SigningKey.generate().sign(claims())
    done = inspect(token, "--jwks", jwks)
    assert done.exit_code == 1
    assert "Not good: invalid signature, no keys found." in done.output
    assert "signature  not good" in done.output


@pytest.mark.parametrize("text", ["", "scribble", "a.b.c", "\xff\xfe", "x" * 100_000, "."])
def test_no_token(text: str) -> None:
    """What is no token at all is told so, in one line, and shown nowhere."""
    done = inspect(text)
    assert done.exit_code == 1
    assert done.output == "It is no token: those have three parts in base64, with points between.\n"


@pytest.mark.parametrize("output", ["text", "json"])
async def test_signature_is_never_shown(jwks: str, output: str) -> None:
    """Nobody can use what is printed, whether the token is good or not."""
    for token in (await fresh(), await KEY.sign(claims(expires=1)), await KEY.sign({"iss": 5})):
        for arguments in ([], ["--jwks", jwks]):
            done = inspect(token, "-o", output, *arguments)
            signature = token.rpartition(".")[2]
            assert signature[:20] not in done.output
            assert token[:40] not in done.output


async def test_json(jwks: str) -> None:
    """The same for programs."""
    token = await fresh()
    found = json.loads(inspect(token, "--jwks", jwks, "-o", "json").output)
    assert found["good"] is True
    assert found["header"] == {"alg": "ES256", "kid": KEY.kid}
    assert found["payload"] == payload_of(token)
    assert found["problems"] == []
    bad = inspect(await KEY.sign(claims()), "--jwks", jwks, "-o", "json")
    assert bad.exit_code == 1
    assert json.loads(bad.output)["good"] is False


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param({"sub": "\x1b[2J\x1b]0;x\x07"}, id="what clears a terminal"),
        pytest.param({"jti": "a\nGood, as long as it lasts."}, id="a line of its own"),
        pytest.param({"aud": ["\u202eevil", {"a": 1}]}, id="text that runs backwards"),
        pytest.param({"iss": {"\x07": 1}}, id="a bell"),
    ],
)
def test_strangers_do_not_write_to_the_terminal(payload: dict[str, Any]) -> None:
    """Claims are shown as text, whatever characters they hold."""
    done = inspect(signed(KEY, {"alg": "ES256", "kid": "\x1b"}, payload))
    lines = done.output.splitlines()
    assert all(char.isprintable() for line in lines for char in line)
    assert not any(line.startswith("Good") for line in lines)


@pytest.mark.parametrize(
    "payload",
    [
        b'{"exp": 1e999}',
        b'{"exp": NaN}',
        b'{"exp": true, "nbf": -1e999}',
        b'{"exp": 99999999999999999999999999}',
        b'{"iat": "x", "kubernetes.io": {"warnafter": 1e300, "pod": 5}}',
        b'{"aud": {"a": 1}, "kubernetes.io": [1]}',
        b'{"sub": "\\ud800"}',
    ],
)
@pytest.mark.parametrize("output", ["text", "json"])
def test_odd_claims(payload: bytes, output: str, jwks: str) -> None:
    """Nothing that a stranger can write makes it fail."""
    token = signed(KEY, {"alg": "ES256", "kid": KEY.kid}, payload)
    for arguments in ([], ["--jwks", jwks]):
        done = inspect(token, "-o", output, *arguments)
        assert done.exit_code in (0, 1)
        assert done.exception is None or isinstance(done.exception, SystemExit)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--jwks", "gone"], "--jwks: cannot read gone: No such file", id="no keys"),
        pytest.param(
            ["--jwks", "x", "--issuer", "https://i"],
            "--jwks, --issuer and --kubeconfig exclude each other",
            id="two ways",
        ),
        pytest.param(
            ["--issuer", "http://i"],
            "--issuer: issuer URL must use https scheme, got: http://i",
            id="an issuer without TLS",
        ),
        pytest.param(
            ["--certificate-authority", "x"],
            "--certificate-authority goes with --issuer",
            id="trust in nobody",
        ),
        pytest.param(
            ["--kubeconfig", "gone"], "--kubeconfig: there is no kubeconfig gone", id="no cluster"
        ),
    ],
)
def test_usage(arguments: list[str], message: str, tmp_path: Path) -> None:
    """What the user can mend is told in one line, with the flag that it is about."""
    done = inspect(f"{part({})}.{part({})}.x", *arguments)
    assert done.exit_code == 2
    assert done.output.startswith(f"verger: {message}")
    assert "Traceback" not in done.output


def test_jwks_that_is_none(tmp_path: Path) -> None:
    """A file that holds no keys is told of by its name, and none of it is shown."""
    path = tmp_path / "keys"
    for content in (b"secret", b"[]", b"{}", b'{"keys": [{"kty": "oct", "k": "secret"}]}', b"\xff"):
        path.write_bytes(content)
        done = inspect("a.b.c", "--jwks", str(path))
        assert done.exit_code == 2
        assert "is no JSON Web Key Set" in done.output
        assert "secret" not in done.output


# With a cluster


def test_cluster_knows_what_was_revoked(api: Api) -> None:
    """Only the server knows that a token is good no more; asked for an audience, it answers for that."""
    kubeconfig = ["--kubeconfig", str(api.plane.kubeconfig)]
    path = "/api/v1/namespaces/ns/serviceaccounts"
    api.create(path, {"metadata": {"name": "short"}})
    token = api.token("ns", "short")
    done = inspect(token, *kubeconfig)
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1] == (
        "Good: the server takes it, and whoever shows it for system:serviceaccount:ns:short."
    )
    assert "signature  good, says the server" in done.output
    other = inspect(token, *kubeconfig, "--audience", "vault")
    assert other.exit_code == 1
    assert 'is invalid for the target audiences ["vault"]' in other.output
    api.does("DELETE", f"{path}/short")
    gone = inspect(token, *kubeconfig)
    assert gone.exit_code == 1
    assert gone.output.splitlines()[-1] == 'Not good: serviceaccounts "short" not found.'
    forged = inspect(token[:-4], *kubeconfig)
    assert forged.output.splitlines()[-1] == "Not good: invalid signature."


def test_process_reads_standard_input(api: Api) -> None:
    """The command as it is installed: a token comes through a pipe, and its signature does not come out."""
    token = api.token("ns", "sa")
    done = subprocess.run(
        [COMMAND, "token", "inspect", "-", "--kubeconfig", str(api.plane.kubeconfig)],
        input=f"{token}\n",
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("A token of service account ns/sa, issued on request.\n")
    assert token.rpartition(".")[2][:20] not in done.stdout


def test_process_keeps_a_file(api: Api, tmp_path: Path) -> None:
    """`verger token watch` writes a good token for its owner alone, says so, and ends when it is told to."""
    path = tmp_path / "tokens" / "token"
    arguments = ["--account", "ns/sa", "--audience", "vault", "--file", str(path)]
    with subprocess.Popen(
        [COMMAND, "token", "watch", *arguments],
        env={**os.environ, "KUBECONFIG": str(api.plane.kubeconfig)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        line = json.loads(process.stderr.readline())
        assert (line["event"], line["life"] > 3500) == ("token written", True)
        token = path.read_text()
        assert path.stat().st_mode & 0o777 == 0o600
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
        assert process.wait(DEADLINE) == 0
    assert json.loads(rest)["event"] == "stopped"
    assert path.read_text() == token
    assert api.review(token, "vault")["user"]["username"] == "system:serviceaccount:ns:sa"
    assert token.rpartition(".")[2][:20] not in rest + json.dumps(line)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            ["--account", "sa"], "--account: 'sa' is no NAMESPACE/NAME", id="no namespace"
        ),
        pytest.param(["--account", "a/b/c"], "--account: 'a/b/c' is no", id="three parts"),
        pytest.param(
            ["--account", "a/b", "--kubeconfig", "gone"],
            "there is no kubeconfig gone",
            id="no cluster",
        ),
    ],
)
def test_watch_usage(arguments: list[str], message: str, tmp_path: Path) -> None:
    """What is wrong from the beginning ends it at once."""
    command = ["token", "watch", "--file", str(tmp_path / "token"), *arguments]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 2
    assert done.output.startswith(f"verger: {message}")


def test_file_that_cannot_be_written(api: Api, tmp_path: Path) -> None:
    """A path that no file can be at ends it, with the path and the reason."""
    (tmp_path / "file").write_text("")
    command = ["token", "watch", "--account", "ns/sa", "--file", str(tmp_path / "file" / "token")]
    done = CliRunner().invoke(main, [*command, "--kubeconfig", str(api.plane.kubeconfig)])
    assert done.exit_code == 2
    assert "--file: cannot write" in done.output
