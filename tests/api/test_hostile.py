"""Input that no honest client sends: every request gets its answer, quickly, and nothing of it is stored."""

import json
import subprocess
import sys
import time
from typing import Any
from urllib.parse import urlencode

import pytest
from verger.apiserver.bodies import DEPTH_MAX

from tests.api.conftest import Api, Ask

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
MIB = 1024 * 1024
BODY_MAX = 3 * MIB
NAMESPACE = "/api/v1/namespaces/hostile"
CONFIG_MAPS = f"{NAMESPACE}/configmaps"
TARGET = f"{CONFIG_MAPS}/target"
SLOW = 5.0
"""Seconds; every answer here takes milliseconds on a quiet machine, and while one is made nobody else gets any."""


WHAT_IS_THERE = {"target": {"k": "v"}}


@pytest.fixture(autouse=True)
def target(ask: Ask) -> None:
    """A namespace with one object for those who want to change it, whatever the test before has done."""
    ask("POST", "/api/v1/namespaces", {"metadata": {"name": "hostile"}})
    if stored(ask) != WHAT_IS_THERE:
        ask("DELETE", CONFIG_MAPS)
        made = ask("POST", CONFIG_MAPS, {"metadata": {"name": "target"}, "data": {"k": "v"}})
        assert made.status == 201


def stored(ask: Ask) -> dict[str, Any]:
    """What is in the namespace, but for what the controllers put there: names and data."""
    items = ask("GET", CONFIG_MAPS).json["items"]
    return {
        item["metadata"]["name"]: item.get("data")
        for item in items
        if item["metadata"]["name"] != "kube-root-ca.crt"
    }


def refused(
    ask: Ask,
    method: str,
    path: str,
    body: Any = None,
    *,
    status: int,
    words: str = "",
    **headers: str,
) -> None:
    """Sends a request, and checks that it is refused in the way of the API, in time, and without a trace."""
    started = time.monotonic()
    answer = ask(method, path, body, headers={k.replace("_", "-"): v for k, v in headers.items()})
    assert time.monotonic() - started < SLOW
    assert answer.status == status, answer.text
    document = answer.json
    assert (document["kind"], document["apiVersion"]) == ("Status", "v1")
    assert (document["status"], document["code"]) == ("Failure", status)
    assert document["reason"]
    assert words in document["message"], document["message"]
    assert stored(ask) == WHAT_IS_THERE


def nested(
    depth: int, opening: bytes = b"[", closing: bytes = b"]", innermost: bytes = b""
) -> bytes:
    return b'{"data":{"k":' + opening * depth + innermost + closing * depth + b"}}"


# Bodies


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(b"", "unexpected end of JSON input (<empty>)", id="nothing"),
        pytest.param(b"{", "unexpected end of JSON input", id="half an object"),
        pytest.param(b'{"a":}', "invalid character '}'", id="a key without a value"),
        pytest.param(b"nope", "invalid character 'o' in literal null", id="a word"),
        pytest.param(b"{} x", "invalid character 'x' after top-level value", id="more behind"),
        pytest.param(b"[]", "cannot unmarshal array", id="a list"),
        pytest.param(b'"x"', "cannot unmarshal string", id="a text"),
        pytest.param(b"1", "cannot unmarshal number", id="a number"),
        pytest.param(b"true", "cannot unmarshal bool", id="a truth value"),
        pytest.param(b'{"a":NaN}', "invalid character 'N'", id="not a number"),
        pytest.param(b'{"a":1e999}', "", id="a number beyond all numbers"),
        pytest.param(b'{"a":' + b"9" * 100_000 + b"}", "", id="a number without end"),
        pytest.param(b'{"a":"\0"}', "in string literal", id="a control character"),
        pytest.param(b'{"metadata":{"name":"\xff"}}', "", id="no UTF-8"),
        pytest.param(b'{"metadata":{"name":"\\ud800"}}', "", id="half a surrogate pair"),
        pytest.param(b"\xef\xbb\xbf{}", "", id="a byte order mark"),
        pytest.param(nested(400), "", id="400 lists in each other"),
        pytest.param(nested(1000), "", id="1000 lists in each other"),
        pytest.param(nested(1000, b'{"a":', b"}", b"1"), "", id="1000 objects in each other"),
        pytest.param(nested(20_000), "exceeded max depth", id="20000 lists in each other"),
        pytest.param(b"[" * BODY_MAX, "exceeded max depth", id="opening brackets"),
        pytest.param(b'{"a":"' * 200_000, "", id="opening braces"),
    ],
)
def test_json_that_is_no_object_is_refused(body: bytes, words: str, ask: Ask) -> None:
    """A body that cannot be read is the client's mistake, and is told as one."""
    refused(ask, "POST", CONFIG_MAPS, body, status=400, words=words, Content_Type=JSON)


