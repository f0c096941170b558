"""Credentials from a program that a kubeconfig names: run when they are needed, kept until they expire.

The program is run directly, never by a shell; what it says on standard error goes to ours. What it prints is a secret
and stands in no message.

spec: client.authentication.k8s.io/v1 and v1beta1, ExecCredential
"""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

import orjson
from verger.store.credentials import (
    ClientCertificate,
    Credential,
    KubeconfigError,
    bearer,
)
from verger.store.throttle import Deadline
from verger.store.timestamps import parse
from verger.watch.clock import Clock

GROUP: Final = "client.authentication.k8s.io"
VERSIONS: Final = (f"{GROUP}/v1", f"{GROUP}/v1beta1")
InteractiveMode = Literal["Never", "IfAvailable", "Always"]
RUN_MAX: Final = 60.0
"""Seconds that a program may take that asks nobody."""
REFUSED_AGE: Final = 10.0
"""Seconds during which a program is believed even when the server is not convinced: it would say the same again."""
_OUTPUT_MAX: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """The program, and how to run it."""

    where: str
    """The entry that names it, for errors."""
    command: str
    arguments: tuple[str, ...] = field(default=(), repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The whole environment of the program."""
    api_version: str
    interactive: InteractiveMode
    cluster: Mapping[str, Any] | None = field(default=None, repr=False)
    """What it is told about the cluster, None when it wants to know nothing."""
    install_hint: str = ""


class _Issued(NamedTuple):
    credential: Credential
    at: float
    """When it was issued, on the monotonic clock."""
    expires: float | None
    """Seconds since the epoch."""


class ExecCredentials:
    """Runs the program once at a time, for all who wait."""

    def __init__(self, plugin: Plugin, clock: Clock) -> None:
        self._plugin = plugin
        self._clock = clock
        self._issued: _Issued | None = None
        self._running = asyncio.Lock()

    async def current(self) -> Credential:
        """What the program last said, or says now. Raises KubeconfigError."""
        issued = self._issued
        if issued is None or self._is_over(issued):
            async with self._running:
                issued = self._issued
                if issued is None or self._is_over(issued):
                    issued = self._issued = await self._run()
        return issued.credential

    def refused(self, credential: Credential) -> bool:
        """Forgets what was said, unless that was just now."""
        issued = self._issued
        if issued is None or issued.credential is not credential:
            return True
        if self._clock.monotonic() - issued.at < REFUSED_AGE:
            return False
        self._issued = None
        return True

    def _is_over(self, issued: _Issued) -> bool:
        return issued.expires is not None and self._clock.time() >= issued.expires

    async def _run(self) -> _Issued:
        plugin = self._plugin
        interactive = plugin.interactive != "Never" and _has_terminal()
        if plugin.interactive == "Always" and not interactive:
            raise KubeconfigError(
                f"{plugin.where}: {plugin.command} has to ask somebody (interactiveMode: Always), and there is no "
                "terminal; use credentials that need nobody"
            )
        output = await self._output(interactive=interactive)
        at = self._clock.monotonic()
        try:
            answer = orjson.loads(output)
        except orjson.JSONDecodeError:
            raise self._wrong("printed no JSON") from None
        if not isinstance(answer, dict) or answer.get("kind") != "ExecCredential":
            raise self._wrong("printed no ExecCredential")
        if answer.get("apiVersion") != plugin.api_version:
            raise self._wrong(
                f"printed an ExecCredential of another apiVersion than {plugin.api_version}"
            )
        return self._issue(answer.get("status"), at)

    def _issue(self, status: Any, at: float) -> _Issued:
        fields = {} if not isinstance(status, dict) else status
        for name in ("token", "clientCertificateData", "clientKeyData", "expirationTimestamp"):
            if not isinstance(fields.get(name) or "", str):
                raise self._wrong(f"printed a status.{name} that is no text")
        certificate, key = fields.get("clientCertificateData"), fields.get("clientKeyData")
        if bool(certificate) != bool(key):
            raise self._wrong("printed a certificate or a key without the other")
        token = fields.get("token")
        if not token and not certificate:
            raise self._wrong("printed a status without token and certificate")
        expires = None
        if timestamp := fields.get("expirationTimestamp"):
            try:
                expires = parse(timestamp)
            except ValueError:
                raise self._wrong("printed an expirationTimestamp that is no time") from None
        authorization = bearer(token, f"the token of {self._plugin.command}") if token else ""
        pair = (
            ClientCertificate(certificate.encode(), key.encode()) if certificate and key else None
        )
        return _Issued(Credential(authorization, pair), at, expires)

    async def _output(self, *, interactive: bool) -> bytes:
        plugin = self._plugin
        spec: dict[str, Any] = {"interactive": interactive}
        if plugin.cluster is not None:
            spec["cluster"] = plugin.cluster
        info = {"kind": "ExecCredential", "apiVersion": plugin.api_version, "spec": spec}
        environment = {**plugin.environment, "KUBERNETES_EXEC_INFO": orjson.dumps(info).decode()}
        try:
            process = await asyncio.create_subprocess_exec(
                plugin.command,
                *plugin.arguments,
                stdin=None if interactive else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                env=environment,
            )
        except FileNotFoundError:
            hint = f"\n{plugin.install_hint}" if plugin.install_hint else ""
            raise KubeconfigError(
                f"{plugin.where}: there is no program {plugin.command}; it has to be installed to get credentials{hint}"
            ) from None
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "its arguments cannot be passed on"
            raise self._wrong(f"cannot be run: {why}") from None
        try:
            # Somebody who is asked may think for a while.
            with Deadline(self._clock, None if interactive else RUN_MAX):
                output = await self._read(process)
                code = await process.wait()
        except TimeoutError:
            raise self._wrong(f"has not ended after {RUN_MAX:.0f} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if code:
            raise self._wrong(f"failed with exit code {code}; what it said is on standard error")
        return output

    async def _read(self, process: asyncio.subprocess.Process) -> bytes:
        if process.stdout is None:
            return b""
        output = b""
        while chunk := await process.stdout.read(_OUTPUT_MAX):
            output += chunk
            if len(output) > _OUTPUT_MAX:
                raise self._wrong("printed far more than an ExecCredential")
        return output

    def _wrong(self, what: str) -> KubeconfigError:
        return KubeconfigError(f"{self._plugin.where}: {self._plugin.command} {what}")


def _has_terminal() -> bool:
    """Whether there is somebody who could be asked."""
    try:
        return os.isatty(0)
    except OSError:
        return False
