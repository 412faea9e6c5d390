"""The service without its network servers: everything that a check needs, built from settings.

The command line uses it as is.
"""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from prometheus_client import CollectorRegistry, ProcessCollector

from otpc_policy.app.audit import event_log, no_audit_trail
from otpc_policy.app.clock import SystemClock
from otpc_policy.app.engines import engines_from
from otpc_policy.app.fleet import Fleet, fleet_from
from otpc_policy.app.settings import CrlSettings, LifetimeSettings, Settings, ShareSettings
from otpc_policy.app.tracing import tracing_from
from otpc_policy.app.watching import Watching, watching_from
from otpc_policy.catalog.load import CatalogLoader
from otpc_policy.catalog.partners.deadlines import DeadlineKind
from otpc_policy.catalog.reload import Reloader
from otpc_policy.check import (
    CallerBounds,
    CallerLimits,
    CheckService,
    Clock,
    CrlBook,
    CrlFetcher,
    CrlLimits,
    CrlRefresher,
    ForcedMeasurements,
    FreshnessLimits,
    Lifetimes,
    Measurements,
    Resolver,
    Scanner,
    Verdicts,
)
from otpc_policy.engines.pool import EnginePool
from otpc_policy.ops.audit.trail import AuditTrail, EventLog
from otpc_policy.ops.loop_lag import LoopLag
from otpc_policy.ops.metrics import Metrics
from otpc_policy.ops.metrics.audit import AuditMetrics
from otpc_policy.ops.own_listeners import OwnListeners
from otpc_policy.policy.registry import finding_codes
from otpc_policy.rpc.answers import MAX_KEPT_ANSWERS
from otpc_policy.rpc.registration import RPC_METHODS
from otpc_policy.rpc.status import REFUSAL_KINDS
from otpc_policy.store.memory import MemoryFactsStore
from otpc_policy.store.traced import TracedFactsStore

if TYPE_CHECKING:
    from otpc_policy.ops.tracing.tracer import Tracing

# A name is looked up once for each address family.
_QUESTIONS_A_NAME = 2
# Policies, views and permissions under which one endpoint is asked for.
_ANSWERS_PER_MEASUREMENT = 4


