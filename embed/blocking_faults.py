"""The faults of a plane that runs in a thread of its own: each method is done there, and waits for its outcome."""

from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final, Unpack

from verger.embed.faults import Aim, Fault, Faults
from verger.embed.scope import Scope

_Do = Callable[[Coroutine[Any, Any, Any]], Any]


class BlockingFaults:
    """The same as `Faults`, from any thread but the plane's own."""

    def __init__(self, faults: Faults, do: _Do) -> None:
        self._faults: Final = faults
        self._do = do

    @property
    def seed(self) -> int:
        """What all chances are drawn from; a plane with the same seed has the same faults."""
        return self._faults.seed

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._faults)

    # These are no more than a look at a list, from whichever thread.

    def fail(
        self,
        code: int = 503,
        *,
        retry_after: int | None = None,
        message: str = "",
        **aim: Unpack[Aim],
    ) -> Fault:
        """Answers with an error, before anything is done. Raises ValueError for a code that is no error's."""
        return self._faults.fail(code, retry_after=retry_after, message=message, **aim)

    def conflict(self, **aim: Unpack[Aim]) -> Fault:
        """Answers updates and patches as if somebody had been faster."""
        return self._faults.conflict(**aim)

    def latency(self, seconds: float, **aim: Unpack[Aim]) -> Fault:
        """Lets requests wait before they are done."""
        return self._faults.latency(seconds, **aim)

    def lose_answers(self, **aim: Unpack[Aim]) -> Fault:
        """Breaks the connection after a write has been done: the client cannot know that it was."""
        return self._faults.lose_answers(**aim)

    # These touch what belongs to the plane's thread.

    def reseed(self, seed: int) -> None:
        """Removes all faults, and begins again with a seed."""
        self._there(lambda: self._faults.reseed(seed))

    def clear(self) -> None:
        """Removes all faults from requests and watches, and sets the time of day right."""
        self._there(self._faults.clear)

    def cut_watches(self, **scope: Unpack[Scope]) -> int:
        """Breaks the connections of watches; returns how many."""
        return int(self._there(lambda: self._faults.cut_watches(**scope)))

    def freeze_watches(self, **scope: Unpack[Scope]) -> int:
        """Holds back what watches would send, those that are open and those to come; returns how many are open."""
        return int(self._there(lambda: self._faults.freeze_watches(**scope)))

    def thaw_watches(self, **scope: Unpack[Scope]) -> int:
        """Lets watches send everything that was held back; returns how many watches were looked at."""
        return int(self._there(lambda: self._faults.thaw_watches(**scope)))

    def expire_history(self, **scope: Unpack[Scope]) -> int:
        """Forgets all old revisions, and ends the watches of a scope with 410 Gone; returns how many."""
        return int(self._there(lambda: self._faults.expire_history(**scope)))

    def jump(self, seconds: float) -> None:
        """Puts the time of day forward, or back."""
        self._there(lambda: self._faults.jump(seconds))

    def pause(self, controller: str) -> None:
        """Stops a controller in whatever it is doing, until `resume`. Raises UnknownController."""
        self._do(self._faults.pause(controller))

    def resume(self, controller: str) -> None:
        """Starts a controller that was paused: it knows nothing of before. Raises UnknownController."""
        self._there(lambda: self._faults.resume(controller))

    def kill(self, controller: str) -> None:
        """Stops a controller in whatever it is doing, and starts it at once. Raises UnknownController."""
        self._do(self._faults.kill(controller))

    def partition(self, controller: str) -> None:
        """Cuts a controller off from the store, until `rejoin`. Raises UnknownController."""
        self._there(lambda: self._faults.partition(controller))

    def rejoin(self, controller: str) -> None:
        """Connects a controller again. Raises UnknownController."""
        self._there(lambda: self._faults.rejoin(controller))

    def freeze(self, controller: str) -> None:
        """Holds a controller up in whatever it is doing, until `unfreeze`. Raises UnknownController."""
        self._there(lambda: self._faults.freeze(controller))

    def unfreeze(self, controller: str) -> None:
        """Lets a frozen controller go on. Raises UnknownController."""
        self._there(lambda: self._faults.unfreeze(controller))

    def _there(self, act: Callable[[], Any]) -> Any:
        async def done() -> Any:
            return act()

        return self._do(done())
