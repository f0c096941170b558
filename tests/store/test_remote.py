"""What a client of a server does when the server does not do what it should."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from typing import Any, Final

import orjson
import pytest
from verger.store import remote
from verger.store.client import ClientSource, PartialDiscovery
from verger.store.credentials import Credential
from verger.store.errors import (
    ApiError,
    BadRequest,
    Conflict,
    Forbidden,
    InternalError,
    NotFound,
    ServiceUnavailable,
    TooManyRequests,
    Unauthorized,
)
from verger.store.kinds import built_in
from verger.store.objects import name_of
from verger.store.remote import RemoteClient, RemoteServer
from verger.store.remote_stream import INITIAL_END, SILENCE, BadAnswer
from verger.store.transport import ATTEMPTS, NoAnswer, NotReached
from verger.watch.event import Bookmark, Event, Expired, StreamEnded

from tests.store.scripted_server import (
    CUT,
    SILENT,
    Answer,
    QuickClock,
    Script,
    listening,
    remote_server,
)

KINDS: Final = built_in()
MAPS: Final = KINDS.core("ConfigMap")
SPACES: Final = KINDS.core("Namespace")
MAP: Final[Mapping[str, Any]] = {"metadata": {"name": "a", "namespace": "n"}}
OK: Final = Answer(body={"kind": "ConfigMap", "apiVersion": "v1", **MAP})
SOON: Final = 60.0
"""Seconds; reaching them is a failure."""
Do = Callable[[RemoteClient], Awaitable[Any]]


async def read(client: RemoteClient) -> Any:
    return await client.get(MAPS, "a", "n")


WRITES: Final[Mapping[str, Do]] = {
    "POST": lambda client: client.create(MAPS, MAP),
    "PUT": lambda client: client.update(MAPS, MAP),
    "PATCH": lambda client: client.patch(MAPS, "a", "n", {"data": {}}),
    "DELETE": lambda client: client.delete(MAPS, "a", "n"),
}


def status(code: int, reason: str, message: str = "no", **more: Any) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "reason": reason,
        "message": message,
        "code": code,
        **more,
    }


def busy(seconds: str = "3") -> Answer:
    return Answer(429, status(429, "TooManyRequests"), {"Retry-After": seconds})


@asynccontextmanager
async def playing(
    *answers: Answer, clock: QuickClock | None = None, **options: Any
) -> AsyncIterator[tuple[Script, RemoteServer]]:
    script = Script(*answers)
    async with listening(script) as url:
        server = remote_server(url, KINDS, clock or QuickClock(), **options)
        try:
            async with asyncio.timeout(SOON):
                yield script, server
        finally:
            await server.close()


# Trying again


@pytest.mark.parametrize("method", WRITES)
async def test_write_that_was_turned_away_is_sent_again(method: str) -> None:
    """429 says that nothing has happened; it is repeated after the time that the server asked for."""
    clock = QuickClock()
    async with playing(busy("3"), OK, clock=clock) as (script, server):
        await WRITES[method](server.client("test"))
    assert [asked.method for asked in script.asked] == [method, method]
    assert clock.slept == [3.0]


@pytest.mark.parametrize("method", WRITES)
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(CUT, id="connection lost"),
        pytest.param(
            Answer(503, status(503, "ServiceUnavailable"), {"Retry-After": "1"}), id="unavailable"
        ),
        pytest.param(Answer(504, status(504, "Timeout"), {"Retry-After": "1"}), id="timeout"),
        pytest.param(Answer(500, status(500, "InternalError")), id="internal error"),
    ],
)
async def test_write_that_may_have_happened_is_sent_once(method: str, answer: Answer) -> None:
    """Its caller looks at the world first."""
    async with playing(answer, OK) as (script, server):
        with pytest.raises(ApiError):
            await WRITES[method](server.client("test"))
    assert len(script.asked) == 1


@pytest.mark.parametrize("method", WRITES)
async def test_write_on_a_kept_connection_that_breaks_is_sent_once(method: str) -> None:
    """The library would send some of them again by itself."""
    async with playing(OK, CUT, OK) as (script, server):
        client = server.client("test")
        await read(client)
        with pytest.raises(NoAnswer):
            await WRITES[method](client)
    assert [asked.method for asked in script.asked] == ["GET", method]


@pytest.mark.parametrize(
    ("answer", "tries"),
    [
        pytest.param(CUT, ATTEMPTS, id="connection lost"),
        pytest.param(busy("1"), ATTEMPTS, id="too many requests"),
        pytest.param(
            Answer(503, status(503, "ServiceUnavailable"), {"Retry-After": "1"}),
            ATTEMPTS,
            id="unavailable, with a time",
        ),
        pytest.param(
            Answer(500, status(500, "InternalError", details={"retryAfterSeconds": 1})),
            ATTEMPTS,
            id="internal error, with a time in its details",
        ),
        pytest.param(Answer(500, status(500, "InternalError")), 1, id="internal error"),
        pytest.param(Answer(404, status(404, "NotFound")), 1, id="not found"),
        pytest.param(Answer(403, status(403, "Forbidden")), 1, id="forbidden"),
    ],
)
async def test_read_is_tried_again_but_not_for_ever(answer: Answer, tries: int) -> None:
    """Few tries of what may pass, one of what will not."""
    async with playing(answer) as (script, server):
        with pytest.raises(ApiError):
            await read(server.client("test"))
    assert len(script.asked) == tries


async def test_patience_has_an_end() -> None:
    """A server that asks for a day gets a minute: then the caller is told."""
    clock = QuickClock()
    async with playing(busy("86400"), OK, clock=clock) as (_, server):
        await read(server.client("test"))
    assert clock.slept == [60.0]


async def test_server_that_is_not_there() -> None:
    """Nothing was sent: even a write is tried again, and the error says which server it is."""
    async with listening(Script(OK)) as url:
        pass
    clock = QuickClock()
    server = remote_server(url, KINDS, clock)
    with pytest.raises(NotReached, match=f"cannot reach {url}: "):
        await WRITES["POST"](server.client("test"))
    await server.close()
    assert len(clock.slept) == ATTEMPTS - 1
    traffic = server.transport.traffic
    assert traffic.requests == {("<error>", "POST"): ATTEMPTS}
    assert traffic.retries == {("<error>", "POST"): ATTEMPTS - 1}


async def test_server_that_says_nothing() -> None:
    """After a minute by the clock the request is over."""
    clock = QuickClock()
    async with playing(SILENT, clock=clock) as (script, server):
        asking = asyncio.create_task(WRITES["POST"](server.client("test")))
        await script.waiting.wait()
        await clock.advance(59)
        assert not asking.done()
        await clock.advance(2)
        with pytest.raises(NoAnswer, match=r"no answer from http.* in time"):
            await asking
    assert len(script.asked) == 1


# Errors


@pytest.mark.parametrize(
    ("answer", "expected", "message"),
    [
        pytest.param(Answer(404, status(404, "NotFound", "gone")), NotFound, "^gone$", id="Status"),
        pytest.param(Answer(409, status(409, "Conflict", "x")), Conflict, "^x$", id="Conflict"),
        pytest.param(Answer(403, b"<html>go away"), Forbidden, "403: <html>go away", id="HTML"),
        pytest.param(Answer(404, b""), NotFound, "^the server answered 404$", id="nothing"),
        pytest.param(Answer(401, b"Unauthorized"), Unauthorized, "^Unauthorized$", id="401"),
        pytest.param(Answer(500, b"{}"), ApiError, "answered 500", id="JSON that is no Status"),
        pytest.param(
            Answer(502, b"bad gateway"), ApiError, "answered 502: bad gateway", id="a proxy's"
        ),
        pytest.param(
            Answer(302, b"", {"Location": "http://127.0.0.1:1/"}),
            ApiError,
            "answered 302",
            id="a redirect, which could lead credentials elsewhere",
        ),
        pytest.param(
            Answer(200, b"<html>"), BadAnswer, "no JSON object", id="success without JSON"
        ),
        pytest.param(Answer(200, []), BadAnswer, "no JSON object", id="success with a list"),
    ],
)
async def test_answer_becomes_an_error(
    answer: Answer, expected: type[ApiError], message: str
) -> None:
    """The class says what it means, be it a Status or not."""
    async with playing(answer) as (_, server):
        with pytest.raises(expected, match=message) as caught:
            await read(server.client("test"))
    assert "the-secret-token" not in repr(caught.value.__dict__) + str(caught.value)


async def test_busy_server_is_named_with_its_time() -> None:
    """The time that it asks for is on the error."""
    async with playing(busy("7")) as (_, server):
        with pytest.raises(TooManyRequests) as caught:
            await read(server.client("test"))
    assert caught.value.retry_after == 7


async def test_object_without_a_name_is_never_asked_for() -> None:
    """The path would be that of all objects, and a delete would take them all."""
    async with playing(OK) as (script, server):
        for name in ("", ".", ".."):
            with pytest.raises(BadRequest):
                await server.client("test").delete(MAPS, name, "n")
    assert script.asked == []


# Credentials


class Renewed:
    """Credentials that are others after they were refused."""

    def __init__(self) -> None:
        self._credential = Credential("Bearer old")
        self.refusals = 0

    async def current(self) -> Credential:
        return self._credential

    def refused(self, credential: Credential) -> bool:
        self.refusals += 1
        self._credential = Credential("Bearer new")
        return self.refusals == 1


async def test_refused_token_is_looked_for_anew() -> None:
    """401 says that nothing has happened: even a write is sent again, once, with what is found then."""
    refused = Answer(401, status(401, "Unauthorized"))
    credentials = Renewed()
    async with playing(refused, OK, refused, credentials=credentials) as (script, server):
        client = server.client("test")
        await WRITES["POST"](client)
        with pytest.raises(Unauthorized):
            await read(client)
    shown = [asked.headers["Authorization"] for asked in script.asked]
    assert shown == ["Bearer old", "Bearer new", "Bearer new"]


async def test_client_shows_no_secret() -> None:
    """Neither it nor what it is made of."""
    async with playing(OK) as (_, server):
        shown = f"{server!r} {server.transport!r} {server.client('test')!r}"
        shown += repr(vars(server.transport)["_connection"])
    assert "the-secret-token" not in shown


# The rate limit


async def test_rate_limit_holds_for_all_components_together() -> None:
    """After a burst, requests start no faster than they may, whoever makes them."""
    clock = QuickClock()
    async with playing(OK, clock=clock, qps=10, burst=2) as (_, server):
        clients = [server.client(name) for name in ("a", "b")]
        for at in range(12):
            await read(clients[at % 2])
    assert sum(clock.slept) == pytest.approx(1.0)


async def test_urgent_requests_are_paid_for_by_others() -> None:
    """They do not wait, and the limit holds all the same."""
    clock = QuickClock()
    async with playing(OK, clock=clock, qps=10, burst=1) as (_, server):
        for _ in range(5):
            await read(server.client("election", urgent=True))
        assert clock.slept == []
        await read(server.client("other"))
    assert clock.slept == [pytest.approx(0.5)]


async def test_busy_server_is_left_alone_by_all() -> None:
    """One refusal holds every component back for as long as the server asked."""
    clock = QuickClock()
    async with playing(*[busy("5")] * ATTEMPTS, OK, clock=clock, qps=10, burst=100) as (_, server):
        with pytest.raises(TooManyRequests):
            await read(server.client("a"))
        before = clock.monotonic()
        await read(server.client("b"))
    assert clock.monotonic() - before == pytest.approx(5.0)


# What is sent


async def test_writes_say_who_writes() -> None:
    """The component stands in the user agent and in managedFields; unknown fields are none of our business."""
    async with playing(OK) as (script, server):
        for write in WRITES.values():
            await write(server.client("tokens-controller"))
    assert {asked.headers["User-Agent"] for asked in script.asked} == {"verger/tokens-controller"}
    for asked in script.asked[:3]:
        assert asked.query == {"fieldManager": "tokens-controller", "fieldValidation": "Ignore"}
    assert script.asked[0].body == {"kind": "ConfigMap", "apiVersion": "v1", **MAP}


async def test_dry_run_is_asked_for_in_every_write() -> None:
    """Nothing that this client does changes anything."""
    async with playing(OK) as (script, server):
        client = server.client("test", dry_run=True)
        for write in WRITES.values():
            await write(client)
        await client.delete_collection(MAPS, "n")
    assert [asked.query.get("dryRun") for asked in script.asked[:3]] == ["All"] * 3
    assert [asked.body.get("dryRun") for asked in script.asked[3:]] == [["All"]] * 2


@pytest.mark.parametrize(
    ("do", "method", "path", "body"),
    [
        pytest.param(
            lambda c: c.get(
                KINDS.get("rbac.authorization.k8s.io", "v1", "ClusterRole"), "system:x"
            ),
            "GET",
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:x",
            None,
            id="name with a colon",
        ),
        pytest.param(
            lambda c: c.get(MAPS, "a/../b?c", "n"),
            "GET",
            "/api/v1/namespaces/n/configmaps/a%2F..%2Fb%3Fc",
            None,
            id="name that would be a path",
        ),
        pytest.param(
            lambda c: c.update(SPACES, {"metadata": {"name": "n"}}, subresource="finalize"),
            "PUT",
            "/api/v1/namespaces/n/finalize",
            {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "n"}},
            id="subresource",
        ),
        pytest.param(
            lambda c: c.delete(MAPS, "a", "n", uid="u", revision="7", propagation="Foreground"),
            "DELETE",
            "/api/v1/namespaces/n/configmaps/a",
            {
                "kind": "DeleteOptions",
                "apiVersion": "v1",
                "preconditions": {"uid": "u", "resourceVersion": "7"},
                "propagationPolicy": "Foreground",
            },
            id="delete with preconditions",
        ),
        pytest.param(
            lambda c: c.post(
                "/api/v1/namespaces/n/serviceaccounts/a/token", {"kind": "TokenRequest"}
            ),
            "POST",
            "/api/v1/namespaces/n/serviceaccounts/a/token",
            {"kind": "TokenRequest"},
            id="token request",
        ),
        pytest.param(lambda c: c.raw("/version"), "GET", "/version", None, id="a path"),
    ],
)
async def test_request(do: Do, method: str, path: str, body: Any) -> None:
    """Each call is one request, at the right place."""
    async with playing(OK) as (script, server):
        await do(server.client("test"))
    (asked,) = script.asked
    assert (asked.method, asked.path, asked.body) == (method, path, body)


@pytest.mark.parametrize("method", WRITES)
async def test_guard_is_asked_when_the_turn_of_a_write_has_come(method: str) -> None:
    """Not when it is queued: much can happen while it waits. Reads are nobody's business."""
    clock = QuickClock()
    asked_at: list[float] = []

    def guard() -> float:
        asked_at.append(clock.monotonic())
        if clock.monotonic() > 1.5:
            raise Forbidden("not any more")
        return 5.0

    async with playing(OK, clock=clock, qps=1, burst=1) as (script, server):
        client = server.client("test", guard=guard)
        await read(client)
        assert asked_at == []
        await WRITES[method](client)
        with pytest.raises(Forbidden, match="not any more"):
            await WRITES[method](client)
    # Once when its turn has come, and once more right before the first byte.
    assert asked_at == [pytest.approx(1.0), pytest.approx(1.0), pytest.approx(2.0)]
    assert [asked.method for asked in script.asked] == ["GET", method]


