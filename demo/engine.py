"""What the faces of the demo drive: a stage, what can be done to it, and a tour. Nothing else is theirs to touch."""

from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self

from verger.demo.actions import ACTIONS, Actions
from verger.demo.frames import LANES
from verger.demo.stage import OUTAGE, Stage
from verger.demo.tour import Tour

CHANGES_MAX = 1000
"""Changes that are told at once."""


class Engine:
    """A demo that runs, started by `async with`: on screen within a second.

    Everything that it hands out can be written as JSON, and holds no token and no key.
    """

    def __init__(self, *, outage: float = OUTAGE, seed: int = 0, pace: float = 1.0) -> None:
        """`outage` is how many seconds a fault lasts, `pace` multiplies the pauses of the tour."""
        self.stage = Stage(outage=outage, seed=seed)
        self._actions = Actions(self.stage)
        self.tour = Tour(self.stage, self._actions, pace=pace)

    async def __aenter__(self) -> Self:
        await self.stage.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stage.__aexit__(exc_type, exc, traceback)

    @property
    def actions(self) -> list[dict[str, str]]:
        """What can be done, in the order in which it is offered."""
        return [action.told() for action in ACTIONS]

    @property
    def controllers(self) -> Mapping[str, str]:
        """The controllers that can be struck, and what each of them does."""
        return LANES

    async def act(self, name: str, target: str = "") -> None:
        """Does something; `target` names whom it strikes, where there is a choice. Raises Refused."""
        await self._actions.act(name, target)

    def frame(self) -> dict[str, Any]:
        """Both sides as they are now."""
        return self.stage.frame()

    def frames(self) -> AsyncIterator[dict[str, Any]]:
        """A frame at once, and one after each change, 20 in a second at most; who is slow misses some."""
        return self.stage.frames()

    def timeline(self, side: str, *, after: int = 0, limit: int = 200) -> Mapping[str, Any]:
        """The newest changes of a side (`ours`, `twin`) above a revision. Raises Refused."""
        return self.stage.side(side).timeline(after, min(max(limit, 1), CHANGES_MAX))

    def at(self, side: str, revision: int, *, limit: int = 50) -> list[dict[str, Any]]:
        """The namespaces of a side as they were at a revision, those that had changed last. Raises Refused."""
        views = self.stage.side(side).at(revision, min(max(limit, 1), CHANGES_MAX))
        return [view.told() for view in views]

    def difference(self, side: str, one: int, other: int) -> list[dict[str, Any]]:
        """What is different at one revision of a side from what was at another. Raises Refused."""
        return [
            {
                "resource": found.resource,
                "key": found.key,
                "type": found.type,
                "fields": [field._asdict() for field in found.fields],
            }
            for found in self.stage.side(side).difference(one, other)
        ]

    def why(
        self, side: str, resource: str, key: str, revision: int | None = None
    ) -> list[dict[str, Any]]:
        """Why an object is there, the last link first; empty when it is not known. Raises Refused."""
        return self.stage.side(side).why(resource, key, revision)
