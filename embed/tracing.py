"""Spans in OpenTelemetry, when somebody wants them: it is loaded already, or the environment names where they go.

Otherwise nothing of it is imported. Spans name controllers, keys and kinds; nothing that objects hold.

spec: OpenTelemetry environment variable specification
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from verger.embed.logs import redact
from verger.watch.tracing import Span, Tracer

if TYPE_CHECKING:
    from opentelemetry import trace
    from structlog.typing import FilteringBoundLogger

DISABLED: Final = "OTEL_SDK_DISABLED"
ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_SCOPE: Final = "verger"


def tracer_of(environment: Mapping[str, str], log: "FilteringBoundLogger") -> Tracer | None:
    """What makes spans, None when nobody wants any."""
    named = next((name for name in ENDPOINTS if environment.get(name)), None)
    if environment.get(DISABLED, "").lower() == "true":
        return None
    if named is None and "opentelemetry.trace" not in sys.modules:
        return None
    try:
        from opentelemetry import trace

        provider = trace.get_tracer_provider()
        if isinstance(provider, trace.ProxyTracerProvider):
            # The program that we are a part of has not configured any.
            if named is None:
                return None
            provider = _exporting(environment)
    except ImportError as error:
        log.warning("no spans", reason=f"{named} is set, and verger[otel] not installed: {error}")
        return None
    return OpenTelemetry(provider)


def _exporting(environment: Mapping[str, str]) -> "trace.TracerProvider":
    """What sends spans to where the environment says. The library ends it with the process. Raises ImportError."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # What is given here wins over the environment: it must be given only where that says nothing.
    is_named = environment.get("OTEL_SERVICE_NAME") or "service.name=" in environment.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    provider = TracerProvider(
        resource=Resource.create({} if is_named else {"service.name": _SCOPE})
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class OpenTelemetry:
    """Makes the spans of one provider."""

    def __init__(self, provider: "trace.TracerProvider") -> None:
        from opentelemetry.trace import SpanKind

        self._tracer = provider.get_tracer(_SCOPE)
        self._kinds = {False: SpanKind.INTERNAL, True: SpanKind.CLIENT}

    @contextmanager
    def span(
        self, name: str, facts: Mapping[str, str | int], *, remote: bool = False
    ) -> Iterator[Span]:
        """A span for as long as the context lasts; `remote` is work that another process does for this one."""
        with self._tracer.start_as_current_span(
            name,
            kind=self._kinds[remote],
            attributes=dict(facts),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            ours = _Span(span)
            try:
                yield ours
            except BaseException as error:
                ours.fail(error)
                raise


class _Span:
    """One that goes on."""

    def __init__(self, span: "trace.Span") -> None:
        self._span = span

    def tell(self, name: str, value: str | int) -> None:
        """Adds a fact."""
        self._span.set_attribute(name, value)

    def fail(self, error: BaseException) -> None:
        """The work did not succeed. No traceback is kept: its lines could show what objects hold."""
        from opentelemetry.trace import StatusCode

        self._span.set_attribute("error.type", type(error).__name__)
        self._span.set_status(StatusCode.ERROR, redact(None, "", str(error)))