@pytest.mark.parametrize("method", WRITES)
async def test_write_that_was_begun_is_not_sent_when_its_guard_has_changed_its_mind(
    method: str,
) -> None:
    """A process that was stopped in between wakes up too late. Nothing of the write is sent, and others go on."""
    answers = [5.0, None, 5.0, 5.0]

    def guard() -> float:
        seconds = answers.pop(0)
        if seconds is None:
            raise Forbidden("not any more")
        return seconds

    async with playing(OK) as (script, server):
        client = server.client("test", guard=guard)
        await read(client)  # so that there is a connection
        with pytest.raises(NoAnswer):
            await WRITES[method](client)
        assert [asked.method for asked in script.asked] == ["GET"]
        await WRITES[method](client)
    assert [asked.method for asked in script.asked] == ["GET", method]


async def test_write_takes_no_longer_than_its_guard_allows() -> None:
    """Then it is given up, and the connection with it."""
    clock = QuickClock()
    async with playing(SILENT, clock=clock) as (script, server):
        writing = asyncio.create_task(WRITES["PUT"](server.client("test", guard=lambda: 5.0)))
        await script.waiting.wait()
        await clock.advance(5)
        with pytest.raises(NoAnswer):
            await writing


# Lists


def page(names: Sequence[str], token: str = "", revision: str = "7") -> Answer:
    metadata = {"resourceVersion": revision, **({"continue": token} if token else {})}
    items = [{"metadata": {"name": name, "namespace": "n"}} for name in names]
    return Answer(body={"kind": "ConfigMapList", "metadata": metadata, "items": items})


