"""What is on the screen of the demo: both sides beside each other, and a key for every fault.

The engine runs in the same loop and is never waited for: what is drawn is its newest frame, ten times a second at most.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, VerticalScroll
from textual.content import Content
from textual.events import Click, Key
from textual.screen import ModalScreen, Screen
from textual.widget import Widget
from textual.widgets import Static
from textual.worker import Worker, WorkerState
from verger.demo import panels, panes
from verger.demo.engine import Engine
from verger.demo.looking import PANELS, SIDES, Looking
from verger.demo.stage import Refused

PERIOD: Final = 0.1
"""Seconds between two drawings."""
WAITING_MAX: Final = 32
"""Keys that are pressed before the first of them has done its work; more are not heard."""
NAMESPACES: Final = 3
"""Namespaces that there are in the beginning."""
ROOMY: Final = (120, 36)
"""Columns and rows from which on everything is shown at once."""
_TITLES: Final = {
    "chain": "the chain",
    "why": "why it is there",
    "timeline": "timeline",
    "faults": "scoreboard",
    "tour": "tour",
}
_MOVES: Final = (
    ("↑ ↓", "another namespace"),
    ("tab", "the other side"),
    ("enter", "the next object of the row"),
    ("a", "another controller to strike"),
    ("← →", "an earlier, a later revision; with shift ten of them"),
    ("home end", "the oldest revision that is known, and now"),
    ("m", "compare with the revision that is looked at"),
    ("1 to 5", "chain, why, timeline, scoreboard, tour"),
    ("t", "the tour; space goes on, Esc ends it"),
    ("l", "light or dark"),
    ("q", "the end"),
)


class Pane(Widget):
    """A part of the screen that draws what is looked at."""

    def __init__(self, draw: panes.Draw, looking: Looking, *, id: str, classes: str = "") -> None:
        super().__init__(id=id, classes=classes)
        self._draw_pane = draw
        self._looking = looking

    def render(self) -> Content:
        """What it shows, in the room that it has."""
        width, height = self.content_size
        return self._draw_pane(self._looking, width, height)

    async def on_click(self, event: Click) -> None:
        """Does what the text says that was clicked."""
        action = event.style.meta.get(panes.CLICK)
        if action is not None:
            await self.app.run_action(action, self.screen)


class Help(ModalScreen[None]):
    """Every key, and what it does."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,enter", "dismiss", "")]

    def __init__(self, actions: list[dict[str, str]]) -> None:
        super().__init__()
        self._actions = actions

    def compose(self) -> ComposeResult:
        """The text, which may be longer than the screen."""
        with VerticalScroll(id="help"):
            for action in self._actions:
                yield Static(Content.styled(action["key"], "bold"))
                yield Static(Content(f"{action['title']}. {action['what']}"))
            for keys, what in _MOVES:
                yield Static(Content.styled(keys, "bold"))
                yield Static(Content(what))


