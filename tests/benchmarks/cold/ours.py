"""Cold checks of the running service: each asks about a name that it has never seen."""

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
class Checks:
    """costs: of each check; their CPU is the mean of all, because the system counts too coarsely for one. service_cpu_s, workers_cpu_s:
    its two parts. handshakes_s: how long a bare TLS 1.2 handshake with HTTP took beside each, the least that any client pays for an answer.
    observation: what the last check saw.
    """

    costs: tuple[Cost, ...]
    service_cpu_s: float
    workers_cpu_s: float
    handshakes_s: tuple[float, ...]
    observation: pb.EndpointObservation


def cold_checks(running: Running, partner: FarPartner, expected: "pb.Decision.ValueType") -> Checks:
    """Check every name of the partner once; the first check pays for imports and is thrown away."""
    first, *rest = partner.names
    costs, handshakes_s = [], []
    with grpc.insecure_channel(running.address) as channel:
        stub = policy_pb2_grpc.PolicyCheckServiceStub(channel)  # type: ignore[no-untyped-call]
        _check(stub, partner, first, expected)
        service_cpu_s, workers_cpu_s = running.own_cpu_s(), running.children_cpu_s()
        for host in rest:
            connections_before, _ = partner.counts()
            began = time.perf_counter()
            _check(stub, partner, host, expected)
            wall_s = time.perf_counter() - began
            connections, most_open = partner.counts()
            costs.append((wall_s, connections - connections_before, most_open))
            handshakes_s.append(_bare_handshake(partner, host))
        service_cpu_s, workers_cpu_s = (
            (after - before) / len(rest) for before, after in ((service_cpu_s, running.own_cpu_s()), (workers_cpu_s, running.children_cpu_s()))
        )
        # From the cache: in the full view the same facts would cost more.
        response = stub.CheckEndpoint(pb.CheckEndpointRequest(host=rest[-1], port=partner.port, view=pb.VIEW_FULL), timeout=60)
    return Checks(
        costs=tuple(
            Cost(wall_s=wall_s, cpu_s=service_cpu_s + workers_cpu_s, connections=connections, most_open=most_open) for wall_s, connections, most_open in costs
        ),
        service_cpu_s=service_cpu_s,
        workers_cpu_s=workers_cpu_s,
        handshakes_s=tuple(handshakes_s),
        observation=response.observation,
    )


def _check(stub: policy_pb2_grpc.PolicyCheckServiceStub, partner: FarPartner, host: str, expected: "pb.Decision.ValueType") -> None:
    response = stub.CheckEndpoint(pb.CheckEndpointRequest(host=host, port=partner.port), timeout=60)
    if response.decision != expected or response.result_info.source != pb.RESULT_SOURCE_MEASURED:
        raise SystemExit(f"not a cold check with the decision {pb.Decision.Name(expected)}: {response}")


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