@pytest.mark.parametrize("media", [JSON, YAML])
def test_object_is_nested_no_deeper_than_it_can_be_shown(media: str, ask: Ask) -> None:
    """The deepest object that is taken comes back in every form; one deeper is refused when it comes."""
    path = "/apis/apps/v1/namespaces/hostile/controllerrevisions"

    def body(depth: int) -> bytes:
        raw = b'{"a": ' * (depth - 1) + b"1" + b"}" * (depth - 1)
        return b'{"metadata": {"name": "deep"}, "revision": 1, "data": ' + raw + b"}"

    refused(
        ask, "POST", path, body(DEPTH_MAX + 1), status=400, words="max depth", Content_Type=media
    )
    assert ask("POST", path, body(DEPTH_MAX), headers={"Content-Type": media}).status == 201
    for shown in (f"{path}/deep", path):
        for accept in (JSON, YAML, "application/json;as=Table;g=meta.k8s.io;v=v1"):
            answer = ask("GET", f"{shown}?includeObject=Object", headers={"Accept": accept})
            assert answer.status == 200, answer.text
    assert ask("DELETE", f"{path}/deep").status == 200


def bomb(levels: int = 9) -> bytes:
    """Each line holds ten times the line before."""
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"l{level}: &l{level} [{', '.join([f'*l{level - 1}'] * 10)}]"
        for level in range(1, levels + 1)
    ]
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(bomb(), "excessive aliasing", id="ten thousand million laughs"),
        pytest.param(b"&a [*a]", "alias", id="a list that holds itself"),
        pytest.param(b"a: &a\n  b: *a\n", "alias", id="an object that holds itself"),
        pytest.param(b"a: *b", "undefined alias", id="an alias of nothing"),
        pytest.param(b"a: b\n---\nc: d\n", "another document", id="two documents"),
        pytest.param(b"!!python/object/apply:os.abort []", "tag", id="a call"),
        pytest.param(b"a: !!python/name:os.system x", "tag", id="a name of Python's"),
        pytest.param(b"data:\n  a: !!binary /w==\n", "JSON does not have", id="bytes"),
        pytest.param(b"a: !!set {x, y}\n", "JSON does not have", id="a set"),
        pytest.param(b"? [a]\n: b", "scalars", id="a list as a key"),
        pytest.param(b'a: "\\q"', "unknown escape", id="an escape that does not exist"),
        pytest.param(b"a:\n\t- b", "line 2", id="a tab"),
        pytest.param(b"\xff\xfe\xfd", "", id="no text"),
        pytest.param(b"a: \x01", "", id="a control character"),
        pytest.param(b"- a\n- b", "a scalar or a list", id="a list"),
        pytest.param(b"just words", "a scalar or a list", id="words"),
        pytest.param(b"[" * 3000, "", id="3000 opening brackets"),
        pytest.param(b"{a: " * 3000, "", id="3000 opening braces"),
        pytest.param(b"- " * 3000, "", id="3000 lists in each other"),
    ],
)
def test_yaml_that_is_no_json_is_refused(body: bytes, words: str, ask: Ask) -> None:
    """Nothing is made of a document that stands for more than itself, or for something that JSON has not."""
    refused(ask, "POST", CONFIG_MAPS, body, status=400, words=words, Content_Type=YAML)


