"""Audit lines reach a collector over OTLP, and what it does not take is known."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from otpc_policy.ops.audit.otlp_sink import OtlpSink
from otpc_policy.ops.audit.outlet import Outlet
from otpc_policy.ops.audit.schema import line_of
from otpc_policy.ops.otlp_http import read_headers
from tests.support.waiting import wait_until

LINE = line_of("warning", "refusal", {"caller": "dns:a", "n": 1, "s": 0.5, "b": True, "l": [1]})


class Collector:
    """An OTLP receiver. answers: status, headers and body of the next responses, else 200."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.requests.append((self.path, dict(self.headers), json.loads(body)))
                status, headers, answer = (
                    collector.answers.pop(0) if collector.answers else (200, {}, b"{}")
                )
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(answer))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1/logs"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def records(self) -> list[dict[str, Any]]:
        return [
            record
            for _, _, body in self.requests
            for resource in body["resourceLogs"]
            for scope in resource["scopeLogs"]
            for record in scope["logRecords"]
        ]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    running = Collector()
    yield running
    running.stop()


def sink_to(collector: Collector, **more: Any) -> OtlpSink:
    return OtlpSink(collector.url, timeout_s=5, pause=lambda _: None, **more)


def test_a_line_is_a_record_with_its_time_severity_and_attributes(collector: Collector) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    fields = {"trace_id": trace, "caller": "dns:a", "n": 1, "s": 0.5, "b": True, "l": [1]}
    line = line_of("warning", "refusal", fields)
    sink = sink_to(collector)
    assert sink.write(line) == 0
    sink.close()
    (path, headers, body) = collector.requests[0]
    assert (path, headers["Content-Type"]) == ("/v1/logs", "application/json")
    resource = body["resourceLogs"][0]["resource"]["attributes"]
    assert {"key": "service.name", "value": {"stringValue": "otpc-policy"}} in resource
    (record,) = collector.records()
    assert record["body"] == {"stringValue": line.rstrip()}
    assert (record["severityNumber"], record["severityText"]) == (13, "WARN")
    assert (record["traceId"], record["eventName"]) == (trace, "otpc_policy.refusal")
    assert record["timeUnixNano"].isdecimal()
    assert len(record["timeUnixNano"]) == 19
    assert record["attributes"] == [
        {"key": "event.schema", "value": {"intValue": "1"}},
        {"key": "caller", "value": {"stringValue": "dns:a"}},
        {"key": "n", "value": {"intValue": "1"}},
        {"key": "s", "value": {"doubleValue": 0.5}},
        {"key": "b", "value": {"boolValue": True}},
    ]


def test_many_lines_are_several_requests_over_one_connection(collector: Collector) -> None:
    sink = sink_to(collector)
    assert sink.write(LINE * 1_200) == 0
    sink.close()
    assert [len(body["resourceLogs"][0]["scopeLogs"][0]["logRecords"]) for _, _, body in
            collector.requests] == [512, 512, 176]  # fmt: skip


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_collector_that_is_busy_is_asked_again(collector: Collector, status: int) -> None:
    collector.answers = [(status, {"Retry-After": "1"}, b"")] * 2
    sink = sink_to(collector)
    assert sink.write(LINE) == 0
    sink.close()
    assert len(collector.requests) == 3


@pytest.mark.parametrize("status", [301, 400, 401, 404, 413, 500])
def test_a_refusal_for_good_is_not_repeated(collector: Collector, status: int) -> None:
    collector.answers = [(status, {"Location": "http://127.0.0.1:1/"}, b"")]
    sink = sink_to(collector)
    with pytest.raises(OSError, match=str(status)):
        sink.write(LINE)
    sink.close()
    assert len(collector.requests) == 1


def test_a_collector_that_is_gone_takes_nothing_and_is_found_again(collector: Collector) -> None:
    gone = OtlpSink("http://127.0.0.1:9/v1/logs", timeout_s=1, pause=lambda _: None)
    with pytest.raises(OSError, match="refused"):
        gone.write(LINE)
    # A connection that the collector has closed is opened anew.
    collector.answers = [(200, {"Connection": "close"}, b"{}")]
    sink = sink_to(collector)
    assert (sink.write(LINE), sink.write(LINE)) == (0, 0)
    sink.close()


def test_what_a_collector_rejects_is_lost_and_told_to_it(collector: Collector) -> None:
    partial = b'{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"no"}}'
    collector.answers = [(200, {}, partial)]
    outlet = Outlet(sink_to(collector), retry_s=0.01)
    outlet.put(LINE * 3, 3)
    wait_until(lambda: len(collector.requests) == 2)
    outlet.close()
    assert (outlet.lost, outlet.taken) == (2, 1)
    told = json.loads(collector.records()[-1]["body"]["stringValue"])
    assert (told["event"], told["lost"], told["sink"]) == ("audit_lines_lost", 2, "otlp")


def test_headers_are_read_for_every_request(collector: Collector, tmp_path: Path) -> None:
    headers = tmp_path / "headers"
    sink = sink_to(collector, headers_file=headers)
    for token in ("first", "second"):
        headers.write_text(f"Authorization: Bearer {token}\n\nX-Tenant: a\n")
        sink.write(LINE)
    sink.close()
    assert [sent["Authorization"] for _, sent, _ in collector.requests] == [
        "Bearer first",
        "Bearer second",
    ]


@pytest.mark.parametrize("text", ["Authorization", ": x", "a: b\x00", "a: \u20ac", "\u00e4: b"])
def test_a_headers_file_that_holds_something_else_is_refused(tmp_path: Path, text: str) -> None:
    headers = tmp_path / "headers"
    headers.write_text(text)
    with pytest.raises(OSError, match="headers:1: is not a header"):
        read_headers(headers)
