"""Spans, with the SDK's own exporter into memory; the wire is tested in tests/e2e/test_traces.py."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from modelyard_runtime import tracing
from modelyard_runtime.tracing import span, trace_to, valid_traceparent
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

PARENT = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    monkeypatch.setattr(tracing, "_tracer", None)
    exporter = InMemorySpanExporter()
    trace_to(SimpleSpanProcessor(exporter), "test")
    yield exporter
    exporter.shutdown()


def test_a_span_belongs_to_the_trace_that_is_handed_in(exported: InMemorySpanExporter) -> None:
    with span("outer", PARENT, "CONSUMER", subject="deployment/1") as handed_on, span("inner", handed_on):
        pass
    inner, outer = exported.get_finished_spans()
    assert (inner.name, outer.name) == ("inner", "outer")
    assert outer.context.trace_id == int("a" * 32, 16)
    assert outer.parent is not None and outer.parent.span_id == int("b" * 16, 16)
    assert inner.parent is not None and inner.parent.span_id == outer.context.span_id
    assert outer.attributes == {"subject": "deployment/1"}
    assert outer.resource.attributes["service.name"] == "modelyard-test"


def test_without_a_traceparent_a_trace_begins(exported: InMemorySpanExporter) -> None:
    with span("first", None) as handed_on:
        assert valid_traceparent(handed_on) == handed_on
    assert exported.get_finished_spans()[0].parent is None


def test_an_exception_marks_the_span_and_passes(exported: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="so it goes"), span("broken", PARENT):
        raise ValueError("so it goes")
    assert exported.get_finished_spans()[0].status.status_code is StatusCode.ERROR


@pytest.mark.parametrize(
    "given", [None, "", "x", PARENT + "0", PARENT.upper(), "00-" + "0" * 32 + "-" + "b" * 16 + "-01"]
)
def test_what_is_no_traceparent_is_none(given: str | None) -> None:
    assert valid_traceparent(given) is None
    assert valid_traceparent(PARENT) == PARENT


def test_without_an_endpoint_nothing_is_imported_and_the_traceparent_goes_through() -> None:
    code = (
        "import sys\n"
        "from modelyard_runtime.tracing import configure_traces, span\n"
        "configure_traces('test')\n"
        f"with span('quiet', {PARENT!r}) as handed_on:\n"
        f"    assert handed_on == {PARENT!r}\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={})
