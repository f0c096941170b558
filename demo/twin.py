"""THE COUNTER-EXAMPLE: a controller that reacts to events and trusts them. Do not write controllers like this one.

It does the same work as the controllers of service accounts and tokens, and does it right as long as every event
reaches it once and every write succeeds: a namespace that is added gets its account and the account its token, an
account or a token that is deleted is made again. It is no straw man: this is how most scripts around a watch are
written. What it lacks is what makes a controller one:

- it looks at what an event says, never at what is there;
- when it begins, or its watch breaks, it goes on from now: what happened before or meanwhile it never learns;
- a write that fails is noted and forgotten: no event will bring it back;
- what it does not expect to happen (somebody scribbles over a token) it does not see.
"""

import asyncio
import base64
import contextlib
from collections.abc import Mapping
from typing import Any, Final

from verger.controllers.origins import Cause, Origins
from verger.identity.signing import SigningKey
from verger.identity.tokens import legacy_claims
from verger.store.client import Client
from verger.store.errors import ApiError, NotFound
from verger.store.kinds import Kind, Kinds
from verger.store.objects import generate_name, name_of, namespace_of, uid_of
from verger.store.rules.configuration import ACCOUNT_NAME, ACCOUNT_UID, TOKEN_SECRET
from verger.watch.clock import Clock
from verger.watch.event import Event, EventType, Expired, StreamEnded

NAME: Final = "edge-triggered twin"
ACCOUNT: Final = "default"
RECONNECT: Final = 0.2
"""Seconds between two attempts to open a watch that fail."""
_REACTS_TO: Final = ("Namespace", "ServiceAccount", "Secret")
Object = Mapping[str, Any]


class EdgeTriggered:
    """One run of it: what it knows, it knows from events since it was started."""

    def __init__(
        self, client: Client, kinds: Kinds, key: SigningKey, ca: str, clock: Clock, origins: Origins
    ) -> None:
        self._client = client
        self._kinds = kinds
        self._key = key
        self._ca = ca
        self._clock = clock
        self._origins = origins
        self._tokens: dict[str, str] = {}
        """namespace -> the Secret that it has made there"""
        self._following = asyncio.Semaphore(0)
        self.handled = 0
        """Events that it has done something about."""
        self.lost = 0
        """Writes that failed, and that nobody will repeat."""
        self.error = ""
        """The last failure."""

    async def run(self) -> None:
        """Follows what it reacts to until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for name in _REACTS_TO:
                group.create_task(self._follow(self._kinds.core(name)))

    async def listening(self) -> None:
        """Returns when it hears of everything that happens from then on. To be called once."""
        for _ in _REACTS_TO:
            await self._following.acquire()

    async def _follow(self, kind: Kind) -> None:
        while True:
            try:
                # The list is thrown away: only its revision is wanted, to watch from now on.
                now = (await self._client.list(kind, fields="metadata.name=-")).revision
                stream = await self._client.watch(kind, after=now)
                self._following.release()
                try:
                    while True:
                        for event in await stream.read():
                            if isinstance(event, Event):
                                await self._handle(kind, event)
                finally:
                    stream.close()
            except (Expired, StreamEnded) as error:
                self.error = f"watch of {kind.resource}: {error}"
            except ApiError as error:
                self.error = f"watch of {kind.resource}: {error}"
                await self._clock.sleep(RECONNECT)

    async def _handle(self, kind: Kind, event: Event[Object]) -> None:
        match kind.kind, event.type:
            case "Namespace", EventType.ADDED:
                work = self._make_account(name_of(event.object))
            case "ServiceAccount", EventType.DELETED if name_of(event.object) == ACCOUNT:
                work = self._make_account_again(namespace_of(event.object))
            case "Secret", EventType.DELETED if self._is_mine(event.object):
                work = self._make_token_again(namespace_of(event.object))
            case _:
                return
        cause = Cause(event.type.value, kind.resource, event.key, event.revision)
        with self._origins.working(NAME, event.key, causes=(cause,)) as done:
            self.handled += 1
            try:
                await work
            except ApiError as error:
                self.lost += 1
                self.error = f"{event.key}: {error}"
                done.outcome = "given up"
            else:
                done.outcome = "done"

    def _is_mine(self, secret: Object) -> bool:
        return self._tokens.get(namespace_of(secret)) == name_of(secret)

    async def _make_account(self, namespace: str) -> None:
        account = await self._client.create(
            self._kinds.core("ServiceAccount"),
            {"metadata": {"name": ACCOUNT, "namespace": namespace}},
        )
        await self._make_token(account)

    async def _make_account_again(self, namespace: str) -> None:
        if (old := self._tokens.pop(namespace, None)) is not None:
            with contextlib.suppress(NotFound):
                await self._client.delete(self._kinds.core("Secret"), old, namespace)
        await self._make_account(namespace)

    async def _make_token_again(self, namespace: str) -> None:
        account = await self._client.get(self._kinds.core("ServiceAccount"), ACCOUNT, namespace)
        await self._make_token(account)

    async def _make_token(self, account: Object) -> None:
        namespace, name = namespace_of(account), generate_name(f"{ACCOUNT}-token-")
        claims = legacy_claims(namespace, ACCOUNT, uid_of(account), name)
        data = {
            "token": await self._key.sign(claims),
            "namespace": namespace,
            "ca.crt": self._ca,
        }
        await self._client.create(
            self._kinds.core("Secret"),
            {
                "metadata": {
                    "name": name,
                    "namespace": namespace,
                    "annotations": {ACCOUNT_NAME: ACCOUNT, ACCOUNT_UID: uid_of(account)},
                },
                "type": TOKEN_SECRET,
                "data": {
                    key: base64.b64encode(text.encode()).decode() for key, text in data.items()
                },
            },
        )
        self._tokens[namespace] = name
        kept = [entry for entry in account.get("secrets") or () if entry.get("name") != name]
        await self._client.update(
            self._kinds.core("ServiceAccount"), {**account, "secrets": [*kept, {"name": name}]}
        )
