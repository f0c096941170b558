"""Requirements of spec section 1 on reads: get, list, pages, watches, bookmarks, timeouts, limits, metadata."""

import base64
import contextlib
import http.client
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.api.conftest import Api
from tests.conformance.play import (
    ABSENT,
    CONFIGMAPS,
    JSON_PATCH,
    SECRETS,
    TABLE,
    Above,
    Player,
    Step,
    case,
    delete,
    get,
    named,
    patch,
    post,
    watch,
)

S = SECRETS
FUTURE = "9000000000000000000"
AB = (post(S, named("a"), save={"first": "metadata/resourceVersion"}), post(S, named("b")))
ABC = (*AB, post(S, named("c"), save={"last": "metadata/resourceVersion"}))
LABELLED = named("a", meta={"labels": {"k": "v"}})
TOO_LARGE = {
    "reason": "Timeout",
    "details/causes/0/reason": "ResourceVersionTooLarge",
    "details/causes/0/message": "Too large resource version",
    "details/retryAfterSeconds": 1,
}
OPTIONS = {"reason": "Invalid", "details/group": "meta.k8s.io", "details/kind": "ListOptions"}
MATCH = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
FORBIDDEN = {**OPTIONS, "details/causes/0/field": "resourceVersionMatch"}
NAMES = ("a", "b", "c")


def token(**fields: Any) -> str:
    """A page token of one's own making."""
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).rstrip(b"=").decode()


def opened(text: str) -> dict[str, Any]:
    """What a page token says."""
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return found


def names(*wanted: str) -> dict[str, Any]:
    """The items of a list, all of them."""
    found = {f"items/{index}/metadata/name": name for index, name in enumerate(wanted)}
    return {**found, f"items/{len(wanted)}": ABSENT}


