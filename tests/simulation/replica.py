"""A replica of the service, of its own classes over a link to the store, with a fake engine."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from types import SimpleNamespace
from typing import Any, Final

from otpc_policy.catalog.context import Catalog
from otpc_policy.check import (
    Answer,
    CheckRequest,
    FreshnessLimits,
    Measurements,
    StoredFacts,
)
from otpc_policy.check.freshness import Lifetime
from otpc_policy.check.leasing import Leasing
from otpc_policy.check.measurements import FactsWanted, Found, Missing, WhyMissing
from otpc_policy.core.addresses import Resolution, VettedAddress
from otpc_policy.core.caller import Caller
from otpc_policy.core.demand import Demand, ScanClass
from otpc_policy.core.endpoint import Endpoint
from otpc_policy.core.facts import AddressFacts, Depth, HttpService, ResolutionStatus
from otpc_policy.engines.errors import EngineFailed
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
from otpc_policy.policy.finding import Decision, Verdict
from otpc_policy.policy.service_findings import service_finding
from otpc_policy.store.memory import MemoryFactsStore
from otpc_policy.store.tiered import TieredFactsStore
from tests.check.world import generation, vetted
from tests.rpc.convert.values import make_answer, make_judgement
from tests.simulation.link import Link
from tests.simulation.loop import SimulatedLoop
from tests.simulation.world import (
    ALLOW_S,
    DENY_S,
    MOST_MEASURING_S,
    UNKNOWN_S,
    Measured,
    Truth,
    instant,
)
from tests.support.facts import make_address

POLL_S: Final = 2.0
"""How often notices are read: a quarter as often as by a service."""
TICK_S: Final = 3.0
"""How often the watch list claims: likewise."""
SWEEP_S: Final = 30.0
LATE_S: Final = 20.0
"""An engine's answer that comes later than this is none any more: scan.scan_deadline_s."""

_ADDRESS: Final = vetted("127.0.0.1")
_RESOLVED: Final = Resolution(status=ResolutionStatus.RESOLVED, addresses=(_ADDRESS,))
_KEYS: Final = (bytes(range(32)),)
_LIMITS: Final = FreshnessLimits(
    max_stale=timedelta(), minimum_refresh_interval=timedelta(seconds=5)
)
_CATALOG: Final[Catalog] = generation()
_FACTS: Final = replace(make_address(), versions=(), cipher_suites=(), deployments=())
_ANSWER: Final = make_answer(judgement=make_judgement(key=None))
# What a measurement of the world is made into: the light of a verdict.
_GOOD, _BAD = HttpService.SERVED, HttpService.NOT_SERVED


@dataclass(slots=True)
class ReplicaClock:
    """The clocks of a replica: a wall clock that may be wrong, and one that nobody sets."""

    loop: SimulatedLoop
    ahead_s: float = 0.0

    def now(self) -> datetime:
        return instant(self.loop.time() + self.ahead_s)

    def monotonic(self) -> float:
        return self.loop.time()


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


class Engine:
    """Measures the world for one replica. Satisfies check's Resolver and Scanner.

    began, ended: are told of each measurement.
    """

    def __init__(
        self,
        name: str,
        truth: Truth,
        clock: ReplicaClock,
        draw: Random,
        *,
        began: Callable[[Measured], None],
        ended: Callable[[Measured], None],
    ) -> None:
        self._name, self._truth, self._clock, self._draw = name, truth, clock, draw
        self._began, self._ended = began, ended

    def known(self, _host: str) -> Resolution | None:
        return _RESOLVED

    async def resolve(self, _host: str, *, fresh: bool = False) -> Resolution:
        return _RESOLVED

    def probe_revision(self, _address: VettedAddress) -> str:
        return "1"

    async def partial(self, _endpoint: Endpoint, _address: VettedAddress, _depth: Depth) -> None:
        return None

    async def measure(
        self, endpoint: Endpoint, address: VettedAddress, depth: Depth, demand: Demand
    ) -> AddressFacts:
        began_s = self._clock.monotonic()
        made = self._truth.begin(self._name, endpoint, began_s)
        self._began(made)
        try:
            await asyncio.sleep(self._draw.uniform(0.2, MOST_MEASURING_S))
            made.dated_s = self._clock.monotonic()
            made.offset_s = self._clock.ahead_s
            if made.dated_s - began_s > LATE_S:
                raise EngineFailed("the engine did not end the measurement in time")
        finally:
            made.ended_s = self._clock.monotonic()
            self._ended(made)
        return replace(
            _FACTS,
            address=address.text,
            depth=depth,
            observed_at=self._clock.now(),
            http=_GOOD if made.is_good else _BAD,
            probe_revision="1",
            seed=f"{made.number:032x}",
        )


