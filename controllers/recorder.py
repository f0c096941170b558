"""Events on the objects where a user would look for the reason.

The same event on the same object is counted, not repeated. An event that cannot be written is no failure of the work
that it tells of.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from verger.store.client import Client
from verger.store.errors import ApiError, NotFound
from verger.store.kinds import Kind
from verger.store.objects import meta, name_of, namespace_of, uid_of
from verger.store.timestamps import format_time
from verger.watch.clock import Clock

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

_REMEMBERED: Final = 1024
"""Events whose count goes up instead of being written again."""
_MESSAGE_MAX: Final = 1024
_NAME_KEPT: Final = 236
"""Characters of an object's name in that of its event, so that with a dot and the time there are no more than 253."""


class Recorder:
    """Writes the events of one component."""

    def __init__(
        self,
        client: Client,
        events: Kind,
        clock: Clock,
        log: "FilteringBoundLogger",
        *,
        component: str,
    ) -> None:
        self._client = client
        self._events = events
        self._clock = clock
        self._log = log
        self._component = component
        self._known: OrderedDict[tuple[str, ...], tuple[str, int]] = OrderedDict()

    async def record(
        self,
        kind: Kind,
        obj: Mapping[str, Any],
        type_: Literal["Normal", "Warning"],
        reason: str,
        message: str,
    ) -> None:
        """Tells something about an object."""
        # Events of cluster-scoped objects live in `default`.
        namespace = namespace_of(obj) or "default"
        message = message[:_MESSAGE_MAX]
        identity = (kind.resource, namespace, name_of(obj), uid_of(obj), type_, reason, message)
        now = format_time(self._clock.time())
        known = self._known.get(identity)
        try:
            if known is not None:
                name, count = known
                self._known[identity] = (name, count + 1)
                self._known.move_to_end(identity)
                patch = {"count": count + 1, "lastTimestamp": now}
                try:
                    await self._client.patch(self._events, name, namespace, patch, type="strategic")
                    return
                except NotFound:
                    pass  # it has expired: tell it anew
            # upstream: the object's name and the time, in nanoseconds and hexadecimal
            name = f"{name_of(obj)[:_NAME_KEPT]}.{int(self._clock.time() * 1e9):x}"
            await self._client.create(
                self._events,
                {
                    "metadata": {"name": name, "namespace": namespace},
                    "involvedObject": {
                        "kind": kind.kind,
                        "namespace": namespace_of(obj),
                        "name": name_of(obj),
                        "uid": uid_of(obj),
                        "apiVersion": kind.api_version,
                        "resourceVersion": str(meta(obj).get("resourceVersion") or ""),
                    },
                    "reason": reason,
                    "message": message,
                    "source": {"component": self._component},
                    "firstTimestamp": now,
                    "lastTimestamp": now,
                    "count": 1,
                    "type": type_,
                },
            )
            self._known[identity] = (name, 1)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        except ApiError as error:
            self._log.debug("event not recorded", reason=reason, error=str(error))
