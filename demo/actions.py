"""What can be done to both sides: each action is a real fault, and strikes ours and the twin alike.

An action returns when it has begun; what lasts goes on by itself and ends by itself. While somebody is dead, frozen or
cut off life goes on: a namespace is made and an account is deleted, so that there is something to miss.
"""

import asyncio
import base64
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Literal

from verger.controllers.manager import UnknownController
from verger.demo.judging import ACCOUNT
from verger.demo.sharing import ROTATIONS_MAX
from verger.demo.side import Side
from verger.demo.stage import Refused, Stage
from verger.embed.link import INFORMERS
from verger.store.errors import ApiError
from verger.store.kinds import Kind
from verger.store.rules.configuration import TOKEN_SECRET

TOKENS: Final = "serviceaccount-token-controller"
STORM: Final = 1000
"""Namespaces of a storm that nobody has asked to be smaller."""
AT_A_TIME: Final = 20
"""Namespaces of a storm that are made before anybody else has his turn."""
RIVALRY: Final = 6
"""Updates in a row for which somebody else is faster."""
SCRIBBLE: Final = "not a token"
Down = Literal["killed", "frozen", "partitioned"]


@dataclass(frozen=True, slots=True)
class Action:
    """Something that can be done."""

    name: str
    title: str
    what: str
    """What happens, in a sentence or two."""
    target: Literal["", "namespace", "controller", "count"]
    """What may be named; without a name somebody is chosen."""
    key: str
    """The key on a keyboard that does it."""
    do: Callable[["Actions", str], Awaitable[None]]

    def told(self) -> dict[str, str]:
        """For a face."""
        return {
            "name": self.name,
            "title": self.title,
            "what": self.what,
            "target": self.target,
            "key": self.key,
        }


