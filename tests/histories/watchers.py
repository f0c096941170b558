"""Watchers: each follows a selection, is cut off at random, and carries on from what it was told last."""

import orjson

from tests.histories.history import Item, Selection, Session, Start
from tests.histories.recorder import Recorder
from tests.histories.wire import Wire, connected


class Watcher:
    """One who follows a selection, is cut off at random, and carries on from what it was told last."""

    def __init__(
        self,
        recorder: Recorder,
        name: str,
        selection: Selection,
        *,
        cuts: bool,
        lives: int = 1 << 30,
    ) -> None:
        self._recorder = recorder
        self._name = name
        self._selection = selection
        self._cuts = cuts
        self._lives = lives
        self._random = recorder.random(name)

    async def run(self, start: Start, revision: int) -> None:
        """Follows until it is cancelled, or has used up its lives."""
        resumes = False
        for _ in range(self._lives):
            session = Session(
                watcher=self._name,
                selection=self._selection,
                start=start,
                revision=revision,
                bookmarks=start == "marked" or (start != "state" and self._random.random() < 0.7),
                resumes=resumes,
            )
            await self._session(session)
            # Who asks for what exists is never refused; trying again would last for ever.
            assert session.end != "refused" or start == "tail", f"{self._name}: {session.status}"
            last = max((item.revision for item in session.items if item.type != "ERROR"), default=0)
            known = (
                start == "after" or (start == "marked" and _has_mark(session)) or start == "tail"
            )
            if session.end == "expired" or not known or not (last or revision):
                # Nothing to carry on from: start anew with what exists.
                start, revision, resumes = self._random.choice(("state", "marked")), 0, False
            else:
                start, revision, resumes = "after", max(last, revision), True

    async def _session(self, session: Session) -> None:
        recorder = self._recorder
        lines = self._random.randint(1, 30) if self._cuts else 1 << 30
        async with connected(recorder.server) as wire:
            session.opened = recorder.tick()
            recorder.history.sessions.append(session)
            wire.send(recorder.server.request("GET", self._url(session)))
            try:
                session.status, _ = await wire.head()
                session.accepted = recorder.tick() if session.status == 200 else 0
                session.end = "closed" if session.accepted else "refused"
                if session.accepted:
                    session.end = "open"
                    await self._read(session, wire, lines)
            except (OSError, EOFError):
                session.end = "lost"
            session.ended = recorder.tick()

    async def _read(self, session: Session, wire: Wire, lines: int) -> None:
        recorder = self._recorder
        async for line in wire.lines():
            event = orjson.loads(line)
            session.items.append(Item(recorder.tick(), event["type"], event["object"]))
            if event["type"] == "ERROR":
                session.end = "expired"
                return
            recorder.learn(event["object"])
            lines -= 1
            if lines <= 0 and not recorder.quiet:
                session.end = "cut"
                return
        session.end = "closed"

    def _url(self, session: Session) -> str:
        selection = session.selection
        url = f"{selection.path}?watch=1{selection.query}"
        match session.start:
            case "after":
                url += f"&resourceVersion={session.revision}"
            case "marked":
                url += "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
            case "tail":
                url += "&sendInitialEvents=false&resourceVersionMatch=NotOlderThan"
        if session.bookmarks:
            url += "&allowWatchBookmarks=true"
        if self._cuts and self._random.random() < 0.2:
            url += "&timeoutSeconds=90"
        return url


def _has_mark(session: Session) -> bool:
    return any(item.type == "BOOKMARK" for item in session.items)
