"""The reference of metrics, written from the code that makes them.

    python -m tests.monitoring.reference [--write docs/metrics.md]

Names, types, texts, labels and their values are what a service exports that has just been built.
"""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from otpc_policy.app.application import build_application
from otpc_policy.app.settings import Settings
from otpc_policy.engine.metrics import LABELS as ENGINE_LABELS
from otpc_policy.engine.metrics import EngineMetrics
from otpc_policy.ops.metrics import LABELS
from otpc_policy.ops.metrics.changes import LABELS as CHANGE_LABELS
from otpc_policy.ops.metrics.changes import ChangeMetrics
from otpc_policy.ops.metrics.fleet import LABELS as FLEET_LABELS
from otpc_policy.ops.metrics.fleet import FleetMetrics
from otpc_policy.ops.metrics.labels import LabelMeanings
from otpc_policy.ops.metrics.tracing import LABELS as TRACING_LABELS
from otpc_policy.ops.metrics.tracing import TracingMetrics
from otpc_policy.ops.metrics.watch import LABELS as WATCH_LABELS
from otpc_policy.ops.metrics.watch import WatchedPartner, WatchMetrics
from otpc_policy.ops.metrics.webhook import LABELS as WEBHOOK_LABELS
from otpc_policy.ops.metrics.webhook import WebhookMetrics
from tests.engine.serving import World

ROOT: Final = Path(__file__).parents[2]
REFERENCE: Final = ROOT / "docs" / "metrics.md"

# Their values are this machine's.
_OF_THE_MACHINE: Final = frozenset({"otpc_policy_build_info"})
# More values are counted, and found elsewhere.
_MOST_VALUES: Final = 30
_ELSEWHERE: Final[Mapping[str, str]] = {
    "code": "finding codes; `otpc-policy explain CODE` explains each",
}
_HEAD: Final = """# Metrics

Written by `make metrics` from the code; a test fails where the two differ.
[monitoring.md](monitoring.md) says how to scrape them, which rules and dashboard come with them,
and what a first alert looks like.

`/metrics` on the operations port (`ops_listen`) has the text format of Prometheus, or OpenMetrics
where the scraper asks for it, as Prometheus does. Every series of a fixed set exists from the start
with the value zero, so that `rate` and `increase` see a first event. No label has the name of a
host, an address, a caller or a text of anybody else's: the value `unknown` stands for whatever was
not known at the start. `partner` alone, of the watch list, has values that come later: ids of the
operator's own entries, 2,000 at most.

In OpenMetrics, the buckets of `otpc_policy_decision_seconds` and `grpc_server_handling_seconds`
have exemplars: the last observation that can be looked up. `check_id` is that of the response and
of its audit line; `trace_id` is that of the caller's `traceparent`, where it sent one; with
[tracing](tracing.md), that of a trace which this service samples. Prometheus
keeps them with `--enable-feature=exemplar-storage`.

The name of a counter ends in `_total`. A histogram has the series `_bucket`, `_sum` and `_count`.
"""
_OF_AN_ENGINE: Final = """Where `otpc-policy engine` runs by itself, with `--ops-listen`. A service
exports the same names for the engines that it starts.
"""

_OF_A_WATCH_LIST: Final = """With `[watch]` ([watching.md](watching.md)).
"""
_OF_TRACES: Final = """With `tracing.otlp_endpoint` ([tracing.md](tracing.md)).
"""
_OF_A_FLEET: Final = """With `fleet.url` ([fleet.md](fleet.md)).
"""


def service_metrics() -> list[Metric]:
    """Return the metrics of `otpc-policy serve` on its embedded defaults."""

    async def collected() -> list[Metric]:
        return _in_order(build_application(Settings()).registry)

    # Some are read from the event loop.
    return asyncio.run(collected())


def engine_metrics() -> list[Metric]:
    """Return the metrics of `otpc-policy engine`."""
    return _in_order(EngineMetrics(World()).registry)


def fleet_metrics() -> list[Metric]:
    """Return those that a service adds which shares facts with others."""
    registry = CollectorRegistry()
    FleetMetrics(registry)
    return _in_order(registry)


