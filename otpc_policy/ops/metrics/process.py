"""Metrics of the process: what it has loaded, what partners' entries need, its versions."""

import platform
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from otpc_policy import __version__
from otpc_policy.ops.metrics.labels import NAMESPACE, OTHER, LabelMeanings
from otpc_policy.ops.metrics.tallies import Distributions

RELOAD_RESULTS = ("success", "failure")
# Idle, a loop is late by what a timer is: under a millisecond. No call may hold it for over 50 ms.
LAG_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

_KIND: Final = "of what ends; never a partner: `otpc-policy policy lint` names those"
LABELS: Final[LabelMeanings] = {
    f"{NAMESPACE}_event_loop_tasks": {"program": "`front`, or `engines` (all together)"},
    f"{NAMESPACE}_config_reloads_total": {
        "result": "`success`, or `failure` (the last good configuration stays)",
    },
    f"{NAMESPACE}_partner_next_end_seconds": {"kind": _KIND},
    f"{NAMESPACE}_partner_ended": {"kind": _KIND},
    f"{NAMESPACE}_build_info": {
        "version": "of otpc-policy",
        "python": "its version",
        "grpcio": "its version",
        "sslyze": "its version; `none` where the engine is elsewhere",
    },
}


class ProcessMetrics:
    """What is loaded, what of it ends when, and which versions run."""

    def __init__(self, registry: CollectorRegistry) -> None:
        tasks = Gauge(
            "event_loop_tasks",
            "Tasks that have begun and not ended. Work that never ends shows here.",
            ("program",),
            namespace=NAMESPACE,
            registry=registry,
        )
        self._tasks = {program: tasks.labels(program) for program in ("front", "engines")}
        self._config_good = Gauge(
            "config_last_reload_successful",
            "1 after a load of policies, partners and trust that succeeded, 0 after one that"
            " failed; the last good set then stays.",
            namespace=NAMESPACE,
            registry=registry,
        )
        self._config_at = Gauge(
            "config_last_reload_success_timestamp_seconds",
            "When policies, partners and trust were last loaded without an error.",
            namespace=NAMESPACE,
            registry=registry,
        )
        reloads = Counter(
            "config_reloads_total",
            "Reloads of policies, partners and trust; the load at the start is none.",
            ("result",),
            namespace=NAMESPACE,
            registry=registry,
        )
        self._reloads = {result: reloads.labels(result) for result in (*RELOAD_RESULTS, OTHER)}
        self._partners = Gauge(
            "partners",
            "Partners whose entries are in use.",
            namespace=NAMESPACE,
            registry=registry,
        )
        self._next_end = Gauge(
            "partner_next_end_seconds",
            "Time until the next waiver, pin or trust anchor in a partner's entry ends; +Inf if"
            " none does.",
            ("kind",),
            namespace=NAMESPACE,
            registry=registry,
        )
        self._ended = Gauge(
            "partner_ended",
            "Waivers, pins and trust anchors that have ended and are still in partners' entries.",
            ("kind",),
            namespace=NAMESPACE,
            registry=registry,
        )
        self._undocumented = Gauge(
            "decision_log_dropped_lines",
            "Decisions that reached no log. If not zero, a sink is too slow.",
            namespace=NAMESPACE,
            registry=registry,
        )
        self._lag = Distributions(
            f"{NAMESPACE}_event_loop_lag_seconds",
            "How late the service's event loop is, looked at ten times a second.",
            (),
            bounds=LAG_BUCKETS_S,
            registry=registry,
        ).labels()
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
            registry=registry,
        ).labels(**versions).set(1)

    def loop_lagged(self, seconds: float) -> None:
        """Count a look at how late the event loop is."""
        self._lag.observe(seconds)

    def watch_decision_log(self, dropped: Callable[[], float]) -> None:
        """Read at each scrape the number of decisions that reached no log."""
        self._undocumented.set_function(dropped)

    def watch_tasks(self, front: Callable[[], float], engines: Callable[[], float]) -> None:
        """Read at each scrape the number of tasks of this process and of its engines."""
        self._tasks["front"].set_function(front)
        self._tasks["engines"].set_function(engines)

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