GETS = [
    case("1.9 without a resourceVersion the newest is read", post(S, named("a")), get(f"{S}/a", has={"metadata/resourceVersion": "{rv}"})),
    case("1.9 with 0 any is good", post(S, named("a")), get(f"{S}/a?resourceVersion=0")),
    case("1.9 with a number, one at least as new", post(S, named("a")), get(f"{S}/a?resourceVersion={{rv}}")),
    case("1.9 what is in the future is waited for, then 504", post(S, named("a")), get(f"{S}/a?resourceVersion={FUTURE}", code=504, has=TOO_LARGE)),
    case("1.9 a resourceVersion that is no number is 400", post(S, named("a")), get(f"{S}/a?resourceVersion=abc", code=400)),
]  # fmt: skip
LISTS = [
    case("1.10 unset, unset: the newest", *ABC, get(S, has=names(*NAMES))),
    case("1.10 unset, unset, limit: the newest, in pages", *ABC, get(f"{S}?limit=2", has={**names("a", "b"), "metadata/continue": len})),
    case("1.10 0, unset, limit: the limit is ignored", *ABC, get(f"{S}?limit=2&resourceVersion=0", has={**names(*NAMES), "metadata/continue": ABSENT})),
    case("1.10 0, unset, continue: the token holds", *ABC, get(f"{S}?limit=2", save={"next": "metadata/continue"}), get(f"{S}?continue={{next}}&resourceVersion=0", has=names("c"))),
    case("1.10 N, unset: not older", *ABC, get(f"{S}?resourceVersion={{first}}", has=names(*NAMES))),
    case("1.10 N, unset, limit: exactly N", *ABC, get(f"{S}?resourceVersion={{first}}&limit=5", has={**names("a"), "metadata/resourceVersion": "{first}"})),
    case("1.10 N, unset, continue: 400", *ABC, get(f"{S}?limit=2", save={"next": "metadata/continue"}), get(f"{S}?continue={{next}}&resourceVersion={{first}}", code=400, says="specifying resource version is not allowed when using continue")),
    case("1.10 0, NotOlderThan: any", *ABC, get(f"{S}?resourceVersion=0&resourceVersionMatch=NotOlderThan", has=names(*NAMES))),
    case("1.10 0, NotOlderThan, continue: 422", *ABC, get(f"{S}?limit=2", save={"next": "metadata/continue"}), get(f"{S}?continue={{next}}&resourceVersion=0&resourceVersionMatch=NotOlderThan", code=422, has=FORBIDDEN)),
    case("1.10 N, NotOlderThan, limit: at least N, in pages", *ABC, get(f"{S}?resourceVersion={{first}}&resourceVersionMatch=NotOlderThan&limit=2", has=names("a", "b"))),
    case("1.10 N, NotOlderThan, continue: 422", *ABC, get(f"{S}?limit=2", save={"next": "metadata/continue"}), get(f"{S}?continue={{next}}&resourceVersion={{first}}&resourceVersionMatch=NotOlderThan", code=422, has=FORBIDDEN)),
    case("1.10 N, Exact: exactly N", *ABC, get(f"{S}?resourceVersion={{first}}&resourceVersionMatch=Exact", has={**names("a"), "metadata/resourceVersion": "{first}"})),
    case("1.10 N, Exact, limit: exactly N, in pages", *ABC, get(f"{S}?resourceVersion={{last}}&resourceVersionMatch=Exact&limit=2", has={**names("a", "b"), "metadata/resourceVersion": "{last}"})),
    case("1.10 N, Exact, continue: 422", *ABC, get(f"{S}?limit=2", save={"next": "metadata/continue"}), get(f"{S}?continue={{next}}&resourceVersion={{first}}&resourceVersionMatch=Exact", code=422, has=FORBIDDEN)),
    case("1.10 0, Exact: 422", get(f"{S}?resourceVersion=0&resourceVersionMatch=Exact", code=422, has=FORBIDDEN)),
    case("1.10 unset, any match: 422", get(f"{S}?resourceVersionMatch=NotOlderThan", code=422, has={**FORBIDDEN, "details/causes/0/reason": "FieldValueForbidden"})),
    case("1.10 an unknown match: 422", get(f"{S}?resourceVersion=1&resourceVersionMatch=Newer", code=422, has={"details/causes/0/reason": "FieldValueNotSupported"})),
    case("1.10 sendInitialEvents is for watches", get(f"{S}?sendInitialEvents=true", code=422, has={**OPTIONS, "details/causes/0/field": "sendInitialEvents"})),
    case("1.10 Exact in history that is gone: 410 Expired", get(f"{S}?resourceVersion=1&resourceVersionMatch=Exact", code=410, has={"reason": "Expired"})),
    case("1.10 Exact in the future: 504", get(f"{S}?resourceVersion={FUTURE}&resourceVersionMatch=Exact", code=504, has=TOO_LARGE)),
    *(case(f"1.10 {text!r} is no resourceVersion: 400", get(f"{S}?resourceVersion={text}", code=400)) for text in ("abc", "-1", "1.0", "0x1", "99999999999999999999999")),
    *(case(f"1.10 {text!r} is no limit: 400", get(f"{S}?limit={text}", code=400)) for text in ("-1", "many", "1.5", "99999999999999999999")),
]  # fmt: skip
PAGES = [
    case(
        "1.11 the token is base64 of version, revision, and the last key with a NUL",
        *ABC,
        get(f"{S}?limit=1", has={"metadata/continue": lambda text: opened(text)["v"] == "meta.k8s.io/v1" and opened(text)["start"] == "a\0" and opened(text)["rv"] > 0 and "=" not in text}),
    ),
    case("1.11 revision -1 carries on at the newest", *ABC, get(f"{S}?continue={token(v='meta.k8s.io/v1', rv=-1, start='a' + chr(0))}", has={**names("b", "c"), "metadata/resourceVersion": Above("last", may_equal=True)})),
    case("1.11 items are sorted by namespace and name, bytewise", *(post(S, named(name)) for name in ("b", "a-b", "a.b", "a", "a0")), get(S, has=names("a", "a-b", "a.b", "a0", "b"))),
    case(
        "1.11 all pages of one list carry the same resourceVersion, whatever happens meanwhile",
        *ABC,
        get(f"{S}?limit=2", save={"next": "metadata/continue", "read": "metadata/resourceVersion"}),
        delete(f"{S}/c"),
        get(f"{S}?limit=2&continue={{next}}", has={**names("c"), "metadata/resourceVersion": "{read}"}),
    ),
    case("1.11 remainingItemCount is what is left", *ABC, get(f"{S}?limit=1", has={"metadata/remainingItemCount": 2}, save={"next": "metadata/continue"}), get(f"{S}?limit=1&continue={{next}}", has={"metadata/remainingItemCount": 1})),
    case("1.11 it is absent on the last page", *ABC, get(f"{S}?limit=2", save={"next": "metadata/continue"}), get(f"{S}?limit=2&continue={{next}}", has={"metadata/remainingItemCount": ABSENT, "metadata/continue": ABSENT})),
    case("1.11 and where something is selected", *ABC, get(f"{S}?limit=1&labelSelector=!x", has={"metadata/remainingItemCount": ABSENT, "metadata/continue": len})),
    case("1.11 with a selection a page is as long as the limit", *(post(S, named(name, meta={"labels": {"k": name}})) for name in NAMES), get(f"{S}?limit=2&labelSelector=k!=a", has=names("b", "c"))),
    case(
        "1.11 an expired token is 410 with a fresh one",
        *ABC,
        get(f"{S}?continue={token(v='meta.k8s.io/v1', rv=1, start='a' + chr(0))}", code=410, has={"reason": "Expired", "metadata/continue": lambda text: opened(text)["rv"] == -1}, save={"fresh": "metadata/continue"}),
        get(f"{S}?continue={{fresh}}", has=names("b", "c")),
    ),
    case("1.11 a token from the future is 504, not another list", *ABC, get(f"{S}?continue={token(v='meta.k8s.io/v1', rv=int(FUTURE), start='a' + chr(0))}", code=504, has=TOO_LARGE)),
    *(
        case(f"1.11 a broken token is 400: {why}", get(f"{S}?continue={text}", code=400, says="invalid continue token"))
        for why, text in {
            "no base64": "!!", "no JSON": "abc", "another version": token(v="v9", rv=1, start="a"), "no version": token(rv=1, start="a"), "no revision": token(v="meta.k8s.io/v1", start="a"),
            "a revision that is none": token(v="meta.k8s.io/v1", rv=True, start="a"), "no start": token(v="meta.k8s.io/v1", rv=5), "a key outside": token(v="meta.k8s.io/v1", rv=5, start="../x"), "a list": base64.b64encode(b"[]").decode(),
        }.items()
    ),
    case("1.11 items is never null", get(S, has={"items": [], "metadata/resourceVersion": len})),
    case("1.12 too large: the message names both revisions, and a header says when to come again", get(f"{S}?resourceVersion={FUTURE}", code=504, says=f"Timeout: Too large resource version: {FUTURE}, current: ", has=TOO_LARGE, head={"Retry-After": "1"})),
    case("1.12 a streaming list from the future gets it as an ERROR event", watch(f"{S}?watch=1&{MATCH}&resourceVersion={FUTURE}", "ERROR", has={"0/object/code": 504, "0/object/details/causes/0/reason": "ResourceVersionTooLarge"})),
]  # fmt: skip
WATCHES = [
    *(case(f"1.13 watch={text} is a watch", *AB, watch(f"{S}?watch={text}", "ADDED a", "ADDED b")) for text in ("1", "true", "True", "", "yes")),
    *(case(f"1.13 watch={text} is none", *AB, get(f"{S}?watch={text}", has=names("a", "b"))) for text in ("0", "false", "FALSE")),
    case("1.13 the old path of a collection", *AB, watch("/api/v1/watch/namespaces/{ns}/secrets", "ADDED a", "ADDED b")),
    case("1.13 the old path of an object", *AB, watch("/api/v1/watch/namespaces/{ns}/secrets/b", "ADDED b")),
    case("1.13 an object's own path with watch=1", *AB, watch(f"{S}/b?watch=1", "ADDED b")),
    case("1.13 the limit of a watch means nothing, but has to be a number", get(f"{S}?watch=1&limit=x", code=400, says='strconv.ParseInt: parsing "x": invalid syntax')),
    case("1.13 errors before the start are plain", get(f"{S}?watch=1&labelSelector=a%20b%20c", code=400)),
    case("1.13 unset: what exists, then what happens", *AB, watch(f"{S}?watch=1", "ADDED a", "ADDED b")),
    case("1.13 0: the same", *AB, watch(f"{S}?watch=1&resourceVersion=0", "ADDED a", "ADDED b")),
    case("1.13 N: what happened after N", *ABC, watch(f"{S}?watch=1&resourceVersion={{first}}", "ADDED b", "ADDED c")),
    case("1.13 N that is too old: one ERROR with 410 under HTTP 200", watch(f"{S}?watch=1&resourceVersion=1", "ERROR", has={"0/object/kind": "Status", "0/object/code": 410, "0/object/reason": "Expired", "0/object/message": lambda text: text.startswith("too old resource version: 1 (")})),
    *(
        case(f"1.13 {why}: 422", get(f"{S}?watch=1&{query}", code=422, has=OPTIONS))
        for why, query in {
            "sendInitialEvents=true without a match": "sendInitialEvents=true", "sendInitialEvents=false without a match": "sendInitialEvents=false", "another match": "sendInitialEvents=true&resourceVersionMatch=Exact",
            "a match without sendInitialEvents": "resourceVersionMatch=NotOlderThan&resourceVersion=0", "with continue": f"{MATCH}&continue=x",
        }.items()
    ),
    case("1.13 unset with bookmarks: the end of what exists is marked", *AB, watch(f"{S}?watch=1&allowWatchBookmarks=true", "ADDED a", "ADDED b", "BOOKMARK", has={"2/object/metadata/annotations": {"k8s.io/initial-events-end": "true"}})),
    case("1.13 sendInitialEvents=false: from now on", *AB, get(S, save={"now": "metadata/resourceVersion"}), watch(f"{S}?watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan&timeoutSeconds=3&allowWatchBookmarks=true", "BOOKMARK", has={"0/object/metadata/resourceVersion": Above("now", may_equal=True)})),
    case("1.14 events are one line each, with type and object", *AB, watch(f"{S}?watch=1", "ADDED a", "ADDED b", has={"0/object/apiVersion": "v1", "0/object/kind": "Secret", "0/object/metadata/resourceVersion": "{first}"})),
    case("1.14 types are ADDED, MODIFIED, DELETED", *AB, patch(f"{S}/a", {"type": None, "metadata": {"labels": {"k": "v"}}}), delete(f"{S}/a"), watch(f"{S}?watch=1&resourceVersion={{first}}", "ADDED b", "MODIFIED a", "DELETED a")),
    case("1.14 DELETED has the last state and the revision of the deletion", post(S, LABELLED), delete(f"{S}/a"), watch(f"{S}?watch=1&resourceVersion={{rv}}", "DELETED a", has={"0/object/metadata/labels/k": "v", "0/object/metadata/resourceVersion": Above("rv")})),
    case("1.14 an object that begins to fit is ADDED, and goes on as MODIFIED", post(S, named("a"), save={"first": "metadata/resourceVersion"}), patch(f"{S}/a", LABELLED), patch(f"{S}/a", {"metadata": {"labels": {"l": "w"}}}), watch(f"{S}?watch=1&labelSelector=k=v&resourceVersion={{first}}", "ADDED a", "MODIFIED a")),
    case("1.14 one that fits no more is DELETED, with the old content and the new revision", post(S, LABELLED, save={"first": "metadata/resourceVersion"}), patch(f"{S}/a", {"metadata": {"labels": {"k": "w"}}}), watch(f"{S}?watch=1&labelSelector=k=v&resourceVersion={{first}}", "DELETED a", has={"0/object/metadata/labels/k": "v", "0/object/metadata/resourceVersion": "{rv}"})),
    case("1.14 one that never fits is not told of", post(S, LABELLED, save={"first": "metadata/resourceVersion"}), patch(f"{S}/a", {"metadata": {"labels": {"k": "w"}}}), post(S, named("z", meta={"labels": {"k": "x"}})), watch(f"{S}?watch=1&labelSelector=k=x&resourceVersion={{first}}", "ADDED z")),
    case("1.14 deleted and made again is DELETED and ADDED", post(S, named("a"), save={"first": "metadata/resourceVersion"}), delete(f"{S}/a"), post(S, named("a")), watch(f"{S}?watch=1&resourceVersion={{first}}", "DELETED a", "ADDED a")),
    case("1.15 a bookmark is of the watched kind, with its resourceVersion alone", watch(f"{S}?watch=1&allowWatchBookmarks=true", "BOOKMARK", has={"0/object/kind": "Secret", "0/object/apiVersion": "v1", "0/object/metadata/resourceVersion": len, "0/object/metadata/name": ABSENT, "0/object/type": ABSENT})),
    case("1.15 its revision moves on with what other kinds do", get(S, save={"now": "metadata/resourceVersion"}), post(CONFIGMAPS, named("a"), save={"other": "metadata/resourceVersion"}), watch(f"{S}?watch=1&allowWatchBookmarks=true&timeoutSeconds=3&resourceVersion={{now}}", "BOOKMARK", has={"0/object/metadata/resourceVersion": Above("other", may_equal=True)})),
    case("1.16 a streaming list: what exists, then a bookmark that says so", *AB, watch(f"{S}?watch=1&{MATCH}&allowWatchBookmarks=true", "ADDED a", "ADDED b", "BOOKMARK", has={"2/object/metadata/annotations": {"k8s.io/initial-events-end": "true"}, "2/object/metadata/resourceVersion": Above("first")})),
    case("1.16 from N it is at least as new as N", *AB, watch(f"{S}?watch=1&{MATCH}&allowWatchBookmarks=true&resourceVersion={{rv}}", "ADDED a", "ADDED b", "BOOKMARK", has={"2/object/metadata/resourceVersion": Above("rv", may_equal=True)})),
    case("1.16 as Tables the bookmark keeps its metadata, even without objects", watch(f"{S}?watch=1&{MATCH}&allowWatchBookmarks=true&includeObject=None", "BOOKMARK", sends=TABLE, has={"0/object/rows/0/object/metadata/annotations": {"k8s.io/initial-events-end": "true"}})),
    case("1.19 the other timeout has to be a duration", get(f"{S}?timeout=soon", code=400, says='invalid timeout specified in the request URL - time: invalid duration "soon"')),
]  # fmt: skip
METADATA = [
    case("1.20 a list after a write is at least as new", post(S, named("a")), get(S, has={"metadata/resourceVersion": Above("rv", may_equal=True)})),
    case("1.21 another incarnation has another uid", post(S, named("a"), save={"old": "metadata/uid"}), delete(f"{S}/a"), post(S, named("a"), has={"metadata/uid": len}), get(f"{S}/a", has={"metadata/uid": "{uid}"})),
    case("1.21 the generation counts changes of the spec", post("/apis/networking.k8s.io/v1/namespaces/{ns}/networkpolicies", named("a", spec={"podSelector": {}})), patch("/apis/networking.k8s.io/v1/namespaces/{ns}/networkpolicies/a", LABELLED, has={"metadata/generation": 1}), patch("/apis/networking.k8s.io/v1/namespaces/{ns}/networkpolicies/a", {"spec": {"podSelector": {"matchLabels": {"k": "v"}}}}, has={"metadata/generation": 2})),
    case("1.21 a creationTimestamp that is null is taken", post(S, named("a", meta={"creationTimestamp": None}), has={"metadata/creationTimestamp": re.compile(r"[^.]+Z").fullmatch})),
    case("1.22 a body above 3 MiB is 413", post(S, b"{" + b" " * (3 * 1024 * 1024), 413, has={"reason": "RequestEntityTooLarge"})),
    case("1.22 a Secret above 1 MiB is refused", post(S, named("a", stringData={"k": "x" * (1024 * 1024 + 1)}), 422, says="Too long: may not be more than 1048576 bytes")),
    case("1.22 annotations above 256 KiB are refused", post(S, named("a", meta={"annotations": {"k": "x" * (256 * 1024)}}), 422, says="metadata.annotations: Too long: may not be more than 262144 bytes")),
    case("1.22 a JSON patch of more than 10 000 operations is 413", post(S, named("a")), patch(f"{S}/a", [{"op": "test", "path": "/kind", "value": "Secret"}] * 10_001, JSON_PATCH, code=413, says="The allowed maximum operations in a JSON patch is 10000, got 10001")),
]  # fmt: skip


