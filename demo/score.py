"""The scoreboard: every fault that was let loose, how long ours took to get over it, and what the twin was left with."""

from collections import deque
from dataclasses import dataclass
from typing import Any, Final

KEPT: Final = 40
"""Faults that are listed; all are counted."""


@dataclass(slots=True, eq=False)
class Fault:
    """One fault that has struck both sides."""

    number: int
    action: str
    what: str
    """In words, with the names of what was struck."""
    began: float
    """Seconds of the machine's clock, as all times here."""
    over: float | None = None
    """When there was nothing left of the fault itself."""
    healed: float | None = None
    """When ours was as it should be again."""
    left: int | None = None
    """Things wrong with the twin at that time."""

    def told(self, now: float) -> dict[str, Any]:
        """For a frame: durations in seconds."""
        lasted = (self.over if self.over is not None else now) - self.began
        after = None
        if self.healed is not None and self.over is not None:
            after = round(max(0.0, self.healed - self.over), 3)
        return {
            "number": self.number,
            "action": self.action,
            "what": self.what,
            "lasted": round(lasted, 3),
            "over": self.over is not None,
            "healed": self.healed is not None,
            "healed_in": after,
            "twin_wrong": self.left,
        }


class Scoreboard:
    """What has been done to both sides, and what became of it."""

    def __init__(self) -> None:
        self._faults: deque[Fault] = deque(maxlen=KEPT)
        self.count = 0
        self.healed = 0
        self._total = 0.0
        self._longest = 0.0

    def began(self, action: str, what: str, now: float) -> Fault:
        """Notes a fault."""
        self.count += 1
        fault = Fault(self.count, action, what, now)
        self._faults.append(fault)
        return fault

    @property
    def open(self) -> list[Fault]:
        """Faults that ours has not got over yet."""
        return [fault for fault in self._faults if fault.healed is None]

    def all_is_well(self, since: float, twin_wrong: int) -> None:
        """Ours has been as it should be since then: it has got over every fault that is over."""
        for fault in self.open:
            if fault.over is None:
                continue
            fault.healed = max(since, fault.over)
            fault.left = twin_wrong
            self.healed += 1
            took = fault.healed - fault.over
            self._total += took
            self._longest = max(self._longest, took)

    def told(self, now: float) -> dict[str, Any]:
        """For a frame."""
        return {
            "faults": self.count,
            "healed": self.healed,
            "mean_seconds": round(self._total / self.healed, 3) if self.healed else None,
            "longest_seconds": round(self._longest, 3) if self.healed else None,
            "log": [fault.told(now) for fault in self._faults],
        }
