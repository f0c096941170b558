"""tests/transcripts/replay.py and normal.py: whatever is not as it was recorded is seen, whatever must differ is not.

A replayer that overlooks differences would make every recorded conversation pass.
"""

import base64
import datetime
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.transcripts.normal import ABSENT, Difference, Normaliser, differences, drop, follow
from tests.transcripts.replay import Server, play

Step = dict[str, Any]


def created(**changes: Any) -> Step:
    """A step that creates a ConfigMap, with the answer that it gets."""
    step = {
        "method": "POST",
        "path": "/api/v1/namespaces/{ns}/configmaps",
        "body": {"metadata": {"generateName": "a-"}, "data": {"k": "v"}},
        "expect": {
            "status": 201,
            "headers": {"Content-Type": "application/json"},
            "body": {
                "kind": "ConfigMap",
                "apiVersion": "v1",
                "metadata": {
                    "name": "a-<5>",
                    "generateName": "a-",
                    "namespace": "{ns}",
                    "uid": "<uid>",
                    "resourceVersion": "<rv>",
                    "creationTimestamp": "<time>",
                },
                "data": {"k": "v"},
            },
        },
    }
    return {**json.loads(json.dumps(step)), **changes}


def changed(change: Callable[[Any], None]) -> Step:
    step = created()
    change(step["expect"])
    return step


def played(server: Server, *steps: Step) -> list[tuple[int, list[str]]]:
    """The numbers of the steps that differ, and where."""
    scenario = {"name": "made here", "namespaces": ["ns"], "steps": list(steps)}
    return [
        (mismatch.number, [found.path for found in mismatch.differences])
        for mismatch in play(server, scenario, patience=0.05)
    ]


def test_answer_as_recorded_is_no_mismatch(server: Server) -> None:
    """Names, uids, revisions and times of this run do not count."""
    assert played(server, created(), created()) == []


@pytest.mark.parametrize(
    ("step", "paths"),
    [
        pytest.param(changed(lambda e: e.update(status=200)), ["status"], id="another status"),
        pytest.param(
            changed(lambda e: e["headers"].update({"Content-Type": "text/plain"})),
            ["headers.Content-Type"],
            id="another content type",
        ),
        pytest.param(
            changed(lambda e: e["headers"].update({"Warning": ['299 - "x"']})),
            ["headers.Warning"],
            id="a warning that does not come",
        ),
        pytest.param(
            changed(lambda e: e["body"]["data"].update(k="w")), ["body.data.k"], id="another value"
        ),
        pytest.param(
            changed(lambda e: e["body"]["data"].update(more="w")),
            ["body.data.more"],
            id="a key that is missing in the answer",
        ),
        pytest.param(
            changed(lambda e: e["body"]["data"].pop("k")),
            ["body.data.k"],
            id="a key that was not recorded",
        ),
        pytest.param(
            changed(lambda e: e["body"]["metadata"].update(name="b-<5>")),
            ["body.metadata.name"],
            id="another base of a generated name",
        ),
        pytest.param(
            changed(lambda e: e["body"]["metadata"].update(creationTimestamp="<time+3600>")),
            ["body.metadata.creationTimestamp"],
            id="another time",
        ),
        pytest.param(
            created(capture={"x": "data.nothing"}), ["capture x"], id="nothing to capture"
        ),
        pytest.param(
            created(poll={"seconds": 5, "until": {"data.k": "!v"}}),
            ["poll"],
            id="a poll that never holds",
        ),
        pytest.param(
            created(poll={"seconds": 5, "until": {"data": None}}),
            ["poll"],
            id="a poll for something that stays",
        ),
        pytest.param(
            created(poll={"seconds": 5, "until": {"data.no": "*"}}),
            ["poll"],
            id="a poll for something that never comes",
        ),
        pytest.param(
            created(poll={"seconds": 5, "until": {"status": 200}}),
            ["poll"],
            id="a poll for another status",
        ),
    ],
)
def test_answer_that_is_not_as_recorded_is_a_mismatch(
    step: Step, paths: list[str], server: Server
) -> None:
    """The step is named with each place that differs, and with no other."""
    assert played(server, created(), step) == [(2, paths)]


