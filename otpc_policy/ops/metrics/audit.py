"""Metrics of the audit trail, read from it at each scrape."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector

from otpc_policy.ops.metrics.labels import NAMESPACE, LabelMeanings

_SINK: Final = "`stderr`, `stdout`, `file`, `otlp`: those that are configured"
LABELS: Final[LabelMeanings] = {
    f"{NAMESPACE}_audit_lines_total": {"sink": _SINK},
    f"{NAMESPACE}_audit_lines_lost_total": {"sink": _SINK},
    f"{NAMESPACE}_refusals_total": {
        "code": "the gRPC status",
        "reason": "of its ErrorInfo; empty if it has none",
    },
}


class Sink(Protocol):
    """A sink of audit lines, with its counts."""

    @property
    def name(self) -> str: ...
    @property
    def taken(self) -> int: ...
    @property
    def lost(self) -> int: ...


class AuditMetrics(Collector):
    """Lines by sink, and refusals.

    refusals: their numbers by code and reason. kinds: every code and reason that is known, so that
    each series is there from the start. summarised: refusals without a line of their own.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        sinks: Sequence[Sink],
        refusals: Mapping[tuple[str, str], int],
        kinds: Iterable[tuple[str, str]],
        summarised: Callable[[], int],
    ) -> None:
        self._sinks, self._refusals, self._summarised = sinks, refusals, summarised
        self._kinds = sorted(set(kinds))
        registry.register(self)

    def describe(self) -> Iterable[CounterMetricFamily]:
        """Return the names, for the registry, which refuses to have one twice."""
        return self._families()

    def collect(self) -> Iterable[CounterMetricFamily]:
        """Return every series."""
        taken, lost, refusals, summarised = families = self._families()
        for sink in self._sinks:
            taken.add_metric((sink.name,), sink.taken)
            lost.add_metric((sink.name,), sink.lost)
        for kind in sorted({*self._kinds, *self._refusals}):
            refusals.add_metric(kind, self._refusals.get(kind, 0))
        summarised.add_metric((), self._summarised())
        return families

    def _families(self) -> tuple[CounterMetricFamily, ...]:
        return (
            CounterMetricFamily(
                f"{NAMESPACE}_audit_lines", "Audit lines that a sink has taken.", labels=("sink",)
            ),
            CounterMetricFamily(
                f"{NAMESPACE}_audit_lines_lost",
                "Audit lines that a sink was too slow for, or refused.",
                labels=("sink",),
            ),
            CounterMetricFamily(
                f"{NAMESPACE}_refusals",
                "Calls and items of batches that ended with a status other than OK.",
                labels=("code", "reason"),
            ),
            CounterMetricFamily(
                f"{NAMESPACE}_audit_refusals_summarised",
                "Refusals beyond the bound of a caller, which have no audit line of their own.",
                labels=(),
            ),
        )
