"""What somebody at the terminal looks at: which side, which row, which object of it, which moment.

Nothing here draws, and nothing here is asked of the engine twice: answers are kept until the question is another one.
"""

import time
from typing import Any, Final

from verger.demo.engine import Engine

SIDES: Final = ("ours", "twin")
PANELS: Final = ("chain", "why", "timeline", "faults", "tour")
"""What there is to know more about; the last one while a tour is given."""
FLASH: Final = 0.8
"""Seconds for which an object that has changed is lit up."""
ROWS_MAX: Final = 24
"""Rows there are at most, as in a frame."""
View = dict[str, Any]
"""A namespace, as a frame has it."""


class Looking:
    """The newest frame of an engine, and what of it has been chosen. It stays valid whatever goes away meanwhile."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.frame = engine.frame()
        self.side = "ours"
        self.name = ""
        """The namespace that somebody has chosen; empty while nobody has."""
        self.controller = ""
        """The controller that somebody has chosen to strike; empty for the one that signs."""
        self.panel = "chain"
        self.at: int | None = None
        """The revision that is looked back at; None for now."""
        self.mark: int | None = None
        """The revision to compare with; None for the one before."""
        self.note = ""
        """What could not be done, until something else is."""
        self._part = -1
        self._newest = {side: self.frame["timeline"][side]["last"] for side in SIDES}
        self._lit: dict[tuple[str, str, str], float] = {}
        self._answers: dict[str, tuple[object, Any]] = {}

    def look(self) -> bool:
        """Takes the newest frame; returns whether there is anything to draw anew."""
        before, now = self.frame["version"], time.monotonic()
        self.frame = self._engine.frame()
        faded = [place for place, since in self._lit.items() if now - since > FLASH]
        for place in faded:
            del self._lit[place]
        if self.frame["version"] == before:
            return bool(faded)
        self._light(now)
        if self.panel == "tour" and self.frame["tour"] is None:
            self.panel = "chain"
        return True

    def _light(self, now: float) -> None:
        for side in SIDES:
            for row in self.frame["namespaces"]:
                for resource, key, revision in _objects(row[side]):
                    if revision > self._newest[side]:
                        self._lit[side, resource, key] = now
            self._newest[side] = self.frame["timeline"][side]["last"]

    def lit(self, side: str, resource: str, key: str) -> bool:
        """Whether an object has changed a moment ago."""
        return self.at is None and (side, resource, key) in self._lit

    # Rows

    def rows(self) -> list[dict[str, Any]]:
        """The namespaces, as a frame has them; the chosen side as it was, while somebody looks back."""
        rows: list[dict[str, Any]] = self.frame["namespaces"]
        if self.at is None:
            return rows
        side, at = self.side, self.at
        then = {
            view["name"]: view
            for view in self._ask("at", (side, at), lambda: self._engine.at(side, at))
        }
        now = {row["name"]: row for row in rows}
        others = [name for name in then if name not in now][: max(0, ROWS_MAX - len(rows))]
        return [
            {"name": name, "ours": None, "twin": None} | now.get(name, {}) | {side: then.get(name)}
            for name in [*others, *now]
        ]

    def row(self) -> dict[str, Any] | None:
        """The row that is looked at; None when there is none at all."""
        rows = self.rows()
        return next((row for row in rows if row["name"] == self.name), rows[0] if rows else None)

    def view(self) -> View | None:
        """The namespace that is looked at, on the side that is."""
        row = self.row()
        view: View | None = row[self.side] if row is not None else None
        return view

    def chosen(self) -> tuple[str, str, int] | None:
        """The object that is looked at: resource, key, revision."""
        objects = _objects(self.view())
        if not objects:
            return None
        return objects[self._part] if -1 <= self._part < len(objects) else objects[-1]

    # Choosing

    def choose(self, side: str, name: str) -> None:
        """Looks at a row of a side."""
        self.turn(side)
        self.name = name

    def turn(self, side: str) -> None:
        """Looks at a side, as it is now."""
        if side != self.side:
            self.side, self.at, self.mark = side, None, None

    def move(self, by: int) -> None:
        """Goes to a row further down, or up."""
        names = [row["name"] for row in self.rows()]
        row = self.row()
        if row is not None:
            index = names.index(row["name"]) + (by if self.name else 0)
            self.name = names[min(max(index, 0), len(names) - 1)]

    def next_object(self) -> None:
        """Looks at the next object of the row."""
        objects = _objects(self.view())
        if objects:
            chosen = self.chosen()
            self._part = (objects.index(chosen) + 1) % len(objects) if chosen in objects else 0

    def aim(self, name: str) -> None:
        """Chooses a controller to strike, or the next one; once more, and it is the one that signs again."""
        names = ["", *self._engine.controllers]
        after = names[(names.index(self.controller) + 1) % len(names)]
        self.controller = (name if name != self.controller else "") if name else after

    # Time

    def line(self) -> dict[str, Any]:
        """The timeline of the side that is looked at."""
        line: dict[str, Any] = self.frame["timeline"][self.side]
        return line

    def scrub(self, by: int) -> None:
        """Goes to an earlier revision, or a later one; behind the newest one it is now again."""
        line = self.line()
        at = (self.at if self.at is not None else line["last"]) + by
        self.go_to(at)

    def go_to(self, revision: int) -> None:
        """Goes to a revision."""
        line = self.line()
        self.panel = "timeline"
        self.at = max(revision, line["first"]) if revision < line["last"] else None

    def set_mark(self) -> None:
        """Compares with the revision that is looked at from now on, or with none."""
        self.panel = "timeline"
        self.mark = None if self.mark is not None else self.moment()

    def moment(self) -> int:
        """The revision that is looked at."""
        moment: int = self.at if self.at is not None else self.line()["last"]
        return moment

    def since(self) -> int:
        """The revision that it is compared with."""
        return self.mark if self.mark is not None else max(0, self.moment() - 1)

    def difference(self) -> list[dict[str, Any]]:
        """What is different at the moment that is looked at."""
        question = self.side, self.since(), self.moment()
        found: list[dict[str, Any]] = self._ask(
            "difference", question, lambda: self._engine.difference(*question)
        )
        return found

    def changes(self) -> list[dict[str, Any]]:
        """The changes up to the one after the moment that is looked at, oldest first."""
        if self.at is None:
            changes: list[dict[str, Any]] = self.line()["changes"]
            return changes
        side, at = self.side, self.at
        # What is newer than the moment is not asked for one by one: it may be thousands.
        behind = self.line()["last"] - at + ROWS_MAX
        found = self._ask(
            "changes",
            (side, at),
            lambda: self._engine.timeline(side, after=at - ROWS_MAX, limit=behind)["changes"],
        )
        return [change for change in found if change["revision"] <= at + 1]

    def why(self) -> list[dict[str, Any]]:
        """Why the object that is looked at is there, the last link first."""
        chosen = self.chosen()
        if chosen is None:
            return []
        side, moment = self.side, self.at
        resource, key, _ = chosen
        found: list[dict[str, Any]] = self._ask(
            "why",
            (side, moment, chosen),
            lambda: self._engine.why(side, resource, key, moment),
        )
        return found

    def _ask(self, what: str, question: object, ask: Any) -> Any:
        kept = self._answers.get(what)
        if kept is None or kept[0] != question:
            kept = self._answers[what] = (question, ask())
        return kept[1]


def _objects(view: View | None) -> list[tuple[str, str, int]]:
    """The objects of a namespace from the first to the last of the chain: resource, key, revision."""
    if view is None:
        return []
    name = view["name"]
    return [
        ("namespaces", name, view["revision"]),
        *(("serviceaccounts", f"{name}/{a['name']}", a["revision"]) for a in view["accounts"]),
        *(("secrets", f"{name}/{s['name']}", s["revision"]) for s in view["secrets"]),
    ]
