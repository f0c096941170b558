"""Makes answers of different servers and different runs comparable: what must differ becomes a word, all else stays.

A recorded answer and one that is played are both in this form, so that they can be compared as they are.
"""

import base64
import calendar
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

ABSENT: Final = "<absent>"
_SUFFIX: Final = r"[bcdfghjklmnpqrstvwxz2456789]{5}"
"""What a server appends to a generateName."""
_JWT: Final = re.compile(r"eyJ[\w-]+\.(eyJ[\w-]+)\.[\w-]*")
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_AGE: Final = re.compile(r"(\d+[smhdy]){1,2}")
_REVISION: Final = re.compile(
    r'(?i)(resource ?version(?: [a-z ]+)?"?(?:: ?| \(|=)"?|current: )(\d+)( \(\d+\))?'
)
_AUDIENCES: Final = re.compile(r"audiences \[[^\]]*\]")
_LONG_RUN: Final = re.compile(r"(.)\1{199,}")
_WORDS: Final = tuple(
    (re.compile(pattern), word)
    for pattern, word in (
        (_JWT.pattern, "<jwt>"),
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uid>"),
        (r'in scheme "[^"]*"', 'in scheme "<scheme>"'),
        (f"kube-api-access-{_SUFFIX}", "kube-api-access-<5>"),
        (r"\b\d+\.\d+\.\d+\.\d+:\d+|\[::1?\]:\d+", "<address>"),
        (
            r"-----BEGIN CERTIFICATE-----[^<]*-----END CERTIFICATE-----\n?"
            r"|LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0[\w+/=]*",
            "<pem>",
        ),
        (r'Invalid value: "\{\\"apiVersion(?:[^"\\]|\\.)*"', "Invalid value: <object>"),
    )
)
_PART: Final = re.compile(
    r"\.?(?P<key>(?:[^.\[\\]|\\.)+)|\[(?P<field>[\w.]+)=(?P<want>[^\]]*)\]|\[(?P<index>-?\d+)\]"
)
_PAST: Final = 30 * 86400
"""Seconds: a time older than this was not made in the run, and stays as it is."""
_SOON: Final = 300
"""Seconds: a time that is further ahead is a deadline, and is told as a distance."""
_MANAGED_ORDER: Final = ("operation", "manager", "apiVersion", "subresource")


class Difference(NamedTuple):
    """A place where an answer is not what was recorded."""

    path: str
    want: Any
    got: Any


def follow(value: Any, path: str) -> Any:
    r"""The part of a JSON value at a path such as `a.b[0].c[name=x].d`, or ABSENT.

    A backslash takes the meaning from a dot in a key; `|b64` at the end decodes what is there.
    """
    path, _, decode = path.partition("|")
    for part in _PART.finditer(path):
        value = _member(value, part)
    return base64.b64decode(value).decode() if decode and value is not ABSENT else value


def _member(value: Any, part: "re.Match[str]") -> Any:
    if (key := part["key"]) is not None:
        name = re.sub(r"\\(.)", r"\1", key)
        return value.get(name, ABSENT) if isinstance(value, dict) else ABSENT
    if not isinstance(value, list):
        return ABSENT
    if (field := part["field"]) is not None:
        return next((item for item in value if str(follow(item, field)) == part["want"]), ABSENT)
    index = int(part["index"])
    return value[index] if -len(value) <= index < len(value) else ABSENT


def drop(value: Any, keys: Sequence[str]) -> None:
    """Removes what lies under the keys; `*` stands for every member of a list."""
    first, *rest = keys
    if first == "*" and isinstance(value, list):
        for item in value:
            drop(item, rest)
    elif isinstance(value, dict) and rest:
        drop(value.get(first), rest)
    elif isinstance(value, dict):
        value.pop(first, None)


def differences(want: Any, got: Any, path: str = "") -> Iterator[Difference]:
    """Each place where two JSON values differ."""
    if isinstance(want, dict) and isinstance(got, dict):
        for key in dict.fromkeys([*want, *got]):
            below = f"{path}.{key}" if path else key
            yield from differences(want.get(key, ABSENT), got.get(key, ABSENT), below)
    elif isinstance(want, list) and isinstance(got, list) and len(want) == len(got):
        for index, (wanted, found) in enumerate(zip(want, got, strict=True)):
            yield from differences(wanted, found, f"{path}[{index}]")
    elif type(want) is not type(got) or want != got:
        yield Difference(path, want, got)


