"""What the library's verifier says of paths under Mozilla's roots that were proven here."""

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector

from otpc_policy.ops.metrics.labels import NAMESPACE, LabelMeanings
from otpc_policy.pki.second_opinion import OPINIONS, REASONS, Opinion

LABELS: Final[LabelMeanings] = {
    f"{NAMESPACE}_second_opinions_total": {
        "opinion": "`agrees`; `explained` (it refuses, for a known reason); `unexplained` (one of"
        " the two has a fault: alert on these)",
        "reason": "of `explained` ones; empty otherwise",
    },
}


class SecondOpinionMetrics(Collector):
    """Reads the counts of the process. Alert on "unexplained": one of the two has a fault."""

    _SERIES = (
        (Opinion.AGREES, ""),
        (Opinion.UNEXPLAINED, ""),
        *((Opinion.EXPLAINED, reason) for reason in REASONS),
    )

    def __init__(self, registry: CollectorRegistry) -> None:
        registry.register(self)

    def describe(self) -> Iterable[CounterMetricFamily]:
        """Return the name, for the registry, which refuses to have it twice."""
        return (self._family(),)

    def collect(self) -> Iterable[CounterMetricFamily]:
        """Return every series."""
        family, counts = self._family(), OPINIONS.counts()
        for opinion, reason in self._SERIES:
            family.add_metric((opinion.value, reason), counts.get((opinion, reason), 0))
        return (family,)

    @staticmethod
    def _family() -> CounterMetricFamily:
        return CounterMetricFamily(
            f"{NAMESPACE}_second_opinions_total",
            "Paths under Mozilla's roots that were proven, by what cryptography's verifier says.",
            labels=("opinion", "reason"),
        )
