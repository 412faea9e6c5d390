"""Metrics of verdicts that are published, and of those who follow their changes."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from otpc_policy.ops.metrics.labels import NAMESPACE, OTHER, LabelMeanings

PUBLICATION_OUTCOMES: Final = ("published", "same", "refused", "full")
END_REASONS: Final = ("age", "caller", "drain", "slow", "too_old", "unavailable", "failed")

LABELS: Final[LabelMeanings] = {
    f"{NAMESPACE}_verdict_publications_total": {
        "outcome": "`published` (a change), `same` (the decision is the last one's), `refused` (a"
        " newer one was published, or the last is still good), `full` (no room for another"
        " endpoint)",
    },
    f"{NAMESPACE}_verdict_streams_ended_total": {
        "reason": "`age` (by itself, in time), `caller` (who left), `drain`, `slow` (the caller did"
        " not read), `too_old` (the caller has to list again), `unavailable` (the store), `failed`"
        " (refused, or a fault of this service)",
    },
}


class ChangeMetrics:
    """Counts what is published and followed. There is none where nothing is watched."""

    def __init__(self, registry: CollectorRegistry) -> None:
        publications = Counter(
            "verdict_publications_total",
            "Verdicts about watched endpoints that were compared with the last one published.",
            ("outcome",),
            namespace=NAMESPACE,
            registry=registry,
        )
        self._publications = {
            outcome: publications.labels(outcome) for outcome in (*PUBLICATION_OUTCOMES, OTHER)
        }
        self._followed = Gauge(
            "verdict_changes_followed",
            "It is known what verdict has changed last.",
            namespace=NAMESPACE,
            registry=registry,
        )
        self._open = Gauge(
            "verdict_streams",
            "Streams of changes that are open.",
            namespace=NAMESPACE,
            registry=registry,
        )
        ended = Counter(
            "verdict_streams_ended_total",
            "Streams of changes that have ended.",
            ("reason",),
            namespace=NAMESPACE,
            registry=registry,
        )
        self._ended = {reason: ended.labels(reason) for reason in (*END_REASONS, OTHER)}

    def verdict_published(self, outcome: str) -> None:
        """Count what became of a verdict: one of PUBLICATION_OUTCOMES."""
        self._publications[outcome if outcome in self._publications else OTHER].inc()

    def changes_followed(self, is_current: bool) -> None:
        """Record whether the changes are followed."""
        self._followed.set(is_current)

    def stream_opened(self) -> None:
        """Count a stream."""
        self._open.inc()

    def stream_ended(self, reason: str) -> None:
        """Count a stream that has ended: one of END_REASONS."""
        self._open.dec()
        self._ended[reason if reason in self._ended else OTHER].inc()
