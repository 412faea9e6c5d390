"""Many cold endpoints at once: `python -m tests.benchmarks.crowd`, see --help."""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import grpc

from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.v1 import policy_pb2_grpc
from tests.benchmarks.far_partner import FarPartner, far_partner
from tests.benchmarks.processes import Running, print_load, room_for, service

# DESIGN section 7, for a thousand endpoints at round trips of 50 ms on two cores.
_TARGET_S = 15.0
_TARGET_MIB = 350
# The limit of a single call.
_BATCH = 100
_DESCRIPTION = """\
How long the service takes for a crowd of endpoints that it has never seen, each with an address of
its own in 127.0.0.0/8, and how much memory it keeps. They are checked in batches of 100, all at
once. One nginx answers for all of them, behind one relay that adds round trips. Every answer must
be a measured ALLOW.

Service, relay, nginx and caller share the machine's cores, so the CPU of each is printed; only the
service's own would be spent on a distant partner.
"""
_EPILOG = """\
  python -m tests.benchmarks.crowd                    a thousand twice (about a minute)
  python -m tests.benchmarks.crowd --crowds 6         whether memory grows when every cache is full
  python -m tests.benchmarks.crowd --endpoints 100    a quick look
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cpu:
    """CPU seconds so far, by process. caller: this process."""

    service: float
    workers: float
    relay: float
    server: float
    caller: float

    def since(self, before: "Cpu") -> "Cpu":
        """Return the difference."""
        return Cpu(
            **{
                name: getattr(self, name) - getattr(before, name)
                for name in (field.name for field in fields(self))
            }
        )

    @property
    def ours(self) -> float:
        """The CPU of the product."""
        return self.service + self.workers

    @property
    def theirs(self) -> float:
        """The CPU of the simulated network, partner and caller."""
        return self.relay + self.server + self.caller


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """The cost of a crowd.

    slowest_s: the slowest batch, its wait in the queue included. memory_bytes: of service and
    workers when all are answered.
    """

    wall_s: float
    slowest_s: float
    connections: int
    cpu: Cpu
    memory_bytes: int


def main() -> None:
    """Run and print."""
    options = _options()
    print_load()
    with tempfile.TemporaryDirectory() as name:
        names = options.endpoints * options.crowds + 1
        with far_partner(
            Path(name), names=names, round_trip_s=options.round_trip_ms / 1000, own_addresses=True
        ) as partner:
            # Smaller than a crowd, so that the second crowd replaces the first in the cache.
            bound = (f"cache_entries = {max(1, options.endpoints // 2)}",)
            scan = (f"concurrent_scans = {options.at_once}",)
            room = room_for(options.endpoints, targets=names)
            with service(Path(name), [*bound, *partner.configuration, *room, *scan]) as running:
                asyncio.run(_run(running, partner, options))


async def _run(running: Running, partner: FarPartner, options: argparse.Namespace) -> None:
    async with grpc.aio.insecure_channel(running.address) as channel:
        stub = policy_pb2_grpc.PolicyCheckServiceStub(channel)  # type: ignore[no-untyped-call]
        first, *rest = partner.names
        await _check(stub, partner, [first])
        print(
            f"{len(rest)} endpoints in {options.crowds} crowds, {options.round_trip_ms:.0f} ms "
            f"round trips, {options.at_once} measured at once"
        )
        print(f"before: {_mib(running.memory_bytes()):.0f} MiB in all processes")
        for number in range(options.crowds):
            print(f"crowd {number + 1} ...", file=sys.stderr, flush=True)
            hosts = rest[number * options.endpoints : (number + 1) * options.endpoints]
            _print(number, await _crowd(stub, running, partner, hosts), len(hosts))
    print(
        f"the targets for a thousand on two cores are {_TARGET_S:.0f} s and {_TARGET_MIB} MiB, "
        "without growth over a second thousand"
    )


async def _crowd(
    stub: policy_pb2_grpc.PolicyCheckServiceStub,
    running: Running,
    partner: FarPartner,
    hosts: Sequence[str],
) -> Crowd:
    connections_before, _ = partner.counts()
    cpu_before, began = _cpu(running, partner), time.perf_counter()
    batches = [hosts[start : start + _BATCH] for start in range(0, len(hosts), _BATCH)]
    each_s = await asyncio.gather(*(_check(stub, partner, batch) for batch in batches))
    wall_s, cpu = time.perf_counter() - began, _cpu(running, partner).since(cpu_before)
    connections, _ = partner.counts()
    return Crowd(
        wall_s=wall_s,
        slowest_s=max(each_s),
        connections=connections - connections_before,
        cpu=cpu,
        memory_bytes=running.memory_bytes(),
    )


async def _check(
    stub: policy_pb2_grpc.PolicyCheckServiceStub, partner: FarPartner, hosts: Sequence[str]
) -> float:
    requests = [pb.CheckEndpointRequest(host=host, port=partner.port) for host in hosts]
    began = time.perf_counter()
    answer = await stub.BatchCheckEndpoints(
        pb.BatchCheckEndpointsRequest(requests=requests), timeout=300
    )
    for result in answer.results:
        if (
            result.response.decision != pb.DECISION_ALLOW
            or result.response.result_info.source != pb.RESULT_SOURCE_MEASURED
        ):
            raise AssertionError(f"not a cold ALLOW: {result}")
    return time.perf_counter() - began


def _cpu(running: Running, partner: FarPartner) -> Cpu:
    return Cpu(
        service=running.own_cpu_s(),
        workers=running.children_cpu_s(),
        relay=partner.relay.own_cpu_s(),
        server=partner.server_cpu_s(),
        caller=time.process_time(),
    )


def _print(number: int, crowd: Crowd, checks: int) -> None:
    cpu, cores = crowd.cpu, os.cpu_count() or 1
    capacity_s = crowd.wall_s * cores
    print(
        f"\ncrowd {number + 1}: {crowd.wall_s:.1f} s, {checks / crowd.wall_s:.0f} checks a second, "
        f"{crowd.connections / checks:.1f} connections each"
    )
    print(
        f"  CPU of a check: {cpu.service / checks * 1000:.1f} ms in the service, "
        f"{cpu.workers / checks * 1000:.1f} ms in its workers"
    )
    parts = (("relay", cpu.relay), ("nginx", cpu.server), ("caller", cpu.caller))
    others = (f"{seconds / checks * 1000:.1f} ms in the {name}" for name, seconds in parts)
    print(f"  other CPU:      {', '.join(others)}")
    print(
        f"  of {cores} cores: {cpu.ours / capacity_s:.0%} ours, {cpu.theirs / capacity_s:.0%} "
        "relay, nginx and caller; the rest idle or other processes"
    )
    print(
        f"  memory of all our processes: {_mib(crowd.memory_bytes):.0f} MiB; "
        f"the slowest batch took {crowd.slowest_s:.1f} s"
    )


def _mib(size: int) -> float:
    return size / 2**20


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.crowd",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--endpoints", type=int, default=1000, help="endpoints of a crowd (%(default)s)"
    )
    parser.add_argument(
        "--crowds", type=int, default=2, help="crowds, one after the other (%(default)s)"
    )
    parser.add_argument(
        "--at-once",
        type=int,
        default=32,
        help="endpoints measured at the same time, the service's setting (%(default)s)",
    )
    parser.add_argument(
        "--round-trip-ms", type=float, default=50.0, help="the relay's round trip (%(default)s)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
