"""The requests that a plane has answered, to look at and to test.

    plane.requests.of(verb="patch", resource="pods").count == 1
    plane.requests.of(user="team/robot").last.code == 403

The newest ones are kept, and nothing of what was sent in them.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final, Unpack, overload

from verger.apiserver.calls import Call
from verger.embed.scope import Scope, Wanted

KEPT: Final = 10_000
"""Requests; a test makes some hundreds."""
_SHOWN: Final = 20


def line_of(call: Call) -> str:
    """A request in one line, as failing tests show it."""
    what = call.path
    if call.resource:
        resource = f"{call.resource}.{call.group}" if call.group else call.resource
        part = f"/{call.subresource}" if call.subresource else ""
        where = f"{call.namespace}/{call.name}".strip("/")
        what = f"{resource}{part} {where}".rstrip()
    took = "open" if call.duration is None else f"{call.duration * 1000:.1f} ms"
    fault = f", fault: {call.fault}" if call.fault else ""
    return (
        f"{call.code} {call.verb} {what} ({took}) by {call.user.name or 'somebody unknown'}{fault}"
    )


class Found:
    """Some requests, oldest first. Its repr lists them, so that a plain `assert` tells what there was."""

    def __init__(self, calls: Iterable[Call], asked: str) -> None:
        self._calls = tuple(calls)
        self._asked = asked

    @property
    def count(self) -> int:
        """How many they are."""
        return len(self._calls)

    @property
    def first(self) -> Call:
        """The oldest one. Raises AssertionError when there is none."""
        return self._some()[0]

    @property
    def last(self) -> Call:
        """The newest one. Raises AssertionError when there is none."""
        return self._some()[-1]

    @property
    def one(self) -> Call:
        """The only one. Raises AssertionError when there are none or several."""
        if len(self._calls) != 1:
            raise AssertionError(f"there should be one: {self!r}")
        return self._calls[0]

    @property
    def codes(self) -> list[int]:
        """How they were answered."""
        return [call.code for call in self._calls]

    def _some(self) -> tuple[Call, ...]:
        if not self._calls:
            raise AssertionError(repr(self))
        return self._calls

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[Call]:
        return iter(self._calls)

    @overload
    def __getitem__(self, index: int) -> Call: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Call, ...]: ...
    def __getitem__(self, index: int | slice) -> Call | tuple[Call, ...]:
        return self._calls[index]

    def __repr__(self) -> str:
        lines = [f"{len(self._calls)} requests {self._asked}".rstrip()]
        if (left := len(self._calls) - _SHOWN) > 0:
            lines.append(f"  ... {left} earlier ones")
        lines += [f"  {line_of(call)}" for call in self._calls[-_SHOWN:]]
        return "\n".join(lines)


class Requests:
    """The recorder of a plane. It may be read from any thread."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=KEPT)
        self._total = 0

    def note(self, call: Call) -> None:
        """Keeps a request; the oldest one goes when there are too many."""
        self._calls.append(call)
        self._total += 1

    def of(self, **scope: Unpack[Scope]) -> Found:
        """Those of a scope: by verb, resource, namespace, name and user."""
        wanted = Wanted.of(scope)
        asked = ", ".join(f"{word}={value!r}" for word, value in scope.items())
        # A copy first: the plane may go on in another thread.
        calls = [call for call in list(self._calls) if wanted.holds(call)]
        return Found(calls, f"of {asked}" if asked else "in all")

    @property
    def count(self) -> int:
        """How many are kept."""
        return len(self._calls)

    @property
    def last(self) -> Call:
        """The newest one. Raises AssertionError when there is none."""
        return self.of().last

    @property
    def forgotten(self) -> int:
        """How many there were that are not kept, because others came after them."""
        return self._total - len(self._calls)

    def clear(self) -> None:
        """Forgets all of them."""
        self._calls.clear()
        self._total = 0

    def __iter__(self) -> Iterator[Call]:
        return iter(list(self._calls))

    def __len__(self) -> int:
        return len(self._calls)

    def __repr__(self) -> str:
        return repr(self.of())
