"""Kubeconfig files as entries with names: read, merged, and questioned field by field.

A field that is not what it should be is an error that says in which file and entry it stands, and never what it holds.
"""

import base64
import binascii
import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, cast
from urllib.parse import urlsplit

from verger.store.credentials import KubeconfigError, Part

_SHOWN_MAX: Final = 10


class Entry:
    """One entry of a file: its fields, and what to call it in errors."""

    __slots__ = ("_values", "_what", "file", "where")

    def __init__(self, what: str, file: Path, values: Any) -> None:
        self._what = what
        self.where = f"{file}: {what}"
        self.file = file
        if values is not None and not isinstance(values, dict):
            raise KubeconfigError(f"{self.where} has to be a mapping")
        self._values: Mapping[str, Any] = values or {}

    def wrong(self, key: str, why: str) -> KubeconfigError:
        """The error about one of its fields."""
        return KubeconfigError(f"{self.where}: {key} {why}")

    def has(self, *keys: str) -> bool:
        """Whether one of these fields says something."""
        return any(self._values.get(key) for key in keys)

    def value(self, key: str, type_: type) -> Any:
        """A field as it stands there, None when it does not."""
        value = self._values.get(key)
        if value is not None and not isinstance(value, type_):
            kinds = {str: "a text; put it in quotes", bool: "true or false", list: "a list"}
            raise self.wrong(key, f"has to be {kinds.get(type_, 'a mapping')}")
        return value

    def text(self, key: str) -> str:
        """A text, empty when there is none."""
        return cast("str", self.value(key, str) or "")

    def flag(self, key: str) -> bool:
        """Yes or no."""
        return bool(self.value(key, bool))

    def items(self, key: str) -> Sequence[Any]:
        """A list."""
        return cast("Sequence[Any]", self.value(key, list) or ())

    def below(self, key: str) -> "Entry":
        """A mapping inside of it."""
        return Entry(f"{self._what}, {key}", self.file, self._values.get(key))

    def decoded(self, key: str) -> bytes:
        """What a field holds in base64."""
        try:
            return base64.b64decode("".join(self.text(key).split()), validate=True)
        except (binascii.Error, ValueError):
            raise self.wrong(key, "is no base64") from None

    def path(self, key: str) -> Path | None:
        """A file. What is relative is so to the folder of the kubeconfig."""
        text = self.text(key)
        return self.file.parent / text if text else None

    def part(self, key: str) -> Part | None:
        """What stands in a field in base64 or, when there is none, in the file that another one names."""
        if self.has(f"{key}-data"):
            return Part(f"{self.where}: {key}-data", self.decoded(f"{key}-data"))
        path = self.path(key)
        return Part(f"{self.where}: {key}", path=path) if path is not None else None


class Found(NamedTuple):
    """The entries of one sort by name, and the files in which they were looked for."""

    entries: Mapping[str, Entry]
    files: Sequence[Path]

    def named(self, name: str, what: str, by: str) -> Entry:
        """The entry of that name. Raises KubeconfigError."""
        if (entry := self.entries.get(name)) is not None:
            return entry
        known = sorted(self.entries)
        others = ", ".join(known[:_SHOWN_MAX]) + (", …" if len(known) > _SHOWN_MAX else "")
        raise KubeconfigError(
            f"{by} {name!r}, and there is no such {what} in {listed(self.files)}; "
            + (f"there {'is' if len(known) == 1 else 'are'} {others}" if known else "there is none")
        )


def listed(files: Iterable[Path]) -> str:
    """Files, as errors name them."""
    return ", ".join(map(str, files))


def server_url(text: str, where: str) -> str:
    """A server's address in full; `where` says in errors where it stands. Raises KubeconfigError."""
    # Without a scheme it is TLS: a token never goes out in the clear because somebody forgot eight characters.
    url = text if "://" in text else f"https://{text}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise KubeconfigError(f"{where} has to be a URL like https://10.0.0.1:6443")
    if parts.username is not None or parts.password is not None:
        raise KubeconfigError(f"{where} must not hold a user or a password; these go to a user")
    if parts.query or parts.fragment:
        raise KubeconfigError(f"{where} must not have a query")
    return url.rstrip("/")


@functools.cache
def _loader() -> Any:
    """PyYAML's safe loader, the one in C when it is there. Loaded when there is a file to read."""
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read(file: Path) -> Entry:
    """The whole of a file. Raises KubeconfigError."""
    import yaml

    try:
        found = yaml.load(file.read_bytes(), Loader=_loader())  # noqa: S506 - it is the safe one
    except OSError as error:
        raise KubeconfigError(f"cannot read {file}: {error.strerror or error}") from None
    except yaml.YAMLError as error:
        # Its text would show the line, which may be a secret.
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise KubeconfigError(f"{file}{line}: this is not YAML") from None
    return Entry("the document", file, found)


def merged(documents: Iterable[tuple[Path, Entry]], what: str) -> Mapping[str, Entry]:
    """The entries of one sort by name; of two with one name that of the earlier file. Raises KubeconfigError."""
    out: dict[str, Entry] = {}
    for file, document in documents:
        here: dict[str, Entry] = {}
        for item in document.items(f"{what}s"):
            name = Entry(f"an entry of {what}s", file, item).text("name")
            if name in here:
                raise KubeconfigError(f"{file}: {what} {name!r} stands there twice")
            here[name] = Entry(f"{what} {name!r}", file, item.get(what) if item else None)
        out = {**here, **out}
    return out
