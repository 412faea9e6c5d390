"""What the cold benchmark prints."""

import statistics
from collections import Counter
from collections.abc import Mapping

from otpc_policy.v1 import policy_pb2 as pb
from tests.benchmarks.cold.cost import Cost
from tests.benchmarks.cold.ours import Checks

# DESIGN section 7.
_TARGET_CONNECTIONS = 42
_TARGET_ROUND_TRIPS, _TARGET_REST_S = 6.4, 0.025
_TARGET_CPU_S = 0.034
_TARGET_OPEN = 20
_TARGET_FASTER = 26


def median_of(checks: Checks) -> Cost:
    """Return the typical cost; the most open of all.

    CPU is the mean: that of workers, which live for one check each, is counted in hundredths.
    """
    costs = [one.cost for one in checks.each]
    return Cost(
        wall_s=statistics.median(one.wall_s for one in costs),
        cpu_s=statistics.fmean(one.cpu_s for one in costs),
        connections=round(statistics.median(one.connections for one in costs)),
        most_open=max(one.most_open for one in costs),
    )


def print_ours(checks: Checks, round_trip_s: float) -> None:
    """Print our figures beside the targets."""
    ours = median_of(checks)
    target_s = _TARGET_ROUND_TRIPS * round_trip_s + _TARGET_REST_S
    least_s = min(one.cost.wall_s for one in checks.each)
    print(f"cold STANDARD check, {round_trip_s * 1000:.0f} ms round trips, {len(checks.each)} checks")
    print(f"{'':24}{'median':>12}{'least':>12}{'target':>12}{'ratio':>8}")
    rows = (
        ("wall", f"{ours.wall_s * 1000:.0f} ms", f"{least_s * 1000:.0f} ms", f"{target_s * 1000:.0f} ms", ours.wall_s / target_s),
        (
            "CPU (mean)",
            f"{ours.cpu_s * 1000:.1f} ms",
            "",
            f"{_TARGET_CPU_S * 1000:.0f} ms",
            ours.cpu_s / _TARGET_CPU_S,
        ),
        ("connections", f"{ours.connections}", "", f"{_TARGET_CONNECTIONS}", ours.connections / _TARGET_CONNECTIONS),
        ("most open at once", f"{ours.most_open}", "", f"{_TARGET_OPEN}", ours.most_open / _TARGET_OPEN),
    )
    for title, measured, least, target, ratio in rows:
        print(f"{title:24}{measured:>12}{least:>12}{target:>12}{ratio:>8.2f}")
    service_cpu_s = statistics.fmean(one.service_cpu_s for one in checks.each)
    workers_cpu_s = statistics.fmean(one.workers_cpu_s for one in checks.each)
    handshake_s = statistics.median(one.handshake_s for one in checks.each)
    print(f"CPU: {service_cpu_s * 1000:.1f} ms in the service, {workers_cpu_s * 1000:.1f} ms in its workers")
    print(f"wall: {ours.wall_s / round_trip_s:.1f} round trips, {ours.wall_s / handshake_s:.2f} x a bare TLS 1.2 handshake with HTTP")


def print_rivals(ours: Cost, rivals: Mapping[str, Cost]) -> None:
    """Print the tools beside us."""
    print("\nthe same server through the same relay, in the same run")
    print(f"{'':16}{'wall':>10}{'connections':>13}{'most open':>11}{'CPU':>10}{'x our wall':>12}{'x our CPU':>11}")
    for name, cost in {"otpc-policy": ours, **rivals}.items():
        print(
            f"{name:16}{cost.wall_s:>8.2f} s{cost.connections:>13}{cost.most_open:>11}{cost.cpu_s * 1000:>7.0f} ms"
            f"{cost.wall_s / ours.wall_s:>12.1f}{cost.cpu_s / ours.cpu_s:>11.1f}"
        )
    if "sslyze" in rivals:
        print(f"the target is {_TARGET_FASTER} x faster than sslyze")


def print_purposes(observation: pb.EndpointObservation) -> None:
    """Print what each connection of one check was for."""
    steps = observation.addresses[0].trace
    print("\nwhat each connection is for, in the order of their first")
    for purpose, count in Counter(step.purpose for step in steps).items():
        print(f"{count:>4}  {purpose}")
    print(f"{len(steps):>4}  together")
