r"""JSONPaths of printer columns: fields, indices, filters by equality, and all members of a list.

That is the part of kubectl's language that definitions use: `.status.conditions[?(@.type=="Ready")].status`,
`.spec.ports[0].port`, `.metadata.annotations.example\.com/name`, `.spec.hosts[*]`.

upstream: client-go/util/jsonpath
"""

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

_STEP: Final = re.compile(
    r"""\.?\[['"](?P<quoted>[^'"]+)['"]\]"""
    r"""|\.?\[\?\(\s*@\.?(?P<field>[\w./\\-]+)\s*(?P<compare>[=!]=)\s*(?P<want>"[^"]*"|'[^']*'|[^)\s]+)\s*\)\]"""
    r"""|\.?\[(?P<index>-?\d+)\]"""
    r"""|\.?\[(?P<all>\*)\]"""
    r"""|\.(?P<name>(?:[^.\[\]\\]|\\.)+)"""
)


class PathError(ValueError):
    """The text is no path."""


class Step(NamedTuple):
    """One step: to a field, an index, or all members that hold a condition."""

    name: str = ""
    position: int | None = None
    every: bool = False
    condition: "tuple[Path, bool, str] | None" = None


Path = tuple[Step, ...]


def parse_path(text: str) -> Path:
    """The steps of a path. Raises PathError."""
    text = text.strip()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    if text.startswith("$"):
        text = text[1:]
    if text and text[0] not in ".[":
        text = f".{text}"
    steps = []
    at = 0
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None or found.end() == at:
            raise PathError(f"unrecognized character in action: {text[at]!r}")
        steps.append(_step(found))
        at = found.end()
    return tuple(steps)


def _step(found: "re.Match[str]") -> Step:
    if (name := found["quoted"]) is not None:
        return Step(name)
    if (name := found["name"]) is not None:
        return Step(every=True) if name == "*" else Step(re.sub(r"\\(.)", r"\1", name))
    if (index := found["index"]) is not None:
        return Step(position=int(index))
    if found["all"]:
        return Step(every=True)
    want = found["want"]
    if want[0] in "'\"":
        want = want[1:-1]
    return Step(condition=(parse_path(found["field"]), found["compare"] == "==", want))


def values_at(path: Path, value: Any) -> Iterator[Any]:
    """What lies at a path, in order; nothing where the object is not like that."""
    if not path:
        yield value
        return
    step, *more = path
    rest = tuple(more)
    if step.name:
        if isinstance(value, dict) and step.name in value:
            yield from values_at(rest, value[step.name])
    elif step.position is not None:
        if isinstance(value, list) and -len(value) <= step.position < len(value):
            yield from values_at(rest, value[step.position])
    elif isinstance(value, (list, dict)):
        for item in value if isinstance(value, list) else value.values():
            if step.every or _holds(step, item):
                yield from values_at(rest, item)


def _holds(step: Step, item: Any) -> bool:
    if step.condition is None:
        return False
    path, equal, want = step.condition
    found = next(values_at(path, item), None)
    return found is not None and (text_of(found) == want) == equal


def text_of(value: Any) -> str:
    """A value as it is printed."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