GONE: Final = Answer(410, status(410, "Expired", "too old resource version: 5 (70)"))


async def test_list_is_read_in_pages() -> None:
    """All pages are one list, and their items say what they are."""
    async with playing(page("ab", "next"), page("c")) as (script, server):
        found = await server.client("test").list(MAPS, "n", labels="x=y")
    assert [(name_of(item), item["kind"], item["apiVersion"]) for item in found.items] == [
        (name, "ConfigMap", "v1") for name in "abc"
    ]
    assert found.revision == 7
    first = {"labelSelector": "x=y", "limit": str(remote.PAGE)}
    assert [asked.query for asked in script.asked] == [first, {**first, "continue": "next"}]


async def test_list_whose_pages_expire_is_read_anew_at_once() -> None:
    """No object of the list that was given up is in the one that is returned."""
    async with playing(page("ab", "next"), GONE, page("bc", revision="9")) as (script, server):
        found = await server.client("test").list(MAPS, "n")
    assert [name_of(item) for item in found.items] == ["b", "c"]
    assert found.revision == 9
    assert "limit" not in script.asked[-1].query


async def test_list_without_a_revision_is_none() -> None:
    """There would be nothing to watch from."""
    async with playing(Answer(body={"items": None, "metadata": {}})) as (_, server):
        with pytest.raises(BadAnswer):
            await server.client("test").list(MAPS, "n")


