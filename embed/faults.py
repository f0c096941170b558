"""What goes wrong with a real control plane, done on purpose to one in a test.

    plane.faults.fail(503, verb="create", resource="secrets", times=2)
    plane.faults.conflict(resource="configmaps", probability=0.3)

Whether a request is struck depends on the seed and on what is asked for how often, never on time or on the order in
which different requests come: the same seed gives the same faults.
"""

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self, TypeVar, Unpack

from verger.apiserver.calls import Call
from verger.apiserver.handlers import Exchange, Handlers
from verger.apiserver.watching import Watch
from verger.controllers.manager import Manager, UnknownController
from verger.embed.link import INFORMERS, Link, Rival
from verger.embed.scope import Scope, Wanted
from verger.embed.shifted_clock import ShiftedClock
from verger.store.backend import Backend
from verger.store.errors import ApiError, Conflict, Gone, from_status
from verger.watch.clock import complete

WRITES: Final = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_SEED_BITS: Final = 32
T = TypeVar("T")


class Aim(Scope, total=False):
    """Which requests a fault strikes: those of a scope, and how many of them."""

    skip: int
    """How many of them pass first."""
    times: int
    """How many are struck at most."""
    probability: float
    """How likely each of them is struck, between 0 and 1."""


@dataclass(slots=True, eq=False)
class Fault:
    """One fault that stands until it is removed, or has struck as often as it should. `with` removes it at the end."""

    what: str
    """In words, as requests that were struck carry it."""
    wanted: Wanted
    skip: int
    times: int | None
    probability: float
    draw: str
    """What its chances are drawn from, besides the request."""
    remove: Callable[["Fault"], None] = field(repr=False)
    error: Callable[[Call], ApiError] | None = None
    delay: float = 0.0
    loses: bool = False
    hits: int = 0
    """How often it has struck."""
    _met: int = 0
    _asked: Counter[str] = field(default_factory=Counter, repr=False)

    def strikes(self, call: Call) -> bool:
        """Whether this request is one to strike; it counts as met by then."""
        if (self.times is not None and self.hits >= self.times) or not self.wanted.holds(call):
            return False
        self._met += 1
        if self._met <= self.skip or not self._chance(call):
            return False
        self.hits += 1
        call.fault = f"{call.fault}, {self.what}" if call.fault else self.what
        return True

    def _chance(self, call: Call) -> bool:
        if self.probability >= 1:
            return True
        request = (
            f"{call.user.name} {call.verb} {call.group}/{call.resource}/{call.subresource}"
            f" {call.namespace}/{call.name}{call.path if not call.resource else ''}"
        )
        self._asked[request] += 1
        text = f"{self.draw} {request} {self._asked[request]}"
        return random.Random(text).random() < self.probability  # noqa: S311 - it must be the same again

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove(self)


