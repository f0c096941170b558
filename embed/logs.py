"""Loggers without global state: each plane has its own, and no secret gets through any of them."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final, Literal, TextIO, cast

import structlog
from structlog.typing import FilteringBoundLogger

# Three base64url parts: a token, wherever it stands. And PEM keys, which begin with words of their own.
_SECRETS: Final = re.compile(
    r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]*|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)",
    re.DOTALL,
)
REDACTED: Final = "<redacted>"


def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Takes tokens and private keys out of a log entry."""
    for key, value in event.items():
        if isinstance(value, str) and ("eyJ" in value or "PRIVATE KEY" in value):
            event[key] = _SECRETS.sub(REDACTED, value)
    return event


def make_logger(
    *,
    level: str = "info",
    format: Literal["console", "json"] = "json",
    stream: TextIO | None = None,
) -> FilteringBoundLogger:
    """A logger that writes to a stream (standard error), as lines for people or as JSON."""
    out = stream or sys.stderr
    renderer: list[Any]
    if format == "json":
        renderer = [
            structlog.processors.format_exc_info,
            redact,
            structlog.processors.JSONRenderer(),
        ]
    else:
        renderer = [
            redact,
            structlog.dev.ConsoleRenderer(
                colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    logger = structlog.wrap_logger(
        structlog.PrintLogger(out),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        context_class=dict,
        cache_logger_on_first_use=True,
    )
    return cast("FilteringBoundLogger", logger)


def quiet_logger() -> FilteringBoundLogger:
    """The logger of an embedded plane: only what is wrong is said."""
    return make_logger(level="warning", format="console")
