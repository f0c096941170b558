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
    reconcile: str
    """Names this attempt and no other, anywhere."""
    revision: int
    """The newest one that the controller had heard of when it began; 0 when it had not heard of any."""

    def facts(self) -> Mapping[str, str | int]:
        """The same, as those who read logs want it."""
        return {**self._asdict(), "key": str(self.key)}


CURRENT: Final[ContextVar[Attempt | None]] = ContextVar("verger_attempt", default=None)
"""That of the running task."""


def new_name() -> str:
    """A name for an attempt: 64 bits of chance."""
    return f"{CHANCE.getrandbits(64):016x}"
