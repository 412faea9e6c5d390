"""Metrics of deliveries to the webhook."""

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from otpc_policy.ops.metrics.labels import NAMESPACE, OTHER, LabelMeanings

DELIVERY_RESULTS: Final = ("delivered", "failed", "refused", "expired", "lost")

LABELS: Final[LabelMeanings] = {
    f"{NAMESPACE}_webhook_deliveries_total": {
        "result": "`delivered`, `failed` (an attempt; others follow), `refused` (skipped: the"
        " server refused the change as such), `expired` (skipped: not delivered in time), `lost`"
        " (changes may be lost, so the last ones of all endpoints are delivered again)",
    },
}


class WebhookMetrics:
    """Counts deliveries. lag_s: how long the change that is being delivered has waited."""

    def __init__(self, registry: CollectorRegistry, *, lag_s: Callable[[], float]) -> None:
        deliveries = Counter(
            "webhook_deliveries_total",
            "Changes of verdicts that were posted to the webhook.",
            ("result",),
            namespace=NAMESPACE,
            registry=registry,
        )
        self._deliveries = {
            result: deliveries.labels(result) for result in (*DELIVERY_RESULTS, OTHER)
        }
        Gauge(
            "webhook_lag_seconds",
            "How long the change that is being delivered has waited; 0 if none is, and in replicas"
            " that do not deliver.",
            namespace=NAMESPACE,
            registry=registry,
        ).set_function(lag_s)

    def webhook_delivered(self, result: str) -> None:
        """Count what came of a delivery: one of DELIVERY_RESULTS."""
        self._deliveries[result if result in self._deliveries else OTHER].inc()
