"""What has happened lately in a plane, in lines: what somebody reads whose test has failed.

Nothing of what objects hold is shown: they are named.
"""

from verger.embed import changes
from verger.embed.observation import Observation
from verger.embed.parts import Parts
from verger.embed.requests import line_of


def told(parts: Parts, observation: Observation, lines: int) -> str:
    """The newest changes and requests, at most `lines` of each, what controllers failed at, and the faults."""
    out = [f"the seed of its faults is {observation.faults.seed}"]
    out += [f"  {fault.what}: struck {fault.hits} times" for fault in observation.faults]
    out.append("the last changes")
    out += [f"  {change}" for change in changes.last(parts.backend.log, lines)]
    out.append("the last requests")
    out += [f"  {line_of(call)}" for call in list(observation.requests)[-lines:]]
    errors = [(name, error) for name in parts.manager.names for error in parts.manager.errors(name)]
    if errors:
        out.append("the last errors of controllers, which try again")
        out += [f"  {name}: {error}" for name, error in errors[-lines:]]
    stopped = [name for name in parts.controllers if not parts.manager.running(name)]
    if stopped:
        out.append(f"controllers that do not run: {', '.join(stopped)}")
    return "\n".join(out)
