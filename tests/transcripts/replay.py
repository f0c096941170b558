"""Plays recorded conversations with a kube-apiserver against another server, and says where its answers differ.

A file is {"area", "scenarios": [...]}. A scenario has a name and a note, is independent of all others, and may have
  namespaces    variables to create first; "ns" becomes the namespace "ns-{run}", ready when it has its default account
                and its root CA ConfigMap; deleted at the end, as are the paths under `cleanup`
  steps         in order; `{var}` is replaced everywhere in a step, `{a*300}` is 300 times the letter a
A step is one request (note, method, path, headers) and what the answer must be once it is normalised:
  as            "admin" (default), "anonymous", or an object with a token, a user, groups, a uid, extra (impersonation)
  body | raw    a JSON value, or the exact text to send
  type          json (default), merge, patch, strategic, apply, yaml, none, or any content type
  capture       {var: path}, see `normal.follow`
  poll          {seconds, until: {status, path: value}}: ask again until that holds and the answer is the wanted one; the
                value "*" stands for any, null for absent, "!x" for anything but x
  watch         true: the answer is a stream; its events are compared as a list, without progress bookmarks
  select        path, or {name: path}: compare only these parts, unless the answer is an error
  ignore, sort  paths that are not compared (`*`: every member of a list); paths of lists whose order does not count
  managed       true: compare managedFields too;  text: true: compare the body as text
  expect        {status, headers, body}; `<time+3600>` is seconds from now, `{var}` what was captured
Every scenario has {run} (random), {issuer} and {audience} (the server's own).
"""

import contextlib
import copy
import http.client
import json
import random
import re
import ssl
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.message import Message
from functools import cached_property
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from tests.transcripts.normal import ABSENT, Difference, Normaliser, differences, drop, follow

Json = Mapping[str, Any]

_TYPES: Final[Mapping[str, str]] = {
    "json": "application/json",
    "yaml": "application/yaml",
    "merge": "application/merge-patch+json",
    "patch": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
    "none": "",
}
_COMPARED: Final = ("Content-Type", "Warning", "Allow", "Retry-After")
_OIDC_PATHS: Final = ("/.well-known", "/openid")
_INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"
_SHOWN: Final = 12
"""Differences of one step that are printed."""


class Answer(NamedTuple):
    """What came back, before it is normalised. `value` is the body as JSON, or None."""

    status: int
    headers: Mapping[str, Any]
    text: str
    value: Any


class Mismatch(NamedTuple):
    """A step whose answer is not the recorded one."""

    number: int
    step: Json
    differences: Sequence[Difference]

    def __str__(self) -> str:
        lines = [f"step {self.number}: {self.step['method']} {self.step['path']}"]
        for path, want, got in self.differences[:_SHOWN]:
            lines += [
                f"  {path or 'answer'}",
                f"    want {_short(want)}",
                f"    got  {_short(got)}",
            ]
        return "\n".join(lines)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 600 else f"{text[:600]}…"


@dataclass(frozen=True, eq=False)
class Server:
    """A server to play against, with its administrator's token. It is asked over one connection, one thing at a time."""

    url: str
    token: str = field(repr=False)
    context: ssl.SSLContext

    @cached_property
    def _connection(self) -> http.client.HTTPSConnection:
        host = urlsplit(self.url).netloc
        return http.client.HTTPSConnection(host, timeout=60, context=self.context)

    def close(self) -> None:
        """Closes the connection; the next request opens another one."""
        self._connection.close()

    def send(
        self, method: str, path: str, headers: Sequence[tuple[str, str]], body: bytes | None
    ) -> tuple[int, Message, bytes]:
        """One request; a stream is read to its end."""
        connection = self._connection
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            length = [] if body is None else [("Content-Length", str(len(body)))]
            for name, value in (*headers, *length):
                connection.putheader(name, value)
            # A large body may be refused before it is read.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def ask(self, method: str, path: str, body: Any = None, *, type_: str = "json") -> Any:
        """A request as administrator that is no part of a conversation; returns the JSON of the answer, or None."""
        headers = [("Authorization", f"Bearer {self.token}"), ("Content-Type", _TYPES[type_])]
        data = None if body is None else json.dumps(body).encode()
        text = self.send(method, path, headers, data)[2]
        return json.loads(text) if text.startswith(b"{") else None

    @cached_property
    def issuer(self) -> str:
        """The issuer of tokens that the server announces; nothing when it does not."""
        found = follow(self.ask("GET", "/.well-known/openid-configuration"), "issuer")
        return "" if found is ABSENT else str(found)

    @cached_property
    def audience(self) -> str:
        """The audience of tokens that are asked for without one."""
        path = "/api/v1/namespaces/default/serviceaccounts/default/token"
        return str(follow(self.ask("POST", path, {}), "spec.audiences[0]"))


