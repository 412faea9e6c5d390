"""Metrics of engines: how many there are, what waits for them, how often one is replaced."""

from collections.abc import Callable
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge

from otpc_policy.ops.metrics.labels import NAMESPACE, LabelMeanings

_FROM: Final = {"perspective": "a place that is measured from; `default` where none has a name"}
LABELS: Final[LabelMeanings] = {
    f"{NAMESPACE}_{name}": _FROM
    for name in ("scan_queue_length", "scan_workers", "engines", "engines_up")
}


class Engines(Protocol):
    """The engines of one perspective. See app.application.Engines."""

    @property
    def queued(self) -> int: ...
    @property
    def workers_alive(self) -> int: ...
    @property
    def engines_wanted(self) -> int: ...
    @property
    def engines_up(self) -> int: ...


class EngineMetrics:
    """Reads at each scrape what engines have reported, and counts those that ended."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, documentation: str) -> Gauge:
            labels = ("perspective",)
            return Gauge(name, documentation, labels, namespace=NAMESPACE, registry=registry)

        self._queue = gauge("scan_queue_length", "Measurements that wait.")
        self._workers = gauge("scan_workers", "Worker processes that are alive.")
        self._engines = gauge(
            "engines",
            "Engines that there should be: those of the service's own, or those that were found.",
        )
        self._engines_up = gauge("engines_up", "Engines that can be asked now.")
        self._engines_ended = Counter(
            "engine_restarts_total",
            "Engines of the service's own that ended, or were killed because they were silent or"
            " lied; another is started in the place of each.",
            namespace=NAMESPACE,
            registry=registry,
        )

    def watch_perspective(self, name: str, engines: Engines) -> None:
        """Read at each scrape how the engines of a perspective do. name: of the settings."""
        read: dict[Gauge, Callable[[], float]] = {
            self._queue: lambda: engines.queued,
            self._workers: lambda: engines.workers_alive,
            self._engines: lambda: engines.engines_wanted,
            self._engines_up: lambda: engines.engines_up,
        }
        for gauge, function in read.items():
            gauge.labels(name).set_function(function)

    def engine_ended(self) -> None:
        """Count an engine of our own that has to be replaced."""
        self._engines_ended.inc()
