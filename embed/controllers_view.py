"""What the controllers are about, for somebody who looks for a reason: keys, waiting times, failures. It has an upper bound."""

from collections.abc import Mapping
from typing import Any, Final

import orjson
from verger.controllers.manager import Manager
from verger.embed.logs import redact

KEYS_MAX: Final = 50
"""Keys of each sort that are shown of a queue; the numbers beside them are of all."""
_TEXT_MAX: Final = 1024


def text_of(manager: Manager) -> str:
    """All controllers, in JSON; those that do not run have no queue. Errors quote others: no secret gets out with them."""
    view = {"controllers": [_controller(manager, name) for name in manager.names]}
    return redact(None, "", orjson.dumps(view, option=orjson.OPT_INDENT_2).decode()) + "\n"


def _controller(manager: Manager, name: str) -> Mapping[str, Any]:
    out: dict[str, Any] = {
        "name": name,
        "running": manager.running(name),
        "synced": manager.synced(name),
    }
    statistics, view = manager.statistics().get(name), manager.view(name, KEYS_MAX)
    if statistics is not None and view is not None:
        out["queue"] = {
            "adds": statistics.adds,
            "retries": statistics.retries,
            "queued": statistics.depth,
            "inFlight": statistics.processing,
            "delayed": statistics.delayed,
            "failing": statistics.failing,
        }
        out["queued"] = [_text(key) for key in view.queued]
        out["inFlight"] = [
            {"key": _text(key), "seconds": round(seconds, 3)} for key, seconds in view.working
        ]
        out["delayed"] = [
            {"key": _text(key), "inSeconds": round(seconds, 3)} for key, seconds in view.delayed
        ]
        out["failing"] = [{"key": _text(key), "failures": count} for key, count in view.failing]
    out["lastErrors"] = [_text(error) for error in manager.errors(name)]
    return out


def _text(value: object) -> str:
    return str(value)[:_TEXT_MAX]