# Watches


def line(type_: str, name: str = "a", revision: int = 8, **metadata: Any) -> bytes:
    obj = {"metadata": {"name": name, "namespace": "n", "resourceVersion": str(revision)}}
    obj["metadata"] |= metadata
    return orjson.dumps({"type": type_, "object": obj}) + b"\n"


def flow(*chunks: bytes, **options: Any) -> Answer:
    return Answer(chunks=chunks, **options)


async def test_watch_asks_for_bookmarks_and_an_end() -> None:
    """Its end is spread out, so that not all watches come back together."""
    async with playing(flow(line("ADDED"))) as (script, server):
        stream = await server.client("test").watch(MAPS, "n", after=7, fields="metadata.name=a")
        stream.close()
    (asked,) = script.asked
    assert 300 <= int(asked.query["timeoutSeconds"]) <= 600
    assert {key: value for key, value in asked.query.items() if key != "timeoutSeconds"} == {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": "7",
        "fieldSelector": "metadata.name=a",
    }


async def test_events_however_they_are_cut() -> None:
    """A chunk may hold half an event or several."""
    text = line("ADDED", "a", 8) + line("MODIFIED", "a", 9) + line("BOOKMARK", "", 12)
    chunks = [text[at : at + 7] for at in range(0, len(text), 7)]
    found: list[Any] = []

    async def all_of_it(server: RemoteServer) -> None:
        with closing(await server.client("test").watch(MAPS, "n", after=7)) as stream:
            while True:
                found.extend(await stream.read())

    async with playing(flow(*chunks)) as (_, server):
        with pytest.raises(StreamEnded):
            await all_of_it(server)
    assert [(type(item), item.revision) for item in found] == [
        (Event, 8),
        (Event, 9),
        (Bookmark, 12),
    ]
    assert found[0].object["kind"] == "ConfigMap"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(flow(), StreamEnded, id="ends at once"),
        pytest.param(flow(line("ADDED")[:20]), NoAnswer, id="ends in a line"),
        pytest.param(flow(line("ADDED")[:20], cut=True), NoAnswer, id="breaks in a line"),
        pytest.param(flow(b"nonsense\n"), BadAnswer, id="no JSON"),
        pytest.param(flow(b"[]\n"), BadAnswer, id="no event"),
        pytest.param(flow(b'{"type":"ADDED"}\n'), BadAnswer, id="no object"),
        pytest.param(flow(b'{"type":"ADDED","object":{}}\n'), BadAnswer, id="no revision"),
        pytest.param(flow(line("STRANGE")), BadAnswer, id="unknown type"),
        pytest.param(
            flow(orjson.dumps({"type": "ERROR", "object": GONE.body}) + b"\n"),
            Expired,
            id="410 on its way",
        ),
        pytest.param(
            flow(orjson.dumps({"type": "ERROR", "object": status(500, "InternalError")}) + b"\n"),
            InternalError,
            id="500 on its way",
        ),
        pytest.param(GONE, Expired, id="410 at once"),
        pytest.param(Answer(403, status(403, "Forbidden")), Forbidden, id="forbidden"),
    ],
)
async def test_end_of_a_watch(answer: Answer, expected: type[Exception]) -> None:
    """Each end is what makes the reflector do the right thing, and half a line is never an event."""

    async def watch(server: RemoteServer) -> None:
        with closing(await server.client("test").watch(MAPS, "n", after=5)) as stream:
            await stream.read()

    async with playing(answer) as (_, server):
        with pytest.raises(expected) as caught:
            await watch(server)
    if isinstance(caught.value, Expired):
        assert (caught.value.requested, caught.value.oldest) == (5, 70)


