"""The demo in a terminal: something is on the screen at once, and the planes start behind it.

What is heavy is loaded only then. The engine runs in the same loop as the screen, and ends with it.
"""

import asyncio
import os
from typing import TYPE_CHECKING, ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

if TYPE_CHECKING:
    from verger.demo.engine import Engine


class Terminal(App[None]):
    """The screen of one demo; it has to be run where there is a terminal."""

    TITLE = "verger demo"
    CSS = "Screen { align: center middle; } #starting { width: auto; }"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,ctrl+c,ctrl+q", "quit", "quit", priority=True),
        Binding("l", "light", "light or dark"),
    ]

    def __init__(self, *, tour: bool = False) -> None:
        """`tour` begins with it."""
        super().__init__()
        self._toured = tour
        self._seen = asyncio.Event()
        # Where the terminal says how light it is, the last number is that of its background.
        background = os.environ.get("COLORFGBG", "").rpartition(";")[2]
        self.theme = "textual-light" if background in ("7", "15") else "textual-dark"

    def compose(self) -> ComposeResult:
        """What is seen until the planes are there."""
        yield Static("Two control planes are starting ...", id="starting")

    def on_ready(self) -> None:
        """It is on the screen."""
        self._seen.set()

    async def perform(self) -> None:
        """Shows a demo until somebody has seen enough of it."""
        showing = asyncio.create_task(self.run_async())
        ready = asyncio.create_task(self._seen.wait())
        try:
            await asyncio.wait({showing, ready}, return_when=asyncio.FIRST_COMPLETED)
            if not showing.done():
                from verger.demo.engine import Engine

                async with Engine() as engine:
                    self.call_later(self.begin, engine)
                    await asyncio.wait({showing})
        finally:
            ready.cancel()
            self.exit()
            await showing

    async def begin(self, engine: "Engine") -> None:
        """Shows an engine, which somebody else ends."""
        from verger.demo.board import Board

        await self.push_screen(Board(engine, tour=self._toured))

    def action_light(self) -> None:
        """Changes between light and dark."""
        self.theme = "textual-dark" if self.theme == "textual-light" else "textual-light"
