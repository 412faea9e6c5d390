"""Cold checks by the running service, each of a name that it has never seen."""

import socket
import ssl
import time
from dataclasses import dataclass

import grpc

from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.v1 import policy_pb2_grpc
from tests.benchmarks.cold.cost import Cost
from tests.benchmarks.far_partner import FarPartner
from tests.benchmarks.processes import Running


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A check.

    service_cpu_s, workers_cpu_s: the parts of its CPU. handshake_s: the time of a bare TLS 1.2
    handshake with HTTP after it, the least that any client pays for an answer.
    """

    cost: Cost
    service_cpu_s: float
    workers_cpu_s: float
    handshake_s: float


@dataclass(frozen=True, slots=True)
class Checks:
    """observation: of the last check."""

    each: tuple[Check, ...]
    observation: pb.EndpointObservation


def cold_checks(running: Running, partner: FarPartner, expected: "pb.Decision.ValueType") -> Checks:
    """Check every name of the partner once; the first check pays for imports and is discarded."""
    with grpc.insecure_channel(running.address) as channel:
        stub = policy_pb2_grpc.PolicyCheckServiceStub(channel)  # type: ignore[no-untyped-call]
        each = [_measured(stub, running, partner, host, expected) for host in partner.names][1:]
        # From the cache: building the full view is not part of a check.
        request = pb.CheckEndpointRequest(
            host=partner.names[-1], port=partner.port, view=pb.VIEW_FULL
        )
        return Checks(tuple(each), stub.CheckEndpoint(request, timeout=60).observation)


def _measured(
    stub: policy_pb2_grpc.PolicyCheckServiceStub,
    running: Running,
    partner: FarPartner,
    host: str,
    expected: "pb.Decision.ValueType",
) -> Check:
    connections_before, _ = partner.counts()
    service_before_s, workers_before_s = running.own_cpu_s(), running.children_cpu_s()
    began = time.perf_counter()
    response = stub.CheckEndpoint(pb.CheckEndpointRequest(host=host, port=partner.port), timeout=60)
    wall_s = time.perf_counter() - began
    if response.decision != expected or response.result_info.source != pb.RESULT_SOURCE_MEASURED:
        raise SystemExit(
            f"not a cold check with the decision {pb.Decision.Name(expected)}: {response}"
        )
    # Work that the service does after its answer (closing, collecting) belongs to the check.
    handshake_s = _bare_handshake(partner, host)
    service_cpu_s, workers_cpu_s = (
        running.own_cpu_s() - service_before_s,
        running.children_cpu_s() - workers_before_s,
    )
    connections, most_open = partner.counts()
    cost = Cost(
        wall_s=wall_s,
        cpu_s=service_cpu_s + workers_cpu_s,
        connections=connections - connections_before - 1,
        most_open=most_open,
    )
    return Check(
        cost=cost, service_cpu_s=service_cpu_s, workers_cpu_s=workers_cpu_s, handshake_s=handshake_s
    )


def _bare_handshake(partner: FarPartner, host: str) -> float:
    context = ssl._create_unverified_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    began = time.perf_counter()
    with (
        socket.create_connection((partner.hosts[host], partner.port)) as raw,
        context.wrap_socket(raw, server_hostname=host) as connection,
    ):
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        connection.recv(4096)
    return time.perf_counter() - began