async def test_watch_that_falls_silent() -> None:
    """A server that sends bookmarks does so once a minute; without any for three it is no longer there."""
    clock = QuickClock()
    async with playing(flow(line("BOOKMARK"), silent=True), clock=clock) as (_, server):
        stream = await server.client("test").watch(MAPS, "n", after=7)
        assert await stream.read() == [Bookmark(8)]
        reading = asyncio.create_task(stream.read())
        await clock.advance(SILENCE - 1)
        assert not reading.done()
        await clock.advance(2)
        with pytest.raises(NoAnswer, match="fallen silent"):
            await reading
        stream.close()


async def test_caches_hold_no_field_managers() -> None:
    """They are often most of an object."""
    async with playing(flow(line("ADDED", managedFields=[{"manager": "x"}]))) as (_, server):
        stream = await server.client("test").watch(MAPS, "n", after=7)
        (event,) = await stream.read()
        stream.close()
    assert isinstance(event, Event)
    assert "managedFields" not in event.object["metadata"]


# Watches that begin with a list

END: Final = line("BOOKMARK", "", 9, annotations={INITIAL_END: "true"})


async def test_watch_that_begins_with_what_there_is() -> None:
    """One request brings the list and goes on as its watch."""
    text = line("ADDED", "a", 5) + line("ADDED", "b", 6) + line("DELETED", "a", 7)
    text += line("MODIFIED", "b", 8) + line("BOOKMARK", "", 8) + END + line("ADDED", "c", 10)
    async with playing(flow(text)) as (script, server):
        found, stream = await server.client("test").follow(MAPS, "n")
        assert stream is not None
        (event,) = await stream.read()
        stream.close()
    assert [(name_of(item), item["metadata"]["resourceVersion"]) for item in found.items] == [
        ("b", "8")
    ]
    assert found.revision == 9
    assert event.revision == 10
    (asked,) = script.asked
    assert asked.query["sendInitialEvents"] == "true"
    assert asked.query["resourceVersionMatch"] == "NotOlderThan"


