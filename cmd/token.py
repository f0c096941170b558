"""`verger token`: what a token proves, and a file that always holds a good one.

Nothing that is printed lets anybody use a token: its signature is never shown.
"""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import click
from verger.cmd.failure import Failure
from verger.cmd.remote import remote_client

if TYPE_CHECKING:
    from verger.identity.inspection import Inspection
    from verger.identity.keys import KeySet

EXIT_NOT_GOOD: Final = 1
READ_MAX: Final = 1 << 20
"""Bytes of a file that may be a token; tokens are much shorter."""


@click.group()
def token() -> None:
    """Look at tokens of service accounts, and keep files with them."""


@token.command(
    epilog="Exits with 0 when nothing speaks against the token, with 1 when something does. Without --jwks, --issuer "
    "or --kubeconfig the signature is not checked."
)
@click.argument("file", type=click.File("rb"), default="-")
@click.option(
    "--jwks",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Verify the signature with the keys of this JSON Web Key Set.",
)
@click.option(
    "--issuer",
    metavar="URL",
    default="",
    help="Verify the signature with the keys that this issuer publishes; the token has to be one of its own.",
)
@click.option(
    "--kubeconfig",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Ask the cluster of this kubeconfig (a TokenReview). Only this finds out whether the token was revoked.",
)
@click.option(
    "--certificate-authority",
    "authority",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="PEM file with the certificates that vouch for the server of --issuer. Without it, those of the machine.",
)
@click.option(
    "--audience",
    "audiences",
    metavar="NAME",
    multiple=True,
    help="For whom the token has to be. May be given several times: one of them is enough.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(("text", "json")),
    default="text",
    help="How it is said: for people, or as JSON.",
)
def inspect(
    file: IO[bytes],
    jwks: Path | None,
    issuer: str,
    kubeconfig: Path | None,
    authority: Path | None,
    audiences: tuple[str, ...],
    output: str,
) -> None:
    """Say what the token in FILE (or on standard input) proves, whether it is still good, and why not."""
    from verger.identity import inspection
    from verger.identity.tokens import NotOurs

    if sum((jwks is not None, bool(issuer), kubeconfig is not None)) > 1:
        raise Failure("--jwks, --issuer and --kubeconfig exclude each other")
    if authority is not None and not issuer:
        raise Failure("--certificate-authority goes with --issuer")
    shown, now = _token_in(file), time.time()
    try:
        keys = _keys_in(jwks) if jwks is not None else None
        if issuer:
            keys = asyncio.run(_keys_of(issuer, authority))
        found = inspection.inspect(shown, keys, audiences=audiences, issuer=issuer, now=now)
        if kubeconfig is not None:  # what is no token is not sent anywhere
            status = asyncio.run(_review(shown, audiences, kubeconfig))
            found = inspection.reviewed(shown, status, now=now)
    except NotOurs:
        click.echo("It is no token: those have three parts in base64, with points between.")
        raise SystemExit(EXIT_NOT_GOOD) from None
    for line in _said(found, now, output):
        click.echo(line)
    if found.problems:
        raise SystemExit(EXIT_NOT_GOOD)


def _said(found: "Inspection", now: float, output: str) -> Sequence[str]:
    from verger.identity.inspection import describe

    if output == "text":
        return describe(found, now)
    import json

    document = {
        "good": found.good,
        "header": found.header,
        "payload": found.payload,
        "signature": found.signature,
        "problems": found.problems,
    }
    # This library writes whatever it reads: numbers that are too large for others, and half characters.
    return [json.dumps(document, indent=2)]


def _token_in(file: IO[bytes]) -> str:
    # Whatever is no ASCII is no token, and is told so.
    return file.read(READ_MAX).decode("ascii", "replace").strip()


def _keys_in(path: Path) -> "KeySet":
    import orjson
    from verger.identity.keys import InvalidKey, KeySet, parse_jwks

    try:
        document = orjson.loads(_content(path, "--jwks"))
        return KeySet(parse_jwks(document if isinstance(document, dict) else {}))
    except (orjson.JSONDecodeError, InvalidKey):
        raise Failure(
            f"--jwks: {path} is no JSON Web Key Set with a key that verifies tokens"
        ) from None


