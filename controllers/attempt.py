"""What a task works on, for whoever writes down what it does: log lines, spans.

It goes with the task, through everything that it calls, and is gone when the work is.
"""

from collections.abc import Hashable, Mapping
from contextvars import ContextVar
from typing import Final, NamedTuple

from verger.watch.chance import CHANCE


class Attempt(NamedTuple):
    """One try at one key."""

    controller: str
    key: Hashable
    number: int
    """Names this attempt and no other, anywhere: 64 bits of chance."""
    revision: int
    """The newest one that the controller had heard of when it began; 0 when it had not heard of any."""

    def facts(self) -> Mapping[str, str | int]:
        """The same, as those who read logs want it."""
        return {
            "controller": self.controller,
            "key": str(self.key),
            "reconcile": f"{self.number:016x}",
            "revision": self.revision,
        }


CURRENT: Final[ContextVar[Attempt | None]] = ContextVar("verger_attempt", default=None)
"""That of the running task."""


def begun(controller: str, key: Hashable, revision: int) -> Attempt:
    """A new one."""
    return Attempt(controller, key, CHANCE.getrandbits(64), revision)
