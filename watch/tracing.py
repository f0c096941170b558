"""What writes down how long pieces of work took, and what they were part of.

Whoever works asks for a span around it. Without a tracer nothing is asked, and it costs nothing.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol


class Span(Protocol):
    """One piece of work that goes on."""

    def tell(self, name: str, value: str | int) -> None:
        """Adds a fact."""

    def fail(self, error: BaseException) -> None:
        """The work did not succeed."""


class Tracer(Protocol):
    """Makes spans. One that is opened inside another one, by the same task, is a part of it."""

    def span(
        self, name: str, facts: Mapping[str, str | int], *, remote: bool = False
    ) -> AbstractContextManager[Span]:
        """A span for as long as the context lasts; `remote` is work that another process does for this one.

        What is raised in it is noted, and passes.
        """
