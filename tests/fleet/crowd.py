"""Fronts, engines and one store under load: `python -m tests.fleet.crowd`, see --help."""

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import psutil  # type: ignore[import-untyped]

from otpc_policy.v1 import policy_pb2 as pb
from tests.benchmarks.processes import print_load
from tests.fleet.real import RealFleet, real_fleet

_DESCRIPTION = """\
Every front is asked for every endpoint at the same time, and the endpoints share addresses. Each
must be measured once in the whole fleet, be ALLOW at every front, and the partner's side may never
see more connections to one address than connections_per_address (20).

With --kill, one of them is ended by SIGKILL when a third of the answers are there: a front, an
engine or the store. Then calls that the killed front had open may fail, and are asked of the next;
no other call may fail. What was under way may be measured twice.

Exit status 0: so it was.
"""
_PATIENCE_S: Final = 300.0
_CAP: Final = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """What a front has said of an endpoint. observed_ns: when it was measured; 0 if it failed."""

    front: int
    name: str
    decision: str
    observed_ns: int


class World:
    """A fleet that is asked. answers: so far. dead: fronts that were killed."""

    def __init__(self, fleet: RealFleet) -> None:
        self.fleet, self.partner, self.fronts = fleet, fleet.partner, fleet.fronts
        self.answers: list[Answer] = []
        self.dead: set[int] = set()
        self._lock = threading.Lock()
        # A call that nobody refers to is cancelled.
        self._calls: list[grpc.Future[Any]] = []

    def ask_all(self) -> None:
        """Begin to ask every front for every endpoint."""
        for name in self.partner.names:
            for number in range(len(self.fronts)):
                self._ask(number, name)

    def answered(self) -> int:
        """How many answers there are."""
        with self._lock:
            return len(self.answers)

    def scans(self) -> float:
        """How many measurements the living fronts have completed."""
        return self._total('otpc_policy_scans_total{outcome="complete"}')

    def leases(self) -> dict[str, int]:
        """How the living fronts' measurements got their turns."""
        results = ("leased", "taken", "unavailable", "given_up", "lost")
        series = 'otpc_policy_leases_total{{result="{}"}}'
        return {result: int(self._total(series.format(result))) for result in results}

    def _total(self, series: str) -> float:
        living = (front for number, front in enumerate(self.fronts) if number not in self.dead)
        return sum(front.metric(series) for front in living)

    def _ask(self, number: int, name: str) -> None:
        request = pb.CheckEndpointRequest(host=name, port=self.partner.port)
        call = self.fronts[number].checks.CheckEndpoint.future(request, timeout=_PATIENCE_S)
        self._calls.append(call)
        call.add_done_callback(lambda done: self._take(number, name, done))

    def _take(self, number: int, name: str, done: "grpc.Future[Any]") -> None:
        try:
            said = done.result()
        except grpc.RpcError as error:
            if number in self.dead:
                # Its caller goes to the next, as a router with two addresses does.
                self._ask((number + 1) % len(self.fronts), name)
                return
            answer = Answer(number, name, error.code().name, 0)
        else:
            decision = pb.Decision.Name(said.decision).removeprefix("DECISION_")
            observed = said.result_info.observation_time.ToNanoseconds()
            answer = Answer(number, name, decision, observed)
        with self._lock:
            self.answers.append(answer)


def main() -> None:
    """Run, print, and exit with 1 if something was wrong."""
    options = _options()
    print_load()
    many = str(3 * options.endpoints)
    with (
        tempfile.TemporaryDirectory() as name,
        real_fleet(
            Path(name),
            endpoints=options.endpoints,
            names_of_an_address=options.names_of_an_address,
            replicas=options.fronts,
            are_engines_apart=options.engines == "apart",
            round_trip_s=options.round_trip_ms / 1000,
            settings={
                "DEFAULT_WAIT_S": str(_PATIENCE_S),
                "SCAN__SCAN_DEADLINE_S": "100",
                "SCAN__QUEUE_LIMIT": many,
                "SHARES__SCANS_PER_CALLER": many,
                "SHARES__TARGETS_PER_HOUR": many,
            },
        ) as fleet,
    ):
        sys.exit(0 if _run(World(fleet), options) else 1)


def _run(world: World, options: argparse.Namespace) -> bool:
    wanted = len(world.fronts) * len(world.partner.names)
    began = time.perf_counter()
    world.ask_all()
    if options.kill:
        _wait(world, wanted // 3)
        _kill(world, options.kill)
        print(f"killed: {options.kill}, with {world.answered()} answers there", flush=True)
    _wait(world, wanted)
    took_s = time.perf_counter() - began
    return _sum_up(world, options, took_s)


def _wait(world: World, answers: int) -> None:
    until_s, shown_s = time.monotonic() + _PATIENCE_S, time.monotonic()
    while (there := world.answered()) < answers:
        if time.monotonic() > until_s:
            raise SystemExit(f"only {there} of {answers} answers after {_PATIENCE_S:.0f} s")
        if time.monotonic() - shown_s >= 5:
            shown_s = time.monotonic()
            print(f"{there} answers", file=sys.stderr, flush=True)
        time.sleep(0.05)


def _kill(world: World, what: str) -> None:
    if what == "front":
        world.dead.add(0)
        world.fronts[0].kill()
    elif what == "store":
        world.fleet.store.kill()
    elif world.fleet.engines:
        world.fleet.engines[0].kill()
    else:
        psutil.Process(int(world.fronts[0].engines()[0].name)).kill()


def _sum_up(world: World, options: argparse.Namespace, took_s: float) -> bool:
    names, decisions = world.partner.names, Counter(one.decision for one in world.answers)
    observed: dict[str, set[int]] = {}
    for one in world.answers:
        observed.setdefault(one.name, set()).add(one.observed_ns)
    several = sum(len(each) > 1 for each in observed.values())
    connections, _ = world.partner.counts()
    most = world.partner.most_to_one_address()
    print(
        f"{len(world.answers)} answers about {len(observed)} endpoints at "
        f"{len(set(world.partner.hosts.values()))} addresses in {took_s:.1f} s: {dict(decisions)}\n"
        f"{several} endpoints answered from more than one measurement; "
        f"{world.scans():.0f} measurements by those that live\n"
        f"{connections / len(names):.1f} connections for each endpoint, at most {most} open at "
        f"once to one address (cap {_CAP})\n"
        f"leases: {world.leases()}"
    )
    is_right = set(decisions) == {"ALLOW"} and len(observed) == len(names)
    is_once = options.kill or (not several and world.scans() == len(names))
    return bool(is_right and is_once and most <= _CAP)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fleet.crowd",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--endpoints", type=int, default=1_000, help="(%(default)s)")
    parser.add_argument(
        "--names-of-an-address",
        type=int,
        default=4,
        help="endpoints that share an address (%(default)s)",
    )
    parser.add_argument("--fronts", type=int, default=3, help="and engines (%(default)s)")
    parser.add_argument(
        "--engines",
        choices=("apart", "own"),
        default="apart",
        help="engines that all fronts use, or one started by each front (%(default)s)",
    )
    parser.add_argument("--kill", choices=("front", "engine", "store"), help="in mid-load")
    parser.add_argument(
        "--round-trip-ms", type=float, default=20.0, help="the relay's round trip (%(default)s)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
