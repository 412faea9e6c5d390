"""Metrics of the watch list, made at each scrape from what it knows then.

The one place where a label is not known at the start: partner is the id of an entry, of which the
operator has as many as he writes. So they are bounded, and never a host.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from otpc_policy.ops.metrics.labels import NAMESPACE, OTHER, LabelMeanings

MOST_PARTNERS: Final = 2_000
"""Partners with series of their own; the others are counted together, as "other"."""
BEYOND: Final = "other"
WATCH_RESULTS: Final = ("allow", "deny", "indeterminate", "busy", "failed")
WATCH_DECISIONS: Final = ("ALLOW", "DENY", "INDETERMINATE")

_PARTNER: Final = (
    'the id of an entry, `""` for endpoints that no entry names, `other` for all partners beyond'
    f" the first {MOST_PARTNERS:,}"
)
LABELS: Final[LabelMeanings] = {
    f"{NAMESPACE}_watched_endpoints": {
        "partner": _PARTNER,
        "decision": "what holds now; an expired verdict is INDETERMINATE",
    },
    f"{NAMESPACE}_watched_oldest_observation_timestamp_seconds": {"partner": _PARTNER},
    f"{NAMESPACE}_watched_certificate_end_timestamp_seconds": {"partner": _PARTNER},
    f"{NAMESPACE}_watched_waiver_end_timestamp_seconds": {"partner": _PARTNER},
    f"{NAMESPACE}_watched_pin_end_timestamp_seconds": {"partner": _PARTNER},
    f"{NAMESPACE}_watch_checks_total": {
        "result": "`allow`, `deny`, `indeterminate` (the decision), `busy` (no room, asked again"
        " within seconds), `failed` (a fault of this service)",
    },
}

Family = GaugeMetricFamily | CounterMetricFamily


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedPartner:
    """What is known of a partner's watched endpoints together. Instants: seconds since 1970.

    partner: its id, "" for endpoints of none. decisions: how many endpoints have each. Of the
    instants, the first of all endpoints; None where there is none.
    """

    partner: str
    decisions: Counter[str]
    oldest_observation: float | None = None
    certificate_end: float | None = None
    waiver_end: float | None = None
    pin_end: float | None = None


# In the order of their families.
_INSTANTS: Final = (
    attrgetter("oldest_observation"),
    attrgetter("certificate_end"),
    attrgetter("waiver_end"),
    attrgetter("pin_end"),
)


class WatchMetrics(Collector):
    """Counts what the watch list does. partners, behind_s: what is known at a scrape."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        partners: Callable[[], Sequence[WatchedPartner]],
        behind_s: Callable[[], float],
    ) -> None:
        self._partners, self._behind_s = partners, behind_s
        self._checks = dict.fromkeys((*WATCH_RESULTS, OTHER), 0)
        registry.register(self)

    def watch_checked(self, result: str) -> None:
        """Count what came of a check: one of WATCH_RESULTS."""
        self._checks[result if result in self._checks else OTHER] += 1

    def describe(self) -> Iterable[Family]:
        """Return the names, for the registry, which refuses to have one twice."""
        return self._families()

    def collect(self) -> Iterator[Family]:
        """Yield every series, each family when it is asked for."""
        endpoints, *instants, behind, checks = self._families()
        partners = list(_bounded(self._partners()))
        for each in partners:
            for decision in WATCH_DECISIONS:
                endpoints.add_metric((each.partner, decision), each.decisions[decision])
        yield endpoints
        for family, of in zip(instants, _INSTANTS, strict=True):
            for each in partners:
                if (at := of(each)) is not None:
                    family.add_metric((each.partner,), at)
            yield family
        behind.add_metric((), self._behind_s())
        yield behind
        for result, count in self._checks.items():
            checks.add_metric((result,), count)
        yield checks

    def _families(self) -> tuple[Family, ...]:
        def by_partner(name: str, text: str, *labels: str) -> GaugeMetricFamily:
            return GaugeMetricFamily(f"{NAMESPACE}_{name}", text, labels=("partner", *labels))

        return (
            by_partner("watched_endpoints", "Watched endpoints by what holds now.", "decision"),
            by_partner(
                "watched_oldest_observation_timestamp_seconds",
                "When the oldest facts of the partner's endpoints were measured.",
            ),
            by_partner(
                "watched_certificate_end_timestamp_seconds",
                "When the first of the leaf certificates at the partner's endpoints ends.",
            ),
            by_partner(
                "watched_waiver_end_timestamp_seconds",
                "When the next of the partner's waivers ends.",
            ),
            by_partner(
                "watched_pin_end_timestamp_seconds", "When the next of the partner's pins ends."
            ),
            GaugeMetricFamily(
                f"{NAMESPACE}_watch_behind_seconds",
                "For how long the most overdue watched endpoint has waited for its measurement.",
                labels=(),
            ),
            CounterMetricFamily(
                f"{NAMESPACE}_watch_checks",
                "Checks that the watch list has made.",
                labels=("result",),
            ),
        )


def _bounded(partners: Sequence[WatchedPartner]) -> Iterator[WatchedPartner]:
    """Yield the partners, in the order of ids; those beyond the bound together."""
    ordered = sorted(partners, key=lambda each: each.partner)
    yield from ordered[:MOST_PARTNERS]
    if beyond := ordered[MOST_PARTNERS:]:
        yield WatchedPartner(
            partner=BEYOND,
            decisions=sum((each.decisions for each in beyond), Counter()),
            oldest_observation=_first(each.oldest_observation for each in beyond),
            certificate_end=_first(each.certificate_end for each in beyond),
            waiver_end=_first(each.waiver_end for each in beyond),
            pin_end=_first(each.pin_end for each in beyond),
        )


def _first(instants: Iterable[float | None]) -> float | None:
    return min((at for at in instants if at is not None), default=None)