class Engines(Scanner, Resolver, Protocol):
    """Measures and resolves, in processes that must be started and reaped.

    queued: waiting measurements. workers_alive: zero while nothing can be measured. resolving:
    names being looked up. tasks: of their event loops. engines_wanted: that there should be.
    """

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    @property
    def queued(self) -> int: ...
    @property
    def workers_alive(self) -> int: ...
    @property
    def resolving(self) -> int: ...
    @property
    def tasks(self) -> int: ...
    @property
    def engines_wanted(self) -> int: ...
    @property
    def engines_up(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """The service. As an async context manager it starts the engines and finally reaps them.

    own_listeners: to be completed before the start. crls: fetches CRLs while the service runs;
    None where nobody does. fleet: what it shares with other replicas; None if nothing. watching:
    what is watched; None if nothing. tracing: where calls leave spans; None if nowhere. events:
    records those of the configuration in the trail. engines: by perspective, that of the default
    first. pools: the same, where they are those of the settings. measurements: by perspective; with
    store, for people who look at them.
    """

    settings: Settings
    clock: Clock
    reloader: Reloader
    registry: CollectorRegistry
    metrics: Metrics
    engines: Mapping[str, Engines]
    checks: CheckService
    trail: AuditTrail
    events: EventLog
    own_listeners: OwnListeners
    measurements: Mapping[str, Measurements]
    store: MemoryFactsStore
    lag: LoopLag
    pools: Mapping[str, EnginePool] = field(default_factory=dict)
    crls: CrlRefresher | None = None
    fleet: Fleet | None = None
    watching: Watching | None = None
    tracing: "Tracing | None" = None
    _background: set[asyncio.Task[None]] = field(default_factory=set, repr=False)

    @property
    def default_engines(self) -> Engines:
        """Those of the perspective of requests that name none."""
        return next(iter(self.engines.values()))

    async def close(self) -> None:
        """Refuse further checks, end look-ups and measurements, reap every process."""
        self.lag.stop()
        try:
            for task in self._background:
                task.cancel()
            await asyncio.gather(*self._background, return_exceptions=True)
            await self.checks.close()
            if self.fleet is not None:
                # Not before: what was being measured has given its leases back.
                await self.fleet.close()
        finally:
            await _all([each.stop() for each in self.engines.values()])

    async def __aenter__(self) -> Self:
        await self._start_engines()
        self.lag.start()
        if self.crls is not None:
            self._background.add(asyncio.create_task(self.crls.run(), name="fetch CRLs"))
        if self.fleet is not None:
            self._background.add(asyncio.create_task(self.fleet.run(), name="follow the fleet"))
        if self.watching is not None:
            self._background.add(asyncio.create_task(self.watching.run(), name="watch"))
        return self

    async def _start_engines(self) -> None:
        """Start all at the same time, for one may be slow to find; or leave none."""
        starting = [asyncio.create_task(each.start()) for each in self.engines.values()]
        try:
            await asyncio.gather(*starting)
        except BaseException:
            for start in starting:
                start.cancel()
            await asyncio.wait(starting)
            await _all([each.stop() for each in self.engines.values()])
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


def build_application(
    settings: Settings,
    *,
    clock: Clock | None = None,
    engines: Engines | None = None,
    crl_fetcher: CrlFetcher | None = None,
    trail: AuditTrail | None = None,
    is_replica: bool = False,
) -> Application:
    """Return the service, not yet started. clock, engines: in place of the real ones.

    is_replica: shares facts with others, if the settings say through what, watches endpoints, if
    they say which, and traces calls, if they say for whom.

    crl_fetcher: in place of the real engines; with other engines and without it, no CRLs are
    looked at. trail: by default one that keeps nothing.

    Raises ConfigurationError with every problem in policies, partners and trust, or with the policy
    tests that fail.
    """
    chosen_clock = clock if clock is not None else SystemClock()
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    metrics = Metrics(registry, finding_codes=finding_codes(), rpc_methods=RPC_METHODS)
    trail = trail or no_audit_trail()
    events = event_log(trail)
    _watch_trail(trail, registry, metrics)
    reloader = Reloader(
        CatalogLoader(settings), observer=metrics, now=chosen_clock.now, events=events
    )
    metrics.watch_partners(
        reloader.partner_count,
        next_end_s={
            kind.value: partial(reloader.seconds_until_next_end, kind) for kind in DeadlineKind
        },
        ended={kind.value: partial(reloader.ended, kind) for kind in DeadlineKind},
    )
    store = MemoryFactsStore(max_entries=settings.cache_entries, max_bytes=settings.cache_bytes)
    tracing = tracing_from(settings, registry) if is_replica else None
    fleet = None
    if is_replica and settings.fleet.servers:
        fleet = fleet_from(
            settings,
            chosen_clock,
            memory=store,
            registry=registry,
            is_traced=tracing is not None,
            discarded=lambda endpoints: checks.outdate_endpoints(endpoints),  # noqa: PLW0108  # made below
        )
    own_listeners = OwnListeners(nat64_prefixes=settings.nat64_prefixes)
    asked = settings.asked_perspective
    pools: Mapping[str, EnginePool] = {}
    if engines is None:
        pools = engines_from(
            settings,
            chosen_clock,
            policies=lambda: reloader.current.policies,
            partners=reloader.partner_count,
            observer=metrics,
            own_listeners=own_listeners,
            shares=None if fleet is None else fleet.shares,
        )
        crl_fetcher = crl_fetcher or pools[asked]
    by_perspective: Mapping[str, Engines] = pools if engines is None else {asked: engines}
    _watch_engines(by_perspective, metrics)
    facts = store if fleet is None else fleet.store
    callers = CallerLimits(caller_bounds(settings.shares), monotonic=chosen_clock.monotonic)
    measurements = {
        name: Measurements(
            resolver=chosen,
            scanner=chosen,
            store=facts if tracing is None else TracedFactsStore(facts),
            leasing=None if fleet is None else fleet.leasing,
            clock=chosen_clock,
            limits=freshness_limits(settings),
            observer=metrics,
            perspective=name,
            is_own_listener=own_listeners.has,
            callers=callers,
        )
        for name, chosen in by_perspective.items()
    }
    book, refresher = None, None
    if settings.crl.fetch and crl_fetcher is not None:
        book, refresher = _revocation_lists(settings, chosen_clock, crl_fetcher, metrics)
    checks = CheckService(
        measurements=measurements[asked],
        elsewhere=[each for name, each in measurements.items() if name != asked],
        verdicts=Verdicts(lifetimes(settings.lifetimes), book, max_kept=kept_answers(settings)),
        forced=ForcedMeasurements(timedelta(seconds=settings.minimum_refresh_interval_s)),
        clock=chosen_clock,
        observer=metrics,
    )
    watching = None
    if is_replica and settings.watch.is_on:
        watching = watching_from(
            settings,
            chosen_clock,
            checks=checks,
            generation=lambda: reloader.current,
            registry=registry,
            fleet=fleet,
        )
    return Application(
        settings=settings,
        clock=chosen_clock,
        reloader=reloader,
        registry=registry,
        metrics=metrics,
        engines=by_perspective,
        checks=checks,
        trail=trail,
        events=events,
        own_listeners=own_listeners,
        measurements=measurements,
        store=store,
        lag=LoopLag(metrics.loop_lagged),
        pools=pools,
        crls=refresher,
        fleet=fleet,
        watching=watching,
        tracing=tracing,
    )


async def _all(ends: Sequence[Awaitable[None]]) -> None:
    """Wait for all of them, whatever becomes of any; then raise what the first has raised."""
    outcomes = await asyncio.gather(*ends, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


def _watch_engines(engines: Mapping[str, Engines], metrics: Metrics) -> None:
    """Have metrics read from engines by perspective."""
    for name, each in engines.items():
        metrics.watch_perspective(name, each)
    metrics.watch_tasks(
        lambda: len(asyncio.all_tasks()), lambda: sum(each.tasks for each in engines.values())
    )
    metrics.watch_dns(lambda: _QUESTIONS_A_NAME * sum(each.resolving for each in engines.values()))


def _watch_trail(trail: AuditTrail, registry: CollectorRegistry, metrics: Metrics) -> None:
    metrics.watch_decision_log(lambda: trail.dropped)
    AuditMetrics(
        registry,
        sinks=trail.outlets,
        refusals=trail.refusals,
        kinds=REFUSAL_KINDS,
        summarised=lambda: trail.summarised,
    )


def _revocation_lists(
    settings: Settings, clock: Clock, fetcher: CrlFetcher, metrics: Metrics
) -> tuple[CrlBook, CrlRefresher]:
    """Return what CRLs say, nothing so far, and who fetches them once it is run."""
    book = CrlBook(
        monotonic=clock.monotonic,
        max_leaves=settings.cache_entries,
        max_bytes=settings.crl.cache_bytes,
    )
    metrics.watch_crls(lambda: book.kept_lists, lambda: book.kept_bytes)
    limits = crl_limits(settings.crl)
    refresher = CrlRefresher(book, fetcher=fetcher, clock=clock, limits=limits, observer=metrics)
    return book, refresher


def freshness_limits(settings: Settings) -> FreshnessLimits:
    """Return how stale or fresh the facts are that a request may ask for."""
    return FreshnessLimits(
        max_stale=timedelta(seconds=settings.max_stale_s),
        minimum_refresh_interval=timedelta(seconds=settings.minimum_refresh_interval_s),
    )


def kept_answers(settings: Settings) -> int:
    """Return how many verdicts, and how many answers, to keep.

    Those that rest on measurements which are no longer kept are never found again.
    """
    return min(MAX_KEPT_ANSWERS, _ANSWERS_PER_MEASUREMENT * settings.cache_entries)


def caller_bounds(chosen: ShareSettings) -> CallerBounds:
    """Return what one caller may have measured."""
    return CallerBounds(
        ports=frozenset(chosen.allowed_ports) or None,
        targets_per_hour=chosen.targets_per_hour,
        names=chosen.names_per_caller,
    )


def crl_limits(chosen: CrlSettings) -> CrlLimits:
    """Return the bounds of fetching CRLs from the settings."""
    return CrlLimits(
        refresh=timedelta(seconds=chosen.refresh_s),
        max_bytes=chosen.max_bytes,
        deadline_s=chosen.fetch_deadline_s,
        concurrent=chosen.concurrent_fetches,
    )


def lifetimes(chosen: LifetimeSettings) -> Lifetimes:
    """Return the lifetimes from the settings."""
    return Lifetimes(
        allow=timedelta(seconds=chosen.allow_s),
        deny=timedelta(seconds=chosen.deny_s),
        unknown=timedelta(seconds=chosen.unknown_s),
    )
