"""How measurements slow down cached answers.

Run as `python -m tests.benchmarks.interference`; see --help.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from otpc_policy.v1 import policy_pb2 as pb
from tests.benchmarks.echo import METHOD
from tests.benchmarks.far_partner import FarPartner, far_partner
from tests.benchmarks.processes import Running, announced, print_load, room_for, service

# DESIGN section 7.
_TARGETS = (
    "under 40 cold checks a second p99 <= 5 x idle or 20 ms; "
    "in a burst of 1,000 max <= 0.8 s, and p99 after the first second <= 60 ms"
)
_ALLOW = int(pb.DECISION_ALLOW)
_DESCRIPTION = """\
Warm calls at a steady rate, in three phases: alone; under cold checks at a steady rate; and in a
burst of cold checks that all come at once. A bare grpc.aio echo of the same bytes is called at the
same rate throughout: it is the floor, since service, engines, nginx, relay and callers share the
machine's cores. Every caller is a separate process and counts from the instant at which the call
was due.
"""


@dataclass(frozen=True, slots=True)
class Latencies:
    """The calls of a caller: (due, latency, decision) of each; due in seconds since the start."""

    calls: Sequence[tuple[float, float, int]]

    def after(self, due_s: float) -> "Latencies":
        """Return the calls that were due at this time or later."""
        return Latencies([call for call in self.calls if call[0] >= due_s])

    @property
    def largest_s(self) -> float:
        """The longest latency."""
        return max(latency for _, latency, _ in self.calls)

    def quantile_s(self, percent: int) -> float:
        """Return a percentile."""
        return statistics.quantiles([latency for _, latency, _ in self.calls], n=100)[percent - 1]

    def require_allow(self) -> None:
        """Raise AssertionError unless every call was answered with ALLOW."""
        others = [decision for _, _, decision in self.calls if decision != _ALLOW]
        assert not others, (
            f"{len(others)} of {len(self.calls)} calls were not allowed: {others[:5]}"
        )


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase of the benchmark.

    seconds: how long; 0 until the cold checks are answered. cold: endpoints never checked before.
    cold_rate: 0 for all at once.
    """

    name: str
    seconds: float
    cold: Sequence[str] = ()
    cold_rate: float = 0.0


