"""The engine without a network face: everything that answers a check, built from settings. The command line uses it as it is."""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Protocol, Self

from prometheus_client import CollectorRegistry, ProcessCollector

from otpc_policy.catalog.load import CatalogLoader
from otpc_policy.catalog.partners.deadlines import DeadlineKind
from otpc_policy.catalog.reload import Reloader
from otpc_policy.check import (
    CheckService,
    Clock,
    FreshnessLimits,
    Lifetimes,
    Measurements,
    Resolver,
    Scanner,
    Verdicts,
)
from otpc_policy.core.addresses import AddressVetting
from otpc_policy.engine.egress.dns import DnsClient
from otpc_policy.engine.egress.hosts_file import HostsFile
from otpc_policy.engine.egress.resolver import EgressResolver, LookUpObserver
from otpc_policy.engine.egress.selection import AddressSelection
from otpc_policy.ops.metrics import Metrics
from otpc_policy.policy.registry import finding_codes
from otpc_policy.rpc.registration import RPC_METHODS
from otpc_policy.scan.deep_scan import DeepScanner
from otpc_policy.scan.limits import ScanLimits
from otpc_policy.scan.scanner import SslyzeScanner
from otpc_policy.server.clock import SystemClock
from otpc_policy.settings import AddressFamilies, LifetimeSettings, ScanSettings, Settings
from otpc_policy.store.memory import MemoryFactsStore


class RunningScanner(Scanner, Protocol):
    """A scanner with workers to start and to reap."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    @property
    def queued(self) -> int: ...
    @property
    def workers_alive(self) -> int: ...


class RunningResolver(Resolver, Protocol):
    """A resolver with questions to end."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """The engine. As an async context manager it starts the workers, and at the end reaps them."""

    settings: Settings
    clock: Clock
    reloader: Reloader
    registry: CollectorRegistry
    metrics: Metrics
    scanner: RunningScanner
    resolver: RunningResolver
    checks: CheckService

    async def close(self) -> None:
        """Refuse further checks, end look-ups and measurements, reap every worker."""
        try:
            await self.checks.close()
            await self.resolver.close()
        finally:
            await self.scanner.stop()

    async def __aenter__(self) -> Self:
        await self.scanner.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()


def build_application(
    settings: Settings,
    *,
    clock: Clock | None = None,
    scanner: RunningScanner | None = None,
    resolver: RunningResolver | None = None,
) -> Application:
    """Return the engine, not yet started. clock, scanner, resolver: in place of the real ones.

    Raises ConfigurationError with every problem of policies, partners and trust, or with the policy tests that do not pass.
    """
    chosen_clock = clock if clock is not None else SystemClock()
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    metrics = Metrics(registry, finding_codes=finding_codes(), rpc_methods=RPC_METHODS)
    reloader = Reloader(CatalogLoader(settings), observer=metrics, now=chosen_clock.now)
    metrics.watch_partners(
        reloader.partner_count,
        next_end_s={kind.value: partial(reloader.seconds_until_next_end, kind) for kind in DeadlineKind},
        ended={kind.value: partial(reloader.ended, kind) for kind in DeadlineKind},
    )
    chosen_scanner = scanner if scanner is not None else _scanner(settings.scan, chosen_clock, metrics)
    metrics.watch_scanner(lambda: chosen_scanner.queued, lambda: chosen_scanner.workers_alive)
    chosen_resolver = resolver
    if chosen_resolver is None:
        chosen_resolver = own = resolver_from(settings, chosen_clock, metrics)
        metrics.watch_dns(lambda: own.outstanding)
    measurements = Measurements(
        resolver=chosen_resolver,
        scanner=chosen_scanner,
        store=MemoryFactsStore(
            max_entries=settings.cache_entries,
            max_bytes=settings.cache_bytes,
        ),
        clock=chosen_clock,
        limits=freshness_limits(settings),
        observer=metrics,
    )
    checks = CheckService(
        measurements=measurements,
        verdicts=Verdicts(lifetimes(settings.lifetimes)),
        clock=chosen_clock,
        observer=metrics,
    )
    return Application(
        settings=settings,
        clock=chosen_clock,
        reloader=reloader,
        registry=registry,
        metrics=metrics,
        scanner=chosen_scanner,
        resolver=chosen_resolver,
        checks=checks,
    )


def scan_limits(scan: ScanSettings) -> ScanLimits:
    """Return the limits that the settings say; the fields have the same names."""
    return ScanLimits(**scan.model_dump())


def _scanner(scan: ScanSettings, clock: Clock, metrics: Metrics) -> SslyzeScanner:
    limits = scan_limits(scan)
    return SslyzeScanner(limits=limits, now=clock.now, deep=DeepScanner(limits, contradicted=metrics.contradicted))


def freshness_limits(settings: Settings) -> FreshnessLimits:
    """Return what the settings grant to requests that ask for old or new facts."""
    return FreshnessLimits(
        max_stale=timedelta(seconds=settings.max_stale_s),
        minimum_refresh_interval=timedelta(seconds=settings.minimum_refresh_interval_s),
    )


def lifetimes(chosen: LifetimeSettings) -> Lifetimes:
    """Return the lifetimes that the settings say."""
    return Lifetimes(allow=timedelta(seconds=chosen.allow_s), deny=timedelta(seconds=chosen.deny_s), unknown=timedelta(seconds=chosen.unknown_s))


def resolver_from(settings: Settings, clock: Clock, observer: LookUpObserver) -> EgressResolver:
    """Return the resolver that the settings describe, the egress guard inside."""
    families = {
        AddressFamilies.BOTH: ("IPv4", "IPv6"),
        AddressFamilies.IPV4: ("IPv4",),
        AddressFamilies.IPV6: ("IPv6",),
    }
    return EgressResolver(
        AddressSelection(
            AddressVetting(settings.allow_networks),
            families=families.get(settings.address_families, "routed"),
        ),
        DnsClient(
            servers=settings.dns_servers,
            deadline_s=settings.dns_timeout_s,
            channel_life_s=settings.dns_ttl_s,
            monotonic=clock.monotonic,
        ),
        static_hosts=settings.static_hosts,
        hosts_file=HostsFile(),
        dns_ttl_s=settings.dns_ttl_s,
        monotonic=clock.monotonic,
        observer=observer,
    )
