"""Traces, for a collector that speaks OTLP over HTTP, if `OTEL_EXPORTER_OTLP_ENDPOINT` names one.

Without it nothing of OpenTelemetry is imported, and a span is a look at one variable. A trace is carried
by what the services already say to each other: the `traceparent` of an event, a want, an observation.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING, Literal

from modelyard_runtime.settings import BadSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Tracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

Kind = Literal["SERVER", "CONSUMER", "INTERNAL"]

_tracer: "Tracer | None" = None


def valid_traceparent(given: str | None) -> str | None:
    """What a stranger sent, if it is a W3C trace context."""
    return given if given is not None and TRACEPARENT.fullmatch(given) else None


def configure_traces(service: str) -> None:
    """Sends this process's spans to the collector that the environment names, if it names one.

    Raises `BadSettings` if one is named and OpenTelemetry is not installed.
    """
    named = next((name for name in ENDPOINTS if os.environ.get(name)), None)
    if named is None or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise BadSettings(
            f"{named} is set, but OpenTelemetry is not installed: pip install 'modelyard[telemetry]'"
        ) from error
    trace_to(BatchSpanProcessor(OTLPSpanExporter()), service)


def trace_to(processor: "SpanProcessor", service: str) -> None:
    """Gives this process's spans to `processor`. What is left is sent when the process ends."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    global _tracer  # noqa: PLW0603 - as with logs: where traces go is the process's, not a caller's
    version = installed_version("modelyard")
    resource = Resource.create({"service.name": f"modelyard-{service}", "service.version": version})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(processor)
    _tracer = provider.get_tracer("modelyard", version)


@contextmanager
def span(
    name: str, traceparent: str | None, kind: Kind = "INTERNAL", **attributes: str | int
) -> Iterator[str | None]:
    """Times what happens inside, as part of the trace of `traceparent` (of a new one if None). Gives the
    traceparent to hand on. An exception that passes marks the span as failed.
    """
    if _tracer is None:
        yield traceparent
        return
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    parent = TraceContextTextMapPropagator().extract({"traceparent": traceparent} if traceparent else {})
    with _tracer.start_span(name, parent, SpanKind[kind], attributes) as started:
        context = started.get_span_context()
        yield f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