class Actions:
    """The actions on one stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._turn = asyncio.Lock()
        self._random = random.Random(stage.seed)  # noqa: S311 - it must be the same again

    async def act(self, name: str, target: str = "") -> None:
        """Does something, to `target` where it takes one. Raises Refused."""
        action = BY_NAME.get(name)
        if action is None:
            raise Refused(f"nothing is called {name[:40]!r}")
        # One begins after the other: what starts over must not meet what begins.
        async with self._turn:
            await action.do(self, target if action.target else "")

    # Victims

    def _namespace(self, target: str) -> str:
        """The namespace that is meant, or one whose chain is whole on both sides where there is one."""
        stage = self._stage
        there = [name for name in stage.names if name in stage.ours.namespaces]
        if target:
            if target not in there:
                raise Refused(f"there is no namespace {target[:40]!r}")
            return target
        if not there:
            raise Refused("there is no namespace yet: make one first")
        wrong = set(stage.twin.wrong_namespaces)
        return self._random.choice([name for name in there if name not in wrong] or there)

    def _controller(self, target: str) -> str:
        name = target or TOKENS
        try:
            self._stage.ours.plane.controllers.running(name)
        except UnknownController:
            raise Refused(f"there is no controller {name[:40]!r}") from None
        if name in self._stage.downs:
            raise Refused(f"{name} is {self._stage.downs[name]} already")
        return name

    async def _begin(self, last: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
        """Runs a fault that lasts, and returns when it has struck, or has ended."""
        struck = asyncio.Event()
        task = self._stage.running(last(struck))
        task.add_done_callback(lambda _: struck.set())
        await struck.wait()

    # Objects

    async def make_namespace(self, _: str) -> None:
        """A namespace more."""
        stage = self._stage
        stage.note = f"namespace {await stage.make_namespace('team')} is made"

    async def delete_account(self, target: str) -> None:
        """Somebody deletes an account."""
        namespace = self._namespace(target)
        with self._stage.fault("delete-account", f"account {namespace}/{ACCOUNT} is deleted"):
            await self._delete_account(namespace)

    async def _delete_account(self, namespace: str) -> None:
        async def delete(side: Side) -> None:
            kind = side.plane.kinds.core("ServiceAccount")
            await side.plane.client.delete(kind, ACCOUNT, namespace)

        await self._stage.both(f"deletes account {namespace}/{ACCOUNT}", delete)

    async def scribble(self, target: str) -> None:
        """Somebody writes something else where a token was."""
        namespace = self._namespace(target)
        with self._stage.fault("scribble", f"the token in {namespace} is scribbled over"):
            data = {"data": {"token": base64.b64encode(SCRIBBLE.encode()).decode()}}

            async def scribble(side: Side) -> None:
                kind, client = side.plane.kinds.core("Secret"), side.plane.client
                for secret in (await client.list(kind, namespace)).items:
                    if secret.get("type") == TOKEN_SECRET:
                        await client.patch(kind, secret["metadata"]["name"], namespace, data)

            await self._stage.both(f"scribbles over the token in {namespace}", scribble)

    # Controllers

    async def kill(self, target: str) -> None:
        """A controller dies in whatever it is doing, and is started after a while."""
        name = self._controller(target)
        await self._down(name, "killed", "is killed in the middle of its work")

    async def freeze(self, target: str) -> None:
        """A controller stands still for a while."""
        name = self._controller(target)
        await self._down(name, "frozen", "is frozen")

    async def partition(self, target: str) -> None:
        """A controller does not reach the store for a while."""
        name = self._controller(target)
        await self._down(name, "partitioned", "is cut off from the store")

    async def _down(self, name: str, down: Down, what: str) -> None:
        stage = self._stage
        stage.downs[name] = down

        async def last(struck: asyncio.Event) -> None:
            with stage.fault(down, f"{name} {what}"), self._ours_down(name, down):
                await self._strike(name, down)
                await self._strike_twin(down)
                try:
                    await self._life()
                    struck.set()
                    await asyncio.sleep(stage.outage)
                finally:
                    await self._relieve_twin(down)

        await self._begin(last)

    @contextmanager
    def _ours_down(self, name: str, down: Down) -> Iterator[None]:
        faults = self._stage.ours.plane.faults
        try:
            yield
        finally:
            if down == "killed":
                faults.resume(name)
            elif down == "frozen":
                faults.unfreeze(name)
            else:
                faults.rejoin(name)
            self._stage.downs.pop(name, None)

    async def _strike(self, name: str, down: Down) -> None:
        faults = self._stage.ours.plane.faults
        if down == "killed":
            await faults.pause(name)
        elif down == "frozen":
            faults.freeze(name)
        else:
            faults.partition(name)

    async def _strike_twin(self, down: Down) -> None:
        stage = self._stage
        stage.twin_downs[down] += 1
        if down == "killed":
            await stage.stop_twin()
        elif down == "frozen":
            stage.link.freeze()
        else:
            stage.link.cut()

    async def _relieve_twin(self, down: Down) -> None:
        stage = self._stage
        stage.twin_downs[down] -= 1
        if stage.twin_downs[down]:
            return
        if down == "killed":
            stage.start_twin()
        elif down == "frozen":
            stage.link.thaw()
        else:
            stage.link.mend()

    async def _life(self) -> None:
        """What happens while somebody does not look."""
        stage = self._stage
        old = [name for name in stage.names if name in stage.ours.namespaces]
        # When there are enough of them, an account is something to miss, too.
        with suppress(Refused):
            await stage.make_namespace("missed")
        if old:
            await self._delete_account(self._random.choice(old))

    # What they hear

    async def drop_events(self, _: str) -> None:
        """Every watch breaks, and things happen before the next one is open."""
        stage = self._stage
        self._check_informers()
        stage.downs[INFORMERS] = "partitioned"

        async def last(struck: asyncio.Event) -> None:
            faults = stage.ours.plane.faults
            with stage.fault("drop-events", "every watch breaks, and events are lost on the way"):
                faults.partition(INFORMERS)
                await self._strike_twin("partitioned")
                try:
                    await self._life()
                    struck.set()
                    await asyncio.sleep(stage.outage / 3)
                finally:
                    faults.rejoin(INFORMERS)
                    await self._relieve_twin("partitioned")
                    stage.downs.pop(INFORMERS, None)

        await self._begin(last)

    async def expire_history(self, _: str) -> None:
        """The store forgets old changes before they were delivered."""
        stage = self._stage
        self._check_informers()
        stage.downs[INFORMERS] = "frozen"

        async def last(struck: asyncio.Event) -> None:
            faults = stage.ours.plane.faults
            with stage.fault("expire-history", "watches are slow, and the history expires"):
                faults.freeze(INFORMERS)
                await self._strike_twin("frozen")
                try:
                    for _ in range(2):
                        await self._life()
                        # Whoever was waiting reads the first change of these, and not the second one.
                        await asyncio.sleep(0.01)
                    for side in stage.sides:
                        side.plane.faults.expire_history()
                    struck.set()
                    await asyncio.sleep(stage.outage / 3)
                finally:
                    faults.unfreeze(INFORMERS)
                    await self._relieve_twin("frozen")
                    stage.downs.pop(INFORMERS, None)

        await self._begin(last)

    def _check_informers(self) -> None:
        if (down := self._stage.downs.get(INFORMERS)) is not None:
            raise Refused(f"the watches are {down} already")

    async def conflicts(self, _: str) -> None:
        """Somebody else is faster with everything that a controller wants to update."""
        stage = self._stage
        if stage.link.rival is not None:
            raise Refused("somebody is faster already")

        async def last(struck: asyncio.Event) -> None:
            with stage.fault("conflicts", "somebody else is faster with every update"):
                stage.ours.plane.faults.race(_Rival(stage.ours))
                stage.link.rival = _Rival(stage.twin)
                try:
                    await self._life()
                    await stage.make_namespace("contested")
                    struck.set()
                    await asyncio.sleep(stage.outage / 3)
                finally:
                    stage.ours.plane.faults.race(None)
                    stage.link.rival = None

        await self._begin(last)

    # All of it

    async def rotate_key(self, _: str) -> None:
        """Another key signs from now on; what older ones have signed stays good."""
        stage = self._stage
        if stage.keys.rotations >= ROTATIONS_MAX:
            raise Refused("there are enough keys")
        with stage.fault("rotate-key", "another key signs from now on"):
            stage.keys.rotate()
            for side in stage.sides:
                side.plane.reload_keys()
                await side.fetch_keys()
            await stage.make_namespace("team")

    async def storm(self, target: str) -> None:
        """Namespaces, as many as one can make."""
        stage = self._stage
        try:
            count = int(target or STORM)
        except ValueError:
            raise Refused("a storm has a number of namespaces") from None
        if not 1 <= count <= STORM:
            raise Refused(f"a storm has between 1 and {STORM} namespaces")
        stage.check_room(count)

        async def last(struck: asyncio.Event) -> None:
            with stage.fault("storm", f"{count} namespaces are made at once"):
                struck.set()
                for number in range(count):
                    await stage.make_namespace("storm")
                    if number % AT_A_TIME == 0:
                        await asyncio.sleep(0)

        await self._begin(last)

    async def start_over(self, _: str) -> None:
        """Everything as it was in the beginning."""
        await self._stage.start_over()


class _Rival:
    """Somebody who is faster a few times."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._left = RIVALRY

    async def __call__(self, kind: Kind, name: str, namespace: str) -> None:
        """Changes the object in a way that means nothing."""
        if self._left <= 0 or kind.plural == "events":
            return
        self._left -= 1
        patch = {"metadata": {"annotations": {"demo.verger.dev/faster": f"{self._left} left"}}}
        plane = self._side.plane
        what = f"touches {kind.plural} {namespace}/{name}"
        with plane.origins.working("a rival", what, causes=()) as work:
            try:
                await plane.client.patch(kind, name, namespace, patch)
                work.outcome = "done"
            except ApiError:
                work.outcome = "given up"