def tracing_metrics() -> list[Metric]:
    """Return those that a service adds which traces calls."""
    registry = CollectorRegistry()
    TracingMetrics(registry, taken=lambda: 0, lost={})
    return _in_order(registry)


def watch_metrics() -> list[Metric]:
    """Return those that a service adds which watches endpoints."""
    registry = CollectorRegistry()
    partner = WatchedPartner(
        partner="bank",
        decisions=Counter(),
        oldest_observation=0.0,
        certificate_end=0.0,
        waiver_end=0.0,
        pin_end=0.0,
    )
    WatchMetrics(registry, partners=lambda: [partner], behind_s=lambda: 0.0)
    return _in_order(registry)


def change_metrics() -> list[Metric]:
    """Return those that it adds about changes of their verdicts."""
    registry = CollectorRegistry()
    ChangeMetrics(registry)
    return _in_order(registry)


def webhook_metrics() -> list[Metric]:
    """Return those of a service that posts these changes."""
    registry = CollectorRegistry()
    WebhookMetrics(registry, lag_s=lambda: 0.0)
    return _in_order(registry)


def _in_order(registry: CollectorRegistry) -> list[Metric]:
    return sorted(registry.collect(), key=exported_name)


def reference() -> str:
    """Return docs/metrics.md."""
    parts = [
        _HEAD,
        "## The service\n",
        *_entries(service_metrics(), LABELS),
        "## A service that shares facts with others\n",
        _OF_A_FLEET,
        *_entries(fleet_metrics(), FLEET_LABELS),
        "## A service with a watch list\n",
        _OF_A_WATCH_LIST,
        *_entries(watch_metrics(), WATCH_LABELS),
        *_entries(change_metrics(), CHANGE_LABELS),
        *_entries(webhook_metrics(), WEBHOOK_LABELS),
        "## A service that traces calls\n",
        _OF_TRACES,
        *_entries(tracing_metrics(), TRACING_LABELS),
        "## An engine of its own\n",
        _OF_AN_ENGINE,
        *_entries(engine_metrics(), ENGINE_LABELS),
    ]
    return "\n".join(parts)


def exported_name(metric: Metric) -> str:
    """Return the name of a metric as it is written in queries, without a histogram's suffix."""
    return f"{metric.name}_total" if metric.type == "counter" else str(metric.name)


def label_values(metric: Metric) -> dict[str, list[str]]:
    """Return the values of each label in the series that exist; without a histogram's bounds."""
    values: dict[str, set[str]] = {}
    for sample in metric.samples:
        for label, value in sample.labels.items():
            if label != "le":
                values.setdefault(label, set()).add(value)
    return {label: sorted(found) for label, found in values.items()}


def _entries(metrics: Iterable[Metric], meanings: LabelMeanings) -> list[str]:
    return [_entry(metric, meanings.get(exported_name(metric), {})) for metric in metrics]


def _entry(metric: Metric, meanings: Mapping[str, str]) -> str:
    name, found = exported_name(metric), label_values(metric)
    lines = [f"### `{name}`", "", f"{metric.type.capitalize()}. {_sentence(metric.documentation)}"]
    if metric.type == "histogram":
        bounds = dict.fromkeys(
            sample.labels["le"] for sample in metric.samples if "le" in sample.labels
        )
        lines += ["", f"Bounds of its buckets: {', '.join(bounds)}."]
    if meanings:
        lines += ["", "| label | meaning | values |", "|---|---|---|"]
        lines += [
            f"| `{label}` | {meaning} | {_values(name, label, found.get(label, ()))} |"
            for label, meaning in meanings.items()
        ]
    return "\n".join([*lines, ""])


def _values(name: str, label: str, values: Iterable[str]) -> str:
    listed = [f"`{value}`" if value else "empty" for value in values]
    if name in _OF_THE_MACHINE or label == "partner" or not listed:
        return ""
    return ", ".join(listed) if len(listed) <= _MOST_VALUES else _ELSEWHERE[label]


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def main() -> None:
    """Print, or write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, metavar="FILE", help="in place of printing")
    options = parser.parse_args()
    if options.write is None:
        sys.stdout.write(reference())
    else:
        options.write.write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    main()
