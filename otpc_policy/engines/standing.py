"""How engines and the queues in front of them stand, for people who look at a running service."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from otpc_policy.core.demand import Claim, ScanClass
from otpc_policy.engines.ports import EngineState


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStanding:
    """One engine. pid, restarts: see ports.Engine. state: what it reported last.

    failed_targets: that it failed to measure since it measured any; at most_failures it is replaced
    or left alone.
    """

    name: str
    is_up: bool
    pid: int | None
    restarts: int
    state: EngineState
    failed_targets: int
    most_failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStanding:
    """The queue for one engine: measurements by class, the most urgent of those who want each.

    capacity: places. measuring: who has one. waiting: who has not. callers: shares among both.
    """

    engine: str
    capacity: int
    measuring: Mapping[ScanClass, int]
    waiting: Mapping[ScanClass, int]
    callers: int


def by_class(claims: Iterable[Claim]) -> Mapping[ScanClass, int]:
    """Count claims by class; every class is there."""
    counted = Counter(claim.scan_class for claim in claims)
    return {scan_class: counted[scan_class] for scan_class in ScanClass}