class Caller:
    """A process of tests.benchmarks.caller."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def begin(self) -> None:
        """Start the calls."""
        self._line("")

    def end(self) -> Latencies:
        """End the calls and return their latencies."""
        self._line("")
        return self.results()

    def results(self) -> Latencies:
        """Return the latencies once the calls have ended by themselves."""
        assert self._process.stdout is not None
        return Latencies(
            [
                (due, latency, int(decision))
                for due, latency, decision in json.loads(self._process.stdout.readline())
            ]
        )

    def _line(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()


@contextmanager
def caller(address: str, requests: Path, rate: float) -> Iterator[Caller]:
    """Start a caller, wait until it is connected, and kill it with the context."""
    command = [sys.executable, "-m", "tests.benchmarks.caller", address, str(requests), str(rate)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield Caller(process)
        finally:
            process.kill()


def main() -> None:
    """Run and print."""
    options = _options()
    print_load()
    cold = int(options.cold_rate * options.seconds) + 1
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        partner = stack.enter_context(
            far_partner(
                folder, names=1 + cold + options.burst, round_trip_s=0.05, own_addresses=True
            )
        )
        room = room_for(options.burst + 1)
        running = stack.enter_context(service(folder, [*partner.configuration, *room]))
        warm, steady, burst = (
            partner.names[0],
            partner.names[1 : cold + 1],
            partner.names[cold + 1 :],
        )
        answer = folder / "answer"
        answer.write_bytes(asyncio.run(warmed(running, request_for(partner, warm))))
        echo = stack.enter_context(announced("tests.benchmarks.echo", str(answer)))
        world = _World(folder, running, echo, partner)
        print(
            f"{options.rate:.0f} warm calls a second, 50 ms round trips, "
            f"answers of {answer.stat().st_size} bytes; milliseconds from the instant due\n"
        )
        print(f"{'':44}{'p50':>8}{'p99':>8}{'max':>8}   {'echo p99':>8}{'max':>8}")
        idle, floor = world.measured(Phase("alone", options.seconds), warm, options.rate)
        _print("alone", idle, floor)
        under, floor = world.measured(
            Phase("steady", options.seconds, steady, options.cold_rate), warm, options.rate
        )
        _print(f"under {options.cold_rate:.0f} cold checks a second", under, floor)
        print(
            f"{'':44}p99: {under.quantile_s(99) / idle.quantile_s(99):.1f} x idle, "
            f"{under.quantile_s(99) / floor.quantile_s(99):.1f} x the echo's"
        )
        crowded, floor = world.measured(Phase("burst", 0.0, burst), warm, options.rate)
        _print(f"in a burst of {options.burst} cold checks", crowded, floor)
        _print("the same after its first second", crowded.after(1.0), floor.after(1.0))
    print(f"\ntargets: {_TARGETS}")


class _World:
    def __init__(self, folder: Path, running: Running, echo: Running, partner: FarPartner) -> None:
        self._folder, self._running, self._echo, self._partner = folder, running, echo, partner

    def measured(self, phase: Phase, warm: str, rate: float) -> tuple[Latencies, Latencies]:
        """Return the latencies of warm calls and of the echo. rate: of each, calls a second."""
        asked = self._requests(f"{phase.name}-warm", [warm])
        with ExitStack() as stack:
            warm_caller = stack.enter_context(caller(self._running.address, asked, rate))
            echo_caller = stack.enter_context(caller(self._echo.address, asked, rate))
            others = []
            if phase.cold:
                requests = self._requests(f"{phase.name}-cold", phase.cold)
                others.append(
                    stack.enter_context(caller(self._running.address, requests, phase.cold_rate))
                )
            for each in (warm_caller, echo_caller, *others):
                each.begin()
            if phase.seconds:
                time.sleep(phase.seconds)
            for other in others:
                (other.end() if phase.cold_rate else other.results()).require_allow()
            met = warm_caller.end(), echo_caller.end()
        met[0].require_allow()
        return met

    def _requests(self, name: str, hosts: Sequence[str]) -> Path:
        path = self._folder / name
        path.write_text(
            "\n".join(request_for(self._partner, host).hex() for host in hosts), encoding="ascii"
        )
        return path


async def warmed(running: Running, request: bytes) -> bytes:
    """Have the warm endpoint measured, and return a cached answer."""
    channel: Any
    async with grpc.aio.insecure_channel(running.address) as channel:
        call = channel.unary_unary(METHOD)
        await call(request, timeout=60)
        answer: bytes = await call(request, timeout=60)
    assert pb.CheckEndpointResponse.FromString(answer).result_info.source == pb.RESULT_SOURCE_CACHE
    return answer


def request_for(partner: FarPartner, host: str) -> bytes:
    """Return a request for the verdict about a host, as bytes."""
    return pb.CheckEndpointRequest(host=host, port=partner.port).SerializeToString()


def _print(name: str, met: Latencies, floor: Latencies) -> None:
    ours = _columns(met.quantile_s(50), met.quantile_s(99), met.largest_s)
    bare = _columns(floor.quantile_s(99), floor.largest_s)
    print(f"{name:44}{ours}   {bare}", flush=True)


def _columns(*latencies_s: float) -> str:
    return "".join(f"{latency_s * 1e3:>8.1f}" for latency_s in latencies_s)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.interference",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--seconds", type=float, default=15.0, help="length of the first two phases (%(default)s)"
    )
    parser.add_argument(
        "--rate", type=float, default=100.0, help="warm calls a second (%(default)s)"
    )
    parser.add_argument(
        "--cold-rate",
        type=float,
        default=40.0,
        help="cold checks a second in the second phase (%(default)s)",
    )
    parser.add_argument(
        "--burst", type=int, default=1000, help="cold checks of the third phase (%(default)s)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