def test_mismatch_says_what_was_wanted_and_what_came(server: Server) -> None:
    """The failure of a test can be understood without playing the scenario by hand."""
    scenario = {"steps": [changed(lambda e: e["body"]["data"].update(k="w"))], "namespaces": ["ns"]}
    (mismatch,) = play(server, scenario)
    lines = str(mismatch).splitlines()
    assert lines[0] == "step 1: POST /api/v1/namespaces/{ns}/configmaps"
    assert [line.strip() for line in lines[1:]] == ["body.data.k", 'want "w"', 'got  "v"']


def test_step_without_its_captured_values_is_not_played(server: Server) -> None:
    """What follows a failed capture would be compared with nonsense."""
    assert played(server, created(capture={"x": "data.nothing"}), created(expect={})) == [
        (1, ["capture x"])
    ]


def test_what_a_scenario_made_is_removed(server: Server) -> None:
    """A scenario leaves nothing to the next one, even when its end is not played."""
    differing = changed(lambda expect: expect.update(status=200))
    mismatches = play(server, {"namespaces": ["gone"], "steps": [differing, created()]})
    assert next(mismatches)
    mismatches.close()
    left = [
        item["status"]["phase"]
        for item in server.ask("GET", "/api/v1/namespaces")["items"]
        if item["metadata"]["name"].startswith("gone-")
    ]
    assert set(left) <= {"Terminating"}


NOW = datetime.datetime.now(datetime.UTC)
VARIABLES = {
    "run": "abcdefg",
    "ns": "ns-abcdefg",
    "issuer": "https://issuer",
    "audience": "https://me",
    "rv1": "4711",
}
UID = "01234567-89ab-cdef-0123-456789abcdef"


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def jwt(claims: dict[str, Any]) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJFUzI1NiJ9.{body}.c2lnbmF0dXJl"


TOKEN = jwt({"iss": "https://issuer", "iat": 100, "exp": 3700, "aud": ["https://me", "other"]})
CLAIMS = {
    "jwt": {"iss": "<issuer>", "iat": "<now>", "exp": "iat+3600", "aud": ["<audience>", "other"]}
}


@pytest.mark.parametrize(
    ("key", "value", "form"),
    [
        pytest.param("uid", UID, "<uid>", id="uid"),
        pytest.param("x", "in ns-abcdefg", "in {ns}", id="a variable's value"),
        pytest.param("x", "abcdefg-1", "{run}-1", id="a shorter one"),
        pytest.param("resourceVersion", "4711", "{rv1}", id="a captured revision"),
        pytest.param("resourceVersion", "4712", "<rv>", id="any other revision"),
        pytest.param("resourceVersion", "0", "0", id="revision zero"),
        pytest.param("resourceVersion", "x", "x", id="no revision at all"),
        pytest.param(
            "x",
            "too old resource version: 4711 (9000)",
            "too old resource version: {rv1} (<rv>)",
            id="revisions in a message",
        ),
        pytest.param("creationTimestamp", f"{NOW:%FT%TZ}", "<time>", id="a time of the run"),
        pytest.param("x", f"at {NOW:%FT%T.%fZ}", "at <time.6>", id="its digits count"),
        pytest.param("x", "2001-01-01T00:00:00Z", "2001-01-01T00:00:00Z", id="a time long ago"),
        pytest.param("continue", "abc", "<continue>", id="a continue token"),
        pytest.param("continue", "", "", id="no continue token"),
        pytest.param("cells", ["x", "5m3s"], ["x", "<age>"], id="an age in a table"),
        pytest.param(
            "kubernetes.io/legacy-token-last-used", "2024-01-31", "<date>", id="a date of use"
        ),
        pytest.param("issuer", "https://issuer", "<issuer>", id="the server's issuer"),
        pytest.param("audiences", ["https://me", "x"], ["<audience>", "x"], id="its audience"),
        pytest.param(
            "x",
            'audiences ["https://me" "x"]',
            'audiences ["<audience>" "x"]',
            id="its audience in a message",
        ),
        pytest.param("token", TOKEN, CLAIMS, id="the claims of a token"),
        pytest.param("token", in_base64(TOKEN), CLAIMS, id="the claims of a token in a Secret"),
        pytest.param("x", f"see {TOKEN}", "see <jwt>", id="a token elsewhere"),
        pytest.param(
            "data",
            {"namespace": in_base64("ns-abcdefg"), "x": in_base64("ns-abcdefg")},
            {"namespace": "base64:{ns}", "x": in_base64("ns-abcdefg")},
            id="the namespace in a token Secret",
        ),
        pytest.param(
            "ca.crt",
            "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n",
            "<pem>",
            id="a certificate",
        ),
        pytest.param(
            "x", 'no kind "x" in scheme "y.go:1"', 'no kind "x" in scheme "<scheme>"', id="a scheme"
        ),
        pytest.param("x", "kube-api-access-bcdfg", "kube-api-access-<5>", id="a projected volume"),
        pytest.param("x", "127.0.0.1:6443", "<address>", id="an address"),
        pytest.param("x", "y" * 200, "{y*200}", id="a long run of one letter"),
        pytest.param("x", "y" * 199, "y" * 199, id="a run that is not long"),
        pytest.param(
            "metadata",
            {"resourceVersion": "4711", "continue": ""},
            {"resourceVersion": "<rv>", "continue": ""},
            id="the revision of a list",
        ),
        pytest.param(
            "metadata",
            {"name": "x", "resourceVersion": "4711", "managedFields": [1]},
            {"name": "x", "resourceVersion": "{rv1}"},
            id="managed fields are not compared",
        ),
        pytest.param(
            "columnDefinitions",
            [{"name": "Age", "description": "how old"}],
            [{"name": "Age"}],
            id="nor are the words that describe columns",
        ),
        pytest.param("x", [1, True, None, 1.5], [1, True, None, 1.5], id="what is no text"),
    ],
)
def test_normal_form(key: str, value: Any, form: Any) -> None:
    """What differs between runs becomes a word, and everything else stays as it is."""
    assert Normaliser(VARIABLES).value(value, key=key) == form


