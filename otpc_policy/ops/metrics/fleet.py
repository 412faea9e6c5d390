"""Metrics of what replicas share: the store, records in it, leases, clocks."""

from itertools import product
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from otpc_policy.ops.metrics.labels import NAMESPACE, OTHER, LabelMeanings

STORE_OPERATIONS = (
    *("get", "put", "discard", "discard_host", "acquire", "renew", "release"),
    *("watch_keep", "watch_claim", "watch_due_in", "watch_due", "watch_drop"),
    *("verdict_publish", "verdict_snapshot", "changes_read"),
    *("delivery_claim", "delivery_keep", "delivery_release"),
    *("slots", "members", "poll", "servers"),
)
STORE_RESULTS = ("ok", "unavailable")
RECORD_REASONS = ("signature", "malformed", "oversize")
SLOT_RESULTS = ("granted", "waited", "given_up", "unavailable")
LEASE_RESULTS = ("leased", "taken", "unavailable", "given_up", "lost")
_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)

LABELS: Final[LabelMeanings] = {
    f"{NAMESPACE}_store_requests_total": {
        "operation": "`get`, `put`, `discard`, `discard_host` (an invalidation), `acquire`, `renew`"
        " and `release` (of leases), `watch_keep`, `watch_claim`, `watch_due_in`, `watch_due` and"
        " `watch_drop` (of the watch list's schedule), `verdict_publish`, `verdict_snapshot` and"
        " `changes_read` (of verdicts about watched endpoints), `delivery_claim`, `delivery_keep`"
        " and `delivery_release` (of the webhook), `slots` (connections to an address), `members`"
        " (how many replicas there are), `poll` (which facts have changed), `servers` (of a"
        " cluster: which has which slots)",
        "result": "`ok`, or `unavailable`",
    },
    f"{NAMESPACE}_store_records_refused_total": {
        "reason": "`signature` (not signed with this fleet's keys, or moved), `malformed` (signed,"
        " by a release that writes facts otherwise), `oversize`",
    },
    f"{NAMESPACE}_leases_total": {
        "result": "`leased` (to this replica, which measures), `taken` (another one's facts),"
        " `unavailable` (measured without a lease), `given_up` (the same, after too long a wait),"
        " `lost` (not renewed in time)",
    },
    f"{NAMESPACE}_connection_slots_total": {
        "result": "`granted` (at once), `waited` (granted when other replicas had given some back),"
        " `given_up` (too long a wait: measured with this replica's part of the cap), `unavailable`"
        " (the same, without the store)",
    },
}


class FleetMetrics:
    """Counts what this replica asks of the store that all share. There is none without a fleet."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._available = Gauge(
            "store_available",
            "The store that replicas share answered when it was last asked.",
            namespace=NAMESPACE,
            registry=registry,
        )
        requests = Counter(
            "store_requests_total",
            "Requests to the store that replicas share.",
            ("operation", "result"),
            namespace=NAMESPACE,
            registry=registry,
        )
        self._requests = {
            pair: requests.labels(*pair)
            for pair in product((*STORE_OPERATIONS, OTHER), (*STORE_RESULTS, OTHER))
        }
        self._seconds = Histogram(
            "store_seconds",
            "Time of requests that the store answered.",
            namespace=NAMESPACE,
            buckets=_BUCKETS_S,
            registry=registry,
        )
        refused = Counter(
            "store_records_refused_total",
            "Records in the store that were not used.",
            ("reason",),
            namespace=NAMESPACE,
            registry=registry,
        )
        self._refused = {reason: refused.labels(reason) for reason in (*RECORD_REASONS, OTHER)}
        leases = Counter(
            "leases_total",
            "Measurements that asked which replica makes them.",
            ("result",),
            namespace=NAMESPACE,
            registry=registry,
        )
        self._leases = {result: leases.labels(result) for result in (*LEASE_RESULTS, OTHER)}
        slots = Counter(
            "connection_slots_total",
            "Addresses for whose connections this replica asked, because others measure them too.",
            ("result",),
            namespace=NAMESPACE,
            registry=registry,
        )
        self._slots = {result: slots.labels(result) for result in (*SLOT_RESULTS, OTHER)}
        self._ahead = Gauge(
            "store_clock_ahead_seconds",
            "By how much the store's clock is ahead of this one's. Beyond five seconds, facts are "
            "not shared.",
            namespace=NAMESPACE,
            registry=registry,
        )

    def store_asked(self, operation: str, result: str, seconds: float) -> None:
        """Count a request, and its time where it was answered."""
        pair = (operation, result)
        self._requests[pair if pair in self._requests else (OTHER, OTHER)].inc()
        if result == "ok":
            self._seconds.observe(seconds)

    def store_available(self, is_available: bool) -> None:
        """Record whether the store answers."""
        self._available.set(is_available)

    def record_refused(self, reason: str) -> None:
        """Count a record that was not used."""
        self._refused[reason if reason in self._refused else OTHER].inc()

    def lease_asked(self, result: str) -> None:
        """Count who measures."""
        self._leases[result if result in self._leases else OTHER].inc()

    def slots_asked(self, result: str) -> None:
        """Count how connections to an address were come by."""
        self._slots[result if result in self._slots else OTHER].inc()

    def clock_compared(self, ahead_s: float) -> None:
        """Record by how many seconds the store's clock is ahead."""
        self._ahead.set(ahead_s)
