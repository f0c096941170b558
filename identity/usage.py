"""When a legacy token was last used: a label on its Secret, at most one write a day for each.

Requests do not wait for the label. What cannot be written is logged and forgotten: the next use tries again.

upstream: pkg/serviceaccount/legacy.go
"""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from verger.identity.validate import LAST_USED
from verger.store.client import Client
from verger.store.errors import ApiError
from verger.store.kinds import Kind
from verger.store.objects import labels_of, name_of, namespace_of, uid_of
from verger.store.timestamps import format_date
from verger.watch.clock import Clock

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

DAY: Final = 86400.0
PENDING_MAX: Final = 1024
"""Secrets that wait for their label; more are left to their next use."""


class LegacyUses:
    """Notes which legacy tokens are used."""

    def __init__(
        self, client: Client, kind: Kind, clock: Clock, log: "FilteringBoundLogger"
    ) -> None:
        self._client = client
        self._kind = kind
        self._clock = clock
        self._log = log
        self._pending: dict[str, Mapping[str, Any]] = {}
        self._wake = asyncio.Event()

    def note(self, secret: Mapping[str, Any]) -> None:
        """The token of this Secret was used now."""
        now = self._clock.time()
        # upstream: a server whose clock is ahead may have written tomorrow's date already
        if labels_of(secret).get(LAST_USED) in (format_date(now), format_date(now + DAY)):
            return
        if len(self._pending) < PENDING_MAX:
            self._pending[uid_of(secret)] = secret
            self._wake.set()

    async def run(self) -> None:
        """Writes labels until it is cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                _, secret = self._pending.popitem()
                await self._label(secret)

    async def _label(self, secret: Mapping[str, Any]) -> None:
        # The uid makes sure that it is this Secret and not a later one of the same name.
        change = {
            "metadata": {
                "uid": uid_of(secret),
                "labels": {LAST_USED: format_date(self._clock.time())},
            }
        }
        try:
            await self._client.patch(self._kind, name_of(secret), namespace_of(secret), change)
        except ApiError as error:
            self._log.warning(
                "use of a legacy token not noted",
                namespace=namespace_of(secret),
                secret=name_of(secret),
                error=str(error),
            )
