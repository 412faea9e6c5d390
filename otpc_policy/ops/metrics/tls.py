"""Metrics of the service's own TLS files: when they end, and whether they could be read again."""

from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from otpc_policy.ops.metrics.labels import NAMESPACE, LabelMeanings

TLS_FILES = ("certificate", "client_ca")
TLS_RELOAD_RESULTS = ("success", "failure")
_NEVER = float("inf")

LABELS: Final[LabelMeanings] = {
    f"{NAMESPACE}_tls_expiry_timestamp_seconds": {
        "file": "`certificate` (of this service, with its chain), `client_ca`",
    },
    f"{NAMESPACE}_tls_reloads_total": {
        "result": "`success`, or `failure` (the last good files stay)",
    },
}


class TlsMetrics:
    """Certificate and client CAs in use. gRPC reads them on threads of its own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        ends = Gauge(
            "tls_expiry_timestamp_seconds",
            "When the certificates in use end: of several in a file, the first. +Inf where there"
            " is no such file.",
            ("file",),
            namespace=NAMESPACE,
            registry=registry,
        )
        self._tls_ends = {file: ends.labels(file) for file in TLS_FILES}
        for gauge in self._tls_ends.values():
            gauge.set(_NEVER)
        reloads = Counter(
            "tls_reloads_total",
            "Reloads of certificate, key and client CAs, each at the next connection; the load at"
            " the start is none.",
            ("result",),
            namespace=NAMESPACE,
            registry=registry,
        )
        self._tls_reloads = {result: reloads.labels(result) for result in TLS_RELOAD_RESULTS}
        self._tls_good = Gauge(
            "tls_last_reload_successful",
            "1 if the TLS files on disk were usable when they were last read, 0 if the last good"
            " ones are used in their place.",
            namespace=NAMESPACE,
            registry=registry,
        )
        self._tls_good.set(1)

    def tls_loaded(self, certificate_ends_at: datetime, client_ca_ends_at: datetime | None) -> None:
        """Record which files are in use from now on."""
        self._tls_ends["certificate"].set(certificate_ends_at.timestamp())
        ends_at = _NEVER if client_ca_ends_at is None else client_ca_ends_at.timestamp()
        self._tls_ends["client_ca"].set(ends_at)

    def tls_reloaded(self, successful: bool) -> None:
        """Count a reload."""
        self._tls_reloads["success" if successful else "failure"].inc()
        self._tls_good.set(successful)