class Normaliser:
    """The form of answers in one run of one scenario.

    The variables are those of the run, and may grow while it goes on; a value of theirs is told by its name.
    """

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self._variables = variables
        self._sent: set[str] = set()
        self._generated: list[str] = []

    def sending(self, text: str, generate_name: str) -> None:
        """Notes what a request says: times that come back as they are, and bases of names that will be made up."""
        self._sent.update(match[0] for match in _TIME.finditer(text))
        if generate_name:
            # Servers cut a base that leaves no room for the suffix.
            self._generated.append(self.text(generate_name[:58]))

    def text(self, text: str) -> str:
        """A string with everything that differs from run to run replaced."""
        # Longer values first: a name may begin with another one.
        for name, value in sorted(self._variables.items(), key=lambda item: -len(str(item[1]))):
            told = str(value)
            if len(told) >= 7 and not told.isdigit() and name not in ("issuer", "audience"):
                text = text.replace(told, f"{{{name}}}")
        for base in self._generated:
            text = re.sub(rf"({re.escape(base)}){_SUFFIX}(?!\w)", r"\1<5>", text)
        for pattern, word in _WORDS:
            text = pattern.sub(word, text)
        text = _TIME.sub(self._moment, text)
        text = _REVISION.sub(
            lambda found: found[1] + self._revision(found[2]) + (" (<rv>)" if found[3] else ""),
            text,
        )
        own = f'"{self._variables["audience"]}"'
        text = _AUDIENCES.sub(lambda found: found[0].replace(own, '"<audience>"'), text)
        return _LONG_RUN.sub(lambda found: f"{{{found[1]}*{len(found[0])}}}", text)

    def value(self, value: Any, *, key: str = "", managed: bool = False) -> Any:
        """A JSON value that was found under a key; managedFields are dropped unless `managed`."""
        if isinstance(value, dict):
            return self._object(value, key, managed)
        if isinstance(value, list):
            own = [self._variables["audience"]] if key in ("aud", "audiences") else []
            return [
                "<audience>" if item in own else self.value(item, key=f"{key}[]", managed=managed)
                for item in value
            ]
        return self._string(value, key) if isinstance(value, str) else value

    def _string(self, value: str, key: str) -> Any:
        if key == "token":
            value = self._plain(value)
            if _JWT.fullmatch(value) and value not in self._variables.values():
                return self._claims(value)
        if key == "resourceVersion":
            return self._revision(value)
        if key in ("iss", "issuer") and value == self._variables["issuer"]:
            return "<issuer>"
        form = _BY_KEY.get(key)
        return form[1] if form is not None and form[0](value) else self.text(value)

    def _object(self, value: Mapping[str, Any], key: str, managed: bool) -> dict[str, Any]:
        out = {}
        for name, item in value.items():
            if name == "managedFields" and not managed:
                continue
            if name == "description" and key == "columnDefinitions[]":
                continue
            shown = item
            if name == "managedFields" and isinstance(item, list):
                # Their order depends on the second in which they were written.
                shown = sorted(item, key=lambda entry: [str(entry.get(k)) for k in _MANAGED_ORDER])
            elif name == "namespace" and key == "data" and isinstance(item, str):
                shown = self._plain(item)  # of a token Secret
            if name == "resourceVersion" and key == "metadata" and _is_list(value):
                out[name] = "<rv>" if item and item != "0" else item
            else:
                out[self.text(name)] = self.value(shown, key=name, managed=managed)
        return out

    def _moment(self, match: "re.Match[str]") -> str:
        offset = calendar.timegm(time.strptime(match[1], "%Y-%m-%dT%H:%M:%S")) - time.time()
        if match[0] in self._sent or offset < -_PAST:
            return match[0]
        digits = f".{len(match[2]) - 1}" if match[2] else ""
        ahead = f"+{round(offset / 10) * 10}" if offset > _SOON else ""
        return f"<time{ahead}{digits}>"

    def _revision(self, text: str) -> str:
        for name, value in self._variables.items():
            if value == text:
                return f"{{{name}}}"
        return "<rv>" if text.isdigit() and text != "0" else text

    def _claims(self, token: str) -> Any:
        """What a token says; its header and signature are the server's own affair."""
        claims = json.loads(base64.urlsafe_b64decode(f"{token.split('.')[1]}=="))
        for holder, name in (
            (claims, "exp"),
            (claims, "nbf"),
            (claims.get("kubernetes.io", {}), "warnafter"),
        ):
            if name in holder:
                holder[name] = f"iat+{holder[name] - claims['iat']}"
        if "iat" in claims:
            claims["iat"] = "<now>"
        return {"jwt": self.value(claims)}

    def _plain(self, text: str) -> str:
        """Base64 decoded, when a token or a name of this run comes out."""
        try:
            decoded = base64.b64decode(text, validate=True).decode()
        except ValueError:
            return text
        if _JWT.fullmatch(decoded):
            return decoded
        return f"base64:{decoded}" if self._variables["run"] in decoded else text


def _is_list(metadata: Mapping[str, Any]) -> bool:
    """Whether metadata are those of a list or a Table: their revision is that of the whole store."""
    return "continue" in metadata or ("name" not in metadata and "uid" not in metadata)


_BY_KEY: Final[Mapping[str, tuple[Callable[[str], object], str]]] = {
    "creationTimestamp": (_TIME.fullmatch, "<time>"),
    "continue": (bool, "<continue>"),
    "kubernetes.io/legacy-token-last-used": (_DATE.fullmatch, "<date>"),
    "cells[]": (_AGE.fullmatch, "<age>"),
    "kubernetes.io/description": (lambda text: len(text) > 40, "<description>"),
}
"""Key -> which of its values are replaced, and by which word."""
