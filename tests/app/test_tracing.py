"""Traces of a real service with real engines, as a real collector has them."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from otpc_policy.app.settings import Settings
from otpc_policy.ops.tracing.export import CLOSE_WAIT_S
from otpc_policy.v1 import policy_pb2 as pb
from tests.end_to_end.running import Service, running_service
from tests.support.certificates import CertificateAuthority
from tests.support.loopback import own_listener
from tests.support.otlp import Collector, ExportedSpan, collector
from tests.support.servers import TlsOffer, s_server

pytest.importorskip("nassl", reason="needs the extra engine")
pytestmark = [pytest.mark.long, pytest.mark.xdist_group("service process")]

DECISIONS = {"ALLOW", "INDETERMINATE"}
CHECK = "otpc_policy.v1.PolicyCheckService/CheckEndpoint"
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
METADATA = (
    ("traceparent", f"00-{TRACE}-{CALLER}-01"),
    ("tracestate", "router=t61rcWkgMzE"),
    ("x-request-id", "call-1"),
)


@dataclass(frozen=True)
class World:
    """A service, a partner of it, and the collector that it traces for."""

    service: Service
    collector: Collector
    port: int
    audit: Path

    def check(self, **options: Any) -> pb.CheckEndpointResponse:
        request = pb.CheckEndpointRequest(host="partner.test", port=self.port)
        answer = self.service.stub.CheckEndpoint(request, timeout=30, **options)
        assert isinstance(answer, pb.CheckEndpointResponse)
        return answer


@contextmanager
def world(folder: Path, **tracing: Any) -> Iterator[World]:
    authority = CertificateAuthority.create()
    anchor, audit = folder / "anchor.pem", folder / "audit"
    anchor.write_bytes(authority.pem)
    offer = TlsOffer(certificates=(authority.issue(), authority.issue(key="rsa2048")))
    with s_server(own_listener(), offer) as partner, collector() as receiver:
        settings = Settings(
            listen="127.0.0.1:0",
            ops_listen="127.0.0.1:0",
            allow_networks=["127.0.0.0/8"],
            trust=[{"hosts": ["partner.test"], "anchor_file": str(anchor), "note": "test"}],
            static_hosts={"partner.test": partner.address},
            engines=1,
            audit={"sinks": ["file"], "log_file": str(audit)},
            tracing={"otlp_endpoint": receiver.url, "sample_ratio": 1.0, **tracing},
        )
        with running_service(settings) as service:
            yield World(service, receiver, partner.port, audit)


def tree(spans: list[ExportedSpan]) -> dict[str, str]:
    """Return by name of each span the name of its parent, or its parent's identifier."""
    names = {span.span_id: span.name for span in spans}
    return {span.name: names.get(span.parent_id, span.parent_id) for span in spans}


def exemplars(service: Service) -> str:
    """Return the metrics as OpenMetrics has them."""
    request = urllib.request.Request(
        f"http://{service.ops_address}/metrics",
        headers={"Accept": "application/openmetrics-text;version=1.0.0"},
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        return str(answer.read().decode())


def lines(path: Path, event: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in found if line["event"] == event]


def test_a_cold_check_is_one_trace_from_the_caller_to_the_handshakes(tmp_path: Path) -> None:
    with world(tmp_path) as running:
        answer = running.check(metadata=METADATA)
        assert answer.decision == pb.DECISION_ALLOW
        (root,) = running.collector.wait_for(CHECK)
        spans = list(running.collector.spans)
        warm = running.check()
        roots = running.collector.wait_for(CHECK, 2)
        exported = running.service.metric("otpc_policy_spans_exported_total")
        assert exported == len(running.collector.spans)
        assert f'trace_id="{TRACE}"' in exemplars(running.service)
    assert {span.trace_id for span in spans} == {TRACE}
    parents = tree(spans)
    # The handshake may have had its answer over HTTP already.
    parents.pop("http", None)
    assert parents == {
        CHECK: CALLER,
        "resolve": CHECK,
        "store get": CHECK,
        "wait": CHECK,
        "judge": CHECK,
        "flight": CHECK,
        "queue": "flight",
        "measure": "flight",
        "store put": "flight",
        "wave": "measure",
        "handshake": "measure",
    }
    (measure,) = [span for span in spans if span.name == "measure"]
    of_engine = [span for span in spans if span.parent_id == measure.span_id]
    assert all(
        measure.began_ns <= span.began_ns <= span.ended_ns <= measure.ended_ns for span in of_engine
    )
    waves = sorted(
        (span for span in of_engine if span.name == "wave"), key=lambda span: span.began_ns
    )
    numbers = [span.attributes["otpc_policy.wave.number"] for span in waves]
    assert numbers == [*range(1, len(waves) + 1)]
    assert all(span.attributes["otpc_policy.connections"] > 0 for span in waves)
    assert root.state == "router=t61rcWkgMzE"
    assert root.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": CHECK,
        "rpc.response.status_code": "OK",
        "otpc_policy.request_id": "call-1",
        "otpc_policy.decision": "ALLOW",
        "otpc_policy.source": "MEASURED",
        "otpc_policy.check_id": answer.result_info.check_id,
        "otpc_policy.endpoint": f"partner.test:{running.port}",
        "otpc_policy.perspective": "default",
        "otpc_policy.policy.name": answer.policy.name,
    }
    assert root.resource["service.name"] == "otpc-policy"
    # The second call has no caller's trace, so a trace of its own, and measures nothing.
    (second,) = [span for span in roots if span is not root]
    assert (second.parent_id, second.attributes["otpc_policy.source"]) == ("", "CACHE")
    of_second = [span for span in running.collector.spans if span.trace_id == second.trace_id]
    assert tree(of_second) == {CHECK: "", "store get": CHECK}
    told = {line["check_id"]: line["trace_id"] for line in lines(running.audit, "decision")}
    assert told == {
        answer.result_info.check_id: TRACE,
        warm.result_info.check_id: second.trace_id,
    }


