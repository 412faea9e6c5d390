"""The service's metrics: collectors on an injected registry, each documented where it is made.

Every label is a bounded set known at start, and every series exists from the start with the value
zero, so that a rate over a first event is right. Children are looked up in advance: counting costs
a dictionary lookup and an increment.
"""

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from otpc_policy import __version__
from otpc_policy.policy.finding import Decision, Effect, Finding

NAMESPACE = "otpc_policy"

# Every status code of gRPC, in the spelling of go-grpc-middleware.
STATUS_CODES: Mapping[str, str] = {
    "OK": "OK",
    "CANCELLED": "Canceled",
    "UNKNOWN": "Unknown",
    "INVALID_ARGUMENT": "InvalidArgument",
    "DEADLINE_EXCEEDED": "DeadlineExceeded",
    "NOT_FOUND": "NotFound",
    "ALREADY_EXISTS": "AlreadyExists",
    "PERMISSION_DENIED": "PermissionDenied",
    "RESOURCE_EXHAUSTED": "ResourceExhausted",
    "FAILED_PRECONDITION": "FailedPrecondition",
    "ABORTED": "Aborted",
    "OUT_OF_RANGE": "OutOfRange",
    "UNIMPLEMENTED": "Unimplemented",
    "INTERNAL": "Internal",
    "UNAVAILABLE": "Unavailable",
    "DATA_LOSS": "DataLoss",
    "UNAUTHENTICATED": "Unauthenticated",
}
# The methods that are not unary; all of ours are.
_STREAM_TYPES: Mapping[tuple[str, str], str] = {
    ("grpc.health.v1.Health", "Watch"): "server_stream",
    ("grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo"): "bidi_stream",
}
# The label for every value that was not known at start: callers cannot add series.
OTHER = "unknown"

DECIDING_RPCS = ("CheckEndpoint", "BatchCheckEndpoints", "ValidateCertificate")
CACHE_TIERS = ("memory",)
CACHE_RESULTS = ("hit", "stale", "miss", "refresh")
FLIGHT_RESULTS = ("began", "joined")
CONTRADICTION_SUBJECTS = ("version", "cipher_suite")
_DNS_FAILURES = ("nxdomain", "nodata", "servfail", "refused", "timeout", "other")
DNS_RESULTS = ("answered", *_DNS_FAILURES, "overloaded")
SCAN_OUTCOMES = ("complete", "incomplete", "unreachable", "overloaded", "failed")
RELOAD_RESULTS = ("success", "failure")
FINDING_EFFECTS = (Effect.ADVISORY, Effect.DENY, Effect.INDETERMINATE, Effect.WAIVED)

# A cached response takes a fraction of a millisecond, a cold one several round trips, a stuck
# target the scan's deadline.
HANDLING_BUCKETS_S = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    20,
    30,
)
SCAN_BUCKETS_S = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 20, 30)
# From "just measured" to beyond the lifetimes of unknown, DENY and ALLOW results.
AGE_BUCKETS_S = (0.1, 1, 5, 15, 30, 60, 150, 300, 900, 1800, 3600, 5400, 7200)


