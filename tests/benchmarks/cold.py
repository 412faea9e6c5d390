"""What one cold check costs: `python -m tests.benchmarks.cold [ROUNDS]`.

A compliant server with two certificates stands behind round trips of 50 ms. Every round asks the service about a name that it has never
seen, and beside it makes one bare TLS 1.2 handshake with an HTTP request, which is the least that any client pays for an answer.
"""

import socket
import ssl
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import grpc

from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.v1 import policy_pb2_grpc
from tests.benchmarks.far_partner import FarPartner, far_partner
from tests.benchmarks.processes import Running, service

ROUND_TRIP_S = 0.05
# DESIGN section 7.
_TARGET_CONNECTIONS = 26
_TARGET_S = 5 * ROUND_TRIP_S + 0.03
_TARGET_CPU_S = 0.020
_TARGET_OPEN = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one check cost, and the bare handshake beside it."""

    wall_s: float
    cpu_s: float
    connections: int
    handshake_s: float


def main() -> None:
    """Run and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with (
        tempfile.TemporaryDirectory() as name,
        # The first check pays for imports and is thrown away.
        far_partner(Path(name), names=rounds + 1, round_trip_s=ROUND_TRIP_S) as partner,
        service(Path(name), partner.configuration) as running,
        grpc.insecure_channel(running.address) as channel,
    ):
        stub = policy_pb2_grpc.PolicyCheckServiceStub(channel)  # type: ignore[no-untyped-call]
        measured = [_round(stub, partner, running, host) for host in partner.names][1:]
        _report(measured, partner.counts.most_open)


def _round(stub: policy_pb2_grpc.PolicyCheckServiceStub, partner: FarPartner, running: Running, host: str) -> Round:
    cpu_before, connections_before = running.cpu_s(), partner.counts.connections
    began = time.perf_counter()
    response = stub.CheckEndpoint(pb.CheckEndpointRequest(host=host, port=partner.port), timeout=60)
    wall_s = time.perf_counter() - began
    if response.decision != pb.DECISION_ALLOW or response.result_info.source != pb.RESULT_SOURCE_MEASURED:
        raise SystemExit(f"not a cold check of a compliant server: {response}")
    return Round(
        wall_s=wall_s,
        cpu_s=running.cpu_s() - cpu_before,
        connections=partner.counts.connections - connections_before,
        handshake_s=_bare_handshake(partner, host),
    )


def _bare_handshake(partner: FarPartner, host: str) -> float:
    context = ssl._create_unverified_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    began = time.perf_counter()
    with socket.create_connection((partner.counts.listener.address, partner.port)) as raw, context.wrap_socket(raw, server_hostname=host) as connection:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        connection.recv(4096)
    return time.perf_counter() - began


def _report(rounds: list[Round], most_open: int) -> None:
    def median(name: str) -> float:
        return float(statistics.median(getattr(one, name) for one in rounds))

    wall_s, cpu_s, connections, handshake_s = (median(name) for name in ("wall_s", "cpu_s", "connections", "handshake_s"))
    print(f"cold STANDARD check, {ROUND_TRIP_S * 1000:.0f} ms round trips, {len(rounds)} rounds, medians")
    print(f"{'':24}{'measured':>12}{'target':>12}{'ratio':>8}")
    rows = (
        ("connections", f"{connections:.0f}", f"{_TARGET_CONNECTIONS}", connections / _TARGET_CONNECTIONS),
        ("wall", f"{wall_s * 1000:.0f} ms", f"{_TARGET_S * 1000:.0f} ms", wall_s / _TARGET_S),
        ("CPU of all processes", f"{cpu_s * 1000:.1f} ms", f"{_TARGET_CPU_S * 1000:.0f} ms", cpu_s / _TARGET_CPU_S),
        ("most open at once", f"{most_open}", f"{_TARGET_OPEN}", most_open / _TARGET_OPEN),
    )
    for title, measured, target, ratio in rows:
        print(f"{title:24}{measured:>12}{target:>12}{ratio:>8.2f}")
    print(f"wall is {wall_s / ROUND_TRIP_S:.1f} round trips, and {wall_s / handshake_s:.2f} x a bare TLS 1.2 handshake with HTTP ({handshake_s * 1000:.0f} ms)")


if __name__ == "__main__":
    main()
