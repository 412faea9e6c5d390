"""Builds the watch list from the settings."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from secrets import SystemRandom

from prometheus_client import CollectorRegistry

from otpc_policy.app.fleet import Fleet
from otpc_policy.app.settings import Settings, watched_endpoint
from otpc_policy.app.webhook import webhook_from
from otpc_policy.catalog.context import Catalog
from otpc_policy.check import CheckService, Clock
from otpc_policy.fleet.change_tail import ChangeTail
from otpc_policy.fleet.changes import Changes, InMemoryChanges
from otpc_policy.fleet.cursors import Cursors
from otpc_policy.fleet.delivery import OwnDelivery
from otpc_policy.fleet.publishing import VerdictPublisher
from otpc_policy.fleet.schedule import InMemorySchedule
from otpc_policy.fleet.signing import FleetKey
from otpc_policy.fleet.watch_list import WatchList
from otpc_policy.fleet.watch_table import WatchTable
from otpc_policy.fleet.webhook import Webhook
from otpc_policy.ops.metrics.changes import ChangeMetrics
from otpc_policy.ops.metrics.watch import WatchMetrics

# What a measurement may have to wait for its turn, in deadlines of one.
_TURNS = 2
_MARGIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Watching:
    """The watch list. table: what is known of it. feed: what is published of that.

    run() it for as long as the service runs. metrics: of those who follow the feed.
    """

    table: WatchTable
    feed: ChangeTail
    metrics: ChangeMetrics
    _list: WatchList
    _publisher: VerdictPublisher
    _webhook: Webhook | None

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._list.run(), name="watch list")
            group.create_task(self.feed.run(), name="follow changes of verdicts")
            group.create_task(self._publisher.run(), name="publish verdicts")
            if self._webhook is not None:
                group.create_task(self._webhook.run(), name="webhook")


def watching_from(
    settings: Settings,
    clock: Clock,
    *,
    checks: CheckService,
    generation: Callable[[], Catalog],
    registry: CollectorRegistry,
    fleet: Fleet | None = None,
) -> Watching:
    """Return the watch list, not yet running. fleet: what replicas share; None for nothing.

    Raises ConfigurationError.
    """
    chosen = settings.watch
    perspective = chosen.perspective or settings.asked_perspective
    table = WatchTable(
        generation(),
        with_partners=chosen.partners,
        endpoints=[watched_endpoint(text) for text in chosen.endpoints],
        now=clock.now,
        perspective=perspective,
    )
    watch_list = WatchList(
        table,
        checks=checks,
        schedule=InMemorySchedule(clock.monotonic) if fleet is None else fleet.schedule,
        generation=generation,
        clock=clock,
        observer=WatchMetrics(registry, partners=table.partners, behind_s=lambda: table.behind_s),
        draw=SystemRandom(),
        rate_per_s=chosen.rate_per_s,
        concurrent=chosen.concurrent,
        wait_s=_TURNS * settings.scan.scan_deadline_s + _MARGIN_S,
        perspective=perspective,
    )
    changes, cursors = _own_changes(clock) if fleet is None else (fleet.changes, fleet.cursors)
    metrics = ChangeMetrics(registry)
    feed = ChangeTail(changes, cursors=cursors, monotonic=clock.monotonic, observer=metrics)
    publisher = VerdictPublisher(
        table, changes, feed, now=clock.now, monotonic=clock.monotonic, observer=metrics
    )
    webhook = None
    if settings.webhook.url:
        webhook = webhook_from(
            settings.webhook,
            clock,
            changes=changes,
            cursors=cursors,
            delivery=OwnDelivery() if fleet is None else fleet.delivery,
            registry=registry,
        )
    return Watching(table, feed, metrics, watch_list, publisher, webhook)


def _own_changes(clock: Clock) -> tuple[Changes, Cursors]:
    """Return the changes of this process alone. Its cursors are worth nothing to the next one."""
    changes = InMemoryChanges(clock.now)
    key = FleetKey([secrets.token_bytes(32)])
    return changes, Cursors(key, history=secrets.token_hex(8), shards=changes.shards)
