"""Metrics of the process: what it has loaded, what partners' entries need, its versions."""

import platform
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CollectorRegistry, Counter, Gauge

from otpc_policy import __version__
from otpc_policy.ops.metrics.labels import NAMESPACE, OTHER

RELOAD_RESULTS = ("success", "failure")


class ProcessMetrics:
    """What is loaded, what of it ends when, and which versions run."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # program: front, engines (all together). Work that never ends shows here.
        tasks = Gauge(
            "event_loop_tasks",
            "Tasks that have begun and not ended.",
            ("program",),
            namespace=NAMESPACE,
            registry=registry,
        )
        self._tasks = {program: tasks.labels(program) for program in ("front", "engines")}
        # 1 after a successful load of policies, partners and trust, 0 after a failed one (the last
        # good set then stays).
        self._config_good = Gauge(
            "config_last_reload_successful",
            "The last load of policies, partners and trust succeeded.",
            namespace=NAMESPACE,
            registry=registry,
        )
        self._config_at = Gauge(
            "config_last_reload_success_timestamp_seconds",
            "When they were last loaded well.",
            namespace=NAMESPACE,
            registry=registry,
        )
        # result: success, failure (the last good set stays). The load at the start is none.
        reloads = Counter(
            "config_reloads_total",
            "Reloads of policies, partners and trust.",
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
        # kind: waiver, pin, anchor. Never a partner: `otpc-policy policy lint` says which.
        self._next_end = Gauge(
            "partner_next_end_seconds",
            "Time until the next one ends; +Inf if none does.",
            ("kind",),
            namespace=NAMESPACE,
            registry=registry,
        )
        self._ended = Gauge(
            "partner_ended",
            "Those that have ended and are still written down.",
            ("kind",),
            namespace=NAMESPACE,
            registry=registry,
        )
        # Not zero: the reader of the log is too slow, and decisions are missing from it.
        self._undocumented = Gauge(
            "decision_log_dropped_lines",
            "Decisions that reached no log.",
            namespace=NAMESPACE,
            registry=registry,
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
            registry=registry,
        ).labels(**versions).set(1)

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
