"""Metrics of measuring: facts that were there, measurements, names looked up, CRLs fetched."""

from collections.abc import Callable
from itertools import product
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from otpc_policy.ops.metrics.labels import NAMESPACE, OTHER, LabelMeanings
from otpc_policy.ops.metrics.tallies import Tallies

CACHE_TIERS = ("memory",)
CACHE_RESULTS = ("hit", "stale", "miss", "refresh")
FLIGHT_RESULTS = ("began", "joined")
LEAF_REPORT_RESULTS = ("known", "seen", "unseen", "unfinished", "limited")
CONTRADICTION_SUBJECTS = ("version", "cipher_suite")
_DNS_FAILURES = ("nxdomain", "nodata", "servfail", "refused", "timeout", "other")
DNS_RESULTS = ("answered", *_DNS_FAILURES, "overloaded")
CRL_RESULTS = (
    *("fetched", "unusable", "unresolved", "forbidden", "unreachable", "refused", "redirected"),
    *("too_large", "timeout", "broken", "engine", "failed"),
)
SCAN_OUTCOMES = ("complete", "incomplete", "unreachable", "overloaded", "dropped", "failed")
SCAN_BUCKETS_S = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 20, 30)

LABELS: Final[LabelMeanings] = {
    f"{NAMESPACE}_cache_requests_total": {
        "tier": "whose facts answered",
        "result": "`hit` (fresh), `stale` (past its lifetime and still used), `miss`, `refresh`"
        " (the caller demanded a measurement)",
    },
    f"{NAMESPACE}_flights_total": {
        "result": "`began` a measurement, `joined` one that was under way",
    },
    f"{NAMESPACE}_leaf_reports_total": {
        "result": "`known` (the facts at hand have the leaf); `seen` (a new measurement found it: a"
        " certificate was renewed); `unseen` (a measurement begun after the report did not: alert"
        " on these); `unfinished` (in time); `limited` (too soon after another report's"
        " measurement)",
    },
    f"{NAMESPACE}_scans_total": {
        "outcome": "`complete`; `incomplete` (some fact is unknown); `unreachable`; `overloaded`"
        " (no room); `dropped` (nobody wanted it any more); `failed` (a bug or a lost worker)",
    },
    f"{NAMESPACE}_dns_lookups_total": {
        "result": "`answered` (with addresses); `nxdomain`; `nodata` (of neither family);"
        " `servfail`; `refused`; `timeout`; `other` (no server reached, or nonsense); `overloaded`"
        " (crowded out by other names)",
    },
    f"{NAMESPACE}_crl_fetches_total": {
        "result": "`fetched` (and signed by the certificate's issuer); `unusable` (proves nothing);"
        " `unresolved`; `forbidden` (an address that may not be dialled); `unreachable`; `refused`"
        " (another status than 200); `redirected` (too often, or away from http); `too_large`;"
        " `timeout`; `broken` (not HTTP, or cut off); `engine` (none could fetch, or its release"
        " cannot); `failed` (a bug)",
    },
    f"{NAMESPACE}_deep_contradictions_total": {
        "subject": "what our proof and sslyze's disagree on; the fact is then unknown",
    },
}