ACTIONS: Final = (
    Action(
        "make-namespace",
        "New namespace",
        "One object is written. Controllers see it in the store and make an account, the root CA and a token.",
        "",
        "n",
        Actions.make_namespace,
    ),
    Action(
        "delete-account",
        "Delete an account",
        "It comes back as another one, with a new token; the old token is worth nothing.",
        "namespace",
        "d",
        Actions.delete_account,
    ),
    Action(
        "scribble",
        "Scribble over a token",
        "The Secret stays and holds what is no token. No event of the kind that the twin waits for tells of it.",
        "namespace",
        "s",
        Actions.scribble,
    ),
    Action(
        "kill",
        "Kill a controller",
        "It dies in the middle of its work, and life goes on. It starts with nothing in hand.",
        "controller",
        "k",
        Actions.kill,
    ),
    Action(
        "freeze",
        "Freeze a controller",
        "It stands still with its work in hand, and goes on with what it knew then.",
        "controller",
        "f",
        Actions.freeze,
    ),
    Action(
        "partition",
        "Cut a controller off",
        "Its reads and writes fail and its watches are silent; then it is connected again.",
        "controller",
        "p",
        Actions.partition,
    ),
    Action(
        "drop-events",
        "Drop events",
        "Every watch breaks, and things happen before the next one is open.",
        "",
        "e",
        Actions.drop_events,
    ),
    Action(
        "conflicts",
        "Force conflicts",
        "Somebody else is faster with every update, so that it meets a conflict.",
        "",
        "c",
        Actions.conflicts,
    ),
    Action(
        "expire-history",
        "Expire the history",
        "The store forgets changes that have not been delivered: whoever watches hears 410 Gone.",
        "",
        "h",
        Actions.expire_history,
    ),
    Action(
        "rotate-key",
        "Rotate the signing key",
        "Another key signs from now on, and both are published: old tokens stay good.",
        "",
        "r",
        Actions.rotate_key,
    ),
    Action(
        "storm",
        "Storm of namespaces",
        "A thousand namespaces are made as fast as they can be written.",
        "count",
        "w",
        Actions.storm,
    ),
    Action(
        "start-over",
        "Start over",
        "Both sides become what they were in the beginning.",
        "",
        "x",
        Actions.start_over,
    ),
)
BY_NAME: Final[Mapping[str, Action]] = {action.name: action for action in ACTIONS}
