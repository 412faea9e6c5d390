"""Endpoints that are watched on a clock that tests move: what engines find there, and when.

They are ports of one host, so that one certificate is right for all of them.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any

from otpc_policy.catalog.context import Catalog
from otpc_policy.check import (
    Answer,
    CheckRequest,
    CheckService,
    FactsStore,
    ForcedMeasurements,
    FreshnessMode,
    Leasing,
    Measurements,
    Verdicts,
)
from otpc_policy.core.addresses import Resolution, VettedAddress
from otpc_policy.core.caller import Caller
from otpc_policy.core.demand import Demand, ScanClass
from otpc_policy.core.endpoint import Endpoint, parse_endpoint
from otpc_policy.core.facts import AddressFacts, Depth, ResolutionStatus, Support
from otpc_policy.engines.gate import Gate
from otpc_policy.fleet.schedule import InMemorySchedule, Schedule
from otpc_policy.fleet.watch_list import WatchList
from otpc_policy.fleet.watch_table import WatchTable
from otpc_policy.policy.finding import Decision
from tests.check.world import (
    LIFETIMES,
    LIMITS,
    compliant,
    generation,
    memory_store,
    unknown,
    vetted,
)
from tests.support.facts import HOST, NOW, versions

ADDRESS = "127.0.0.1"
RESOLVED = Resolution(status=ResolutionStatus.RESOLVED, addresses=(vetted(ADDRESS),))


def name(port: int) -> str:
    return f"{HOST}:{port}"


def ports(number: int) -> Sequence[Endpoint]:
    """So many endpoints."""
    return [parse_endpoint(HOST, port) for port in range(1_000, 1_000 + number)]


def allowed(address: str, at: datetime) -> AddressFacts:
    return compliant(address, at)


def denied(address: str, at: datetime) -> AddressFacts:
    return compliant(address, at, versions=versions(TLS_1_0=Support.YES))


@dataclass
class Engines:
    """Clock, resolver, engines and observer of all replicas.

    takes_s: how long a measurement takes. found: what is measured, by port; elsewhere everything is
    as it should be. raises: by port, what a measurement raises instead.
    begun: of every measurement, when and at which port. demands: of those under way. gate: of the
    engine; None for one that always has a place.
    """

    takes_s: float = 3.0
    found: dict[int, Callable[[str, datetime], AddressFacts]] = field(default_factory=dict)
    raises: dict[int, Exception] = field(default_factory=dict)
    begun: list[tuple[float, int]] = field(default_factory=list)
    demands: dict[int, Demand] = field(default_factory=dict)
    events: Counter[tuple[str, str]] = field(default_factory=Counter)
    most_together: int = 0
    at_s: float = 0.0
    gate: Gate | None = None
    _sleepers: list[tuple[float, int, "asyncio.Future[None]"]] = field(default_factory=list)
    _numbers: Any = field(default_factory=count)

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.at_s)

    def monotonic(self) -> float:
        return self.at_s

    async def pass_time(self, seconds: float) -> None:
        """Move the clock, and let everything happen that happens meanwhile."""
        await settled()
        until_s = self.at_s + seconds
        while self._sleepers and self._sleepers[0][0] <= until_s:
            self.at_s, _, sleeper = heappop(self._sleepers)
            if not sleeper.done():
                sleeper.set_result(None)
            await settled()
        self.at_s = until_s
        await settled()

    def known(self, host: str) -> Resolution | None:
        assert host == HOST
        return RESOLVED

    async def resolve(self, host: str, *, fresh: bool = False) -> Resolution:
        assert host == HOST
        return RESOLVED

    async def measure(
        self, endpoint: Endpoint, address: VettedAddress, depth: Depth, demand: Demand
    ) -> AddressFacts:
        port = endpoint.port
        if self.gate is not None:
            await self.gate.enter(demand)
        self.begun.append((self.at_s, port))
        self.demands[port] = demand
        self.most_together = max(self.most_together, len(self.demands))
        sleeper = asyncio.get_running_loop().create_future()
        heappush(self._sleepers, (self.at_s + self.takes_s, next(self._numbers), sleeper))
        try:
            await sleeper
        finally:
            self.demands.pop(port, None)
            if self.gate is not None:
                self.gate.leave(demand)
        if port in self.raises:
            raise self.raises[port]
        found = self.found.get(port, allowed)(address.text, self.now())
        return replace(found, depth=depth)

    def probe_revision(self, _address: VettedAddress) -> str:
        return "1"

    async def partial(
        self, endpoint: Endpoint, address: VettedAddress, depth: Depth
    ) -> AddressFacts | None:
        return None

    def cache_request(self, result: str) -> None:
        self.events["request", result] += 1

    def flight(self, result: str) -> None:
        self.events["flight", result] += 1

    def scan_finished(self, *, outcome: str, seconds: float) -> None:
        self.events["scan", outcome] += 1

    def leaf_reported(self, result: str) -> None:
        raise AssertionError

    def watch_checked(self, result: str) -> None:
        self.events["watch", result] += 1


class Watcher:
    """A replica that watches. expires_at: of the last ALLOW or DENY about each endpoint, whoever of
    those that share the object measured it."""

    def __init__(
        self,
        engines: Engines,
        endpoints: Sequence[Endpoint],
        *,
        store: FactsStore | None = None,
        schedule: Schedule | None = None,
        under: Catalog | None = None,
        with_partners: bool = False,
        expires_at: dict[str, datetime] | None = None,
        seed: int = 1,
        rate_per_s: float = 5.0,
        concurrent: int = 8,
        leasing: Leasing | None = None,
    ) -> None:
        self.engines = engines
        self.generation = under or generation()
        self.expires_at = expires_at if expires_at is not None else {}
        self.store = memory_store(10_000) if store is None else store
        self.schedule = schedule or InMemorySchedule(engines.monotonic)
        self.measurements = Measurements(
            resolver=engines,
            scanner=engines,
            store=self.store,
            clock=engines,
            limits=LIMITS,
            observer=engines,
            leasing=leasing,
        )
        self.checks = CheckService(
            measurements=self.measurements,
            verdicts=Verdicts(LIFETIMES),
            forced=ForcedMeasurements(LIMITS.minimum_refresh_interval),
            clock=engines,
            observer=engines,
        )
        self.table = WatchTable(
            self.generation, with_partners=with_partners, endpoints=endpoints, now=engines.now
        )
        self.list = WatchList(
            self.table,
            checks=self,
            schedule=self.schedule,
            generation=lambda: self.generation,
            clock=engines,
            observer=engines,
            draw=Random(seed),
            rate_per_s=rate_per_s,
            concurrent=concurrent,
            wait_s=90.0,
        )

    async def check(
        self,
        request: CheckRequest,
        generation: Catalog,
        *,
        wait_s: float | None,
        caller: Caller,
        scan_class: ScanClass,
    ) -> Answer:
        answer = await self.checks.check(
            request, generation, wait_s=None, caller=caller, scan_class=scan_class
        )
        judged = answer.judgement
        is_measured = request.freshness.mode is FreshnessMode.REFRESH
        if is_measured and judged.verdict.decision is not Decision.INDETERMINATE:
            self.expires_at[str(request.endpoint)] = judged.expires_at
        return answer

    async def close(self) -> None:
        """End as a replica that dies does."""
        await self.list.close()
        await self.checks.close()

    def expired(self) -> Sequence[str]:
        """Return the endpoints whose last verdict has expired."""
        now = self.engines.now()
        return [name for name, at in self.expires_at.items() if at <= now]

    def decision(self, port: int) -> Decision:
        described = self.table.describe(name(port))
        assert described is not None
        return described.decision


async def settled() -> None:
    """Let every task run as far as it can without time."""
    for _ in range(30):
        await asyncio.sleep(0)


async def watch_for(
    seconds: float,
    *watchers: Watcher,
    step_s: float = 0.5,
    sweep_every_s: float = 30.0,
    also: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Let replicas watch while the clock moves. also: at every step."""
    engines = watchers[0].engines
    until_s, swept_s = engines.at_s + seconds, engines.at_s
    for step in count():
        if engines.at_s >= until_s:
            return
        # None is always the first to claim.
        first = step % len(watchers)
        for watcher in (*watchers[first:], *watchers[:first]):
            await watcher.list.tick()
        if engines.at_s - swept_s >= sweep_every_s:
            swept_s = engines.at_s
            for watcher in watchers:
                await watcher.list.sweep()
        if also is not None:
            await also()
        await engines.pass_time(step_s)


__all__ = ["Engines", "Watcher", "allowed", "denied", "name", "ports", "unknown", "watch_for"]