class MeasuringMetrics:
    """Counts look-ups of facts, measurements, and names that were looked up."""

    def __init__(self, registry: CollectorRegistry) -> None:
        cache = Tallies(
            f"{NAMESPACE}_cache_requests_total",
            "Look-ups of facts, one for each address.",
            ("tier", "result"),
            registry=registry,
        )
        self._cache = {
            pair: cache.labels(*pair)
            for pair in product((*CACHE_TIERS, OTHER), (*CACHE_RESULTS, OTHER))
        }
        flights = Counter(
            "flights_total",
            "Needs for a measurement.",
            ("result",),
            namespace=NAMESPACE,
            registry=registry,
        )
        self._flights = {result: flights.labels(result) for result in (*FLIGHT_RESULTS, OTHER)}
        leaf_reports = Counter(
            "leaf_reports_total",
            "Reports by callers of the leaf that their own connections met.",
            ("result",),
            namespace=NAMESPACE,
            registry=registry,
        )
        self._leaf_reports = {
            result: leaf_reports.labels(result) for result in (*LEAF_REPORT_RESULTS, OTHER)
        }
        scans = Counter(
            "scans_total",
            "Measurements of one address that ended.",
            ("outcome",),
            namespace=NAMESPACE,
            registry=registry,
        )
        self._scans = {outcome: scans.labels(outcome) for outcome in (*SCAN_OUTCOMES, OTHER)}
        self._scan_s = Histogram(
            "scan_seconds",
            "Time to measure one address, waiting included.",
            namespace=NAMESPACE,
            buckets=SCAN_BUCKETS_S,
            registry=registry,
        )
        look_ups = Counter(
            "dns_lookups_total",
            "Host names looked up in DNS.",
            ("result",),
            namespace=NAMESPACE,
            registry=registry,
        )
        self._look_ups = {result: look_ups.labels(result) for result in (*DNS_RESULTS, OTHER)}
        self._fall_backs = Counter(
            "dns_stale_resolutions_total",
            "Times that earlier addresses stood in for those that name servers did not give.",
            namespace=NAMESPACE,
            registry=registry,
        )
        self._questions = Gauge(
            "dns_questions_outstanding",
            "Questions to name servers that have not ended; two for each name.",
            namespace=NAMESPACE,
            registry=registry,
        )
        crl_fetches = Counter(
            "crl_fetches_total",
            "Fetches of certificate revocation lists that ended.",
            ("result",),
            namespace=NAMESPACE,
            registry=registry,
        )
        self._crl_fetches = {result: crl_fetches.labels(result) for result in (*CRL_RESULTS, OTHER)}
        self._crl_lists = Gauge(
            "crl_lists",
            "Certificate revocation lists that are kept.",
            namespace=NAMESPACE,
            registry=registry,
        )
        self._crl_bytes = Gauge(
            "crl_bytes",
            "Memory that the kept certificate revocation lists take.",
            namespace=NAMESPACE,
            registry=registry,
        )
        contradictions = Counter(
            "deep_contradictions_total",
            "Facts that the DEEP measurement contradicts.",
            ("subject",),
            namespace=NAMESPACE,
            registry=registry,
        )
        self._contradictions = {
            subject: contradictions.labels(subject) for subject in (*CONTRADICTION_SUBJECTS, OTHER)
        }

    def cache_request(self, result: str, *, tier: str = "memory") -> None:
        """Count a look-up of facts. tier: whose facts answered; there is one so far."""
        (self._cache.get((tier, result)) or self._cache[OTHER, OTHER]).inc()

    def flight(self, result: str) -> None:
        """Count a need for a measurement."""
        (self._flights.get(result) or self._flights[OTHER]).inc()

    def leaf_reported(self, result: str) -> None:
        """Count a report of an observed leaf."""
        (self._leaf_reports.get(result) or self._leaf_reports[OTHER]).inc()

    def scan_finished(self, *, outcome: str, seconds: float) -> None:
        """Count a measurement that ended."""
        (self._scans.get(outcome) or self._scans[OTHER]).inc()
        self._scan_s.observe(seconds)

    def dns_looked_up(self, result: str) -> None:
        """Count a name that was looked up."""
        (self._look_ups.get(result) or self._look_ups[OTHER]).inc()

    def dns_fell_back(self) -> None:
        """Count a name whose earlier addresses were used."""
        self._fall_backs.inc()

    def watch_dns(self, outstanding: Callable[[], float]) -> None:
        """Read at each scrape the number of questions to name servers."""
        self._questions.set_function(outstanding)

    def crl_fetched(self, result: str) -> None:
        """Count a fetch of a CRL."""
        (self._crl_fetches.get(result) or self._crl_fetches[OTHER]).inc()

    def watch_crls(self, lists: Callable[[], float], size: Callable[[], float]) -> None:
        """Read at each scrape how many CRLs are kept, and their bytes."""
        self._crl_lists.set_function(lists)
        self._crl_bytes.set_function(size)

    def contradicted(self, subject: str) -> None:
        """Count a fact about which two measurements disagree."""
        (self._contradictions.get(subject) or self._contradictions[OTHER]).inc()
