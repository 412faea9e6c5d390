"""A replica of the service, of its own classes, over a link to the store and a fake engine."""

import asyncio
from collections.abc import Callable, Collection
from datetime import timedelta
from random import Random
from types import SimpleNamespace
from typing import Any, Final

from otpc_policy.catalog.context import Catalog
from otpc_policy.check import (
    Answer,
    CheckRequest,
    FreshnessLimits,
    Measurements,
)
from otpc_policy.check.leasing import Leasing
from otpc_policy.core.caller import Caller
from otpc_policy.core.demand import ScanClass
from otpc_policy.core.endpoint import Endpoint
from otpc_policy.fleet.connection import StoreConnection
from otpc_policy.fleet.facts import SharedFactsStore
from otpc_policy.fleet.keys import Keyspace
from otpc_policy.fleet.leases import SharedLeases
from otpc_policy.fleet.notices import Notices
from otpc_policy.fleet.records import Records
from otpc_policy.fleet.schedule import InMemorySchedule
from otpc_policy.fleet.shared_schedule import ScheduleWithFallback, SharedSchedule
from otpc_policy.fleet.signing import FleetKey
from otpc_policy.fleet.tokens import LeaseTokens
from otpc_policy.fleet.watch_list import WatchList
from otpc_policy.fleet.watch_table import WatchTable
from otpc_policy.store.memory import MemoryFactsStore
from otpc_policy.store.tiered import TieredFactsStore
from tests.check.world import generation
from tests.simulation.engine import LATE_S, Engine, ReplicaClock
from tests.simulation.light_checks import LightChecks
from tests.simulation.link import Link
from tests.simulation.loop import SimulatedLoop
from tests.simulation.world import (
    ALLOW_S,
)

POLL_S: Final = 2.0
"""How often notices are read: an eighth as often as by a service."""
TICK_S: Final = 3.0
"""How often the watch list claims: a sixth as often."""
SWEEP_S: Final = 30.0
_KEYS: Final = (bytes(range(32)),)
_LIMITS: Final = FreshnessLimits(
    max_stale=timedelta(), minimum_refresh_interval=timedelta(seconds=5)
)
_CATALOG: Final[Catalog] = generation()


class Noted:
    """Whatever a replica counts: leases are written down, all else passed over."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note

    def lease_asked(self, result: str) -> None:
        self._note(f"a lease: {result}")

    def store_available(self, is_available: bool) -> None:
        self._note(f"the store: {is_available}")

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *_, **__: None


class Replica:
    """One start of a replica. name: of this start. followed: is told of each poll that was whole,
    when it began, and whether it was the first after some may have been missed."""

    def __init__(
        self,
        name: str,
        *,
        loop: SimulatedLoop,
        link: Link,
        engine: Engine,
        clock: ReplicaClock,
        draw: Random,
        endpoints: Collection[Endpoint],
        note: Callable[[str], None],
        answered: Callable[[Endpoint, Answer, float], None],
        followed: Callable[[float, bool], None],
    ) -> None:
        self.name, self.loop, self.link, self.clock, self._draw = name, loop, link, clock, draw
        self._followed = followed
        observer: Any = Noted(note)
        client: Any = link
        connection = StoreConnection(client, observer=observer, clock=clock.monotonic)
        connection.use_not("its clock has not been compared yet")
        keyspace = Keyspace("otpc")
        records = Records(FleetKey(_KEYS), observer)
        shared = SharedFactsStore(
            connection,
            keyspace=keyspace,
            records=records,
            lifetime=timedelta(seconds=2 * ALLOW_S),
            replica=name,
        )
        longest = timedelta(seconds=2 * LATE_S)
        self.memory = MemoryFactsStore(max_entries=100, max_bytes=1 << 24)
        self.store = TieredFactsStore(
            self.memory,
            shared,
            digest=lambda key: keyspace.names(key).digest,
            monotonic=clock.monotonic,
            max_entries=400,
        )
        leasing = Leasing(
            SharedLeases(
                connection,
                keyspace=keyspace,
                records=records,
                tokens=LeaseTokens(FleetKey(_KEYS), now=clock.now, longest=longest),
            ),
            observer=observer,
            clock=clock,
            longest_wait_s=longest.total_seconds(),
        )
        self.measurements = Measurements(
            resolver=engine,
            scanner=engine,
            store=self.store,
            clock=clock,
            limits=_LIMITS,
            observer=observer,
            leasing=leasing,
        )
        # Of the shards in which there are hosts: to read all sixteen would be most of a run.
        hosts = {endpoint.host for endpoint in endpoints}
        streams: Any = SimpleNamespace(
            notices=tuple(sorted({keyspace.host(host).notices for host in hosts}))
        )
        self.notices = Notices(
            connection,
            keyspace=streams,
            memory=self.store,
            discarded=self.measurements.outdate_endpoints,
            now=clock.now,
            observer=observer,
            replica=name,
            interval_s=POLL_S,
        )
        self.checks = LightChecks(self.measurements, clock, answered)
        self.table = WatchTable(
            _CATALOG, with_partners=False, endpoints=tuple(endpoints), now=clock.now
        )
        self.watch = WatchList(
            self.table,
            checks=self.checks,
            schedule=ScheduleWithFallback(
                SharedSchedule(connection, keyspace=keyspace, move_s=lambda: 0.0),
                InMemorySchedule(clock.monotonic),
            ),
            generation=lambda: _CATALOG,
            clock=clock,
            observer=observer,
            draw=draw,
            rate_per_s=2.0,
            concurrent=4,
            wait_s=3 * LATE_S,
        )

    def start(self) -> None:
        """Begin to follow the others and to watch."""
        for work in (self._follow(), self._tick(), self._sweep()):
            self.loop.start(self.name, work)

    async def check(self, request: CheckRequest, caller: Caller, wait_s: float) -> Answer:
        return await self.checks.check(
            request,
            _CATALOG,
            wait_s=wait_s,
            caller=caller,
            scan_class=ScanClass.INTERACTIVE,
        )

    async def _follow(self) -> None:
        # Notices.run, in which nobody could see when a poll was whole.
        follow = self.notices.follow

        async def seen() -> bool:
            began_s, is_first = self.loop.time(), not self.notices._read_to
            is_whole = await follow()
            if is_whole:
                self._followed(began_s, is_first)
            return is_whole

        self.notices.follow = seen  # type: ignore[method-assign]
        await self.notices.run()

    async def _tick(self) -> None:
        while True:
            await self.watch.tick()
            await asyncio.sleep(TICK_S * self._draw.uniform(0.5, 1.5))

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S * self._draw.uniform(0.8, 1.2))
            await self.watch.sweep()
