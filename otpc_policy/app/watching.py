"""Builds the watch list from the settings."""

from collections.abc import Callable
from dataclasses import dataclass
from secrets import SystemRandom

from prometheus_client import CollectorRegistry

from otpc_policy.app.settings import Settings, watched_endpoint
from otpc_policy.catalog.context import Catalog
from otpc_policy.check import CheckService, Clock
from otpc_policy.fleet.schedule import InMemorySchedule, Schedule
from otpc_policy.fleet.watch_list import WatchList
from otpc_policy.fleet.watch_table import WatchTable
from otpc_policy.ops.metrics.watch import WatchMetrics

# What a measurement may have to wait for its turn, in deadlines of one.
_TURNS = 2
_MARGIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Watching:
    """The watch list. table: what is known of it. run() it for as long as the service runs."""

    table: WatchTable
    _list: WatchList

    async def run(self) -> None:
        """Watch until cancelled."""
        await self._list.run()


def watching_from(
    settings: Settings,
    clock: Clock,
    *,
    checks: CheckService,
    generation: Callable[[], Catalog],
    registry: CollectorRegistry,
    schedule: Schedule | None = None,
) -> Watching:
    """Return the watch list, not yet running. schedule: that of all replicas; None for its own."""
    chosen = settings.watch
    table = WatchTable(
        generation(),
        with_partners=chosen.partners,
        endpoints=[watched_endpoint(text) for text in chosen.endpoints],
        now=clock.now,
    )
    watch_list = WatchList(
        table,
        checks=checks,
        schedule=schedule or InMemorySchedule(clock.monotonic),
        generation=generation,
        clock=clock,
        observer=WatchMetrics(registry, partners=table.partners, behind_s=lambda: table.behind_s),
        draw=SystemRandom(),
        rate_per_s=chosen.rate_per_s,
        concurrent=chosen.concurrent,
        wait_s=_TURNS * settings.scan.scan_deadline_s + _MARGIN_S,
        perspective=chosen.perspective,
    )
    return Watching(table, watch_list)