@pytest.mark.parametrize(
    "document",
    [
        pytest.param('b"[" * 100_000', id="opening brackets"),
        pytest.param('b"{a: " * 100_000', id="opening braces"),
        pytest.param('b"- " * 100_000', id="lists in each other"),
        pytest.param('b"[" * 100_000 + b"]" * 100_000', id="brackets that are closed"),
        pytest.param('b"".join(b" " * i + b"a:\\n" for i in range(2400))', id="a staircase"),
    ],
)
def test_yaml_nested_without_end_does_not_end_the_process(document: str) -> None:
    """A small body must not overflow the stack of the parser, which takes the whole server with it."""
    code = (
        "from verger.apiserver.bodies import BodyError\n"
        "from verger.apiserver.yaml_bodies import parse_yaml\n"
        f"try:\n    parse_yaml({document})\nexcept BodyError:\n    print('refused')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b'{"metadata":{"name":"a"}}', id="JSON"),
        pytest.param(b"\x01\x02" * 50, id="no magic bytes"),
        pytest.param(b"k8s\0" + b"\xff" * 50, id="a number without end"),
        pytest.param(b"k8s\0\x12\xff\xff\xff\xff\x7f", id="a length beyond the body"),
        pytest.param(b"k8s\0\x12\x03\x0a\x7f\x0a", id="a length beyond its message"),
        pytest.param(b"k8s\0\x12\x02\x08\x01", id="a number where a message stands"),
        pytest.param(b"k8s\0\x13\x13\x13", id="groups"),
    ],
)
def test_protobuf_that_is_none_is_refused(body: bytes, ask: Ask) -> None:
    """Lengths and numbers are not believed."""
    refused(ask, "POST", CONFIG_MAPS, body, status=400, words="protobuf", Content_Type=PROTOBUF)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_body_that_is_too_large_is_refused(method: str, ask: Ask) -> None:
    """Whatever it holds: it is refused before it is parsed."""
    path = CONFIG_MAPS if method == "POST" else TARGET
    media = "application/merge-patch+json" if method == "PATCH" else JSON
    body = b'{"data":{"k":"' + b"x" * BODY_MAX + b'"}}'
    words = f"Request entity too large: limit is {BODY_MAX}"
    refused(ask, method, path, body, status=413, words=words, Content_Type=media)


