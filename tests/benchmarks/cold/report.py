"""The output of the cold benchmark."""

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
    """Return the typical cost, with the maximum of the connections open at once.

    CPU is a mean: workers live for one check each, and their CPU is counted in hundredths.
    """
    costs = [check.cost for check in checks.each]
    return Cost(
        wall_s=statistics.median(cost.wall_s for cost in costs),
        cpu_s=statistics.fmean(cost.cpu_s for cost in costs),
        connections=round(statistics.median(cost.connections for cost in costs)),
        most_open=max(cost.most_open for cost in costs),
    )


def print_ours(checks: Checks, round_trip_s: float) -> None:
    """Print our figures and the targets."""
    ours = median_of(checks)
    target_s = _TARGET_ROUND_TRIPS * round_trip_s + _TARGET_REST_S
    least_s = min(check.cost.wall_s for check in checks.each)
    print(
        f"cold STANDARD check, {round_trip_s * 1000:.0f} ms round trips, {len(checks.each)} checks"
    )
    print(f"{'':24}{'median':>12}{'least':>12}{'target':>12}{'ratio':>8}")
    rows = (
        (
            "wall",
            f"{ours.wall_s * 1000:.0f} ms",
            f"{least_s * 1000:.0f} ms",
            f"{target_s * 1000:.0f} ms",
            ours.wall_s / target_s,
        ),
        (
            "CPU (mean)",
            f"{ours.cpu_s * 1000:.1f} ms",
            "",
            f"{_TARGET_CPU_S * 1000:.0f} ms",
            ours.cpu_s / _TARGET_CPU_S,
        ),
        (
            "connections",
            f"{ours.connections}",
            "",
            f"{_TARGET_CONNECTIONS}",
            ours.connections / _TARGET_CONNECTIONS,
        ),
        (
            "most open at once",
            f"{ours.most_open}",
            "",
            f"{_TARGET_OPEN}",
            ours.most_open / _TARGET_OPEN,
        ),
    )
    for title, measured, least, target, ratio in rows:
        print(f"{title:24}{measured:>12}{least:>12}{target:>12}{ratio:>8.2f}")
    service_cpu_s = statistics.fmean(check.service_cpu_s for check in checks.each)
    workers_cpu_s = statistics.fmean(check.workers_cpu_s for check in checks.each)
    handshake_s = statistics.median(check.handshake_s for check in checks.each)
    print(
        f"CPU: {service_cpu_s * 1000:.1f} ms in the service, "
        f"{workers_cpu_s * 1000:.1f} ms in its workers"
    )
    print(
        f"wall: {ours.wall_s / round_trip_s:.1f} round trips, "
        f"{ours.wall_s / handshake_s:.2f} x a bare TLS 1.2 handshake with HTTP"
    )


def print_rivals(ours: Cost, rivals: Mapping[str, Cost]) -> None:
    """Print the cost of the tools and ours."""
    print("\nthe same server through the same relay, in the same run")
    print(
        f"{'':16}{'wall':>10}{'connections':>13}{'most open':>11}{'CPU':>10}"
        f"{'x our wall':>12}{'x our CPU':>11}"
    )
    for name, cost in {"otpc-policy": ours, **rivals}.items():
        print(
            f"{name:16}{cost.wall_s:>8.2f} s{cost.connections:>13}{cost.most_open:>11}"
            f"{cost.cpu_s * 1000:>7.0f} ms"
            f"{cost.wall_s / ours.wall_s:>12.1f}{cost.cpu_s / ours.cpu_s:>11.1f}"
        )
    if "sslyze" in rivals:
        print(f"the target is {_TARGET_FASTER} x faster than sslyze")


def print_purposes(observation: pb.EndpointObservation) -> None:
    """Print the purpose of each connection of a check."""
    steps = observation.addresses[0].trace
    print("\nwhat each connection is for, in the order of their first")
    for purpose, count in Counter(step.purpose for step in steps).items():
        print(f"{count:>4}  {purpose}")
    print(f"{len(steps):>4}  together")