async def test_source_goes_on_with_the_watch_that_brought_the_list() -> None:
    """One request, not two; and a watch that nobody goes on with is closed."""
    stay = flow(END + line("ADDED", "c", 10), silent=True)
    async with playing(stay) as (script, server):
        source = ClientSource(server.client("test"), MAPS, "n")
        assert await source.list() == ({}, 9)
        stream = await source.watch(9)
        (event,) = await stream.read()
        assert isinstance(event, Event)
        assert event.revision == 10
        assert len(script.asked) == 1
        stream.close()
        _, revision = await source.list()
        other = await source.watch(revision + 1)
        other.close()
        assert [asked.query.get("resourceVersion") for asked in script.asked] == [None, None, "10"]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(422, status(422, "Invalid")), id="forbids it"),
        pytest.param(Answer(400, status(400, "BadRequest")), id="does not understand it"),
    ],
)
async def test_server_that_does_not_stream_lists(answer: Answer) -> None:
    """It is asked once; from then on there are lists and watches."""
    async with playing(answer, page("a")) as (script, server):
        client = server.client("test")
        for _ in range(2):
            found, stream = await client.follow(MAPS, "n")
            assert stream is None
            assert [name_of(item) for item in found.items] == ["a"]
    assert ["watch" in asked.query for asked in script.asked] == [True, False, False]


