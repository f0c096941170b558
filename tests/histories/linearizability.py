"""Every request about one object takes effect at one moment between its call and its answer.

Revisions reveal the order of writes, so this needs no search. Positions stand on one line: a write at revision r
has position 2r, and a read that shows the state between r and the next change of that object lies in between, on
odd positions. An order that respects real time exists exactly when each request, taken by the time of its call, finds
a position that its outcome allows and that is not before any that had returned by then: the earliest choice leaves
the most room to all others.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import partial
from heapq import heappop, heappush
from typing import Final, NamedTuple

from tests.histories.history import Operation, revision_of
from tests.histories.model import outcome
from tests.histories.replay import Change, Replay

_END: Final = 1 << 62
"""A position behind all others."""


class _Request(NamedTuple):
    """Something that saw or changed the state at one moment."""

    call: int
    returned: int | None
    name: str
    place: Callable[[int], int | None]
    """Its first possible position from another one on."""


def linearizable(replay: Replay) -> Iterator[str]:
    """Each request's outcome is that of a moment between its call and its answer, in one order for all clients."""
    reached = 0
    answered: list[tuple[int, int]] = []
    """When requests returned, and their positions, as a heap."""
    for request in sorted(_requests(replay), key=lambda request: request.call):
        while answered and answered[0][0] < request.call:
            reached = max(reached, heappop(answered)[1])
        position = request.place(reached)
        if position is None or position // 2 > _newest(replay, request):
            yield f"{request.name} was not true at any moment after {reached // 2} had been seen"
        elif request.returned is not None:
            heappush(answered, (request.returned, position))


def _requests(replay: Replay) -> Iterator[_Request]:
    fixed = {
        operation.mark: revision
        for revision, operations in replay.causes.items()
        for operation in operations
    }
    for operation in replay.history.operations:
        revision = fixed.get(operation.mark)
        # What was cut off and left no trace did not happen.
        if operation.returned is not None or revision is not None:
            name = (
                f"{operation.verb} {operation.mark} of {'/'.join(operation.key)}: "
                f"{operation.status} {revision_of(operation.answer) or ''}"
            )
            place = partial(_place, replay, operation, revision)
            yield _Request(operation.call, operation.returned, name, place)
    for page in replay.history.pages:
        if page.status == 200 and not page.token and not page.revision:
            # A list of what is current reads at its own revision.
            place = partial(_listed, revision_of(page.answer))
            yield _Request(page.call, page.returned, page.listing, place)


def _newest(replay: Replay, request: _Request) -> int:
    """The newest revision that there can have been when the request returned."""
    return replay.called(request.returned) if request.returned is not None else _END


def _listed(revision: int, earliest: int) -> int | None:
    position = 2 * revision + 1
    return position if position >= earliest else None


def _place(replay: Replay, operation: Operation, revision: int | None, earliest: int) -> int | None:
    """The first position from `earliest` on at which the operation has the outcome that it had."""
    timeline = replay.timelines.get(operation.key, [])
    if revision is not None:
        return 2 * revision if 2 * revision >= earliest else None
    if operation.status == 504:
        # It waited for a revision that did not come: that says nothing about the object.
        return earliest if operation.not_older > replay.acknowledged(operation.call) else None
    if operation.not_older:
        if operation.returned is None or operation.not_older > replay.called(operation.returned):
            return None
        earliest = max(earliest, 2 * operation.not_older + 1)
    index = bisect_right(timeline, earliest, key=lambda change: 2 * change.revision)
    while True:
        begin = 2 * timeline[index - 1].revision + 1 if index else 0
        end = 2 * timeline[index].revision - 1 if index < len(timeline) else _END
        position = max(begin, earliest)
        if position <= end and _agrees(operation, timeline[index - 1] if index else None):
            return position
        if index == len(timeline):
            return None
        index += 1


def _agrees(operation: Operation, shown: Change | None) -> bool:
    """Whether the operation, which changed nothing, comes to what it came to in the state after a change."""
    state = shown.object if shown is not None else None
    wanted = outcome(operation, state)
    if wanted.status != operation.status:
        return False
    return operation.status != 200 or (wanted.effect == "nothing" and operation.answer == state)
