"""Metrics of engines: how many there are, what waits for them, how often one is replaced."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

from otpc_policy.ops.metrics.labels import NAMESPACE


class EngineMetrics:
    """Reads at each scrape what engines have reported, and counts those that ended."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._queue = Gauge(
            "scan_queue_length",
            "Measurements that wait.",
            namespace=NAMESPACE,
            registry=registry,
        )
        self._workers = Gauge(
            "scan_workers",
            "Worker processes that are alive.",
            namespace=NAMESPACE,
            registry=registry,
        )
        self._engines = Gauge(
            "engines",
            "Engines that there should be: those of the service's own, or those that were found.",
            namespace=NAMESPACE,
            registry=registry,
        )
        self._engines_up = Gauge(
            "engines_up",
            "Engines that can be asked now.",
            namespace=NAMESPACE,
            registry=registry,
        )
        self._engines_ended = Counter(
            "engine_restarts_total",
            "Engines of the service's own that ended, or were killed because they were silent or"
            " lied; another is started in the place of each.",
            namespace=NAMESPACE,
            registry=registry,
        )

    def watch_scanner(self, queued: Callable[[], float], workers: Callable[[], float]) -> None:
        """Read at each scrape the length of the queue and the number of workers."""
        self._queue.set_function(queued)
        self._workers.set_function(workers)

    def watch_engines(self, wanted: Callable[[], float], up: Callable[[], float]) -> None:
        """Read at each scrape how many engines there should be, and how many can be asked."""
        self._engines.set_function(wanted)
        self._engines_up.set_function(up)

    def engine_ended(self) -> None:
        """Count an engine of our own that has to be replaced."""
        self._engines_ended.inc()