async def test_server_that_takes_no_notice() -> None:
    """It opens an ordinary watch, whose beginning never ends."""
    clock = QuickClock()
    async with playing(flow(line("ADDED"), silent=True), page("a"), clock=clock) as (
        script,
        server,
    ):
        following = asyncio.create_task(server.client("test").follow(MAPS, "n"))
        await script.waiting.wait()
        while not following.done():
            await clock.advance(11)
        found, stream = await following
    assert stream is None
    assert [name_of(item) for item in found.items] == ["a"]


@pytest.mark.parametrize(
    "beginning",
    [
        pytest.param(flow(line("ADDED", "half"), cut=True), id="breaks off"),
        pytest.param(flow(line("ADDED", "half")), id="ends"),
        pytest.param(flow(line("ADDED", "half"), b"nonsense\n"), id="goes wrong"),
        pytest.param(
            flow(orjson.dumps({"type": "ERROR", "object": GONE.body}) + b"\n"), id="expires"
        ),
    ],
)
async def test_beginning_without_its_end_is_no_list(beginning: Answer) -> None:
    """Half a list would make a controller delete the other half: it is listed instead, this time."""
    async with playing(beginning, page("a"), flow(END)) as (script, server):
        client = server.client("test")
        found, stream = await client.follow(MAPS, "n")
        assert stream is None
        assert [name_of(item) for item in found.items] == ["a"]
        _, stream = await client.follow(MAPS, "n")
        assert stream is not None
        stream.close()
    assert ["watch" in asked.query for asked in script.asked] == [True, False, True]


