"""Each line of the log, and each span, says which piece of work it belongs to."""

import asyncio
import io
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from verger.controllers.manager import Manager
from verger.controllers.reconcile import DONE, Result, Terminal
from verger.embed.logs import make_logger
from verger.embed.traced_client import TracedClient
from verger.embed.tracing import OpenTelemetry, tracer_of
from verger.store.errors import NotFound
from verger.store.objects import namespace_of
from verger.watch.tracing import Tracer

from tests.controllers.harness import Cluster, Log
from tests.controllers.objects import namespace
from tests.controllers.scripted import Scripted

SECRET: Final = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"


class Written:
    """A log, read as the lines that it has."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.log = make_logger(level="debug", format="json", stream=self.stream)

    def lines(self, event: str = "") -> list[dict[str, Any]]:
        found = [json.loads(line) for line in self.stream.getvalue().splitlines()]
        return [line for line in found if event in ("", line["event"])]


@asynccontextmanager
async def managed(cluster: Cluster, scripted: Scripted, log: Any, tracer: Tracer | None = None):  # type: ignore[no-untyped-def]
    manager = Manager([scripted], cluster.informers, cluster.clock, log, tracer=tracer)
    running = asyncio.create_task(manager.run([scripted.name]))
    await cluster.clock.advance()
    try:
        yield manager
    finally:
        running.cancel()
        await asyncio.wait([running])


# Lines


async def test_every_line_of_one_reconcile_says_which() -> None:
    """Controller, key, a name of its own and the revision that was seen: from whatever it calls, and from nobody else."""
    cluster, written = Cluster(), Written()
    both = asyncio.Event()

    async def work(key: str) -> Result:
        written.log.info("begins", of=key)
        if key == "two":
            both.set()
        await both.wait()
        await asyncio.create_task(deep(key))
        return DONE

    async def deep(key: str) -> None:
        written.log.bind(part="deep").info("ends", of=key)

    await cluster.create(namespace("one"), namespace("two"))
    async with managed(cluster, Scripted(cluster, work, workers=2), written.log):
        written.log.info("outside")
    begins, ends = written.lines("begins"), written.lines("ends")
    assert len(begins) == len(ends) == 2
    for line in (*begins, *ends):
        assert (line["controller"], line["key"]) == ("scripted", line["of"])
        assert line["revision"] == cluster.backend.revision
    names = {line["of"]: line["reconcile"] for line in begins}
    assert {line["of"]: line["reconcile"] for line in ends} == names
    assert len(set(names.values())) == 2
    (outside,) = written.lines("outside")
    assert {"key", "reconcile", "revision", "controller"} & set(outside) == set()


async def test_each_attempt_has_a_name_of_its_own() -> None:
    """Of five failures of one key it can be told which line belongs to which, the warning of the runner included."""
    cluster, written = Cluster(), Written()

    async def work(_: str) -> Result:
        written.log.info("tries")
        raise RuntimeError("no")

    await cluster.create(namespace("one"))
    async with managed(cluster, Scripted(cluster, work), written.log):
        await cluster.clock.advance(0.1)
    tries, failures = written.lines("tries"), written.lines("failed")
    assert len(tries) >= 5
    assert [line["reconcile"] for line in tries] == [line["reconcile"] for line in failures]
    assert len({line["reconcile"] for line in tries}) == len(tries)
    assert {line["key"] for line in failures} == {"one"}


# Spans


class Spans:
    """A provider, and what it has been given."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = OpenTelemetry(self.provider)

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]


async def spans_of(work: Callable[[Cluster, TracedClient, str], Awaitable[Result]]) -> Spans:
    """What is left of the work on one key."""
    cluster, spans = Cluster(), Spans()
    client = TracedClient(cluster.user, spans.tracer)

    async def reconcile(key: str) -> Result:
        return await work(cluster, client, key)

    await cluster.create(namespace("one"))
    log: Any = Log()
    async with managed(cluster, Scripted(cluster, reconcile), log, spans.tracer):
        await cluster.clock.advance(0.005)
    return spans


async def test_reconcile_is_a_span_and_its_calls_are_parts_of_it() -> None:
    """It says which controller, key and attempt, and what came of it; a call says what was asked for, and its code."""

    async def work(cluster: Cluster, client: TracedClient, key: str) -> Result:
        maps = cluster.kinds.core("ConfigMap")
        with pytest.raises(NotFound):
            await client.get(maps, "a", key)
        made = await client.create(maps, {"metadata": {"name": "a", "namespace": key}})
        assert namespace_of(made) == key
        return DONE

    spans = await spans_of(work)
    (reconcile,) = spans.named("reconcile scripted")
    facts = dict(reconcile.attributes or {})
    assert len(str(facts.pop("verger.reconcile"))) == 16
    assert facts.pop("verger.revision")
    assert facts == {
        "verger.controller": "scripted",
        "verger.key": "one",
        "verger.retries": 0,
        "verger.result": "done",
    }
    (get,), (create,) = spans.named("get configmaps"), spans.named("create configmaps")
    for call in (get, create):
        assert call.parent is not None
        assert call.parent.span_id == reconcile.context.span_id
        assert (call.attributes or {})["k8s.namespace.name"] == "one"
    assert (get.attributes or {})["http.response.status_code"] == 404
    assert get.status.status_code is StatusCode.ERROR
    assert not get.events, "a traceback could show what objects hold"
    assert create.status.is_ok


@pytest.mark.parametrize(
    ("error", "results"),
    [
        pytest.param(RuntimeError(f"token {SECRET}"), ["failed", "failed"], id="a failure"),
        pytest.param(Terminal(f"token {SECRET}"), ["given up"], id="a hopeless one"),
    ],
)
async def test_failure_is_told_and_no_secret_with_it(error: Exception, results: list[str]) -> None:
    """Each try is a span of its own that counts those before."""

    async def work(_: Cluster, __: TracedClient, ___: str) -> Result:
        raise error

    found = (await spans_of(work)).named("reconcile scripted")
    facts = [span.attributes or {} for span in found]
    assert [each["verger.result"] for each in facts] == results
    assert [each["verger.retries"] for each in facts] == list(range(len(results)))
    assert {each["error.type"] for each in facts} == {type(error).__name__}
    for span in found:
        assert span.status.status_code is StatusCode.ERROR
        assert SECRET not in span.to_json()


def test_spans_are_only_made_for_those_who_want_them() -> None:
    """The library may be there for something else: as long as it has no provider, and nobody names a place, there are none."""
    log = Log()
    quiet: Any = log
    assert tracer_of({}, quiet) is None
    somewhere = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    assert tracer_of({**somewhere, "OTEL_SDK_DISABLED": "true"}, quiet) is None
    assert log.lines == []


def test_library_is_not_loaded_for_nothing() -> None:
    """A daemon that nobody has set up for it starts without; one that is told where to send them says when it cannot."""
    code = (
        "import sys\n"
        "class Log:\n    def warning(self, *_, **said): print(said)\n"
        "import verger.embed.daemon\n"
        "from verger.embed.tracing import ENDPOINTS, tracer_of\n"
        "print(tracer_of({}, Log()), 'opentelemetry' in sys.modules)\n"
        "sys.modules['opentelemetry.exporter'] = None\n"
        "print(tracer_of({ENDPOINTS[0]: 'http://127.0.0.1:1'}, Log()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    quiet, reason, nothing = done.stdout.splitlines()
    assert quiet == "None False"
    assert "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set, and verger[otel] not installed" in reason
    assert nothing == "None"
