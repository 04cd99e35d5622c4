"""W3C trace context: taken over from callers and events, passed on, exported when configured.

Without `SERVICE_OTLP_ENDPOINT` a `traceparent` is only passed on, as it came, and whoever sends
none costs one look at the headers. With it, requests, calls of peers and handled events are spans
that go to an OpenTelemetry collector over OTLP/HTTP.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal

from services.kit.settings import Settings

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.util.types import AttributeValue

TRACE_HEADER = "traceparent"

traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)
"""Trace context of the request or event being served, as it is passed on."""

Kind = Literal["SERVER", "CLIENT", "CONSUMER"]

_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_EXPORT_SECONDS = 5
_FLUSH_SECONDS = 1.5
"""How long an ending process waits for its last spans to be taken."""

_tracer: trace.Tracer | None = None


def exporting() -> bool:
    """Whether spans go anywhere."""
    return _tracer is not None


def trace_id() -> str | None:
    """The trace that is being served."""
    current = traceparent.get()
    return None if current is None else current[3:35]


class Span:
    """Something under way; until it ends it is what `traceparent` names."""

    def __init__(self, context: str, span: trace.Span | None) -> None:
        self._span = span
        self._token = traceparent.set(context)

    def end(self, attributes: Mapping[str, AttributeValue], *, failed: bool = False) -> None:
        """Say how it went."""
        traceparent.reset(self._token)
        if self._span is not None:
            from opentelemetry.trace import StatusCode

            self._span.set_attributes(attributes)
            if failed:
                self._span.set_status(StatusCode.ERROR)
            self._span.end()


def begin(
    name: str, kind: Kind, parent: str | None, caused_by: Iterable[str | None] = ()
) -> Span | None:
    """Begin what `parent`, a `traceparent`, caused; None when nobody would hear of it.

    `caused_by` are the contexts of the events that are handled together.
    """
    if parent is not None:
        # A later version of the header may have more to say after what this one has.
        parent = form[0] if (form := _FORM.match(parent)) else None
    if _tracer is None:
        return None if parent is None else Span(parent, None)
    from opentelemetry import trace
    from opentelemetry.context import Context

    links = [trace.Link(_context(one)) for one in caused_by if one and _FORM.match(one)]
    above = Context()
    if parent is not None:
        above = trace.set_span_in_context(trace.NonRecordingSpan(_context(parent)), above)
    span = _tracer.start_span(name, above, trace.SpanKind[kind], links=links)
    own = span.get_span_context()
    return Span(f"00-{own.trace_id:032x}-{own.span_id:016x}-{int(own.trace_flags):02x}", span)


def _context(parent: str) -> trace.SpanContext:
    from opentelemetry import trace

    _, of_trace, of_span, flags = parent[:55].split("-")
    sampled = trace.TraceFlags(int(flags, 16) & trace.TraceFlags.SAMPLED)
    return trace.SpanContext(int(of_trace, 16), int(of_span, 16), True, sampled)


def open_tracing(settings: Settings) -> Callable[[], None]:
    """Begin to export spans if there is somewhere to; what is returned sends the last of them.

    Raises:
        SystemExit: OpenTelemetry is not installed.
    """
    global _tracer  # noqa: PLW0603 - like the metrics, one for the process
    if settings.otlp_endpoint is None:
        return lambda: None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        sys.exit("SERVICE_OTLP_ENDPOINT is set; pip install 'pulse-platform[tracing]' to use it")
    origin = {
        "service.name": settings.name,
        "service.namespace": "pulse",
        "service.instance.id": f"{settings.name}-{settings.instance}",
    }
    provider = TracerProvider(resource=Resource.create(origin), shutdown_on_exit=False)
    endpoint = f"{settings.otlp_endpoint.rstrip('/')}/v1/traces"
    exporter = OTLPSpanExporter(endpoint=endpoint, timeout=_EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1000))
    _tracer = provider.get_tracer("services.kit")

    def close() -> None:
        global _tracer  # noqa: PLW0603
        _tracer = None
        # The exporter tries for longer than a process may take to end.
        last = threading.Thread(target=provider.shutdown, daemon=True)
        last.start()
        last.join(_FLUSH_SECONDS)

    return close
