"""Loggers without global state: each plane has its own, and no secret gets through any of them.

The logging library is loaded when there is something to say: a plane in a test mostly has nothing to say, and is up
before the library would be.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO, cast

from verger.controllers.attempt import CURRENT

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

Format = Literal["console", "json"]

# Three base64url parts: a token, wherever it stands. And PEM keys, which begin with words of their own and end with
# others, or with the text that they stand in: at a quote, which a line in JSON must keep.
_SECRETS: Final = re.compile(
    r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"(?:(?!-----)[^\"'\\]|\\[nrt\\])*(?:-----END [A-Z ]*PRIVATE KEY-----)?"
)
REDACTED: Final = "<redacted>"


def redact(_: Any, __: str, line: str) -> str:
    """Takes tokens and private keys out of a line, when it is all text: nothing can hide in a value by then."""
    if "eyJ" in line or "PRIVATE KEY" in line:
        return _SECRETS.sub(REDACTED, line)
    return line


def add_attempt(_: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Says in each line of one reconcile which that is: controller, key, its own name, and the revision it began at."""
    attempt = CURRENT.get()
    return event if attempt is None else {**attempt.facts(), **event}


class LazyLogger:
    """A structlog logger that is made when its first line is written. Lines below its level cost a comparison."""

    def __init__(
        self, level: int, format_: Format, stream: TextIO, bound: dict[str, Any] | None = None
    ) -> None:
        self._level = level
        self._format = format_
        self._stream = stream
        self._bound = bound or {}
        self._made: FilteringBoundLogger | None = None

    def bind(self, **values: Any) -> "LazyLogger":
        """A logger that adds these values to each line."""
        return LazyLogger(self._level, self._format, self._stream, {**self._bound, **values})

    def debug(self, event: str, **values: Any) -> None:
        """A line for those who look for a fault."""
        if self._level <= logging.DEBUG:
            self._logger().debug(event, **values)

    def info(self, event: str, **values: Any) -> None:
        """A line about what has been done."""
        if self._level <= logging.INFO:
            self._logger().info(event, **values)

    def warning(self, event: str, **values: Any) -> None:
        """A line about what somebody should look at."""
        if self._level <= logging.WARNING:
            self._logger().warning(event, **values)

    def error(self, event: str, **values: Any) -> None:
        """A line about what went wrong."""
        self._logger().error(event, **values)

    def exception(self, event: str, **values: Any) -> None:
        """A line about the exception that is being handled."""
        self._logger().exception(event, **values)

    def _logger(self) -> "FilteringBoundLogger":
        if self._made is None:
            self._made = _make(self._level, self._format, self._stream).bind(**self._bound)
        return self._made


def _make(level: int, format_: Format, stream: TextIO) -> "FilteringBoundLogger":
    import structlog

    renderer: list[Any]
    if format_ == "json":
        renderer = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
            redact,
        ]
    else:
        renderer = [
            structlog.dev.ConsoleRenderer(
                colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
            redact,
        ]
    logger = structlog.wrap_logger(
        structlog.PrintLogger(stream),
        processors=[
            add_attempt,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        context_class=dict,
        cache_logger_on_first_use=True,
    )
    return cast("FilteringBoundLogger", logger)


def make_logger(
    *, level: str = "info", format: Format = "json", stream: TextIO | None = None
) -> "FilteringBoundLogger":
    """A logger that writes to a stream (standard error), as lines for people or as JSON."""
    number = logging.getLevelNamesMapping()[level.upper()]
    return cast("FilteringBoundLogger", LazyLogger(number, format, stream or sys.stderr))


def quiet_logger() -> "FilteringBoundLogger":
    """The logger of an embedded plane: only what is wrong is said."""
    return make_logger(level="warning", format="console")