def play(
    server: Server, scenario: Json, *, patience: float = 60.0
) -> Generator[Mismatch, None, None]:
    """Each step of a scenario that differs; `patience` bounds the seconds that a poll takes.

    What the scenario has made is removed when the generator ends or is closed.
    """
    return _Run(server, patience).play(scenario)


class _Run:
    """One run of one scenario."""

    def __init__(self, server: Server, patience: float) -> None:
        self._server = server
        self._patience = patience
        self._variables: dict[str, Any] = {
            "run": "".join(random.choices("bcdfghjkmnpqrstvwxz", k=7)),
            "issuer": server.issuer,
            "audience": server.audience,
        }
        self._normal = Normaliser(self._variables)

    def play(self, scenario: Json) -> Generator[Mismatch, None, None]:
        """Each step that differs; steps that prepare the namespaces have no positive numbers."""
        namespaces = scenario.get("namespaces", [])
        steps = [*self._preparation(namespaces), *scenario["steps"]]
        try:
            for number, step in enumerate(steps, len(scenario["steps"]) - len(steps) + 1):
                try:
                    found = self._step(step)
                except Exception as error:  # whatever a broken answer leads to
                    found = [Difference("request", "an answer", repr(error))]
                if found:
                    yield Mismatch(number, step, found)
                if any(item.path.startswith(("capture", "request")) for item in found):
                    return  # what follows would have nothing to stand on
        finally:
            self._clean(
                [*scenario.get("cleanup", []), *(f"/api/v1/namespaces/{{{n}}}" for n in namespaces)]
            )

    def _preparation(self, namespaces: Sequence[str]) -> Iterator[Json]:
        for name in namespaces:
            self._variables[name] = full = f"{name}-{self._variables['run']}"
            yield {
                "method": "POST",
                "path": "/api/v1/namespaces",
                "body": {"metadata": {"name": full}},
            }
            for path in ("serviceaccounts/default", "configmaps/kube-root-ca.crt"):
                yield {
                    "method": "GET",
                    "path": f"/api/v1/namespaces/{full}/{path}",
                    "poll": {"seconds": 30, "until": {"status": 200}},
                }

    def _clean(self, paths: Sequence[str]) -> None:
        for path in paths:
            with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
                self._server.ask("DELETE", self._filled(path))
                no_finalizers = {"metadata": {"finalizers": None}}
                self._server.ask("PATCH", self._filled(path), no_finalizers, type_="merge")

    # Steps

    def _step(self, step: Json) -> list[Difference]:
        poll = step.get("poll", {"seconds": 0, "until": {}})
        deadline = time.monotonic() + min(poll["seconds"], self._patience)
        # Each try takes a connection of its own, which is all the waiting that there is.
        while True:
            answer = self._ask(step)
            found = self._differences(step, answer)
            if not found and self._reached(poll["until"], answer):
                break
            if time.monotonic() > deadline:
                if not found:
                    found = [Difference("poll", poll["until"], answer.value)]
                break
        for name, path in step.get("capture", {}).items():
            self._variables[name] = captured = follow(answer.value, self._filled(path))
            if captured is ABSENT:
                found.append(Difference(f"capture {name}", path, ABSENT))
        return found

    def _ask(self, step: Json) -> Answer:
        headers = self._credentials(step)
        body = self._body(step)
        content = _TYPES.get(step.get("type", "json"), step.get("type"))
        if body is not None and content:
            headers.append(("Content-Type", content))
        headers += {"User-Agent": "transcript/1", **self._filled(step.get("headers", {}))}.items()
        base = follow(step.get("body"), "metadata.generateName")
        self._normal.sending(
            body or "", self._filled(base) if isinstance(base, str) and base != ABSENT else ""
        )
        path = self._filled(step["path"])
        status, got, data = self._server.send(
            step["method"], path, headers, None if body is None else body.encode()
        )
        text = data.decode(errors="replace")
        stream = step.get("watch") and status == 200
        try:
            value = (
                [json.loads(line) for line in text.splitlines() if line]
                if stream
                else json.loads(text)
            )
        except ValueError:
            value = None
        return Answer(status, _compared_headers(path, got), text, value)

    def _credentials(self, step: Json) -> list[tuple[str, str]]:
        who = self._filled(step.get("as", "admin"))
        if not isinstance(who, dict):
            who = {"token": ""} if who == "anonymous" else {}
        token = who.get("token", self._server.token)
        out = [("Authorization", f"Bearer {token}")] if token else []
        out += [(f"Impersonate-{key.title()}", who[key]) for key in ("user", "uid") if key in who]
        out += [("Impersonate-Group", group) for group in who.get("groups", [])]
        for key, values in who.get("extra", {}).items():
            out += [(f"Impersonate-Extra-{key}", value) for value in values]
        return out

    def _body(self, step: Json) -> str | None:
        if "raw" in step:
            return str(self._filled(step["raw"]))
        return json.dumps(self._filled(step["body"])) if "body" in step else None

    def _filled(self, value: Any) -> Any:
        """A part of a step with the variables in it."""
        if isinstance(value, dict):
            return {self._filled(key): self._filled(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._filled(item) for item in value]
        if not isinstance(value, str):
            return value
        value = re.sub(r"\{([^{}]+)\*(\d+)\}", lambda found: found[1] * int(found[2]), value)
        known = self._variables
        return re.sub(r"\{([a-z]\w*)\}", lambda found: str(known.get(found[1], found[0])), value)

    # Answers

    def _reached(self, until: Json, answer: Answer) -> bool:
        return all(
            answer.status == want if path == "status" else self._holds(answer.value, path, want)
            for path, want in until.items()
        )

    def _holds(self, value: Any, path: str, want: Any) -> bool:
        found = follow(value, self._filled(path))
        if want in ("*", None):
            return (found is ABSENT) == (want is None)
        if str(want).startswith("!"):
            return bool(found != self._filled(want[1:]))
        return bool(found == self._filled(want))

    def _differences(self, step: Json, answer: Answer) -> list[Difference]:
        if "expect" not in step:  # a preparation
            return []
        headers = {name: self._normal.value(value) for name, value in answer.headers.items()}
        got = {"status": answer.status, "headers": headers, "body": self._compared(step, answer)}
        return list(differences(step["expect"], got))

    def _compared(self, step: Json, answer: Answer) -> Any:
        """The body in the form in which it was recorded."""
        if answer.value is None or step.get("text"):
            return self._normal.text(answer.text)
        value = copy.deepcopy(answer.value)
        if step.get("watch") and answer.status == 200:
            value = [event for event in value if not _is_progress(event)]
        for path in step.get("ignore", []):
            drop(value, path.split("."))
        selected = step.get("select", "") if answer.status < 400 else ""
        managed = step.get("managed", False)
        body: Any = (
            {name: self._part(value, path, managed) for name, path in selected.items()}
            if isinstance(selected, dict)
            else self._part(value, selected, managed)
        )
        for path in step.get("sort", []):
            found = follow(body, path)
            if isinstance(found, list):
                found.sort(key=lambda item: json.dumps(item, sort_keys=True))
        return body

    def _part(self, value: Any, path: str, managed: bool) -> Any:
        return self._normal.value(
            follow(value, self._filled(path)), key=_last_key(path), managed=managed
        )


def _compared_headers(path: str, headers: Message) -> dict[str, Any]:
    names = (*_COMPARED, "Cache-Control") if path.startswith(_OIDC_PATHS) else _COMPARED
    out: dict[str, Any] = {}
    for name in names:
        if values := headers.get_all(name):
            out[name] = values if len(values) > 1 or name == "Warning" else values[0]
    return out


def _is_progress(event: Json) -> bool:
    """Whether an event is a bookmark that comes when the server likes."""
    return event.get("type") == "BOOKMARK" and _INITIAL_EVENTS_END not in json.dumps(event)


def _last_key(path: str) -> str:
    """The key under which the value at a path stands: members of a list stand under `key[]`."""
    members = re.sub(r"\[[^\]]*\]", "[]", path)
    return re.split(r"(?<!\\)\.", members)[-1].replace("\\", "")