# Discovery


def aggregated(*versions: tuple[str, str, str], stale: str = "") -> Answer:
    """(group, version, plural) ..., of each group the preferred version first."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for group, version, plural in versions:
        row = {"resource": plural, "scope": "Namespaced", "verbs": ["list", "delete"]}
        row["responseKind"] = {"kind": plural.capitalize()}
        groups.setdefault(group, []).append({"version": version, "resources": [row]})
    if stale:
        groups[stale] = [{"version": "v1", "freshness": "Stale"}]
    items = [{"metadata": {"name": g}, "versions": found} for g, found in groups.items()]
    return Answer(body={"kind": "APIGroupDiscoveryList", "items": items})


async def test_kinds_that_the_program_does_not_know() -> None:
    """Each once, in the version that the server prefers, and the same object each time."""
    clock = QuickClock()
    core = aggregated(("", "v1", "configmaps"))
    more = aggregated(("x.io", "v2", "things"), ("x.io", "v1", "things"), ("x.io", "v1", "others"))
    async with playing(core, more, core, more, clock=clock) as (script, server):
        client = server.client("test")
        first = await client.kinds()
        assert await client.kinds() is first
        assert len(script.asked) == 2
        await clock.advance(6)
        again = await client.kinds()
        assert len(script.asked) == 4
    assert [(k.group, k.version, k.plural) for k in first] == [
        ("", "v1", "configmaps"),
        ("x.io", "v2", "things"),
        ("x.io", "v1", "others"),
    ]
    assert first[0] is MAPS
    assert first[1].namespaced
    assert list(again) == list(first)


async def test_group_that_does_not_answer() -> None:
    """What the others serve is known all the same."""
    core, more = aggregated(("", "v1", "configmaps")), aggregated(stale="broken.io")
    async with playing(core, more) as (_, server):
        with pytest.raises(PartialDiscovery, match=r"broken\.io/v1") as caught:
            await server.client("test").kinds()
    assert list(caught.value.kinds) == [MAPS]


async def test_server_without_one_document_for_all_groups() -> None:
    """Older ones are asked group by group, and one that does not answer hides nothing of the others."""

    def resources(*names: str) -> Answer:
        rows = [
            {"name": name, "kind": "ConfigMap", "namespaced": True, "verbs": ["list"]}
            for name in names
        ]
        return Answer(body={"kind": "APIResourceList", "resources": rows})

    answers = [
        Answer(body={"kind": "APIVersions", "versions": ["v1"]}),
        resources("configmaps", "configmaps/status"),
        Answer(
            body={
                "kind": "APIGroupList",
                "groups": [
                    {
                        "name": "x.io",
                        "versions": [{"groupVersion": "x.io/v1"}, {"groupVersion": "x.io/v2"}],
                        "preferredVersion": {"groupVersion": "x.io/v2"},
                    }
                ],
            }
        ),
        resources("things"),
        Answer(503, b"no endpoints"),
    ]
    async with playing(*answers) as (script, server):
        with pytest.raises(PartialDiscovery, match=r"x\.io/v1: the server answered 503") as caught:
            await server.client("test").kinds()
    assert [asked.path for asked in script.asked] == [
        "/api",
        "/api/v1",
        "/apis",
        "/apis/x.io/v2",
        "/apis/x.io/v1",
    ]
    assert [(k.group, k.version, k.plural) for k in caught.value.kinds] == [
        ("", "v1", "configmaps"),
        ("x.io", "v2", "things"),
    ]


async def test_server_that_cannot_be_asked_at_all() -> None:
    """Nothing is known then, and the error is the server's."""
    async with playing(Answer(503, status(503, "ServiceUnavailable"))) as (_, server):
        with pytest.raises(ServiceUnavailable) as caught:
            await server.client("test").kinds()
    assert not isinstance(caught.value, PartialDiscovery)
