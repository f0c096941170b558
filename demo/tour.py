"""The demo told step by step: each step is a real fault, and what it says afterwards has been found out.

A face plays it with pauses for reading, `verger demo --script` without any. It takes about three minutes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from verger.demo.actions import STORM, TOKENS, Actions
from verger.demo.judging import ACCOUNT
from verger.demo.stage import Refused, Stage
from verger.demo.verifying import forged, read, token_in
from verger.store.rules.configuration import TOKEN_SECRET

LEAD: Final = 4.0
"""Seconds for reading what will happen, before it does."""
LINGER: Final = 10.0
"""Seconds for looking at what came of it."""
HERO: Final = "team-1"
"""The namespace that the first steps are about."""
Facts = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Step:
    """One step."""

    title: str
    text: str
    do: Callable[["Guide"], Awaitable[Facts]]
    """Does it, and says what was found out besides what is counted."""


class Guide:
    """Whoever does the steps."""

    def __init__(self, stage: Stage, actions: Actions, *, storm: int = STORM) -> None:
        """`storm` is how many namespaces the storm has."""
        self.stage = stage
        self.actions = actions
        self._storm = storm

    async def _token(self) -> str:
        """Our token of the first namespace."""
        plane = self.stage.ours.plane
        secrets = (await plane.client.list(plane.kinds.core("Secret"), HERO)).items
        return next((token_in(item) for item in secrets if item.get("type") == TOKEN_SECRET), "")

    async def begin(self) -> Facts:
        """Three namespaces, on a stage that is as it was in the beginning."""
        await self.actions.act("start-over")
        for _ in range(3):
            await self.actions.act("make-namespace")
        await self.stage.healed()
        return {}

    async def read(self) -> Facts:
        """What a token says, and how one knows that it is no lie."""
        token = await self._token()
        verifier = self.stage.ours.verifier
        said = read(token)
        return {
            "signed with": f"{said.algorithm}, key {said.kid}" if said is not None else "nothing",
            "subject": str(said.claims.get("sub")) if said is not None else "nobody",
            "signature": "good" if verifier.verify(token) else "bad",
            "with one letter changed": "good" if verifier.verify(forged(token)) else "bad",
            "API answers to it": str(await verifier.status(token)),
        }

    async def delete(self) -> Facts:
        """The account of the first namespace goes."""
        old = await self._token()
        await self.actions.act("delete-account", HERO)
        await self.stage.healed()
        status = self.stage.ours.verifier.status
        return {
            "API answers to the old token": str(await status(old)),
            "API answers to the new one": str(await status(await self._token())),
        }

    async def scribble(self) -> Facts:
        """The token of the first namespace is spoiled."""
        await self.actions.act("scribble", HERO)
        await self.stage.healed()
        status = await self.stage.ours.verifier.status(await self._token())
        return {"API answers to what it holds now": str(status)}

    async def strike(self, name: str, target: str = "") -> Facts:
        """One action, until ours has got over it; how much was wrong in between, as far as it was looked at."""
        await self.actions.act(name, target)
        worst = 0
        async for frame in self.stage.frames():
            worst = max(worst, frame["score"]["ours"]["wrong"])
            if not self.stage.score.open and self.stage.well:
                break
        return {"ours, while it lasted": f"{worst} wrong"}

    async def storm(self) -> Facts:
        """A storm, and the controller of tokens dies in the middle of it."""
        await self.actions.act("storm", str(self._storm))
        await self.actions.act("kill", TOKENS)
        await self.stage.healed()
        counts = self.stage.ours.counts()
        return {
            "namespaces, accounts, tokens": f"{counts['namespaces']}, {counts['accounts']}, {counts['tokens']}"
        }

    async def end(self) -> Facts:
        """Nothing more."""
        told = self.stage.score.told(0.0)
        return {
            "faults": str(told["faults"]),
            "ours got over each within": f"{told['longest_seconds']} s",
        }


def _striking(name: str) -> Callable[[Guide], Awaitable[Facts]]:
    return lambda guide: guide.strike(name)


STEPS: Final = (
    Step(
        "One promise, kept in two ways",
        "Every namespace has an account, and every account a signed token. Ours keeps that true by looking at what is there; the "
        "twin by reacting to what it hears. Three namespaces are written on both sides, and nothing goes wrong yet.",
        Guide.begin,
    ),
    Step(
        "What the token says",
        "The Secret holds a signed text. Whoever has the public keys of the plane can check it without asking anybody. One changed "
        "letter spoils it.",
        Guide.read,
    ),
    Step(
        "Somebody deletes an account",
        f"The account {HERO}/{ACCOUNT} goes, and comes back on both sides as another one: a new uid, a new token. The old token was signed "
        "well and is worth nothing. An event was all that it took, as long as somebody hears it.",
        Guide.delete,
    ),
    Step(
        "Somebody scribbles over a token",
        "Ours does not care what happened, only what is there: a Secret that should hold a token and does not. The twin has no "
        "reaction to that.",
        Guide.scribble,
    ),
    Step(
        "A controller is killed",
        "While it is dead a namespace is made and an account is deleted. Ours starts with nothing in hand but a list of what there is, "
        "and that is enough. The twin starts too, and waits for the next event.",
        _striking("kill"),
    ),
    Step(
        "A controller is cut off",
        "Its requests fail and its watches are silent. When the connection is back ours sees what there is, and keys that "
        "failed are tried again. What the twin missed or failed to write is lost.",
        _striking("partition"),
    ),
    Step(
        "Events are lost on the way",
        "Every watch breaks, and things happen before the next one is open. Ours goes on from the revision that it has seen. The twin goes "
        "on from now.",
        _striking("drop-events"),
    ),
    Step(
        "Somebody else is faster",
        "Each update meets a conflict, since somebody has changed the object meanwhile. For ours that is a reason to look again. For the "
        "twin it is an error message.",
        _striking("conflicts"),
    ),
    Step(
        "The history expires",
        "The store forgets changes that were not delivered yet: 410 Gone. Ours lists again, and acts on the difference.",
        _striking("expire-history"),
    ),
    Step(
        "The signing key is rotated",
        "Another key signs from now on. Both are published, so that old tokens stay good until they are replaced. Nobody has to do "
        "anything, and nobody does.",
        _striking("rotate-key"),
    ),
    Step(
        "A storm, and a death in the middle of it",
        "A thousand namespaces at once, and the controller that signs dies while it works on them. Its queue is lost; the work is "
        "not, since the work is what the world lacks.",
        Guide.storm,
    ),
    Step(
        "The score",
        "Both sides were struck by the same faults. Nothing was scripted: the numbers are counted from the two stores.",
        Guide.end,
    ),
)


class Tour:
    """The steps, one after the other, by itself or on request."""

    def __init__(self, stage: Stage, actions: Actions, *, pace: float = 1.0) -> None:
        """`pace` multiplies all pauses."""
        self._stage = stage
        self._guide = Guide(stage, actions)
        self._pace = pace
        self._task: asyncio.Task[None] | None = None
        self._next = asyncio.Event()
        self._auto = True
        self._number = 0
        self._phase = ""
        self._facts: Facts = {}
        stage.extend("tour", self.told)

    @property
    def running(self) -> bool:
        """Whether a tour is being given."""
        return self._task is not None and not self._task.done()

    def told(self) -> dict[str, Any] | None:
        """For a frame; None when no tour is being given."""
        if not self.running:
            return None
        step = STEPS[self._number]
        return {
            "step": self._number + 1,
            "of": len(STEPS),
            "title": step.title,
            "text": step.text,
            "phase": self._phase,
            "facts": dict(self._facts),
            "auto": self._auto,
        }

    async def start(self, *, auto: bool = True) -> None:
        """Begins at the first step; without `auto` each step waits for `next`."""
        await self.stop()
        self._auto = auto
        self._next.clear()
        self._task = self._stage.start(self._give())

    def next(self) -> None:
        """Goes on at once."""
        self._next.set()

    async def stop(self) -> None:
        """Ends the tour; what it has done stays."""
        task, self._task = self._task, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task])
        self._stage.changed()

    async def _give(self) -> None:
        for number, step in enumerate(STEPS):
            self._number, self._facts = number, {}
            self._show("about to happen")
            await self._pause(LEAD)
            self._show("happening")
            try:
                self._facts = await step.do(self._guide)
            except Refused as refused:
                # Somebody has done something else meanwhile, as he may.
                self._stage.note = f"the tour ends: {refused}"
                break
            self._show("over")
            await self._pause(LINGER)
        self._stage.changed()

    def _show(self, phase: str) -> None:
        self._phase = phase
        self._stage.changed()

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds * self._pace if self._auto else None):
                await self._next.wait()
        self._next.clear()