class Metrics:
    """All collectors of a process.

    finding_codes, rpc_methods (service, method): every value that labels may have.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        finding_codes: Iterable[str],
        rpc_methods: Iterable[tuple[str, str]],
    ) -> None:
        # Process-wide in the library. By default every counter and histogram has a second series,
        # "_created".
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry
        self._build_rpc(tuple(rpc_methods))
        self._build_decisions(tuple(finding_codes))
        self._build_measuring()
        self._build_process()

    def _build_rpc(self, methods: tuple[tuple[str, str], ...]) -> None:
        names = ("grpc_type", "grpc_service", "grpc_method")
        # The server metrics of go-grpc-middleware, with its names and labels, so that its
        # dashboards and alerts fit. grpc_type: unary, server_stream, bidi_stream. grpc_service,
        # grpc_method: those registered, else "unknown".
        started = Counter(
            "grpc_server_started_total",
            "Calls started on the server.",
            names,
            registry=self._registry,
        )
        # grpc_code: the 17 status codes.
        handled = Counter(
            "grpc_server_handled_total",
            "Calls completed on the server, whatever the status.",
            (*names, "grpc_code"),
            registry=self._registry,
        )
        handling = Histogram(
            "grpc_server_handling_seconds",
            "Time from the start of a call to its status.",
            names,
            buckets=HANDLING_BUCKETS_S,
            registry=self._registry,
        )
        labels = {
            method: (_STREAM_TYPES.get(method, "unary"), *method)
            for method in (*methods, (OTHER, OTHER))
        }
        self._started = {method: started.labels(*values) for method, values in labels.items()}
        self._handling = {method: handling.labels(*values) for method, values in labels.items()}
        self._handled = {
            (*method, code): handled.labels(*values, label)
            for method, values in labels.items()
            for code, label in STATUS_CODES.items()
        }

    def _build_decisions(self, codes: tuple[str, ...]) -> None:
        # rpc: the three methods that decide. decision: ALLOW, DENY, INDETERMINATE. Items of a batch
        # count separately.
        decisions = Counter(
            "decisions_total",
            "Verdicts given.",
            ("rpc", "decision"),
            namespace=NAMESPACE,
            registry=self._registry,
        )
        self._decisions = {
            (rpc, decision): decisions.labels(rpc, decision.name)
            for rpc, decision in product((*DECIDING_RPCS, OTHER), Decision)
        }
        # code: the registered finding codes, else "unknown". effect: ADVISORY, DENY, INDETERMINATE,
        # WAIVED.
        findings = Counter(
            "findings_total",
            "Findings in the verdicts given.",
            ("code", "effect"),
            namespace=NAMESPACE,
            registry=self._registry,
        )
        self._findings = {
            (code, effect): findings.labels(code, effect.name)
            for code, effect in product((*codes, OTHER), FINDING_EFFECTS)
        }
        self._age = Histogram(
            "result_age_seconds",
            "Age of the oldest fact behind a verdict.",
            namespace=NAMESPACE,
            buckets=AGE_BUCKETS_S,
            registry=self._registry,
        )

    def _build_measuring(self) -> None:
        # tier: memory. result: hit (fresh), stale (past its lifetime and still used), miss, refresh
        # (the caller demanded a measurement).
        cache = Counter(
            "cache_requests_total",
            "Look-ups of facts, one for each address.",
            ("tier", "result"),
            namespace=NAMESPACE,
            registry=self._registry,
        )
        self._cache = {
            pair: cache.labels(*pair)
            for pair in product((*CACHE_TIERS, OTHER), (*CACHE_RESULTS, OTHER))
        }
        # result: began a measurement, joined one under way.
        flights = Counter(
            "flights_total",
            "Needs for a measurement.",
            ("result",),
            namespace=NAMESPACE,
            registry=self._registry,
        )
        self._flights = {result: flights.labels(result) for result in (*FLIGHT_RESULTS, OTHER)}
        # outcome: complete, incomplete (some fact unknown), unreachable, overloaded (no room),
        # failed (a bug or a lost worker).
        scans = Counter(
            "scans_total",
            "Measurements of one address that ended.",
            ("outcome",),
            namespace=NAMESPACE,
            registry=self._registry,
        )
        self._scans = {outcome: scans.labels(outcome) for outcome in (*SCAN_OUTCOMES, OTHER)}
        self._scan_s = Histogram(
            "scan_seconds",
            "Time to measure one address, waiting included.",
            namespace=NAMESPACE,
            buckets=SCAN_BUCKETS_S,
            registry=self._registry,
        )
        # result: answered (with addresses), nxdomain, nodata (of neither family), servfail,
        # refused, timeout, other (no server reached, or nonsense), overloaded (crowded out by
        # other names).
        look_ups = Counter(
            "dns_lookups_total",
            "Host names looked up in DNS.",
            ("result",),
            namespace=NAMESPACE,
            registry=self._registry,
        )
        self._look_ups = {result: look_ups.labels(result) for result in (*DNS_RESULTS, OTHER)}
        self._fall_backs = Counter(
            "dns_stale_resolutions_total",
            "Times that earlier addresses stood in for those that name servers did not give.",
            namespace=NAMESPACE,
            registry=self._registry,
        )
        self._questions = Gauge(
            "dns_questions_outstanding",
            "Questions to name servers that have not ended; two for each name.",
            namespace=NAMESPACE,
            registry=self._registry,
        )
        # subject: version, cipher_suite. Our proof contradicts sslyze's; the fact is then unknown.
        contradictions = Counter(
            "deep_contradictions_total",
            "Facts that the DEEP measurement contradicts.",
            ("subject",),
            namespace=NAMESPACE,
            registry=self._registry,
        )
        self._contradictions = {
            subject: contradictions.labels(subject) for subject in (*CONTRADICTION_SUBJECTS, OTHER)
        }
        self._queue = Gauge(
            "scan_queue_length",
            "Measurements that wait.",
            namespace=NAMESPACE,
            registry=self._registry,
        )
        self._workers = Gauge(
            "scan_workers",
            "Worker processes that are alive.",
            namespace=NAMESPACE,
            registry=self._registry,
        )

    def _build_process(self) -> None:
        # 1 after a successful load of policies, partners and trust, 0 after a failed one (the last
        # good set then stays).
        self._config_good = Gauge(
            "config_last_reload_successful",
            "The last load of policies, partners and trust succeeded.",
            namespace=NAMESPACE,
            registry=self._registry,
        )
        self._config_at = Gauge(
            "config_last_reload_success_timestamp_seconds",
            "When they were last loaded well.",
            namespace=NAMESPACE,
            registry=self._registry,
        )
        # result: success, failure (the last good set stays). The load at the start is none.
        reloads = Counter(
            "config_reloads_total",
            "Reloads of policies, partners and trust.",
            ("result",),
            namespace=NAMESPACE,
            registry=self._registry,
        )
        self._reloads = {result: reloads.labels(result) for result in (*RELOAD_RESULTS, OTHER)}
        self._partners = Gauge(
            "partners",
            "Partners whose entries are in use.",
            namespace=NAMESPACE,
            registry=self._registry,
        )
        # kind: waiver, pin, anchor. Never a partner: `otpc-policy policy lint` says which.
        self._next_end = Gauge(
            "partner_next_end_seconds",
            "Time until the next one ends; +Inf if none does.",
            ("kind",),
            namespace=NAMESPACE,
            registry=self._registry,
        )
        self._ended = Gauge(
            "partner_ended",
            "Those that have ended and are still written down.",
            ("kind",),
            namespace=NAMESPACE,
            registry=self._registry,
        )
        # Not zero: the reader of the log is too slow, and decisions are missing from it.
        self._undocumented = Gauge(
            "decision_log_dropped_lines",
            "Decisions that reached no log.",
            namespace=NAMESPACE,
            registry=self._registry,
        )
        versions = {
            "version": __version__,
            "python": platform.python_version(),
            "grpcio": version("grpcio"),
            "sslyze": _installed("sslyze"),
        }
        Gauge(
            "build_info",
            "Always 1; the labels are versions.",
            tuple(versions),
            namespace=NAMESPACE,
            registry=self._registry,
        ).labels(**versions).set(1)

    def rpc_started(self, service: str, method: str) -> None:
        """Count a call that begins."""
        (self._started.get((service, method)) or self._started[OTHER, OTHER]).inc()

    def rpc_handled(self, service: str, method: str, code: str, seconds: float) -> None:
        """Count a call that ended. code: the name in grpc.StatusCode, such as "NOT_FOUND"."""
        if (service, method) not in self._handling:
            service = method = OTHER
        self._handled[service, method, code if code in STATUS_CODES else "UNKNOWN"].inc()
        self._handling[service, method].observe(seconds)

    def decided(
        self,
        *,
        rpc: str,
        decision: Decision,
        findings: Sequence[Finding],
        result_age_s: float | None,
    ) -> None:
        """Count a verdict. result_age_s: None where no facts of an endpoint were used."""
        (self._decisions.get((rpc, decision)) or self._decisions[OTHER, decision]).inc()
        for finding in findings:
            (
                self._findings.get((finding.code, finding.effect))
                or self._findings[OTHER, finding.effect]
            ).inc()
        if result_age_s is not None:
            self._age.observe(result_age_s)

    def cache_request(self, result: str, *, tier: str = "memory") -> None:
        """Count a look-up of facts. tier: whose facts answered; there is one so far."""
        (self._cache.get((tier, result)) or self._cache[OTHER, OTHER]).inc()

    def flight(self, result: str) -> None:
        """Count a need for a measurement."""
        (self._flights.get(result) or self._flights[OTHER]).inc()

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

    def contradicted(self, subject: str) -> None:
        """Count a fact about which two measurements disagree."""
        (self._contradictions.get(subject) or self._contradictions[OTHER]).inc()

    def watch_scanner(self, queued: Callable[[], float], workers: Callable[[], float]) -> None:
        """Read at each scrape the length of the queue and the number of workers."""
        self._queue.set_function(queued)
        self._workers.set_function(workers)

    def watch_decision_log(self, dropped: Callable[[], float]) -> None:
        """Read at each scrape the number of decisions that reached no log."""
        self._undocumented.set_function(dropped)

    def watch_partners(
        self,
        count: Callable[[], float],
        next_end_s: Mapping[str, Callable[[], float]],
        ended: Mapping[str, Callable[[], float]],
    ) -> None:
        """Read at each scrape how many partners there are and, by kind, their deadlines.

        next_end_s: seconds until the next end. ended: how many have ended.
        """
        self._partners.set_function(count)
        for kind, seconds in next_end_s.items():
            self._next_end.labels(kind).set_function(seconds)
        for kind, number in ended.items():
            self._ended.labels(kind).set_function(number)

    def config_reload(self, result: str) -> None:
        """Count a reload."""
        (self._reloads.get(result) or self._reloads[OTHER]).inc()

    def config_loaded(self, successful: bool, at: datetime) -> None:
        """Record a load of policies, partners and trust."""
        self._config_good.set(successful)
        if successful:
            self._config_at.set(at.timestamp())


def _installed(package: str) -> str:
    """Return the version of a package that may be missing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