async def _keys_of(issuer: str, authority: Path | None) -> "KeySet":
    from verger.identity.issuer_keys import DiscoveryError, discover

    trusted = _content(authority, "--certificate-authority") if authority is not None else b""
    try:
        return await discover(issuer, authority=trusted)
    except DiscoveryError as error:
        raise Failure(f"--issuer: {error}") from None


def _content(path: Path, flag: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Failure(f"{flag}: cannot read {path}: {error.strerror or error}") from None


async def _review(shown: str, audiences: Sequence[str], kubeconfig: Path) -> dict[str, object]:
    from verger.store.credentials import KubeconfigError
    from verger.store.errors import ApiError
    from verger.store.kinds import Kinds
    from verger.watch.clock import SystemClock

    spec = {"token": shown, "audiences": list(audiences)}
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
    try:
        clock = SystemClock()
        async with remote_client(kubeconfig, Kinds(()), clock, component="token-inspect") as client:
            answer = await client.post("/apis/authentication.k8s.io/v1/tokenreviews", body)
    except (ApiError, KubeconfigError) as error:
        raise Failure(f"--kubeconfig: {error}") from None
    return dict(answer.get("status") or {})


@token.command(
    epilog="It runs until SIGTERM or SIGINT, and leaves the last token where it is. A server that cannot be reached is "
    "asked again, with growing patience; until it answers, the file keeps the token that it has."
)
@click.option(
    "--account",
    metavar="NAMESPACE/NAME",
    required=True,
    help="The service account whose token it is.",
)
@click.option(
    "--audience",
    "audiences",
    metavar="NAME",
    multiple=True,
    help="For whom the token is. May be given several times. Without it, for the API server.",
)
@click.option(
    "--file",
    "path",
    metavar="PATH",
    required=True,
    type=click.Path(path_type=Path),
    help="Where the token stands: a link to a file that only its owner may read.",
)
@click.option(
    "--expiration",
    metavar="SECONDS",
    type=click.IntRange(min=600),
    default=3600,
    show_default=True,
    help="How long each token is good; it is renewed when four fifths of that are over, or after a day.",
)
@click.option(
    "--kubeconfig",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The cluster and as whom to ask it. Without it, $KUBECONFIG, ~/.kube/config, or the pod's own account.",
)
def watch(
    account: str,
    audiences: tuple[str, ...],
    path: Path,
    expiration: int,
    kubeconfig: Path | None,
) -> None:
    """Keep a file that always holds a good token, as a kubelet does for the pods of its node."""
    from verger.store.credentials import KubeconfigError

    namespace, _, name = account.partition("/")
    if not namespace or not name or "/" in name:
        raise Failure(f"--account: {account!r} is no NAMESPACE/NAME")
    spec = {"audiences": list(audiences), "expirationSeconds": expiration}
    try:
        asyncio.run(_watch(namespace, name, spec, path, kubeconfig))
    except KubeconfigError as error:
        raise Failure(str(error)) from None
    except OSError as error:
        raise Failure(f"--file: cannot write {path}: {error.strerror or error}") from None


async def _watch(
    namespace: str, name: str, spec: dict[str, object], path: Path, kubeconfig: Path | None
) -> None:
    from urllib.parse import quote

    from verger.embed.logs import make_logger
    from verger.identity.projected import Issued, ProjectedToken
    from verger.store.kinds import Kinds
    from verger.store.timestamps import parse
    from verger.watch.clock import SystemClock

    clock = SystemClock()
    where = f"/api/v1/namespaces/{quote(namespace, safe='')}/serviceaccounts/{quote(name, safe='')}"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    log = make_logger(format="console" if sys.stderr.isatty() else "json")
    async with remote_client(kubeconfig, Kinds(()), clock, component="token-watch") as client:

        async def fetch() -> Issued:
            status = (await client.post(f"{where}/token", body))["status"]
            return Issued(status["token"], parse(status["expirationTimestamp"]))

        running = asyncio.ensure_future(ProjectedToken(fetch, path, clock, log).run())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, running.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await running
        log.info("stopped")
