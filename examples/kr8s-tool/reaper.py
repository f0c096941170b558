"""Deletes preview environments whose time has come, and waits until they are gone.

A preview is a namespace labelled `preview`, annotated `example.com/expires` with a time.

python reaper.py --patience 60
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import kr8s
from kr8s.asyncio.objects import Namespace

EXPIRES = "example.com/expires"
PAUSE = 0.25
"""Seconds between looks whether a namespace is gone."""


async def reap(*, now: datetime, patience: float) -> dict[str, str]:
    """Returns the namespaces that should be gone and are not after `patience` seconds, each with the reason."""
    api = await kr8s.asyncio.api()
    found = [one async for one in api.get("namespaces", label_selector="preview")]
    old = [namespace for namespace in found if has_expired(namespace, now)]
    for namespace in old:
        await namespace.delete()
    reasons = await asyncio.gather(*(gone(namespace, patience) for namespace in old))
    return {
        namespace.name: reason
        for namespace, reason in zip(old, reasons, strict=True)
        if reason is not None
    }


def has_expired(namespace: Namespace, now: datetime) -> bool:
    expires = namespace.annotations.get(EXPIRES)
    return expires is not None and datetime.fromisoformat(expires) <= now


async def gone(namespace: Namespace, patience: float) -> str | None:
    """None when it is, or what holds it: the namespace says so in its conditions.

    `namespace.wait("delete")` would be shorter. It breaks when its watch is cut, and when the history has expired it asks
    for the same revision again and again as fast as it can: the tests have shown both.
    """
    try:
        async with asyncio.timeout(patience):
            while await namespace.exists():
                await asyncio.sleep(PAUSE)
    except TimeoutError:
        try:
            await namespace.refresh()
        except kr8s.NotFoundError:
            return None  # at the last moment
        conditions = namespace.status.get("conditions", [])
        held = [each.message for each in conditions if each.status == "True"]
        return " ".join(held) or "nobody knows"
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Delete preview environments that are over.")
    parser.add_argument("--patience", type=float, default=60, help="seconds until one is stuck")
    options = parser.parse_args(arguments)
    stuck = asyncio.run(reap(now=datetime.now(UTC), patience=options.patience))
    for name, reason in stuck.items():
        print(f"{name} is stuck: {reason}", file=sys.stderr)
    return 1 if stuck else 0


if __name__ == "__main__":
    sys.exit(main())
