"""Metrics of calls: the server metrics of go-grpc-middleware, under its names."""

from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry

from otpc_policy.ops.metrics.labels import OTHER, LabelMeanings
from otpc_policy.ops.metrics.tallies import Distribution, Distributions, Observed, Tallies, Tally

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
UNREAD_REASONS = ("too_large", "not_received")
# The methods that are not unary.
_STREAM_TYPES: Mapping[tuple[str, str], str] = {
    ("grpc.health.v1.Health", "Watch"): "server_stream",
    ("otpc_policy.v1.PolicyCheckService", "WatchVerdicts"): "server_stream",
    ("grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo"): "bidi_stream",
}

# A cached response takes a fraction of a millisecond, a cold one several round trips, a stuck
# target the scan's deadline.
HANDLING_BUCKETS_S = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1, 2.5, 5, 10, 20, 30),
)


_METHOD: Final = {
    "grpc_type": "unary, or who streams",
    "grpc_service": "a registered service",
    "grpc_method": "a registered method",
}
LABELS: Final[LabelMeanings] = {
    "grpc_server_started_total": _METHOD,
    "grpc_server_handled_total": {**_METHOD, "grpc_code": "the status"},
    "grpc_server_handling_seconds": _METHOD,
    "otpc_policy_unread_requests_total": {
        "reason": "`too_large` for the service (over 1 MiB); `not_received`: over the 4 MiB that"
        " gRPC accepts, or given up by the caller",
    },
}


class MethodMetrics:
    """Counts the calls of one method. handled: by code, the name in grpc.StatusCode."""

    __slots__ = ("_handled", "_handling", "_started")

    def __init__(
        self, started: Tally, handled: Mapping[str, Tally], handling: Distribution
    ) -> None:
        self._started, self._handled, self._handling = started, handled, handling

    def call_started(self) -> None:
        """Count a call that begins."""
        self._started.inc()

    def call_handled(self, code: str, seconds: float | None, trace_id: str = "") -> None:
        """Count a call that ended. code: such as "NOT_FOUND"; others count as UNKNOWN.

        seconds: None for one that lasts as long as its caller likes. trace_id: of the caller's
        trace, if it has one.
        """
        (self._handled.get(code) or self._handled["UNKNOWN"]).inc()
        if seconds is not None:
            self._handling.observe(seconds, Observed(trace_id) if trace_id else None)


class CallMetrics:
    """methods: (service, method) of all that are served."""

    def __init__(self, registry: CollectorRegistry, methods: Iterable[tuple[str, str]]) -> None:
        names = ("grpc_type", "grpc_service", "grpc_method")
        # The server metrics of go-grpc-middleware, with its names and labels, so that its
        # dashboards and alerts fit.
        started = Tallies(
            "grpc_server_started_total",
            "Calls started on the server.",
            names,
            registry=registry,
        )
        handled = Tallies(
            "grpc_server_handled_total",
            "Calls completed on the server, whatever the status.",
            (*names, "grpc_code"),
            registry=registry,
        )
        handling = Distributions(
            "grpc_server_handling_seconds",
            "Time from the start of a call to its status.",
            names,
            bounds=HANDLING_BUCKETS_S,
            registry=registry,
        )
        unread = Tallies(
            "otpc_policy_unread_requests_total",
            "Calls whose request was not read.",
            ("reason",),
            registry=registry,
        )
        self._unread = {reason: unread.labels(reason) for reason in UNREAD_REASONS}
        self._methods: dict[tuple[str, str], MethodMetrics] = {}
        for service, method in (*methods, (OTHER, OTHER)):
            values = _STREAM_TYPES.get((service, method), "unary"), service, method
            self._methods[service, method] = MethodMetrics(
                started.labels(*values),
                {code: handled.labels(*values, label) for code, label in STATUS_CODES.items()},
                handling.labels(*values),
            )

    def of_method(self, service: str, method: str) -> MethodMetrics:
        """Return what counts the calls of a method, OTHER's for one that was not known at start."""
        return self._methods.get((service, method)) or self._methods[OTHER, OTHER]

    def request_unread(self, reason: str) -> None:
        """Count a request that was not read. reason: of UNREAD_REASONS."""
        self._unread[reason].inc()
