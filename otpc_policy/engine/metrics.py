"""Metrics of a separate engine, under the names that a front gives to its own."""

from collections.abc import Callable
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    disable_created_metrics,
)

from otpc_policy.core.facts import ResolutionFailure
from otpc_policy.engine.service.ports import EngineScanner

# As LookUpObserver says.
_FAILURES = [
    failure.name.lower() for failure in ResolutionFailure if failure is not ResolutionFailure.NONE
]
_LOOK_UP_RESULTS = ("answered", *_FAILURES, "overloaded")
LABELS: Final = {
    "otpc_policy_dns_lookups_total": {
        "result": "why DNS gave no address, or not all; `answered`; `overloaded` (crowded out by"
        " other names)",
    },
}


class EngineMetrics:
    """What waits, who works, and names that were looked up. Implements LookUpObserver."""

    def __init__(self, scanner: EngineScanner) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        ProcessCollector(namespace="", registry=registry)
        queue = Gauge("otpc_policy_scan_queue_length", "Measurements that wait.", registry=registry)
        queue.set_function(lambda: scanner.queued)
        workers = Gauge(
            "otpc_policy_scan_workers", "Worker processes that are alive.", registry=registry
        )
        workers.set_function(lambda: scanner.workers_alive)
        look_ups = Counter(
            "otpc_policy_dns_lookups_total",
            "Host names looked up in DNS.",
            ("result",),
            registry=registry,
        )
        self._look_ups = {result: look_ups.labels(result) for result in _LOOK_UP_RESULTS}
        self._fall_backs = Counter(
            "otpc_policy_dns_stale_resolutions_total",
            "Times that earlier addresses stood in for those that name servers did not give.",
            registry=registry,
        )
        self._questions = Gauge(
            "otpc_policy_dns_questions_outstanding",
            "Questions to name servers that have not ended; two for each name.",
            registry=registry,
        )

    def dns_looked_up(self, result: str) -> None:
        """Count a name that was looked up."""
        self._look_ups[result].inc()

    def dns_fell_back(self) -> None:
        """Count a name whose earlier addresses stood in."""
        self._fall_backs.inc()

    def watch_dns(self, outstanding: Callable[[], float]) -> None:
        """Read the number of questions to name servers whenever it is scraped."""
        self._questions.set_function(outstanding)
