"""Which of several replicas writes: the one that holds a Lease.

The election is a step function over two states, and one step makes one attempt. Time is the own clock's alone: a lease
has expired when it has not changed for its duration since it was first seen as it is. Whoever leads knows by itself, with
every write, that its time is not over: a process that was asleep writes nothing when it wakes.

upstream: k8s.io/client-go/tools/leaderelection
"""

import asyncio
import contextlib
import math
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from verger.controllers.recorder import Recorder
from verger.store.client import Client
from verger.store.errors import AlreadyExists, ApiError, Conflict, NotFound, ServiceUnavailable
from verger.store.kinds import Kind
from verger.store.objects import thaw
from verger.store.throttle import Deadline
from verger.store.timestamps import format_micro
from verger.watch.chance import CHANCE
from verger.watch.clock import Clock

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

Object = Mapping[str, Any]

JITTER: Final = 1.2
"""Candidates wait up to this share longer than they have to, so that not all come at once. upstream: JitterFactor"""


class NotLeading(ServiceUnavailable):
    """Somebody else may lead by now: nothing is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ElectionOptions:
    """Whose lease it is, and how long it lasts, in seconds."""

    identity: str
    namespace: str = "kube-system"
    name: str = "verger"
    lease_duration: float = 15.0
    """For how long others believe in a leader of which they hear nothing."""
    renew_deadline: float = 10.0
    """For how long a leader that cannot renew goes on."""
    retry_period: float = 2.0

    def problem(self) -> str:
        """What is wrong with the durations, empty when nothing is. upstream: NewLeaderElector"""
        if not self.name or not self.namespace:
            return "the lease needs a name and a namespace"
        if self.retry_period <= 0:
            return "the retry period must be more than nothing"
        if self.renew_deadline <= JITTER * self.retry_period:
            return f"the renew deadline must be more than {JITTER} times the retry period"
        if self.lease_duration <= self.renew_deadline:
            return "the lease duration must be more than the renew deadline"
        return ""


class Observed(NamedTuple):
    """A lease as it was seen."""

    lease: Object
    since: float
    """When it was first seen as it is, on the monotonic clock."""


class Standby(NamedTuple):
    """Somebody else leads, as far as is known."""

    observed: Observed | None = None


class Leading(NamedTuple):
    """The lease is ours."""

    lease: Object
    renewed: float
    """When the last renewal that succeeded was begun, on the monotonic clock."""


State = Standby | Leading


def holder_of(lease: Object) -> str:
    """Who holds a lease, empty for nobody."""
    return str((lease.get("spec") or {}).get("holderIdentity") or "")


class Election:
    """One candidate."""

    def __init__(
        self,
        client: Client,
        leases: Kind,
        options: ElectionOptions,
        clock: Clock,
        log: "FilteringBoundLogger",
        recorder: Recorder,
    ) -> None:
        self.options = options
        self._client = client
        self._kind = leases
        self._clock = clock
        self._log = log
        self._recorder = recorder
        self.state: State = Standby()
        self.transitions = 0
        """How often this process has become leader."""
        self.slow_renewals = 0
        """How often the lease had been written by others, so that a renewal took another look at it."""

    # What others ask

    @property
    def leading(self) -> bool:
        """Whether this process leads, and surely nobody else."""
        return self._left(self.state) > 0

    def guard(self) -> float:
        """To be asked before each write: the seconds that it may take. Raises NotLeading."""
        left = self._left(self.state)
        if left <= 0:
            raise NotLeading("the lease is not held any more")
        return left

    def _left(self, state: State) -> float:
        """Seconds for which a leader may go on."""
        if isinstance(state, Standby):
            return 0.0
        return state.renewed + self.options.renew_deadline - self._clock.monotonic()

    # One step

    async def step(self, state: State) -> State:
        """One attempt to acquire or to renew. Only cancellation leaves it as an exception."""
        options = self.options
        # An attempt that hangs must leave time for another one, and never outlasts the leadership.
        limit = options.renew_deadline / 2
        if isinstance(state, Leading):
            if self._left(state) <= 0:
                return Standby()
            limit = min(limit, self._left(state))
        try:
            with Deadline(self._clock, limit):
                if isinstance(state, Leading):
                    return await self._renew(state)
                return await self._acquire(state)
        except Exception as error:
            # Whatever it is: it says nothing about who leads.
            self._log.debug("lease not written", lease=options.name, error=str(error) or "too late")
        if isinstance(state, Leading) and self._left(state) <= 0:
            return Standby()
        return state

    async def _acquire(self, state: Standby) -> State:
        options, now = self.options, self._clock.monotonic()
        try:
            lease = await self._client.get(self._kind, options.name, options.namespace)
        except NotFound:
            return await self._create(now)
        observed = state.observed
        if observed is None or observed.lease.get("spec") != lease.get("spec"):
            observed = Observed(lease, self._clock.monotonic())
        state = Standby(observed)
        if self._is_held(observed) and holder_of(lease) != options.identity:
            return state
        now = self._clock.monotonic()
        try:
            taken = await self._client.update(self._kind, self._claimed(lease))
        except (Conflict, NotFound):
            return state  # somebody else was faster
        return Leading(taken, now)

    async def _create(self, now: float) -> State:
        options = self.options
        metadata = {"name": options.name, "namespace": options.namespace}
        try:
            made = await self._client.create(self._kind, self._claimed({"metadata": metadata}))
        except AlreadyExists:
            return Standby()
        return Leading(made, now)

    def _is_held(self, observed: Observed) -> bool:
        if not holder_of(observed.lease):
            return False
        seconds = observed.lease["spec"].get("leaseDurationSeconds") or 0
        return self._clock.monotonic() < observed.since + seconds

    async def _renew(self, state: Leading) -> State:
        now = self._clock.monotonic()
        options = self.options
        try:
            # Without a look at it: as long as nobody else has written it, it is as we left it.
            return Leading(await self._client.update(self._kind, self._claimed(state.lease)), now)
        except (Conflict, NotFound):
            self.slow_renewals += 1
        try:
            lease = await self._client.get(self._kind, options.name, options.namespace)
        except NotFound:
            return await self._create(self._clock.monotonic())
        if holder_of(lease) != options.identity:
            return Standby(Observed(lease, self._clock.monotonic()))
        # An answer of our own was lost, or somebody has written a label.
        now = self._clock.monotonic()
        return Leading(await self._client.update(self._kind, self._claimed(lease)), now)

    def _claimed(self, lease: Object) -> Object:
        """The lease as ours, from now on."""
        options, wanted = self.options, thaw(lease)
        spec = wanted.setdefault("spec", {})
        now = format_micro(self._clock.time())
        if spec.get("holderIdentity") != options.identity:
            transitions = spec.get("leaseTransitions")
            # A lease that was never held has not changed hands.
            spec["leaseTransitions"] = 0 if transitions is None else transitions + 1
            spec["acquireTime"] = now
        spec["holderIdentity"] = options.identity
        spec["leaseDurationSeconds"] = max(math.ceil(options.lease_duration), 1)
        spec["renewTime"] = now
        return wanted

    async def release(self, state: State) -> None:
        """Lets the lease go, so that the next one need not wait. Nothing to do when it is not held any more."""
        if not isinstance(state, Leading):
            return
        wanted = thaw(state.lease)
        spec, now = wanted["spec"], format_micro(self._clock.time())
        spec.pop("holderIdentity", None)
        spec |= {"leaseDurationSeconds": 1, "renewTime": now, "acquireTime": now}
        try:
            with Deadline(self._clock, self.options.renew_deadline / 2):
                await self._client.update(self._kind, wanted)
        except (ApiError, TimeoutError) as error:
            self._log.debug("lease not released", lease=self.options.name, error=str(error))
        else:
            self._log.info("lease released", lease=self.options.name)

    # The loop

    async def run(self, lead: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Stands for election for ever, and runs `lead` whenever this process leads.

        When the lease is lost `lead` is cancelled before anything else; when this is cancelled, `lead` is ended and then
        the lease released. Raises what `lead` raises.
        """
        leading: asyncio.Task[None] | None = None
        try:
            while True:
                before = self.state
                self.state = await self.step(before)
                is_new = isinstance(before, Standby)
                if isinstance(self.state, Leading):
                    if is_new:
                        leading = asyncio.create_task(lead(), name="leader")
                        await self._tell("became leader")
                elif leading is not None:
                    await _end(leading)
                    leading = None
                    await self._tell("stopped leading")
                if leading is not None and leading.done():
                    await leading
                    return
                await self._clock.sleep(self._pause())
        finally:
            try:
                if leading is not None:
                    await _end(leading)
            finally:
                state, self.state = self.state, Standby()
                await self.release(state)

    def _pause(self) -> float:
        period = self.options.retry_period
        if isinstance(self.state, Leading):
            # It ends with the leadership, so that its end is noticed when it comes.
            return min(period, max(self._left(self.state), 0.0))
        return period * (1 + JITTER * CHANCE.random())  # it only spreads them

    async def _tell(self, what: str) -> None:
        identity = self.options.identity
        say = self._log.info
        if isinstance(self.state, Leading):
            self.transitions += 1
            lease = self.state.lease
            # It must not keep the lease from being renewed.
            with contextlib.suppress(TimeoutError), Deadline(self._clock, self._pause()):
                message = f"{identity} {what}"
                await self._recorder.record(self._kind, lease, "Normal", "LeaderElection", message)
        else:
            say = self._log.warning
        say(what, lease=self.options.name, identity=identity)


async def _end(task: "asyncio.Task[None]") -> None:
    """Cancels a task and waits until it has ended. Raises what broke it before."""
    if not task.done():
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error
