"""Counters and histograms for what every call counts, in plain integers.

prometheus_client takes a lock for each increment, and three for each observation, so that any
thread may count. What is counted here is counted on the event loop alone, where an addition needs
no lock: nothing is lost, and a scrape, which the event loop answers too, sees no half of an
observation. Names, labels and text are those that prometheus_client's own classes would write.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import INF, floatToGoString


class Tally:
    """A number of events."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def inc(self) -> None:
        """Count an event. On the event loop only."""
        self.count += 1


class Tallies(Collector):
    """A counter with labels. name: with its namespace, "_total" included."""

    def __init__(
        self,
        name: str,
        documentation: str,
        label_names: Sequence[str],
        *,
        registry: CollectorRegistry,
    ) -> None:
        self._name, self._documentation = name, documentation
        self._label_names = tuple(label_names)
        self._tallies: dict[tuple[str, ...], Tally] = {}
        registry.register(self)

    def labels(self, *values: str) -> Tally:
        """Return the series of these label values, which exists from now on."""
        return self._tallies.setdefault(values, Tally())

    def describe(self) -> Iterable[CounterMetricFamily]:
        """Return the name, for the registry, which refuses to have it twice."""
        return (self._family(),)

    def collect(self) -> Iterable[CounterMetricFamily]:
        """Return every series."""
        family = self._family()
        for values, tally in self._tallies.items():
            family.add_metric(values, tally.count)
        return (family,)

    def _family(self) -> CounterMetricFamily:
        return CounterMetricFamily(self._name, self._documentation, labels=self._label_names)


class Distribution:
    """How many observations there were up to each bound, and their sum."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        # Each of its own bucket alone; the last one is of what exceeds every bound.
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, amount: float) -> None:
        """Count an observation. On the event loop only."""
        self.counts[bisect_left(self._bounds, amount)] += 1
        self.total += amount


class Distributions(Collector):
    """A histogram with labels. bounds: upper ones, inclusive, ascending, without infinity."""

    def __init__(
        self,
        name: str,
        documentation: str,
        label_names: Sequence[str],
        *,
        bounds: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._name, self._documentation = name, documentation
        self._label_names = tuple(label_names)
        self._bounds = tuple(map(float, bounds))
        self._bound_labels = [
            floatToGoString(bound)  # type: ignore[no-untyped-call]
            for bound in (*self._bounds, INF)
        ]
        self._distributions: dict[tuple[str, ...], Distribution] = {}
        registry.register(self)

    def labels(self, *values: str) -> Distribution:
        """Return the series of these label values, which exists from now on."""
        return self._distributions.setdefault(values, Distribution(self._bounds))

    def describe(self) -> Iterable[HistogramMetricFamily]:
        """Return the name, for the registry, which refuses to have it twice."""
        return (self._family(),)

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Return every series; the count of a bucket includes those below it."""
        family = self._family()
        for values, distribution in self._distributions.items():
            so_far, buckets = 0, []
            for label, count in zip(self._bound_labels, distribution.counts, strict=True):
                so_far += count
                buckets.append((label, so_far))
            family.add_metric(values, buckets, distribution.total)
        return (family,)

    def _family(self) -> HistogramMetricFamily:
        return HistogramMetricFamily(self._name, self._documentation, labels=self._label_names)
