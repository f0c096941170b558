"""The engine of the demo: two planes, the same faults for both, and a picture of both of them.

`Stage` owns everything: the planes, the twin, the tasks of faults that last. A face shows `frame()` whenever `frames()`
says so, and does things by `act()`. Nothing that a face does can let the memory grow without bounds.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
from verger.controllers.origins import Work
from verger.demo import frames
from verger.demo.score import Fault, Scoreboard
from verger.demo.sharing import SharedKeys
from verger.demo.side import Side
from verger.demo.twin import EdgeTriggered
from verger.embed.link import Link
from verger.embed.logs import make_logger
from verger.embed.options import PlaneOptions
from verger.embed.plane import ControlPlane
from verger.identity.signing import SigningKey
from verger.store.errors import ApiError
from verger.watch.clock import SystemClock

NAMESPACES_MAX: Final = 1300
"""Namespaces that there may be at a time; whoever wants more starts over."""
FRAME_PERIOD: Final = 0.05
"""Seconds between two frames, at least."""
KEYS_PERIOD: Final = 2.0
"""Seconds between two looks at the published keys."""
OUTAGE: Final = 3.0
"""Seconds for which somebody is dead, frozen or cut off."""
HEALED_WITHIN: Final = 60.0
"""Seconds; what was made and went between two lists of an informer is missed for half a minute (`reconcile.MADE`)."""
YOU: Final = "you"


class Refused(Exception):
    """It cannot be done now; the message says why."""


class Stage:
    """Both sides, started by `async with`.

    `outage` is how many seconds an outage lasts; `seed` chooses victims that nobody has named.
    """

    def __init__(self, *, outage: float = OUTAGE, seed: int = 0) -> None:
        self.outage = outage
        self.seed = seed
        self.score = Scoreboard()
        self.ours: Side
        self.twin: Side
        self.downs: dict[str, str] = {}
        """Controllers that are struck now: name -> killed, frozen, partitioned."""
        self.twin_downs: Counter[str] = Counter()
        """What the twin is now, and how many faults say so."""
        self.reacting: EdgeTriggered
        """The twin's controller."""
        self.twin_handled = self.twin_lost = 0
        """What the runs of the twin before this one have done and lost."""
        self.note = ""
        """What was done last, in words."""
        self.broken = ""
        """What of the demo itself has failed, which must not happen."""
        self.began = time.monotonic()
        self.version = 0
        self.names: deque[str] = deque(maxlen=NAMESPACES_MAX)
        """Namespaces that were made here, oldest first."""
        self._changed = asyncio.Event()
        self._drawn = asyncio.Condition()
        self._frame: tuple[int, dict[str, Any]] = (-1, {})
        self._stack = AsyncExitStack()
        self._tasks: set[asyncio.Task[None]] = set()
        self._twin_task: asyncio.Task[None] | None = None
        self._numbers: Counter[str] = Counter()
        self._extras: dict[str, Callable[[], Any]] = {}

    # Start and stop

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def _open(self) -> None:
        enter = self._stack.enter_async_context
        self.keys = SharedKeys()
        self._stack.callback(self.keys.remove)
        options = PlaneOptions(private_key_file=self.keys.signing, key_files=(self.keys.verifying,))
        # That watches break is what the demo is about, and no news to anybody who looks at it.
        log = make_logger(level="error", format="console")
        ours = ControlPlane(options, log=log, trace=True)
        # What deletes the content of namespaces is not what is compared: the twin's plane has it too.
        twin = ControlPlane(options, log=log, trace=True, controllers=("namespace-controller",))
        async with asyncio.TaskGroup() as group:
            for plane in (ours, twin):
                group.create_task(enter(plane))
        session = await enter(aiohttp.ClientSession())
        self.ours = Side(ours, session, self.changed)
        self._stack.callback(self.ours.close)
        self.twin = Side(twin, session, self.changed)
        self._stack.callback(self.twin.close)
        for plane in (ours, twin):
            self._stack.callback(plane.origins.listen(self._worked))
        self.link = Link(twin.client)
        self.start_twin()
        await self.reacting.listening()
        await self.ours.open()
        await self.twin.open()
        self._first = (ours.snapshot(), twin.snapshot())
        await enter(self._at_work())

    @asynccontextmanager
    async def _at_work(self) -> AsyncIterator[None]:
        self.start(self._draw())
        self.start(self._fetch_keys())
        try:
            yield
        finally:
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)
            await self.stop_twin()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs something for as long as the stage is there, at most."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            self._failed(task.exception())

    def _failed(self, error: BaseException | None) -> None:
        if error is not None:
            self.broken = repr(error)
            self.note = f"the demo itself is broken: {self.broken}"
            self.changed()

    # The twin's controller

    def start_twin(self) -> None:
        """Starts the twin anew: it knows nothing of before, and does not ask."""
        plane = self.twin.plane
        self.reacting = EdgeTriggered(
            self.link,
            plane.kinds,
            SigningKey.load(self.keys.signing),
            plane.ca.decode(),
            SystemClock(),
            plane.origins,
        )
        self._twin_task = asyncio.create_task(self.reacting.run())

    async def stop_twin(self) -> None:
        """Kills the twin in whatever it is doing."""
        task, self._twin_task = self._twin_task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                self._failed(task.exception())
            self.twin_handled += self.reacting.handled
            self.twin_lost += self.reacting.lost
            self.reacting.handled = self.reacting.lost = 0

    # Frames

    def changed(self) -> None:
        """Something is other than the last frame shows."""
        self._changed.set()

    def _worked(self, work: Work) -> None:
        self._changed.set()

    def extend(self, name: str, tell: Callable[[], Any]) -> None:
        """Puts something else into every frame, under a name."""
        self._extras[name] = tell

    async def _draw(self) -> None:
        """Looks at what has changed, and says that there is another frame, 20 times a second at most."""
        while True:
            with suppress(TimeoutError):
                # Without a change there is a frame each second, for what counts down.
                async with asyncio.timeout(1.0):
                    await self._changed.wait()
            self._changed.clear()
            self.ours.look()
            self.twin.look()
            if not (self.ours.looked and self.twin.looked):
                self._changed.set()
            if self.well:
                self.score.all_is_well(self.ours.last_change, self.twin.wrong)
            async with self._drawn:
                self.version += 1
                self._drawn.notify_all()
            await asyncio.sleep(FRAME_PERIOD)

    async def _fetch_keys(self) -> None:
        while True:
            await asyncio.sleep(KEYS_PERIOD)
            with suppress(aiohttp.ClientError, TimeoutError):
                await self.ours.fetch_keys()
                await self.twin.fetch_keys()

    def frame(self) -> dict[str, Any]:
        """Both sides as they are now: JSON can hold it, and it is bounded whatever has happened."""
        if self._frame[0] != self.version:
            told = frames.told(self)
            told.update({name: tell() for name, tell in self._extras.items()})
            self._frame = (self.version, told)
        return self._frame[1]

    async def frames(self) -> AsyncIterator[dict[str, Any]]:
        """A frame at once, and then one after each change; who reads slowly misses some of them."""
        seen = -1
        while True:
            async with self._drawn:
                while self.version == seen:
                    await self._drawn.wait()
                seen = self.version
            yield self.frame()

    # How it stands

    @property
    def well(self) -> bool:
        """Whether nothing is wrong with ours, everything has been looked at, and no controller has anything to do."""
        ours = self.ours
        return ours.looked and not ours.wrong and ours.plane.controllers.idle

    async def healed(self, within: float = HEALED_WITHIN) -> None:
        """Returns when ours has got over every fault so far. Raises TimeoutError."""
        async with asyncio.timeout(within), self._drawn:
            await self._drawn.wait_for(lambda: not self.score.open and self.well)

    # What faults are made of

    def side(self, name: str) -> Side:
        """`ours` or `twin`. Raises Refused."""
        if name not in ("ours", "twin"):
            raise Refused(f"there is no side {name}")
        return self.ours if name == "ours" else self.twin

    @property
    def sides(self) -> tuple[Side, Side]:
        """Ours and the twin's."""
        return self.ours, self.twin

    async def both(self, what: str, write: Callable[[Side], Awaitable[object]]) -> None:
        """Somebody does the same on both sides; where there is no such thing any more, it is not done."""
        for side in self.sides:
            with side.plane.origins.working(YOU, what, causes=()) as work, suppress(ApiError):
                await write(side)
                work.outcome = "done"

    async def make_namespace(self, prefix: str) -> str:
        """Makes a namespace on both sides and returns its name. Raises Refused when there are too many."""
        self.check_room(1)
        self._numbers[prefix] += 1
        name = f"{prefix}-{self._numbers[prefix]}"
        self.names.append(name)

        async def make(side: Side) -> None:
            kind = side.plane.kinds.core("Namespace")
            await side.plane.client.create(kind, {"metadata": {"name": name}})

        await self.both(f"makes namespace {name}", make)
        return name

    def check_room(self, count: int) -> None:
        """Raises Refused when so many namespaces would be too many."""
        if len(self.names) + count > NAMESPACES_MAX:
            raise Refused(f"there are {len(self.names)} namespaces already: start over first")

    @contextmanager
    def fault(self, action: str, what: str) -> Iterator[Fault]:
        """A fault for as long as the context lasts: it is over with it, and counted."""
        fault = self.score.began(action, what, time.monotonic())
        self.note = what
        self.changed()
        try:
            yield fault
        finally:
            fault.over = time.monotonic()
            self.changed()

    async def start_over(self) -> None:
        """Ends every fault, and makes both sides what they were in the beginning."""
        killed = [name for name, down in self.downs.items() if down == "killed"]
        for task in [task for task in self._tasks if task.get_name().startswith("fault")]:
            task.cancel()
            await asyncio.wait([task])
        for name in killed:
            # Whoever was to kill it may have been stopped before it was dead, and only then it can be started.
            await self.ours.plane.faults.pause(name)
        await self.stop_twin()
        self.link.mend()
        self.link.thaw()
        self.link.rival = None
        for side, first in zip(self.sides, self._first, strict=True):
            side.plane.reset()
            with side.plane.origins.working(YOU, "starts over", causes=()) as work:
                side.plane.restore(first)
                work.outcome = "done"
        self.downs.clear()
        self.twin_downs.clear()
        self.names.clear()
        self._numbers.clear()
        self.twin_handled = self.twin_lost = 0
        self.score = Scoreboard()
        self.start_twin()
        await self.reacting.listening()
        self.note = "both sides begin anew"
        self.changed()

    def running(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs a fault that lasts."""
        task = self.start(work)
        task.set_name(f"fault {self.score.count}")
        return task
