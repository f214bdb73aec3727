"""One trace from the request to the model server, as a collector receives it."""

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from e2e.stack import deploy, running, running_count, until_instances
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from waiting import until

TRACE_ID = "5" * 32
CALLER = "7" * 16


class Collector(ThreadingHTTPServer):
    """Speaks OTLP over HTTP, and keeps what it is sent: service, name and trace of every span."""

    daemon_threads = True

    def __init__(self) -> None:
        self.spans: list[tuple[str, str, str]] = []
        super().__init__(("127.0.0.1", 0), Receiver)

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            attributes = {a.key: a.value.string_value for a in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [
                    (attributes["service.name"], span.name, span.trace_id.hex()) for span in scope.spans
                ]


class Receiver(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.take(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


async def test_one_trace_shows_api_scheduler_and_agent(collector: Collector, tiny_model: Path) -> None:
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    async with running(environment=environment) as stack, stack.client() as api:
        api.headers["traceparent"] = f"00-{TRACE_ID}-{CALLER}-01"
        made = await deploy(api, tiny_model, "traced")
        await until_instances(api, made["id"], running_count(1))

        def seen() -> set[tuple[str, str]]:
            return {(service, name) for service, name, trace_id in collector.spans if trace_id == TRACE_ID}

        wanted = {
            ("modelyard-api", "POST /v2/models"),
            ("modelyard-scheduler", "react to DeploymentRequested"),
            ("modelyard-scheduler", "react to InstanceRequested"),
            ("modelyard-scheduler", "react to InstanceScheduled"),
            ("modelyard-worker", "start model server"),
            ("modelyard-scheduler", "react to InstanceRunning"),
        }
        await until(lambda: wanted <= seen(), 20)