def test_time_to_come_is_told_as_a_distance() -> None:
    """In tens of seconds: a server takes a moment to answer."""
    now = datetime.datetime.now(datetime.UTC)
    coming = f"{now + datetime.timedelta(seconds=3602):%FT%TZ}"
    assert Normaliser(VARIABLES).value(coming, key="x") == "<time+3600>"


def test_normal_form_of_managed_fields_has_an_order_of_its_own() -> None:
    """Entries are ordered by time on the server, to the second."""
    entries = [{"manager": "b", "operation": "Update"}, {"manager": "a", "operation": "Update"}]
    shown = Normaliser(VARIABLES).value({"managedFields": entries}, managed=True)
    assert [entry["manager"] for entry in shown["managedFields"]] == ["a", "b"]


def test_times_and_names_that_were_sent_are_recognised() -> None:
    """A time that the client sent must come back as it is, and so must the base of a name."""
    normal = Normaliser(VARIABLES)
    sent = f"{NOW:%FT%TZ}"
    normal.sending(json.dumps({"at": sent}), "base-")
    assert normal.text(f"{sent} base-bcdfg base-aeiou") == f"{sent} base-<5> base-aeiou"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        pytest.param("", {"a": {"b.c": [{"n": "x", "v": "eA=="}, 2]}}, id="everything"),
        pytest.param(r"a.b\.c[1]", 2, id="by index, below a key with a dot"),
        pytest.param(r"a.b\.c[-1]", 2, id="from the end"),
        pytest.param(r"a.b\.c[n=x].v", "eA==", id="by a field"),
        pytest.param(r"a.b\.c[n=x].v|b64", "x", id="decoded"),
        pytest.param(r"a.b\.c[2]", ABSENT, id="behind the end"),
        pytest.param(r"a.b\.c[n=y].v", ABSENT, id="of nothing"),
        pytest.param("a[0]", ABSENT, id="an index of an object"),
        pytest.param("nothing|b64", ABSENT, id="absent"),
    ],
)
def test_path_leads_to_a_part(path: str, found: Any) -> None:
    """Paths name parts of an answer, or nothing."""
    assert follow({"a": {"b.c": [{"n": "x", "v": "eA=="}, 2]}}, path) == found


def test_dropped_parts_are_not_compared() -> None:
    """`*` stands for every member; what is not there is no trouble."""
    value = {"a": [{"b": 1, "c": 2}, {"b": 3}, 4], "d": 5}
    drop(value, ["a", "*", "b"])
    drop(value, ["d"])
    drop(value, ["e", "f"])
    assert value == {"a": [{"c": 2}, {}, 4]}


def test_differences_are_told_apart_by_type_and_length() -> None:
    """One is not true, and a shorter list is another list."""
    assert list(differences({"a": 1, "b": [1, 2]}, {"a": True, "b": [1]})) == [
        Difference("a", 1, True),
        Difference("b", [1, 2], [1]),
    ]
