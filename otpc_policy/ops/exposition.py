"""The two text formats of metrics, and which one a scraper gets.

OpenMetrics is for those that ask for it: it alone has exemplars. Everybody else, people with curl
among them, gets the text format of Prometheus.
"""

from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

_OPENMETRICS: Final = "application/openmetrics-text"
_PLAIN: Final = "text/plain"
# What Prometheus asks for; 0.0.1 is the name that it gave to the draft of 1.0.0.
_VERSIONS: Final = frozenset({"", "1.0.0", "0.0.1"})


def exposition(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """Return all metrics and their content type. accept: of the request; empty if it has none."""
    if wants_openmetrics(accept):
        body: bytes = generate_openmetrics(registry)  # type: ignore[no-untyped-call]
        return body, CONTENT_TYPE_LATEST
    return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4


def wants_openmetrics(accept: str) -> bool:
    """Tell whether OpenMetrics 1.0 is named, and no less wanted than the other format.

    Source: RFC 9110 12.5.1. What is malformed counts as not named.
    """
    wanted = {_OPENMETRICS: 0.0, _PLAIN: 0.0}
    for media_range in accept.lower().split(","):
        kind, *rest = (part.strip() for part in media_range.split(";"))
        parameters = dict(part.split("=", 1) for part in rest if "=" in part)
        if kind in wanted and (
            kind == _PLAIN or parameters.get("version", "").strip('"') in _VERSIONS
        ):
            wanted[kind] = max(wanted[kind], _quality(parameters.get("q", "1")))
    return 0.0 < wanted[_OPENMETRICS] >= wanted[_PLAIN]


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if 0.0 <= quality <= 1.0 else 0.0
