"""How fast a cached answer is, compared with a bare echo of the same bytes.

Run as `python -m tests.benchmarks.warm [ROUNDS]`. Service, echo and caller are three processes.
Rounds alternate, so that other load on the machine affects both alike. The caller costs about as
much as a server; with few cores, the CPU time of the servers means more than the calls each second.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from otpc_policy.v1 import policy_pb2 as pb
from tests.benchmarks.echo import METHOD
from tests.benchmarks.far_partner import FarPartner, far_partner
from tests.benchmarks.processes import Running, announced, service

_ROUND_S = 2.0
_CALLERS = 32
# DESIGN section 7.
_TARGET = 0.85


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """The rate of a server in a round."""

    calls_per_s: float
    cpu_s_per_call: float


def main() -> None:
    """Run and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with (
        tempfile.TemporaryDirectory() as name,
        far_partner(Path(name), names=1, round_trip_s=0.0) as partner,
        service(Path(name), partner.configuration) as running,
    ):
        request = pb.CheckEndpointRequest(
            host=partner.names[0], port=partner.port
        ).SerializeToString()
        answer = Path(name) / "answer"
        answer.write_bytes(asyncio.run(warmed(running, request, partner)))
        with announced("tests.benchmarks.echo", str(answer)) as echo:
            # The first round of each warms up and is discarded.
            pairs = [
                (asyncio.run(rate(running, request)), asyncio.run(rate(echo, request)))
                for _ in range(rounds + 1)
            ][1:]
        _report(pairs, len(request), answer.stat().st_size)


async def warmed(running: Running, request: bytes, partner: FarPartner) -> bytes:
    """Have the partner measured, and return a cached answer."""
    async with _channel(running) as channel:
        call = channel.unary_unary(METHOD)
        await call(request, timeout=60)
        answer: bytes = await call(request, timeout=60)
    response = pb.CheckEndpointResponse.FromString(answer)
    if (
        response.decision != pb.DECISION_ALLOW
        or response.result_info.source != pb.RESULT_SOURCE_CACHE
    ):
        raise SystemExit(f"not a cached ALLOW from {partner.names[0]}: {response}")
    return answer


def _channel(running: Running) -> Any:
    return grpc.aio.insecure_channel(running.address)


async def rate(running: Running, request: bytes) -> Rate:
    """Call a server for two seconds, from 32 callers."""
    calls = 0
    async with _channel(running) as channel:
        call = channel.unary_unary(METHOD)
        await call(request)
        cpu_before, began = running.cpu_s(), time.perf_counter()
        end = began + _ROUND_S

        async def keep_calling() -> None:
            nonlocal calls
            while time.perf_counter() < end:
                await call(request)
                calls += 1

        await asyncio.gather(*(keep_calling() for _ in range(_CALLERS)))
        return Rate(
            calls_per_s=calls / (time.perf_counter() - began),
            cpu_s_per_call=(running.cpu_s() - cpu_before) / calls,
        )


def _report(pairs: list[tuple[Rate, Rate]], request_bytes: int, answer_bytes: int) -> None:
    print(
        f"warm CheckEndpoint against a bare grpc.aio echo, {request_bytes} bytes in, "
        f"{answer_bytes} bytes out, {_CALLERS} callers, {len(pairs)} rounds"
    )
    print(f"{'':24}{'service':>12}{'echo':>12}{'ratio':>8}")
    rates = [
        statistics.median(rate.calls_per_s for rate in side) for side in zip(*pairs, strict=True)
    ]
    costs = [
        statistics.median(rate.cpu_s_per_call for rate in side) for side in zip(*pairs, strict=True)
    ]
    ratio = statistics.median(ours.calls_per_s / bare.calls_per_s for ours, bare in pairs)
    cost_ratio = statistics.median(
        bare.cpu_s_per_call / ours.cpu_s_per_call for ours, bare in pairs
    )
    print(f"{'calls each second':24}{rates[0]:>12.0f}{rates[1]:>12.0f}{ratio:>8.2f}")
    print(
        f"{'CPU of the server, us':24}{costs[0] * 1e6:>12.1f}{costs[1] * 1e6:>12.1f}"
        f"{cost_ratio:>8.2f}"
    )
    print(f"the target is {_TARGET}; both ratios are fractions of the echo's speed")


if __name__ == "__main__":
    main()