class Faults:
    """The faults of one plane. They strike what comes over HTTP; the plane's own controllers are stopped by name."""

    def __init__(self, seed: int | None, clock: ShiftedClock) -> None:
        self._clock = clock
        self._seed = secrets.randbits(_SEED_BITS) if seed is None else seed
        self._faults: tuple[Fault, ...] = ()
        self._made = 0
        self._delayed: set[asyncio.Future[None]] = set()
        self._stills: list[tuple[Wanted, bool]] = []
        """Which watches are frozen (True) and thawed, in the order in which it was said: the last word counts."""
        self._handlers: Handlers | None = None
        self._manager: Manager | None = None
        self._backend: Backend | None = None
        self._links: Mapping[str, Link] = {}

    def attach(
        self,
        handlers: Handlers,
        manager: Manager,
        backend: Backend,
        links: Mapping[str, Link],
    ) -> None:
        """Called by the plane with what it is made of, each time it starts."""
        self._handlers, self._manager, self._backend = handlers, manager, backend
        self._links = links
        handlers.on_watch = self._opened

    @property
    def seed(self) -> int:
        """What all chances are drawn from; a plane with the same seed has the same faults."""
        return self._seed

    def reseed(self, seed: int) -> None:
        """Removes all faults, and begins again with a seed."""
        self.clear()
        self._seed = seed
        self._made = 0

    # What strikes requests

    def fail(
        self,
        code: int = 503,
        *,
        retry_after: int | None = None,
        message: str = "",
        **aim: Unpack[Aim],
    ) -> Fault:
        """Answers with an error, before anything is done. Raises ValueError for a code that is no error's."""
        status = {
            "code": code,
            "message": message or f"a fault on purpose: {code}",
            "reason": Conflict.reason if code == Conflict.code else "",
            "details": {"retryAfterSeconds": retry_after} if retry_after is not None else None,
        }
        error = from_status(status)
        if error.code != code:
            raise ValueError(f"no error of the API has the code {code}")
        return self._add(str(code), aim, error=lambda _: error)

    def conflict(self, **aim: Unpack[Aim]) -> Fault:
        """Answers updates and patches as if somebody had been faster."""
        aim.setdefault("verb", ("update", "patch"))
        return self._add("conflict", aim, error=_conflict)

    def latency(self, seconds: float, **aim: Unpack[Aim]) -> Fault:
        """Lets requests wait before they are done, by the plane's clock."""
        return self._add(f"{seconds:g} s late", aim, delay=seconds)

    def lose_answers(self, **aim: Unpack[Aim]) -> Fault:
        """Breaks the connection after a write has been done: the client cannot know that it was."""
        aim.setdefault("verb", tuple(sorted(WRITES)))
        return self._add("answer lost", aim, loses=True)

    def _add(
        self,
        what: str,
        aim: Aim,
        *,
        error: Callable[[Call], ApiError] | None = None,
        delay: float = 0.0,
        loses: bool = False,
    ) -> Fault:
        skip, times = aim.pop("skip", 0), aim.pop("times", None)
        probability = aim.pop("probability", 1.0)
        if not 0 <= probability <= 1:
            raise ValueError(f"a probability is between 0 and 1, not {probability}")
        wanted = Wanted.of(aim)
        draw = f"{self._seed} {self._made}"
        self._made += 1
        fault = Fault(
            what, wanted, skip, times, probability, draw, self._remove, error, delay, loses
        )
        # Replaced, not changed: a test may add faults from a thread of its own.
        self._faults = (*self._faults, fault)
        return fault

    def _remove(self, fault: Fault) -> None:
        self._faults = tuple(other for other in self._faults if other is not fault)

    def clear(self) -> None:
        """Removes all faults from requests, watches and links, and sets the time of day right. Stopped controllers stay so."""
        self._faults = ()
        for delayed in list(self._delayed):
            complete(delayed)
        if self._handlers is not None:
            self.thaw_watches()
        for name in self._links:
            self.rejoin(name)
            self.unfreeze(name)
        self.race(None)
        self._clock.shift = 0.0

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._faults)

    async def before(self, call: Call) -> None:
        """What becomes of a request on its way in. Raises ApiError."""
        for fault in self._faults:
            if not fault.loses and fault.strikes(call):
                if fault.delay:
                    await self._wait(fault.delay)
                if fault.error is not None:
                    raise fault.error(call)

    async def _wait(self, seconds: float) -> None:
        delayed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._delayed.add(delayed)
        timer = self._clock.call_later(seconds, complete, delayed)
        try:
            await delayed
        finally:
            timer.cancel()
            self._delayed.discard(delayed)

    def delivers(self, call: Call) -> bool:
        """Whether the answer to a request goes out."""
        if call.verb not in WRITES or call.code >= 400:
            return True
        return not any(fault.loses and fault.strikes(call) for fault in self._faults)

    # What strikes open watches

    def cut_watches(self, **scope: Unpack[Scope]) -> int:
        """Breaks the connections of watches; returns how many."""
        watches = self._watches(scope)
        for watch in watches:
            watch.cut()
        return len(watches)

    def freeze_watches(self, **scope: Unpack[Scope]) -> int:
        """Holds back what watches would send, those that are open and those to come; returns how many are open."""
        watches = self._watches(scope)
        self._stills.append((Wanted.of(scope), True))
        for watch in watches:
            watch.freeze()
        return len(watches)

    def thaw_watches(self, **scope: Unpack[Scope]) -> int:
        """Lets watches send everything that was held back; returns how many watches were looked at."""
        watches = self._watches(scope)
        if not scope:
            self._stills.clear()
        elif self._stills:
            self._stills.append((Wanted.of(scope), False))
        for watch in watches:
            watch.thaw()
        return len(watches)

    def _opened(self, watch: Watch, exchange: Exchange) -> None:
        call = _watching(exchange)
        if next((frozen for wanted, frozen in reversed(self._stills) if wanted.holds(call)), False):
            watch.freeze()

    def expire_history(self, **scope: Unpack[Scope]) -> int:
        """Forgets all old revisions, and ends the watches of a scope with 410 Gone; returns how many.

        Whoever goes on from a revision of before hears the same, as do lists that were read in part.
        """
        backend = _given(self._backend)
        watches = self._watches(scope)
        backend.compact(backend.revision)
        for watch in watches:
            watch.stop(Gone("too old resource version: the history has expired"))
        return len(watches)

    def _watches(self, scope: Scope) -> list[Watch]:
        wanted = Wanted.of(scope)
        watches = _given(self._handlers).watches
        return [watch for watch, exchange in watches.items() if wanted.holds(_watching(exchange))]

    # What strikes controllers and clocks

    async def pause(self, controller: str) -> None:
        """Stops a controller in whatever it is doing, until `resume`. Raises UnknownController."""
        await _given(self._manager).stop(controller)

    def resume(self, controller: str) -> None:
        """Starts a controller that was paused: it knows nothing of before. Raises UnknownController."""
        _given(self._manager).start(controller)

    async def kill(self, controller: str) -> None:
        """Stops a controller in whatever it is doing, and starts it at once. Raises UnknownController."""
        await self.pause(controller)
        self.resume(controller)

    def partition(self, controller: str) -> None:
        """Cuts a controller off from the store, until `rejoin`: its reads and writes fail, and its watches are silent.

        It goes by what it has seen. `informers` stands for what shows all controllers the world: their watches and
        lists fail, their writes do not. Raises UnknownController.
        """
        link = self._link(controller)
        link.cut()
        self._detach(controller)

    def rejoin(self, controller: str) -> None:
        """Connects a controller again: it hears at once of what has become different. Raises UnknownController."""
        link = self._link(controller)
        if link.broken:
            link.mend()
            self._attach(controller, link)

    def freeze(self, controller: str) -> None:
        """Holds a controller up in whatever it is doing, until `unfreeze`: it forgets nothing, and hears of nothing.

        A plane is not settled while one of them is frozen in its work. Raises UnknownController.
        """
        link = self._link(controller)
        link.freeze()
        self._detach(controller)

    def unfreeze(self, controller: str) -> None:
        """Lets a frozen controller go on, with what it had in hand. Raises UnknownController."""
        link = self._link(controller)
        if link.frozen:
            link.thaw()
            self._attach(controller, link)

    def race(self, rival: Rival | None) -> None:
        """Has somebody called before each update and patch of a controller, to be faster; None ends that."""
        for link in self._links.values():
            link.rival = rival

    def _link(self, controller: str) -> Link:
        try:
            return self._links[controller]
        except KeyError:
            known = ", ".join(self._links)
            raise UnknownController(
                f'"{controller}" is not in the list of known controllers: {known}'
            ) from None

    def _detach(self, controller: str) -> None:
        if controller != INFORMERS:
            _given(self._manager).detach(controller)

    def _attach(self, controller: str, link: Link) -> None:
        if controller != INFORMERS and not link.broken and not link.frozen:
            _given(self._manager).attach(controller)

    def jump(self, seconds: float) -> None:
        """Puts the time of day forward, or back: tokens expire or are not valid yet. Timers and durations go on."""
        self._clock.shift += seconds


def _watching(exchange: Exchange) -> Call:
    kind, about = exchange.resource.kind, exchange.resource
    return Call(
        0.0,
        "watch",
        "",
        exchange.user,
        kind.group,
        kind.version,
        kind.plural,
        namespace=about.namespace,
        name=about.name,
    )


def _given(part: T | None) -> T:
    if part is None:
        raise RuntimeError("the plane has not been started")
    return part


def _conflict(call: Call) -> ApiError:
    qualified = f"{call.resource}.{call.group}" if call.group else call.resource
    details = {"name": call.name, "kind": call.resource}
    if call.group:
        details["group"] = call.group
    return Conflict(
        f'Operation cannot be fulfilled on {qualified} "{call.name}": the object has been modified; '
        "please apply your changes to the latest version and try again",
        details,
    )
