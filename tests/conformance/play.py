"""Requirements as scenarios: requests, and what must be true of the answers.

In paths, bodies and expectations, `{ns}` and `{group}` are the scenario's own namespace and group, `{rv}` and `{uid}` the
resourceVersion and the uid of the last object that was answered; what a step saves is known by its name afterwards.
"""

import contextlib
import http.client
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.api.conftest import Answer, Api

PATIENCE = 20.0
"""Seconds for what comes by and by; reaching them is a failure."""
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
MERGE = {"Content-Type": "application/merge-patch+json"}
STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}
YAML = {"Content-Type": "application/yaml"}
TABLE = {"Accept": "application/json;as=Table;g=meta.k8s.io;v=v1"}
PARTIAL = {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}
PROTOBUF = "application/vnd.kubernetes.protobuf"
CONFIGMAPS = "/api/v1/namespaces/{ns}/configmaps"
SECRETS = "/api/v1/namespaces/{ns}/secrets"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/{ns}/leases"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ABSENT = object()
"""The expectation that a field is not there."""


@dataclass(frozen=True)
class Above:
    """The expectation of a number that is larger than one that was saved, or as large."""

    name: str
    may_equal: bool = False


_NAME = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Step:
    """One request, and what must be true of its answer."""

    method: str
    path: str
    body: Any = None
    code: int = 200
    says: str = ""
    """Part of the message, or of the text if it is no Status."""
    has: Mapping[str, Any] = field(default_factory=dict)
    """Path (`metadata/labels/a`, `items/0`) -> value; a callable is a test, ABSENT means that nothing is there."""
    head: Mapping[str, Any] = field(default_factory=dict)
    """Header of the answer -> value."""
    sends: Mapping[str, str] = field(default_factory=dict)
    """Headers of the request."""
    save: Mapping[str, str] = field(default_factory=dict)
    """Name -> path of what is to be known by it."""
    until: bool = False
    """Whether the answer may need a while."""


def get(path: str, **more: Any) -> Step:
    return Step("GET", path, **more)


def post(path: str, body: Any, code: int = 201, **more: Any) -> Step:
    return Step("POST", path, body, code, **more)


def put(path: str, body: Any, code: int = 200, **more: Any) -> Step:
    return Step("PUT", path, body, code, **more)


def patch(path: str, body: Any, sends: Mapping[str, str] = MERGE, **more: Any) -> Step:
    return Step("PATCH", path, body, sends=sends, **more)


def delete(path: str, body: Any = None, **more: Any) -> Step:
    return Step("DELETE", path, body, **more)


def watch(path: str, *events: str, **more: Any) -> Step:
    """The first events of a watch, as `TYPE name`; the answer is then the list of them."""
    return Step("WATCH", path, events, **more)


def case(sentence: str, *steps: Step) -> Any:
    """A requirement, which begins with the number of its section, and the scenario that shows it."""
    return pytest.param(steps, id=sentence)


def named(name: str, **fields: Any) -> dict[str, Any]:
    """An object of that name."""
    return {"metadata": {"name": name, **fields.pop("meta", {})}, **fields}


def at(value: Any, path: str) -> Any:
    """What lies at a path; ABSENT when nothing does."""
    for part in path.split("/"):
        if isinstance(value, list):
            if not -len(value) <= int(part) < len(value):
                return ABSENT
            value = value[int(part)]
        elif isinstance(value, dict):
            if part not in value:
                return ABSENT
            value = value[part]
        else:
            return ABSENT
    return value


class Player:
    """Plays scenarios over one connection."""

    def __init__(self, api: Api) -> None:
        self.known: dict[str, str] = {}
        self._api = api
        self._context = api.context()
        self._connection = api.connect(self._context)

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def play(self, steps: Sequence[Step]) -> None:
        """Plays the steps in order. Fails at the first answer that is not as it must be."""
        for step in steps:
            end = time.monotonic() + (PATIENCE if step.until else 0)
            while True:
                try:
                    self._check(step, self._answer(step))
                    break
                except AssertionError:
                    if time.monotonic() >= end:
                        raise

    def _filled(self, value: Any) -> Any:
        if isinstance(value, str):
            return _NAME.sub(lambda found: self.known.get(found[1], found[0]), value)
        if isinstance(value, dict):
            return {self._filled(key): self._filled(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._filled(item) for item in value]
        return value

    def _answer(self, step: Step) -> Answer:
        path, sends = self._filled(step.path), dict(step.sends)
        if step.method == "WATCH":
            return self._events(path, sends, len(step.body))
        body = step.body
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(self._filled(body)).encode()
        elif body is not None:
            body = self._filled(body.decode("latin-1")).encode("latin-1")
        return self.send(step.method, path, body, sends)

    def send(self, method: str, path: str, body: bytes | None, sends: Mapping[str, str]) -> Answer:
        """Sends a request as administrator."""
        headers = {"Authorization": f"Bearer {self._api.plane.token}", **sends}
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
            found = Answer(answer.status, answer.headers, answer.read())
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        if found.status >= 400:
            self._connection.close()
        return found

    def _events(self, path: str, sends: Mapping[str, str], count: int) -> Answer:
        with contextlib.closing(self._api.connect(self._context)) as connection:
            headers = {"Authorization": f"Bearer {self._api.plane.token}", **sends}
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            if answer.status != 200:
                return Answer(answer.status, answer.headers, answer.read())
            lines = [answer.readline() for _ in range(count)]
            return Answer(200, answer.headers, b"[" + b",".join(lines) + b"]")

    def _check(self, step: Step, answer: Answer) -> None:
        text = answer.body.decode("utf-8", "replace")
        assert answer.status == step.code, f"{step.method} {step.path}: {answer.status} {text}"
        value = None
        with contextlib.suppress(ValueError):
            value = json.loads(text)
        if value is not None or step.has:
            self._check_json(step, value)
        if step.says:
            said = value.get("message", text) if isinstance(value, dict) else text
            assert self._filled(step.says) in said, said
        for name, value in step.head.items():
            found = answer.headers.get_all(name)
            shown = ABSENT if found is None else ", ".join(found)
            self._agree(name, shown, value)

    def _check_json(self, step: Step, value: Any) -> None:
        if step.method == "WATCH":
            shown = [
                f"{event['type']} {(event['object'].get('metadata') or {}).get('name', '')}".strip()
                for event in value
            ]
            assert shown == self._filled(step.body), value
        for path, wanted in step.has.items():
            self._agree(path, at(value, path), self._filled(wanted))
        meta = value.get("metadata") if isinstance(value, dict) else None
        if isinstance(meta, dict) and value.get("kind") != "Status":
            if "resourceVersion" in meta:
                self.known["rv"] = meta["resourceVersion"]
            if "uid" in meta:
                self.known["uid"] = meta["uid"]
        for name, path in step.save.items():
            self.known[name] = str(at(value, path))

    def _agree(self, what: str, found: Any, wanted: Any) -> None:
        shown = "absent" if found is ABSENT else repr(found)
        if isinstance(wanted, Above):
            least = int(self.known[wanted.name]) + (not wanted.may_equal)
            assert int(found) >= least, f"{what} is {shown}"
        elif callable(wanted):
            assert found is not ABSENT, f"{what} is {shown}"
            assert wanted(found), f"{what} is {shown}"
        else:
            assert found == wanted, f"{what} is {shown}"