class Board(Screen[None]):
    """Shows one engine, which somebody else starts and ends."""

    CSS = """
    Board { layout: vertical; overflow: hidden; }
    Pane { text-wrap: nowrap; }
    #head { height: 1; }
    #halves { height: 7; }
    #ours { width: 1fr; margin-right: 1; }
    #twin { width: 1fr; margin-left: 1; border-left: none; }
    #rows { height: 1fr; min-height: 3; }
    #panels { height: 7; border-top: solid $primary; border-title-color: $foreground; }
    .panel { display: none; height: 1fr; }
    .panel.current { display: block; }
    #keys { height: 3; }
    Board.tall #panels { height: 14; }
    Board.roomy #halves { height: 8; }
    Board.roomy #rows { height: 2fr; }
    Board.roomy #panels { height: 3fr; layout: grid; grid-size: 2 2; border: none; }
    Board.roomy.touring #rows { height: 1fr; }
    Board.roomy.touring #panels { grid-size: 2 3; grid-rows: 1fr 1fr 7; }
    Board.roomy .panel { display: block; border: round $primary-muted; border-title-color: $foreground; padding: 0 1; }
    Board.roomy .panel.current { border: round $primary; }
    Board.roomy #tour { display: none; column-span: 2; }
    Board.roomy.touring #tour { display: block; }
    Help { align: center middle; }
    #help { width: 92%; max-width: 110; height: auto; max-height: 90%; border: round $primary; padding: 0 1; background: $surface;
            layout: grid; grid-size: 2; grid-columns: 10 1fr; grid-rows: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "help"),
        Binding("t", "tour", "tour"),
        Binding("space", "tour_next", "next step"),
        Binding("escape", "leave", "back to now"),
        Binding("tab", "other_side", "other side", priority=True),
        Binding("up", "move(-1)", "up"),
        Binding("down", "move(1)", "down"),
        Binding("enter", "next_object", "next object"),
        Binding("a", "aim('')", "another controller"),
        Binding("left", "scrub(-1)", "earlier"),
        Binding("right", "scrub(1)", "later"),
        Binding("shift+left", "scrub(-10)", "much earlier"),
        Binding("shift+right", "scrub(10)", "much later"),
        Binding("home", "go_to(0)", "the oldest"),
        Binding("end", "now", "now"),
        Binding("m", "mark", "mark"),
        *(Binding(str(number), f"panel({name!r})", name) for number, name in enumerate(PANELS, 1)),
    ]

    def __init__(self, engine: Engine, *, tour: bool = False) -> None:
        """`tour` begins with it."""
        super().__init__()
        self.engine = engine
        self._toured = tour
        self._stale = True
        self._waiting: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue(WAITING_MAX)
        self.looking = Looking(engine)

    def compose(self) -> ComposeResult:
        """All panes; the style says which of them are seen."""
        yield Pane(panes.head, self.looking, id="head")
        with Horizontal(id="halves"):
            for name in SIDES:
                yield Pane(panes.side(name), self.looking, id=name)
        yield Pane(panes.rows, self.looking, id="rows")
        with Container(id="panels"):
            for name, draw in panels.DRAWN.items():
                yield Pane(draw, self.looking, id=name, classes="panel")
        yield Pane(self._keys, self.looking, id="keys")

    def on_mount(self) -> None:
        """Begins."""
        self.run_worker(self._work(), exit_on_error=False)
        self.set_interval(PERIOD, self._look)
        if self._toured:
            self.action_tour()
        else:
            for _ in range(NAMESPACES):
                self.action_strike("make-namespace")
        self._arrange()

    def on_key(self, event: Key) -> None:
        """Lets the fault loose that has this key."""
        for action in self.engine.actions:
            if action["key"] == event.key:
                event.stop()
                self.action_strike(action["name"])

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Ends it all when the demo itself has failed; what was at hand then is nobody's business."""
        if event.state is WorkerState.ERROR:
            message = f"The demo itself is broken: {type(event.worker.error).__name__}"
            self.app.exit(return_code=1, message=message)

    def on_resize(self) -> None:
        """Shows as much at once as there is room for."""
        self._stale = True

    # What is drawn

    def _look(self) -> None:
        if self.looking.look() or self._stale:
            self._stale = False
            self._arrange()
            for pane in self.query(Pane):
                pane.refresh()

    def _arrange(self) -> None:
        looking = self.looking
        touring = looking.frame["tour"] is not None
        roomy = self.size.width >= ROOMY[0] and self.size.height >= ROOMY[1]
        self.set_class(roomy, "roomy")
        self.set_class(self.size.height >= ROOMY[1], "tall")
        self.set_class(touring, "touring")
        numbered = panels.tabs(looking)
        for number, name in numbered:
            pane = self.get_child_by_id("panels").get_child_by_id(name)
            pane.set_class(name == looking.panel, "current")
            pane.border_title = f"{number} {_TITLES[name]}"
        titles = [
            Content.styled(
                f" {number} {_TITLES[name]} ", "reverse" if name == looking.panel else ""
            )
            for number, name in numbered
        ]
        self.get_child_by_id("panels").border_title = "" if roomy else Content("").join(titles)

    def _keys(self, looking: Looking, width: int, height: int) -> Content:
        whole = width >= ROOMY[0]
        words = [
            panes.press(
                Content.assemble(
                    (a["key"], "bold $text-accent"), f" {a['title'] if whole else a['name']}"
                ),
                f"strike({a['name']!r})",
            )
            for a in self.engine.actions
        ]
        moves = (("↑↓", "row"), ("tab", "side"), ("←→", "time"), ("a", "aim"))
        words += [Content.assemble((key, "bold $text-accent"), f" {what}") for key, what in moves]
        return panes.lines(panes.flowing(words, width, gap="  "), height)

    # What is done, one after the other

    async def _work(self) -> None:
        while True:
            work = await self._waiting.get()
            try:
                await work()
                self.looking.note = ""
            except Refused as refused:
                self.looking.note = str(refused)
            self._stale = True

    def _do(self, work: Callable[[], Awaitable[None]]) -> None:
        if self._waiting.full():
            self.app.bell()
        else:
            self._waiting.put_nowait(work)

    def action_strike(self, name: str) -> None:
        """Lets a fault loose: on what was chosen, or on somebody."""
        targets = {action["name"]: action["target"] for action in self.engine.actions}
        looking = self.looking
        target = {"controller": looking.controller, "namespace": looking.name}.get(
            targets[name], ""
        )
        self._do(lambda: self.engine.act(name, target))

    def action_tour(self) -> None:
        """Begins the tour, from its beginning."""
        self.looking.panel = "tour"
        self._do(self._start_tour)

    async def _start_tour(self) -> None:
        await self.engine.tour.start()
        self.looking.panel = "tour"

    def action_tour_next(self) -> None:
        """Goes on with the tour."""
        self.engine.tour.next()

    def action_leave(self) -> None:
        """Looks at now, and when it does so already, ends the tour."""
        looking = self.looking
        if looking.at is not None or looking.mark is not None or looking.name:
            looking.at = looking.mark = None
            looking.name = ""
        elif self.engine.tour.running:
            self._do(self.engine.tour.stop)
        self._stale = True

    def action_help(self) -> None:
        """Shows every key."""
        self.app.push_screen(Help(self.engine.actions))

    # What is looked at

    def _changed(self, work: Callable[..., Any], *arguments: Any) -> None:
        work(*arguments)
        self._stale = True

    def action_other_side(self) -> None:
        """Looks at the other side."""
        self._changed(self.looking.turn, SIDES[1 - SIDES.index(self.looking.side)])

    def action_turn(self, side: str) -> None:
        """Looks at a side."""
        self._changed(self.looking.turn, side)

    def action_choose(self, side: str, name: str) -> None:
        """Looks at a namespace on a side."""
        self._changed(self.looking.choose, side, name)

    def action_move(self, by: int) -> None:
        """Looks at another row."""
        self._changed(self.looking.move, by)

    def action_next_object(self) -> None:
        """Looks at the next object of the row."""
        self._changed(self.looking.next_object)

    def action_aim(self, name: str) -> None:
        """Chooses a controller to strike; without a name the next one."""
        self._changed(self.looking.aim, name)

    def action_scrub(self, by: int) -> None:
        """Looks at an earlier revision, or a later one."""
        self._changed(self.looking.scrub, by)

    def action_go_to(self, revision: int) -> None:
        """Looks at a revision."""
        self._changed(self.looking.go_to, revision)

    def action_now(self) -> None:
        """Looks at now."""
        self.looking.at = None
        self._stale = True

    def action_mark(self) -> None:
        """Compares with the revision that is looked at."""
        self._changed(self.looking.set_mark)

    def action_panel(self, name: str) -> None:
        """Shows one of the panels."""
        self.looking.panel = name
        self._stale = True
