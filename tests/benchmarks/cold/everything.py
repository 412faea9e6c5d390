"""The survey of a server that accepts everything, wave by wave, to show what limits it."""

import asyncio
import os
import time
from collections import Counter
from dataclasses import dataclass

from otpc_policy.core.facts import TlsVersion
from otpc_policy.engine.limits import ScanLimits
from otpc_policy.engine.survey.probe import Outcome
from otpc_policy.engine.survey.survey import Survey
from otpc_policy.engine.transport.openings import Openings
from otpc_policy.engine.transport.prober import Prober
from otpc_policy.v1 import policy_pb2 as pb
from tests.benchmarks.cold.cost import Cost
from tests.benchmarks.far_partner import FarPartner
from tests.support.loopback import vetted

_TARGET_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyCost:
    """The cost of a survey.

    waves: hellos of each. cpu_s: of the survey in this process, planning included. planning_s: CPU
    of planning alone.
    """

    waves: tuple[int, ...]
    wall_s: float
    cpu_s: float
    planning_s: float


async def survey(partner: FarPartner) -> SurveyCost:
    """Survey with hellos alone, as a scan does, without its handshakes and the service."""
    name = partner.names[-1]
    limits = ScanLimits()
    loop = asyncio.get_running_loop()
    slots = asyncio.Semaphore(limits.connections_per_address)
    prober = Prober(
        address=vetted(partner.hosts[name]),
        port=partner.port,
        openings=Openings(slots, limits.connections_per_address, total=limits.connections_per_scan),
        limits=limits,
        begun_s=loop.time(),
        new_random=lambda: os.urandom,
    )
    asked, waves, planning_s = Survey(name), [], 0.0
    began, cpu_began = time.perf_counter(), time.process_time()
    while True:
        planning_began = time.process_time()
        probes = asked.next_wave()
        planning_s += time.process_time() - planning_began
        if not probes:
            break
        outcomes: list[Outcome] = []
        await prober.run(probes, outcomes)
        planning_began = time.process_time()
        asked.take(probes, outcomes)
        planning_s += time.process_time() - planning_began
        waves.append(len(probes))
    return SurveyCost(
        waves=tuple(waves),
        wall_s=time.perf_counter() - began,
        cpu_s=time.process_time() - cpu_began,
        planning_s=planning_s,
    )


def print_everything(
    ours: Cost, observation: pb.EndpointObservation, alone: SurveyCost, round_trip_s: float
) -> None:
    """Print the suites found, the cost, and what limits it."""
    accepted = Counter(
        fact.version
        for fact in observation.addresses[0].cipher_suites
        if fact.support == pb.SUPPORT_YES
    )
    found = ", ".join(
        f"{count} of {TlsVersion[pb.TlsVersion.Name(version).removeprefix('TLS_VERSION_')].label}"
        for version, count in sorted(accepted.items())
    )
    print(f"accepted: {found}")
    print(
        f"wall {ours.wall_s:.2f} s, target {_TARGET_S:.0f} s; {ours.connections} connections, "
        f"{ours.most_open} at once; CPU {ours.cpu_s * 1000:.0f} ms"
    )
    at_once = ScanLimits().connections_per_address
    turns = sum(-(-hellos // at_once) for hellos in alone.waves)
    least_s = 2 * turns * round_trip_s
    print(
        f"the hellos alone: {len(alone.waves)} waves of {', '.join(map(str, alone.waves))}; "
        f"{alone.wall_s:.2f} s, CPU {alone.cpu_s * 1000:.0f} ms,"
    )
    print(
        f"of which {alone.planning_s * 1000:.0f} ms for planning. With {at_once} at once that is "
        f"{turns} turns of two round trips, {least_s:.2f} s:"
    )
    print(
        f"{least_s / alone.wall_s:.0%} of the wall. The rest is CPU, and controls that wait for "
        "earlier answers"
    )