def decision_of(facts: AddressFacts) -> Decision:
    """Return the verdict about what was measured."""
    return Decision.ALLOW if facts.http is _GOOD else Decision.DENY


def lifetime(stored: StoredFacts, _now: datetime) -> Lifetime:
    """Return how long facts answer."""
    is_good = decision_of(stored.facts) is Decision.ALLOW
    return Lifetime(timedelta(seconds=ALLOW_S if is_good else DENY_S), None)


class LightChecks:
    """Answers checks from measurements, by a verdict that costs nothing.

    answered: is told of each answer, and when its call began.
    """

    def __init__(
        self,
        measurements: Measurements,
        clock: ReplicaClock,
        answered: Callable[[Endpoint, Answer, float], None],
    ) -> None:
        self._measurements, self._clock, self._answered = measurements, clock, answered

    async def check(
        self,
        request: CheckRequest,
        _generation: Catalog,
        *,
        wait_s: float | None,
        caller: Caller,
        scan_class: ScanClass,
    ) -> Answer:
        began_s = self._clock.monotonic()
        wanted = FactsWanted(
            endpoint=request.endpoint,
            depth=request.depth,
            freshness=request.freshness,
            lifetime=lifetime,
            caller=caller,
            scan_class=scan_class,
        )
        known = await self._measurements.known(wanted, wait_s=wait_s)
        assert known is not None
        left_s = wait_s
        if wait_s is not None:
            left_s = max(0.0, wait_s - (self._clock.monotonic() - began_s))
        (collected,) = await self._measurements.collect(wanted, known, wait_s=left_s)
        answer = self._answer(request, collected)
        self._answered(request.endpoint, answer, began_s)
        return answer

    def _answer(self, request: CheckRequest, collected: Found | Missing) -> Answer:
        now = self._clock.now()
        if isinstance(collected, Missing):
            code = {
                WhyMissing.UNDER_WAY: "CHECK_IN_PROGRESS",
                WhyMissing.NOT_STORED: "NO_CACHED_RESULT",
            }.get(collected.why, "SCAN_FAILED")
            facts: tuple[AddressFacts, ...] = ()
            findings: tuple[Any, ...] = (service_finding(code, "", collected.address),)
            decision = Decision.INDETERMINATE
            expires_at, observed_at = now + timedelta(seconds=UNKNOWN_S), None
        else:
            stored = collected.usable.stored
            findings, facts = (), (stored.facts,)
            decision = decision_of(stored.facts)
            expires_at, observed_at = collected.usable.ends_at, stored.facts.observed_at
        verdict = Verdict(
            decision=decision, evaluated_decision=decision, findings=findings, changes_at=None
        )
        retry_after = collected.usable.retry_after if isinstance(collected, Found) else None
        return replace(
            _ANSWER,
            judgement=replace(
                _ANSWER.judgement,
                endpoint=request.endpoint,
                verdict=verdict,
                observed_at=observed_at,
                judged_at=now,
                expires_at=expires_at,
            ),
            addresses=facts,
            evaluated_at=now,
            retry_after=retry_after,
        )


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
