"""A collector on loopback: an OTLP/HTTP receiver that decodes spans, refuses, or hangs."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from tests.support.waiting import wait_until


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedSpan:
    """A span as the collector has it. Identifiers in hexadecimal; times in nanoseconds."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    state: str
    began_ns: int
    ended_ns: int
    is_error: bool
    attributes: dict[str, Any]
    links: Sequence[tuple[str, str]]
    resource: dict[str, Any] = field(repr=False)


class Collector:
    """A running receiver. status: of its answers. hangs: while set, it does not answer."""

    def __init__(self) -> None:
        self.spans: list[ExportedSpan] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.status = 200
        self.rejects = 0
        self.hangs = False
        self._released = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.requests.append((self.path, dict(self.headers)))
                if collector.hangs:
                    collector._released.wait(60)
                    return
                if collector.status == 200:
                    collector.spans += spans_in(body)
                answer = ExportTraceServiceResponse()
                answer.partial_success.rejected_spans = collector.rejects
                content = answer.SerializeToString()
                self.send_response(collector.status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1/traces"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def named(self, name: str) -> list[ExportedSpan]:
        return [span for span in self.spans if span.name == name]

    def wait_for(self, name: str, count: int = 1) -> list[ExportedSpan]:
        """Return the spans of that name, as soon as there are so many."""
        wait_until(lambda: len(self.named(name)) >= count, 20)
        return self.named(name)

    def stop(self) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def collector() -> Iterator[Collector]:
    """Receive spans while the context lasts."""
    running = Collector()
    try:
        yield running
    finally:
        running.stop()


def spans_in(body: bytes) -> Iterator[ExportedSpan]:
    """Yield the spans of a request."""
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        of_resource = _attributes(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield ExportedSpan(
                    name=span.name,
                    kind=span.kind,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    state=span.trace_state,
                    began_ns=span.start_time_unix_nano,
                    ended_ns=span.end_time_unix_nano,
                    is_error=span.status.code == span.status.STATUS_CODE_ERROR,
                    attributes=_attributes(span.attributes),
                    links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
                    resource=of_resource,
                )


def _attributes(pairs: Any) -> dict[str, Any]:
    def value(given: AnyValue) -> Any:
        kind = given.WhichOneof("value")
        return None if kind is None else getattr(given, kind)

    found: dict[str, Any] = {}
    for pair in pairs:
        each: KeyValue = pair
        found[each.key] = value(each.value)
    return found
