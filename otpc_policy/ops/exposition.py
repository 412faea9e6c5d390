"""The two text formats of metrics, and which one a scraper gets.

OpenMetrics is for those that ask for it: it alone has exemplars. Everybody else, people with curl
among them, gets the text format of Prometheus.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

_OPENMETRICS: Final = "application/openmetrics-text"
_PLAIN: Final = "text/plain"
_END: Final = b"# EOF\n"
# To write so many takes about 15 ms, for which calls wait. Without a watch list there are no more.
_SERIES_AT_ONCE: Final = 2_000
# What Prometheus asks for; 0.0.1 is the name that it gave to the draft of 1.0.0.
_VERSIONS: Final = frozenset({"", "1.0.0", "0.0.1"})


class _Families(Collector):
    """Some of the families of a registry."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Return them."""
        return self._families


async def exposition(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """Return all metrics and their content type. accept: of the request; empty if it has none.

    Made in pieces, between which others have their turn: partners may have thousands of series.
    """
    is_openmetrics = wants_openmetrics(accept)
    source, pieces = iter(registry.collect()), list[bytes]()
    while families := list(_some(source)):
        if pieces:
            await asyncio.sleep(0)
        pieces.append(_text(_Families(families), is_openmetrics))
    if is_openmetrics:
        return b"".join((*pieces, _END)), CONTENT_TYPE_LATEST
    return b"".join(pieces), CONTENT_TYPE_PLAIN_0_0_4


def _text(families: Collector, is_openmetrics: bool) -> bytes:
    if not is_openmetrics:
        return generate_latest(families)
    body: bytes = generate_openmetrics(families)  # type: ignore[no-untyped-call]
    return body.removesuffix(_END)


def _some(source: Iterator[Metric]) -> Iterator[Metric]:
    """Yield the next families, until they have enough series for a piece."""
    count = 0
    for family in source:
        yield family
        count += len(family.samples)
        if count >= _SERIES_AT_ONCE:
            return


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
