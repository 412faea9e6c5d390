"""Counters and histograms for what every call counts, in plain integers.

prometheus_client takes a lock for each increment, and three for each observation, so that any
thread may count. What is counted here is counted on the event loop alone, where an addition needs
no lock: nothing is lost, and a scrape, which the event loop answers too, sees no half of an
observation. Names, labels and text are those that prometheus_client's own classes would write.

A histogram keeps for each bucket the last observation that somebody can look up: its exemplar,
which OpenMetrics alone has. Keeping it costs a tuple; it is put into words when it is scraped.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
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


class Observed(NamedTuple):
    """Where an observation is found: in traces, and in the audit trail. Empty: nowhere.

    Only what this service or the W3C's format made: a caller's own request id could be any text.
    """

    trace_id: str = ""
    check_id: str = ""


class Distribution:
    """How many observations there were up to each bound, and their sum.

    exemplars: by bucket; what was observed, the amount, and when.
    """

    __slots__ = ("_bounds", "_now_s", "counts", "exemplars", "total")

    def __init__(self, bounds: Sequence[float], now_s: Callable[[], float] = time.time) -> None:
        self._bounds, self._now_s = bounds, now_s
        # Each of its own bucket alone; the last one is of what exceeds every bound.
        self.counts = [0] * (len(bounds) + 1)
        self.exemplars: list[tuple[Observed, float, float] | None] = [None] * len(self.counts)
        self.total = 0.0

    def observe(self, amount: float, observed: Observed | None = None) -> None:
        """Count an observation. observed: where it is found. On the event loop only."""
        bucket = bisect_left(self._bounds, amount)
        self.counts[bucket] += 1
        self.total += amount
        if observed is not None:
            self.exemplars[bucket] = observed, amount, self._now_s()


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
            for label, count, kept in zip(
                self._bound_labels, distribution.counts, distribution.exemplars, strict=True
            ):
                so_far += count
                buckets.append((label, so_far, kept and _exemplar(*kept)))
            # The stubs know pairs only; the library takes exemplars as third.
            family.add_metric(values, buckets, distribution.total)  # type: ignore[arg-type]
        return (family,)

    def _family(self) -> HistogramMetricFamily:
        return HistogramMetricFamily(self._name, self._documentation, labels=self._label_names)


def _exemplar(observed: Observed, amount: float, at_s: float) -> Exemplar:
    labels = {name: value for name, value in observed._asdict().items() if value}
    return Exemplar(labels, amount, at_s)
