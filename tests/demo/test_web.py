"""Who may press the buttons: the page itself, and nobody else on this machine or in another tab."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import aiohttp
import pytest
from verger.demo import web
from verger.demo.engine import Engine

DEADLINE = 20.0


class Server:
    """A page that is served, and a client that is no browser."""

    def __init__(self, engine: Engine, url: str, session: aiohttp.ClientSession) -> None:
        self.engine = engine
        self.url = url
        self.session = session
        self.origin = "http://" + urlsplit(url).netloc

    async def post(self, path: str, body: object, **headers: str) -> int:
        async with self.session.post(self.url + path, json=body, headers=headers) as answer:
            return answer.status


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with (
        Engine(outage=0.1) as engine,
        web.Page(engine).serving() as url,
        aiohttp.ClientSession() as session,
    ):
        yield Server(engine, url, session)


async def test_page_may_press_buttons(server: Server) -> None:
    """With its own origin; what cannot be done is said to be so."""
    own = {"Origin": server.origin}
    assert await server.post("act", {"name": "make-namespace"}, **own) == 200
    assert await server.post("act", {"name": "nonsense"}, **own) == 409
    assert await server.post("tour", {"do": "dance"}, **own) == 409
    assert len(server.engine.stage.names) == 1


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="nobody says where it comes from"),
        pytest.param({"Origin": "https://example.org"}, id="another page"),
        pytest.param({"Origin": "null"}, id="a page without an origin"),
        pytest.param({"Origin": "http://127.0.0.1:1"}, id="another port of this machine"),
        pytest.param({"Host": "example.org"}, id="a name that leads to this machine"),
    ],
)
async def test_others_may_not(server: Server, headers: dict[str, str]) -> None:
    """Neither press buttons, nor, with a Host or an Origin of their own, read anything."""
    if "Host" in headers:
        headers = {**headers, "Origin": server.origin}
    assert await server.post("act", {"name": "make-namespace"}, **headers) == 403
    assert server.engine.stage.names == type(server.engine.stage.names)()
    if headers:
        if "Host" in headers:
            headers = {"Host": headers["Host"]}
        async with server.session.get(server.url, headers=headers) as answer:
            assert answer.status == 403


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param("", 404, id="the root"),
        pytest.param("about", 404, id="without the secret part"),
        pytest.param("SECRET/../../web.py", 404, id="a file that is not of the page"),
        pytest.param("SECRET/%2e%2e%2fweb.py", 404, id="the same in disguise"),
        pytest.param("SECRET/nothing.js", 404, id="a file that is not there"),
        pytest.param("SECRET/timeline", 400, id="a question without a side"),
        pytest.param("SECRET/timeline?side=theirs", 409, id="a side that there is not"),
        pytest.param("SECRET/at?side=ours&revision=x", 400, id="a revision that is no number"),
        pytest.param("SECRET/at?side=ours&revision=9999999999999999999", 400, id="far too large"),
        pytest.param("SECRET/at?side=ours&revision=-7", 200, id="before the beginning"),
        pytest.param("SECRET/why?side=ours&resource=a&key=b", 200, id="what never was"),
    ],
)
async def test_odd_questions(server: Server, path: str, status: int) -> None:
    """Each has an answer, none is a fault of the server."""
    secret = urlsplit(server.url).path.strip("/")
    url = f"{server.origin}/{path.replace('SECRET', secret)}"
    async with server.session.get(url) as answer:
        assert answer.status == status
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


async def test_odd_bodies(server: Server) -> None:
    """Too long, no JSON, not an object, not said to be JSON."""
    own = {"Origin": server.origin, "Content-Type": "application/json"}
    for body, headers, status in (
        (b"x" * 10_000, own, 413),
        (b"{", own, 400),
        (b"[]", own, 400),
        (b"{}", own, 409),
        (b"{}", {**own, "Content-Type": "text/plain"}, 415),
    ):
        async with server.session.post(server.url + "act", data=body, headers=headers) as answer:
            assert answer.status == status


async def test_answers_may_not_be_used_elsewhere(server: Server) -> None:
    """No other page may frame it, read it or keep it, and the address is not told to others."""
    async with server.session.get(server.url) as answer:
        headers = answer.headers
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in headers
        assert (headers["Referrer-Policy"], headers["Cache-Control"]) == ("no-referrer", "no-store")
        text = await answer.text()
    assert "http:" not in text
    assert "https:" not in text


async def test_readers_are_bounded_and_leave_nothing_behind(server: Server) -> None:
    """One more than allowed is turned away; when one goes, the next may come."""
    tasks = len(asyncio.all_tasks())
    open_: list[aiohttp.ClientResponse] = []
    for _ in range(web.READERS_MAX):
        answer = await server.session.get(server.url + "events")
        assert (await answer.content.readline()).startswith(b"data: {")
        open_.append(answer)
    # A connection that is kept for the next request would be a task that stays.
    closing = {"Connection": "close"}
    async with server.session.get(server.url + "events", headers=closing) as answer:
        assert answer.status == 503
    for answer in open_:
        answer.close()
    await server.engine.act("make-namespace")
    async with asyncio.timeout(DEADLINE):
        async for _ in server.engine.frames():
            if len(asyncio.all_tasks()) <= tasks:
                break
    async with server.session.get(server.url + "events") as answer:
        assert answer.status == 200


async def test_only_this_machine_is_served_and_the_way_is_secret(server: Server) -> None:
    """Loopback alone, on a path that is another one each time."""
    assert urlsplit(server.url).hostname == "127.0.0.1"
    async with web.Page(server.engine).serving() as other:
        assert urlsplit(other).path != urlsplit(server.url).path
        assert len(urlsplit(other).path.strip("/")) >= 20


async def test_port_that_is_taken(server: Server) -> None:
    """It is said which."""
    port = urlsplit(server.url).port
    assert port is not None
    with pytest.raises(web.PortTaken, match=str(port)):
        async with web.Page(server.engine).serving(port):
            pass


async def test_page_stops_while_somebody_looks(server: Server) -> None:
    """At once, and nothing is left."""
    async with web.Page(server.engine).serving() as url:
        answer = await server.session.get(url + "events")
        await answer.content.readline()
    async with asyncio.timeout(DEADLINE):
        rest = await answer.content.read()
    assert rest == b"" or rest.endswith(b"\n")