def test_who_joins_a_measurement_links_to_it(tmp_path: Path) -> None:
    with world(tmp_path) as running:
        with ThreadPoolExecutor(4) as callers:
            answers = list(callers.map(lambda _: running.check(), range(4)))
        roots = running.collector.wait_for(CHECK, 4)
        assert {answer.decision for answer in answers} == {pb.DECISION_ALLOW}
        (flight,) = running.collector.named("flight")
        waits = running.collector.named("wait")
    # Whoever came last may have found the facts.
    others = [wait for wait in waits if wait.trace_id != flight.trace_id]
    joined = sum(root.attributes["otpc_policy.source"] == "SHARED" for root in roots)
    assert len(others) == joined
    assert all(wait.links == [(flight.trace_id, flight.span_id)] for wait in others)
    (own,) = [wait for wait in waits if wait.trace_id == flight.trace_id]
    assert not own.links


def test_a_batch_has_a_span_for_each_item_and_a_refusal_its_status(tmp_path: Path) -> None:
    with world(tmp_path) as running:
        items = [
            pb.CheckEndpointRequest(host=host, port=running.port)
            for host in ("partner.test", "127.255.0.1")
        ]
        batch = pb.BatchCheckEndpointsRequest(requests=items)
        running.service.stub.BatchCheckEndpoints(batch, timeout=30)
        with pytest.raises(grpc.RpcError):
            running.service.stub.CheckEndpoint(pb.CheckEndpointRequest(host="?"), timeout=30)
        (refused,) = running.collector.wait_for(CHECK)
        (root,) = running.collector.wait_for(CHECK.replace("CheckEndpoint", "BatchCheckEndpoints"))
        checks = running.collector.named("check")
    assert {check.parent_id for check in checks} == {root.span_id}
    assert {check.attributes["otpc_policy.decision"] for check in checks} == DECISIONS
    assert refused.attributes["rpc.response.status_code"] == "INVALID_ARGUMENT"
    # The caller's mistake is no error of this service.
    assert not refused.is_error
    (line,) = lines(running.audit, "refusal")
    assert line["trace_id"] == refused.trace_id


def test_a_collector_that_hangs_delays_neither_an_answer_nor_the_end(tmp_path: Path) -> None:
    with world(tmp_path) as running:
        running.collector.hangs = True
        running.check()
        took_s = []
        for _ in range(50):
            began = time.monotonic()
            running.check()
            took_s.append(time.monotonic() - began)
        assert sorted(took_s)[25] < 0.1
        began = time.monotonic()
    # The collector's own end is in it, too.
    assert time.monotonic() - began < CLOSE_WAIT_S + 6
    assert not running.collector.spans


HOSTILE = (
    (("traceparent", "x" * 4_000),),
    (("traceparent", f"ff-{TRACE}-{CALLER}-01"),),
    (("traceparent", f"00-{'0' * 32}-{CALLER}-01"), ("tracestate", "a=1")),
    (("traceparent-bin", b"\xff" * 64),),
    (("tracestate", "=," * 2_000),),
)


def test_hostile_headers_cost_no_answer_and_name_no_trace(tmp_path: Path) -> None:
    with world(tmp_path) as running:
        for metadata in HOSTILE:
            assert running.check(metadata=metadata).decision == pb.DECISION_ALLOW
        roots = running.collector.wait_for(CHECK, len(HOSTILE))
    assert len({root.trace_id for root in roots}) == len(HOSTILE)
    assert TRACE not in {root.trace_id for root in roots}
    assert {(root.parent_id, root.state) for root in roots} == {("", "")}


def test_nothing_is_traced_of_what_is_not_sampled_and_the_trace_goes_on(tmp_path: Path) -> None:
    with world(tmp_path, sample_ratio=0.0) as running:
        answer = running.check(metadata=METADATA)
        assert running.service.metric("otpc_policy_spans_exported_total") == 0
        # An exemplar leads to a trace that can be looked up, or nowhere.
        assert "trace_id" not in exemplars(running.service)
    assert not running.collector.requests
    (line,) = lines(running.audit, "decision")
    assert (line["check_id"], line["trace_id"]) == (answer.result_info.check_id, TRACE)


OFF = """
import asyncio, sys
from otpc_policy.app.serving import serve
from otpc_policy.app.settings import Settings

def ready(*_):
    asyncio.get_running_loop().call_soon(stop.set)

async def main():
    global stop
    stop = asyncio.Event()
    await serve(Settings(engines=1, listen="127.0.0.1:0", ops_listen="127.0.0.1:0"),
                ready=ready, stop=stop)

asyncio.run(main())
import otpc_policy.engine.__main__, otpc_policy.engine.scanner
loaded = [name for name in sys.modules if name.startswith("opentelemetry")]
assert not loaded, loaded
"""


def test_without_the_setting_neither_program_imports_opentelemetry() -> None:
    subprocess.run([sys.executable, "-c", OFF], check=True, timeout=60, stderr=subprocess.PIPE)
