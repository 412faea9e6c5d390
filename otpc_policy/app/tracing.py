"""Builds from the settings what records traces; nothing of OpenTelemetry is imported without."""

import os
import socket
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry

from otpc_policy.app.collector_files import require_collector_files
from otpc_policy.app.settings import Settings
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.ops.metrics.tracing import TracingMetrics
from otpc_policy.ops.otlp_http import OtlpHttp

if TYPE_CHECKING:
    from otpc_policy.ops.tracing.tracer import Tracing

# As installed: the name is a namespace that other packages may bring as well.
_PACKAGES: Final = ("sdk", "exporter.otlp.proto.common")
# The next batch waits meanwhile, and is worth more than a third attempt.
_ATTEMPTS: Final = 2


def tracing_from(settings: Settings, registry: CollectorRegistry) -> "Tracing | None":
    """Return what records traces; None where the settings name no collector.

    It has a thread of its own, which ends with close. Raises ConfigurationError.
    """
    chosen = settings.tracing
    if not chosen.otlp_endpoint:
        return None
    if not all(map(_is_installed, _PACKAGES)):
        remedy = "pip install 'otpc-policy[tracing]'"
        raise ConfigurationError(
            [f"tracing.otlp_endpoint: OpenTelemetry is not installed; {remedy}"]
        )
    require_collector_files("tracing", chosen.otlp_ca_file, chosen.otlp_headers_file)
    from otpc_policy.ops.tracing.export import SpanExport  # noqa: PLC0415
    from otpc_policy.ops.tracing.tracer import Tracing  # noqa: PLC0415

    export = SpanExport(
        OtlpHttp(
            chosen.otlp_endpoint,
            default_path="/v1/traces",
            content_type="application/x-protobuf",
            timeout_s=chosen.otlp_timeout_s,
            attempts=_ATTEMPTS,
            ca_file=chosen.otlp_ca_file,
            headers_file=chosen.otlp_headers_file,
        )
    )
    TracingMetrics(registry, taken=lambda: export.taken, lost=export.lost)
    return Tracing(
        export,
        service_name=chosen.service_name,
        instance=f"{socket.gethostname()}:{os.getpid()}",
        sample_ratio=chosen.sample_ratio,
        callers_may_sample=chosen.callers_may_sample,
    )


def _is_installed(package: str) -> bool:
    try:
        return find_spec(f"opentelemetry.{package}") is not None
    except ModuleNotFoundError:
        return False
