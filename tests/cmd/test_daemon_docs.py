"""docs/daemon.md tells every flag of `verger run` as `--help` does."""

from dataclasses import fields
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

from verger.cmd.run_settings import RunSettings
from verger.cmd.settings import flag_of

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "daemon.md"
_OWN = tuple(RunSettings.__annotations__)


def shown(value: object) -> str:
    """A default, as people write it in a file."""
    if value in (None, ""):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{int(value) if isinstance(value, float) else value}`"


def table() -> str:
    """One line for each flag, those of this command first."""
    hints = get_type_hints(RunSettings)
    lines = ["| flag | default | what it is for |", "|---|---|---|"]
    for item in sorted(fields(RunSettings), key=lambda item: item.name not in _OWN):
        value = item.metadata["metavar"]
        if get_origin(hints[item.name]) is Literal:
            value = " or ".join(get_args(hints[item.name]))
        elif hints[item.name] is bool:
            value = "true or false"
        text = item.metadata["help"]
        lines.append(f"| `{flag_of(item.name)}` {value} | {shown(item.default)} | {text} |")
    return "\n".join(lines) + "\n"


def test_every_flag_is_told_as_it_is() -> None:
    """The table is what the settings say of themselves: names, values, defaults, words."""
    assert DOCUMENT.read_text().endswith("\n" + table())
