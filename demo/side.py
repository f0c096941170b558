"""One side of the screen: a plane, what has happened in it, and what of it is wrong now."""

import heapq
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

import aiohttp
from verger.controllers.origins import Work
from verger.demo.history import SHOWN, Difference, Entry, History
from verger.demo.judging import NamespaceView, judge
from verger.demo.verifying import Verifier
from verger.embed.plane import SYSTEM_NAMESPACES, ControlPlane
from verger.store.objects import revision_of

LOOK_MAX: Final = 0.02
"""Seconds of the processor for which namespaces are looked at in one go; what is left waits for the next frame."""
CHAIN_MAX: Final = 12


class Side:
    """What is seen of one plane. It looks at the store, and at nothing that a controller says.

    The namespaces of the system are left out: they were there before the demo.
    """

    def __init__(
        self, plane: ControlPlane, session: aiohttp.ClientSession, changed: Callable[[], None]
    ) -> None:
        self.plane = plane
        self.verifier = Verifier(plane, session)
        self._changed = changed
        self._stale: dict[str, None] = {}
        """Namespaces that have to be looked at, in the order in which they have changed."""
        self.namespaces: OrderedDict[str, NamespaceView] = OrderedDict()
        """By name, the one that has changed last at the end."""
        self._wrong: dict[str, int] = {}
        self.last_change = time.monotonic()
        """When something that is shown has changed last, in seconds of the machine's clock."""
        self.history = History(plane, self._note)

    async def open(self) -> None:
        """Looks at what is there."""
        await self.history.load(self.plane)
        await self.verifier.fetch()
        self.look(all_of_it=True)

    def close(self) -> None:
        """Sees nothing any more."""
        self.history.close()

    def _note(self, namespace: str) -> None:
        if namespace and namespace not in SYSTEM_NAMESPACES:
            self._stale[namespace] = None
            self.last_change = time.monotonic()
        self._changed()

    async def fetch_keys(self) -> None:
        """Asks for the public keys, and looks at every token anew when they are others."""
        before = self.verifier.kids
        await self.verifier.fetch()
        if self.verifier.kids != before:
            self._stale.update(dict.fromkeys(self.namespaces))
            self._changed()

    def look(self, *, all_of_it: bool = False) -> None:
        """Looks at namespaces that have changed, for as long as that may take unless at all of them."""
        until = time.thread_time() + LOOK_MAX
        while self._stale and (all_of_it or time.thread_time() < until):
            name = next(iter(self._stale))
            del self._stale[name]
            objects = self.history.world.objects.get(name, {})
            view = judge(name, objects, self.verifier, self.history.counted, live=True)
            self._wrong.pop(name, None)
            if view is None:
                self.namespaces.pop(name, None)
                continue
            self.namespaces[name] = view
            self.namespaces.move_to_end(name)
            if view.wrong:
                self._wrong[name] = len(view.wrong)

    @property
    def looked(self) -> bool:
        """Whether everything that has changed has been looked at."""
        return not self._stale

    @property
    def wrong(self) -> int:
        """How many things are wrong, as far as they were looked at."""
        return sum(self._wrong.values())

    @property
    def wrong_namespaces(self) -> list[str]:
        """In which namespaces something is wrong."""
        return list(self._wrong)

    # For whoever wants to know more

    def at(self, revision: int, limit: int) -> list[NamespaceView]:
        """Namespaces as they were at a revision, those that had changed last, in the order in which they were made.

        Signatures are judged by what is known of them.
        """
        there = self.history.at(revision).objects
        chosen = heapq.nlargest(
            limit,
            (item for item in there.items() if item[0] not in SYSTEM_NAMESPACES),
            key=lambda item: max(int(revision_of(obj)) for obj in item[1].values()),
        )
        views = (
            judge(name, objects, self.verifier, self.history.counted, live=False)
            for name, objects in chosen
        )
        return sorted((view for view in views if view is not None), key=lambda v: v.revision)

    def difference(self, one: int, other: int) -> list[Difference]:
        """What is different at one revision from what was at another."""
        return self.history.differences(one, other)

    def by(self, revision: int) -> str:
        """Who has written a revision."""
        work = self.plane.origins.writer(self.history.true_revision(revision))
        return work.who if work is not None else ""

    def why(self, resource: str, key: str, revision: int | None = None) -> list[dict[str, Any]]:
        """Why an object is there, the last link first: what was written by whom, who had heard of what.

        The first link is the write that has made the object; without a creation in sight, its newest change.
        """
        until = self.history.last if revision is None else revision
        entry = self.history.created(resource, key, until) or self.history.of(resource, key, until)
        if entry is None:
            return []
        chain = self.plane.origins.chain(self.history.true_revision(entry.revision))
        found = [self._link(self.history.counted(at), work) for at, work in chain[:CHAIN_MAX]]
        return found or [_written(entry, None)]

    def _link(self, revision: int, work: Work) -> dict[str, Any]:
        entry = next(iter(self.history.entries(after=revision - 1)), None)
        written = _written(entry, work) if entry is not None else {"revision": revision}
        return {
            **written,
            "work": {
                "number": work.number,
                "who": work.who,
                "key": work.key,
                "attempt": work.attempt,
                "outcome": work.outcome,
                "milliseconds": round(work.seconds * 1000, 2),
                "wrote": [self.history.counted(at) for at in work.revisions],
            },
            "heard": [
                {
                    "type": cause.type,
                    "resource": cause.resource,
                    "key": cause.key,
                    "revision": self.history.counted(cause.revision) if cause.revision else None,
                }
                for cause in work.causes
            ],
        }

    def timeline(self, after: int = 0, limit: int = 60) -> Mapping[str, Any]:
        """The newest changes above a revision, and how far back one can go."""
        return {
            "first": self.history.first,
            "last": self.history.last,
            "changes": [
                {
                    "revision": entry.revision,
                    "type": entry.type,
                    "resource": entry.resource,
                    "key": entry.key,
                    "by": self.by(entry.revision),
                }
                for entry in self.history.entries(after, limit)
            ],
        }

    def counts(self) -> dict[str, int]:
        """How much there is, and how much of it is wrong."""
        views = self.namespaces.values()
        return {
            "namespaces": len(views),
            "accounts": sum(len(view.accounts) for view in views),
            "tokens": sum(len(view.secrets) for view in views),
            "wrong": self.wrong,
            "looking": len(self._stale),
            "checked": self.verifier.checked,
            "revision": self.history.last,
        }


def _written(entry: Entry, work: Work | None) -> dict[str, Any]:
    return {
        "revision": entry.revision,
        "type": entry.type,
        "resource": entry.resource,
        "key": entry.key,
        "shown": entry.resource in SHOWN,
        "by": work.who if work is not None else "",
    }
