"""Watched endpoints in real time: `python -m tests.fleet.watched_for_real`, see --help."""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]

from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.v1 import policy_pb2_grpc as rpc
from tests.benchmarks.processes import print_load
from tests.fleet.real import RealFleet, real_fleet

_DESCRIPTION = """\
Real fronts with an engine each and a real store keep real endpoints fresh that nobody asks for.
Nothing is simulated; an ALLOW lives for --lifetime seconds, so that each endpoint is measured
several times. Every five seconds each front says what it knows of every endpoint, and none may
hold a verdict past its expiry once the first measurements are done.

Prints by the minute what was measured, what had expired, and what it cost in CPU. Exit status 0:
nothing had expired, and all was ALLOW.
"""
_PAGE: Final = 500
_LOOK_EVERY_S: Final = 5.0
_REPORT_S: Final = 60.0


@dataclass
class Seen:
    """Since the last report. expired: most at one look. late_s: by how much at most."""

    expired: int = 0
    late_s: float = 0.0
    behind_s: float = 0.0
    decisions: Counter[str] = field(default_factory=Counter)


def main() -> None:
    """Run, print, and exit with 1 if something was wrong."""
    options = _options()
    print_load()
    with tempfile.TemporaryDirectory() as name:
        hosts = [f"p{number}.partner.test" for number in range(options.endpoints)]
        with real_fleet(
            Path(name),
            endpoints=options.endpoints,
            names_of_an_address=options.names_of_an_address,
            replicas=options.fronts,
            are_engines_apart=False,
            round_trip_s=0.02,
            settings={"LIFETIMES__ALLOW_S": str(options.lifetime), "CACHE_ENTRIES": "20000"},
            of_port=lambda port: {
                "WATCH__ENDPOINTS": json.dumps([f"{host}:{port}" for host in hosts]),
                "WATCH__RATE_PER_S": str(options.rate),
            },
        ) as fleet:
            sys.exit(0 if _watch(fleet, options) else 1)


def _watch(fleet: RealFleet, options: argparse.Namespace) -> bool:
    """Return whether nothing had expired after the first round."""
    began, reported, is_right = time.monotonic(), time.monotonic(), True
    cost = _cpu_s(fleet)
    first_round_s = options.endpoints / options.rate
    seen = Seen()
    while (at_s := time.monotonic() - began) < options.minutes * 60:
        for front in fleet.fronts:
            _look(front.checks, seen)
            seen.behind_s = max(seen.behind_s, front.metric("otpc_policy_watch_behind_seconds"))
        if time.monotonic() - reported >= _REPORT_S:
            reported = time.monotonic()
            before, cost = cost, _cpu_s(fleet)
            spent = [now - then for now, then in zip(cost, before, strict=True)]
            print(
                f"{at_s / 60:4.0f} min: {_measured(fleet):6.0f} measured, decisions at the last "
                f"look {dict(seen.decisions)}, {seen.expired} expired at most, by up to "
                f"{seen.late_s:.1f} s; {seen.behind_s:.1f} s behind; CPU in the minute: fronts "
                f"and engines {spent[0]:.1f} s, store {spent[1]:.2f} s, partner {spent[2]:.1f} s",
                flush=True,
            )
            if at_s > first_round_s + _REPORT_S:
                is_right = is_right and not seen.expired and set(seen.decisions) == {"ALLOW"}
            seen = Seen()
        time.sleep(_LOOK_EVERY_S)
    print(
        f"{fleet.partner.counts()[0]} connections, at most {fleet.partner.most_to_one_address()} "
        "open at once to one address"
    )
    return is_right


def _look(checks: rpc.PolicyCheckServiceStub, seen: Seen) -> None:
    """Take note of what one front knows."""
    token, decisions = "", Counter[str]()
    expired = 0
    while True:
        page = checks.ListWatched(
            pb.ListWatchedRequest(page_size=_PAGE, page_token=token), timeout=30
        )
        now = time.time()
        for one in page.endpoints:
            decisions[pb.Decision.Name(one.decision).removeprefix("DECISION_")] += 1
            late_s = now - one.expire_time.ToNanoseconds() / 1e9
            if one.HasField("expire_time") and late_s > 0:
                expired += 1
                seen.late_s = max(seen.late_s, late_s)
        if not (token := page.next_page_token):
            break
    seen.expired = max(seen.expired, expired)
    seen.decisions = decisions


def _measured(fleet: RealFleet) -> float:
    series = 'otpc_policy_scans_total{outcome="complete"}'
    return sum(front.metric(series) for front in fleet.fronts)


def _cpu_s(fleet: RealFleet) -> tuple[float, float, float]:
    ours = 0.0
    for front in fleet.fronts:
        process = psutil.Process(front.process.pid)
        for one in (process, *process.children(recursive=True)):
            times = one.cpu_times()
            ours += times.user + times.system
            if one is process or one.name().startswith("python"):
                ours += times.children_user + times.children_system
    times = psutil.Process(fleet.store.pid).cpu_times()
    partner = fleet.partner.relay.own_cpu_s() + fleet.partner.server_cpu_s()
    return ours, times.user + times.system, partner


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fleet.watched_for_real",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--endpoints", type=int, default=2_000, help="watched (%(default)s)")
    parser.add_argument("--names-of-an-address", type=int, default=4, help="(%(default)s)")
    parser.add_argument("--fronts", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--minutes", type=float, default=10.0, help="(%(default)s)")
    parser.add_argument(
        "--lifetime", type=int, default=400, help="of an ALLOW, seconds (%(default)s)"
    )
    parser.add_argument(
        "--rate", type=float, default=12.0, help="watch.rate_per_s of each front (%(default)s)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