def test_body_of_unknown_length_is_bounded_too(api: Api) -> None:
    """A body in chunks has no length that could be looked at first."""
    head = (
        f"POST {CONFIG_MAPS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.plane.token}\r\n"
        "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    chunk = b"%x\r\n" % MIB + b"x" * MIB + b"\r\n"
    assert api.raw(head.encode() + chunk * 4 + b"0\r\n\r\n").startswith(b"HTTP/1.1 413 ")


def test_body_that_is_large_enough_is_not_refused_for_its_size(ask: Ask) -> None:
    """The limit is where upstream has it, and not a little below."""
    body = b'{"data":{"k":5},"a":"' + b"x" * (BODY_MAX - 23) + b'"}'
    assert len(body) == BODY_MAX
    refused(ask, "POST", CONFIG_MAPS, body, status=400, words="unmarshal number", Content_Type=JSON)


def test_compressed_body_is_not_expanded(ask: Ask) -> None:
    """No client compresses what it sends, and a small body must not become a large one."""
    refused(ask, "POST", CONFIG_MAPS, b"\x1f\x8b\x08garbage", status=400, Content_Encoding="gzip")


def many_fields(count: int) -> bytes:
    return json.dumps({"metadata": {"name": "a"}, **{f"k{i}": 1 for i in range(count)}}).encode()


def test_many_unknown_fields_are_found_quickly(ask: Ask) -> None:
    """The time for a body grows with its size, and not with its square."""
    body = many_fields(60_000)
    query = "?fieldValidation=Strict"
    refused(ask, "POST", CONFIG_MAPS + query, body, status=400, words='unknown field "k0"')


def test_many_warnings_fit_into_the_head_of_an_answer(ask: Ask) -> None:
    """Clients read at most so many headers; what does not fit is left out. The write itself succeeds."""
    answer = ask("POST", CONFIG_MAPS + "?dryRun=All", many_fields(2_000))
    assert answer.status == 201
    warnings = answer.headers.get_all("Warning") or []
    assert warnings[0] == '299 - "unknown field \\"k0\\""'
    assert sum(map(len, warnings)) < 8192


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/xml", "multipart/form-data", "application/cbor", "*/*", "a" * 5000],
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", CONFIG_MAPS), ("PUT", TARGET), ("DELETE", TARGET)]
)
def test_body_of_an_unknown_type_is_refused(
    method: str, path: str, content_type: str, ask: Ask
) -> None:
    """It is not guessed what it might be; the message says what may be sent."""
    words = f"accepted media types include: {JSON}, {YAML}, {PROTOBUF}"
    refused(ask, method, path, b"{}", status=415, words=words, Content_Type=content_type)


@pytest.mark.parametrize("content_type", [JSON, "", "text/plain", "application/strategic+json"])
def test_patch_of_an_unknown_type_is_refused(content_type: str, ask: Ask) -> None:
    """What a patch means depends on its type."""
    refused(ask, "PATCH", TARGET, b'{"data":{"k":"w"}}', status=415, Content_Type=content_type)


@pytest.mark.parametrize(
    ("obj", "status", "words"),
    [
        pytest.param({"kind": "Secret"}, 400, "ConfigMap", id="another kind"),
        pytest.param({"apiVersion": "v2"}, 400, "v2", id="another version"),
        pytest.param({"kind": 1}, 400, "strings", id="a number as a kind"),
        pytest.param({"apiVersion": []}, 400, "apiVersion", id="a list as a version"),
        pytest.param({"metadata": "x"}, 400, "ConfigMap.metadata", id="a text as metadata"),
        pytest.param({"metadata": {"name": 5}}, 400, "metadata.name", id="a number as a name"),
        pytest.param({"metadata": {"labels": []}}, 400, "labels", id="a list as labels"),
        pytest.param({"metadata": {"labels": {"a": 1}}}, 400, "labels", id="a number as a label"),
        pytest.param({"metadata": {"finalizers": "a"}}, 400, "finalizers", id="a text as a list"),
        pytest.param({"metadata": {"ownerReferences": {}}}, 400, "Owner", id="an object as a list"),
        pytest.param({"data": {"a": 1}}, 400, "ConfigMap.data", id="a number as a value"),
        pytest.param({"binaryData": {"a": "?"}}, 400, "base64", id="no base64"),
        pytest.param({"metadata": {"namespace": "b"}}, 400, "namespace", id="another namespace"),
        pytest.param({"metadata": {}}, 422, "metadata.name: Required value", id="no name"),
        pytest.param({"metadata": None}, 422, "metadata.name: Required value", id="no metadata"),
        pytest.param({"metadata": {"name": "x" * MIB}}, 422, "metadata.name", id="a long name"),
        pytest.param({"metadata": {"name": "\u2603"}}, 422, "metadata.name", id="a snowman"),
        pytest.param({"metadata": {"name": "../x"}}, 422, "metadata.name", id="a path"),
        pytest.param({"metadata": {"name": "x\0"}}, 422, "metadata.name", id="a zero byte"),
    ],
)
def test_object_that_does_not_fit_is_refused(
    obj: dict[str, Any], status: int, words: str, ask: Ask
) -> None:
    """The message names the field."""
    refused(ask, "POST", CONFIG_MAPS, obj, status=status, words=words)


@pytest.mark.parametrize(
    ("sort", "body", "status", "words"),
    [
        pytest.param("json", b"{}", 400, "unmarshal object", id="an object"),
        pytest.param("json", b"[1]", 400, "unmarshal number", id="a number"),
        pytest.param("json", b"[{}]", 422, "rejected", id="no operation"),
        pytest.param("json", b'[{"op":"fly","path":"/a"}]', 422, "rejected", id="a new operation"),
        pytest.param("json", b'[{"op":"remove","path":""}]', 422, "rejected", id="all removed"),
        pytest.param(
            "json",
            b'[{"op":"add","path":"/metadata/finalizers/99999999999","value":"a"}]',
            422,
            "rejected",
            id="a far index",
        ),
        pytest.param(
            "json",
            json.dumps([{"op": "test", "path": "/kind", "value": "ConfigMap"}] * 10_001).encode(),
            413,
            "maximum operations",
            id="too many operations",
        ),
        pytest.param(
            "json",
            json.dumps(
                [{"op": "copy", "from": "/metadata", "path": f"/metadata/x{i}"} for i in range(40)]
            ).encode(),
            413,
            "accumulated size",
            id="copies of copies",
        ),
        pytest.param("json", b"[" * MIB, 400, "", id="opening brackets"),
        pytest.param("merge", b"[]", 400, "unmarshal array", id="a list to merge"),
        pytest.param("merge", b"null", 400, "", id="null to merge"),
        pytest.param("merge", b"{", 400, "unexpected end", id="half a merge"),
        pytest.param("merge", b'{"data":5}', 422, "", id="a number over data"),
        pytest.param("merge", b'{"metadata":{"name":"b"}}', 400, "name", id="another name"),
        pytest.param("merge", b'{"metadata":{"uid":"b"}}', 422, "immutable", id="another uid"),
        pytest.param("merge", b'{"kind":"Secret"}', 422, "", id="another kind"),
        pytest.param("merge", nested(1000, b'{"a":', b"}", b"1"), 400, "", id="a deep merge"),
        pytest.param("merge", nested(20_000, b'{"a":', b"}", b"1"), 400, "", id="a deeper merge"),
        pytest.param("strategic", b"[]", 400, "unmarshal array", id="a strategic list"),
        pytest.param(
            "strategic", b'{"metadata":{"$retainKeys":1}}', 400, "retainKeys", id="a directive"
        ),
        pytest.param(
            "strategic", b'{"metadata":{"ownerReferences":[1]}}', 422, "", id="a number as an owner"
        ),
        pytest.param(
            "strategic", nested(1000, b'{"a":', b"}", b"1"), 400, "", id="a deep strategic merge"
        ),
    ],
)
def test_patch_that_does_not_fit_is_refused(
    sort: str, body: bytes, status: int, words: str, ask: Ask
) -> None:
    """The object stays as it is, and a small patch never makes a large one."""
    media = {"strategic": "strategic-merge-patch", "merge": "merge-patch", "json": "json-patch"}
    content_type = f"application/{media[sort]}+json"
    refused(ask, "PATCH", TARGET, body, status=status, words=words, Content_Type=content_type)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        pytest.param(b"{", 400, "unexpected end", id="half an object"),
        pytest.param(b"[]", 400, "unmarshal array", id="a list"),
        pytest.param(b'{"kind":"ConfigMap"}', 400, "no kind", id="another kind"),
        pytest.param(b'{"preconditions":1}', 400, "preconditions", id="a number as conditions"),
        pytest.param(b'{"preconditions":{"uid":1}}', 400, "uid", id="a number as a uid"),
        pytest.param(b'{"preconditions":{"uid":"b"}}', 409, "UID", id="another uid"),
        pytest.param(b'{"preconditions":{"resourceVersion":"1"}}', 409, "", id="an old revision"),
        pytest.param(b'{"gracePeriodSeconds":"x"}', 400, "grace", id="a text as a grace"),
        pytest.param(b'{"dryRun":["x"]}', 422, "dryRun", id="half a dry run"),
        pytest.param(b'{"propagationPolicy":"x"}', 422, "propagationPolicy", id="a policy"),
        pytest.param(
            b'{"orphanDependents":true,"propagationPolicy":"Orphan"}', 422, "both", id="both"
        ),
    ],
)
def test_delete_with_options_that_do_not_fit_deletes_nothing(
    body: bytes, status: int, words: str, ask: Ask
) -> None:
    """Whoever misspells a condition does not lose the object."""
    refused(ask, "DELETE", TARGET, body, status=status, words=words, Content_Type=JSON)


# Queries


@pytest.mark.parametrize(
    "selector",
    ["a in (", "=,=", "a in b", "!", "(((", ",", "a=b=c", "\0", "é", "a>b", "x/y/z=1", "(" * 2000],
)
def test_label_selector_that_is_none_is_refused(selector: str, ask: Ask) -> None:
    """It selects neither everything nor nothing."""
    query = urlencode({"labelSelector": selector})
    refused(ask, "GET", f"{CONFIG_MAPS}?{query}", status=400)
    refused(ask, "GET", f"{CONFIG_MAPS}?watch=1&{query}", status=400)
    refused(ask, "DELETE", f"{CONFIG_MAPS}?{query}", status=400)


@pytest.mark.parametrize(
    "selector", ["data=1", "metadata.name", "=", "metadata.name>1", "\\", "metadata.name=\\q"]
)
def test_field_selector_that_is_none_is_refused(selector: str, ask: Ask) -> None:
    """Fields that are not indexed are not ignored: a deletecollection would delete everything."""
    query = urlencode({"fieldSelector": selector})
    refused(ask, "GET", f"{CONFIG_MAPS}?{query}", status=400)
    refused(ask, "GET", f"{CONFIG_MAPS}?watch=1&{query}", status=400)
    refused(ask, "DELETE", f"{CONFIG_MAPS}?{query}", status=400)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=abc", 400),
        ("limit=-1", 400),
        ("limit=1.5", 400),
        ("limit=99999999999999999999", 400),
        ("limit=%D9%A3", 400),
        ("limit=1_0", 400),
        ("resourceVersion=abc", 400),
        ("resourceVersion=-1", 400),
        ("resourceVersionMatch=Exact", 422),
        ("resourceVersionMatch=x&resourceVersion=1", 422),
        ("continue=garbage", 400),
        ("continue=e30", 400),
        ("continue=%ff%fe", 400),
        ("timeoutSeconds=x", 400),
        ("timeout=x", 400),
        ("sendInitialEvents=true", 422),
        ("watch=1&resourceVersion=abc", 400),
        ("watch=1&sendInitialEvents=true", 422),
        ("watch=1&timeoutSeconds=x", 400),
        ("a=1&" * 1500, 400),
    ],
)
def test_query_that_makes_no_sense_is_refused(query: str, status: int, ask: Ask) -> None:
    """A parameter that cannot be understood is not left out silently."""
    refused(ask, "GET", f"{CONFIG_MAPS}?{query}", status=status)


@pytest.mark.parametrize(
    "query",
    ["dryRun=None", "dryRun=", "dryRun=All&dryRun=x", "fieldValidation=x", "fieldManager=%00"],
)
def test_write_with_a_query_that_makes_no_sense_writes_nothing(query: str, ask: Ask) -> None:
    """A dry run that is misspelt does not become a real one."""
    refused(ask, "POST", f"{CONFIG_MAPS}?{query}", {"metadata": {"name": "a"}}, status=422)


# Paths and methods


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", CONFIG_MAPS),
        ("PATCH", CONFIG_MAPS),
        ("POST", TARGET),
        ("OPTIONS", TARGET),
        ("TRACE", TARGET),
        ("CONNECT", TARGET),
        ("DELETE", "/api/v1/namespaces"),
        ("POST", "/api/v1/configmaps"),
        ("POST", "/version"),
        ("DELETE", "/apis"),
        ("PUT", "/api/v1"),
        ("POST", "/api/v1/watch/namespaces/hostile/configmaps"),
        ("DELETE", "/api/v1/watch/namespaces/hostile/configmaps/target"),
    ],
)
def test_method_that_a_path_does_not_have_is_refused(method: str, path: str, ask: Ask) -> None:
    """The path is known, so that it is not the path which is wrong."""
    body = {"metadata": {"name": "a"}} if method in ("POST", "PUT") else None
    refused(ask, method, path, body, status=405, words="does not allow this method")


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/nothing",
        "/api/v9/configmaps",
        "/apis/apps/v9/deployments",
        f"{NAMESPACE}/nodes",
        f"{TARGET}/nothing",
        f"{TARGET}/a/b/c",
        f"{CONFIG_MAPS}//",
        "/api/v1/configmaps/target",
        "/api/v1/watch",
        "/api/v1/watch/nothing",
        f"{CONFIG_MAPS}/../secrets",
        f"{CONFIG_MAPS}/a%2Fb",
        f"{CONFIG_MAPS}/%00",
        f"{CONFIG_MAPS}/%ff",
        f"{CONFIG_MAPS}/%zz",
        f"{CONFIG_MAPS}/%2e%2e",
        f"{CONFIG_MAPS}/" + "x" * 7000,
    ],
)
def test_path_below_a_known_version_that_leads_nowhere_is_a_status(path: str, ask: Ask) -> None:
    """Clients tell a missing resource from a missing object by the answer."""
    refused(ask, "GET", path, status=404)


@pytest.mark.parametrize(
    "path",
    ["/nothing", "//api/v1", "/%", "/apis/no.group/v1/x", "/healthz/x", "/healthzz", "/openapi/v4"],
)
def test_path_that_nobody_serves_is_plain_text(path: str, ask: Ask) -> None:
    """As upstream: nobody is there who could say it in a Status."""
    answer = ask("GET", path)
    assert (answer.status, answer.body) == (404, b"404 page not found\n")


# HTTP itself


def head(first_line: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join([first_line, b"Host: x", *headers, b"", b""])


LIVEZ = b"GET /livez HTTP/1.1"
POSTED = b"POST /livez HTTP/1.1"


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(head(b"GET /" + b"x" * 20_000 + b" HTTP/1.1"), id="a long path"),
        pytest.param(head(LIVEZ, b"A: " + b"x" * 20_000), id="a long header"),
        pytest.param(head(LIVEZ, *[b"A%d: x" % i for i in range(5000)]), id="many headers"),
        pytest.param(head(b"GET * HTTP/1.1"), id="a star"),
        pytest.param(head(b"FLY /livez HTTP/1.1"), id="a new method"),
        pytest.param(head(b"GET /livez HTTP/9.9"), id="a new version"),
        pytest.param(head(LIVEZ, b"broken"), id="a header without a colon"),
        pytest.param(head(LIVEZ, b"A : x"), id="a space before the colon"),
        pytest.param(head(LIVEZ, b"A: x\0y"), id="a zero byte in a header"),
        pytest.param(b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", id="TLS in TLS"),
        pytest.param(
            head(POSTED, b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
            id="two kinds of length",
        ),
        pytest.param(
            head(POSTED, b"Content-Length: 5", b"Content-Length: 6") + b"123456", id="two lengths"
        ),
        pytest.param(head(POSTED, b"Content-Length: -5"), id="a negative length"),
        pytest.param(
            head(POSTED, b"Transfer-Encoding: chunked") + b"zz\r\n", id="a chunk without length"
        ),
    ],
)
def test_request_that_is_no_http_is_refused(sent: bytes, api: Api, ask: Ask) -> None:
    """It is answered once, as the client's mistake; what follows it is not taken for a request."""
    answer = api.raw(sent + head(LIVEZ, b"Connection: close"))
    assert answer.startswith(b"HTTP/1."), answer
    assert answer.split()[1][:2] == b"40", answer
    assert answer.count(b"HTTP/1.1 200") == 0
    assert ask("GET", "/livez").status == 200


@pytest.mark.parametrize(
    "authorization",
    [
        "Basic YTpi",
        "Bearer",
        "Bearer ",
        "Bearer a b",
        "Bearer x",
        "Negotiate",
        "x" * 7000,
        "Bearer \u00ff",
        "Bearer eyJhbGciOiJub25lIn0.e30.",
        "Bearer ..",
        "Bearer eyJ.eyJ.eyJ",
    ],
)
def test_credential_that_is_none_is_refused(authorization: str, ask: Ask) -> None:
    """A credential that is there and wrong is never treated as if it were not there."""
    path = "/livez"  # which anybody may read who brings no credential
    refused(ask, "GET", path, status=401, words="Unauthorized", Authorization=authorization)
