"""What a face shows: the state of both sides as plain values that JSON can hold, bounded whatever has happened."""

import time
from typing import TYPE_CHECKING, Any, Final

from verger.demo.side import Side
from verger.demo.twin import NAME

if TYPE_CHECKING:
    from verger.demo.stage import Stage

ROWS: Final = 24
"""Namespaces that are shown: those that have changed last, and some of those where something is wrong."""
WRONG_ROWS: Final = 8
CHANGES: Final = 40
"""Changes of each side that are part of a frame; more are to be asked for."""
KEYS: Final = 6
"""Keys of a queue that are named."""
_MESSAGE_MAX: Final = 200
LANES: Final = {
    "serviceaccount-controller": "makes the account of a namespace",
    "serviceaccount-token-controller": "signs the token of an account",
    "root-ca-publisher": "puts the root CA into a namespace",
    "namespace-controller": "empties a namespace that is deleted",
    "garbage-collector-controller": "deletes what has lost its owner",
}
"""The controllers that have a lane, and what they do."""


def told(stage: "Stage") -> dict[str, Any]:
    """One frame."""
    now = time.monotonic()
    ours, twin = stage.ours, stage.twin
    names = _names(stage)
    return {
        "version": stage.version,
        "elapsed": round(now - stage.began, 1),
        "note": stage.note,
        "lanes": {"ours": [_lane(stage, name, what) for name, what in LANES.items()]}
        | {"twin": [_twin_lane(stage)]},
        "namespaces": [
            {"name": name, "ours": _row(ours, name), "twin": _row(twin, name)} for name in names
        ],
        "hidden": len(ours.namespaces.keys() | twin.namespaces.keys()) - len(names),
        "timeline": {"ours": ours.timeline(0, CHANGES), "twin": twin.timeline(0, CHANGES)},
        "score": {"ours": ours.counts(), "twin": twin.counts(), **stage.score.told(now)},
        "well": stage.well,
        "keys": {"path": "/openid/v1/jwks", "kids": ours.verifier.kids[:4]},
    }


def _names(stage: "Stage") -> list[str]:
    """Which namespaces are shown, by when they were made."""
    ours, twin = stage.ours, stage.twin
    chosen: dict[str, None] = {}
    for wrong in (ours.wrong_namespaces, twin.wrong_namespaces):
        chosen.update(dict.fromkeys(wrong[-WRONG_ROWS:]))
    for name in reversed(ours.namespaces):
        if len(chosen) >= ROWS:
            break
        chosen[name] = None
    order = {name: number for number, name in enumerate(stage.names)}
    return sorted(chosen, key=lambda name: (order.get(name, -1), name))


def _row(side: Side, name: str) -> dict[str, Any] | None:
    view = side.namespaces.get(name)
    return view.told() if view is not None else None


def _lane(stage: "Stage", name: str, what: str) -> dict[str, Any]:
    manager = stage.ours.plane.controllers
    statistics = manager.statistics().get(name)
    view = manager.view(name, KEYS)
    status = stage.downs.get(name) or ("running" if manager.synced(name) else "starting")
    errors = manager.errors(name)
    failures = dict(view.failing) if view is not None else {}
    return {
        "name": name,
        "what": what,
        "status": status,
        "queued": statistics.depth if statistics is not None else 0,
        "next": [str(key) for key in view.queued] if view is not None else [],
        "working": [
            {"key": str(key), "seconds": round(seconds, 3)}
            for key, seconds in (view.working if view is not None else ())
        ],
        "waiting": statistics.delayed if statistics is not None else 0,
        "backoff": [
            {"key": str(key), "seconds": round(seconds, 1), "failures": failures[key]}
            for key, seconds in (view.delayed if view is not None else ())
            if key in failures
        ],
        "retries": statistics.retries if statistics is not None else 0,
        "error": errors[-1][:_MESSAGE_MAX] if errors else "",
    }


def _twin_lane(stage: "Stage") -> dict[str, Any]:
    downs = [what for what, count in stage.twin_downs.items() if count]
    reacting = stage.reacting
    return {
        "name": NAME,
        "what": "reacts to events, and trusts them",
        "status": downs[0] if downs else "running",
        "handled": stage.twin_handled + reacting.handled,
        "lost": stage.twin_lost + reacting.lost,
        "error": reacting.error[:_MESSAGE_MAX],
    }
