"""Metrics of traces, read at each scrape from what exports them. There are none without tracing."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector

from otpc_policy.ops.metrics.labels import NAMESPACE, LabelMeanings

LOSS_REASONS: Final = ("queue_full", "failed", "rejected", "shutdown")
LABELS: Final[LabelMeanings] = {
    f"{NAMESPACE}_spans_lost_total": {
        "reason": "`queue_full` (the collector is too slow, or down), `failed` (it did not take"
        " them in time), `rejected` (it said so), `shutdown` (this service ended first)",
    },
}


class TracingMetrics(Collector):
    """Spans by what became of them. taken: by the collector. lost: by reason."""

    def __init__(
        self, registry: CollectorRegistry, *, taken: Callable[[], int], lost: Mapping[str, int]
    ) -> None:
        self._taken, self._lost = taken, lost
        registry.register(self)

    def describe(self) -> Iterable[CounterMetricFamily]:
        """Return the names, for the registry, which refuses to have one twice."""
        return self._families()

    def collect(self) -> Iterable[CounterMetricFamily]:
        """Return every series."""
        taken, lost = families = self._families()
        taken.add_metric((), self._taken())
        for reason in LOSS_REASONS:
            lost.add_metric((reason,), self._lost.get(reason, 0))
        return families

    def _families(self) -> tuple[CounterMetricFamily, CounterMetricFamily]:
        return (
            CounterMetricFamily(
                f"{NAMESPACE}_spans_exported", "Spans that the collector has taken.", labels=()
            ),
            CounterMetricFamily(
                f"{NAMESPACE}_spans_lost", "Spans that no collector has.", labels=("reason",)
            ),
        )