@pytest.mark.parametrize("steps", [*GETS, *LISTS, *PAGES, *WATCHES, *METADATA])
def test_reads(player: Player, steps: Sequence[Step]) -> None:
    """Section 1, as far as it is about what a read shows."""
    player.play(steps)


@contextlib.contextmanager
def opened_watch(api: Api, query: str) -> Iterator[http.client.HTTPResponse]:
    path = f"/api/v1/namespaces/default/secrets?watch=1&fieldSelector=metadata.name=no&{query}"
    with contextlib.closing(api.connect()) as connection:
        connection.request("GET", path, headers={"Authorization": f"Bearer {api.plane.token}"})
        with contextlib.closing(connection.getresponse()) as response:
            yield response


def test_1_13_headers_go_out_before_any_event(api: Api) -> None:
    """1.13 Headers are flushed at once: Go's client blocks until they come."""
    with opened_watch(api, "") as response:
        assert (response.status, response.headers["Content-Type"]) == (200, "application/json")
        assert response.headers["Transfer-Encoding"] == "chunked"


def test_1_19_a_watch_ends_cleanly_at_its_deadline(api: Api) -> None:
    """1.19 timeoutSeconds is obeyed, and the stream ends with its last chunk: no ERROR, no broken connection."""
    with opened_watch(api, "timeoutSeconds=1") as response:
        assert response.read() == b""
