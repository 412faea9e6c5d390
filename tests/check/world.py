"""Clock, names, scanner and observer that tests move by hand, and the use case among them."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import Any

from otpc_policy.catalog.context import Catalog
from otpc_policy.catalog.policies import load_builtin_policies, parse_policy
from otpc_policy.check import (
    Answer,
    CheckRequest,
    CheckService,
    FactsStore,
    ForcedMeasurements,
    Freshness,
    FreshnessLimits,
    FreshnessMode,
    Lifetimes,
    Measurements,
    ResultSource,
    Verdicts,
)
from otpc_policy.core.addresses import AddressVetting, Resolution, VettedAddress
from otpc_policy.core.demand import Demand
from otpc_policy.core.endpoint import Endpoint, parse_endpoint
from otpc_policy.core.facts import AddressFacts, Depth, ResolutionFailure, ResolutionStatus
from otpc_policy.core.perspective import DEFAULT_PERSPECTIVE
from otpc_policy.policy.finding import Decision
from otpc_policy.policy.model import Policy
from otpc_policy.store.memory import MemoryFactsStore
from tests.support.facts import HOST, NOW, make_facts, make_trust

POLICIES = load_builtin_policies()
SECOND = timedelta(seconds=1)
LIFETIMES = Lifetimes(
    allow=timedelta(hours=1),
    deny=timedelta(minutes=5),
    unknown=timedelta(seconds=30),
)
LIMITS = FreshnessLimits(
    max_stale=timedelta(minutes=10),
    minimum_refresh_interval=timedelta(seconds=10),
)
BRIEF = parse_policy(
    'name = "brief"\nextends = "otpc-2024-12"\nlifetimes.allow_s = 60\n', "brief.toml"
)


def vetted(text: str) -> VettedAddress:
    address = AddressVetting([ip_network("127.0.0.0/8")]).vet(text)
    assert isinstance(address, VettedAddress)
    return address


def stale(*texts: str) -> Resolution:
    """The addresses of an earlier answer, while the name server says SERVFAIL."""
    return Resolution(
        status=ResolutionStatus.RESOLVED,
        addresses=tuple(map(vetted, texts or ("127.0.0.1",))),
        failure=ResolutionFailure.SERVFAIL,
        is_stale=True,
        ttl=5 * SECOND,
    )


def compliant(address: str, at: datetime, **overrides: Any) -> AddressFacts:
    return replace(make_facts().addresses[0], address=address, observed_at=at, **overrides)


def unknown(address: str, at: datetime) -> AddressFacts:
    return compliant(address, at, versions=(), cipher_suites=(), deployments=())


@dataclass
class World:
    """Clock, resolver, scanner and observer in one; a test changes what they say.

    gate: when set, measurements wait for it. facts: what is measured at an address.
    error: what a measurement raises. so_far: what a measurement under way has found.
    is_known: the resolver has its answer at hand, and must not be asked but for a fresh one.
    fresh_resolution: what it says when it is asked for that; None for the same as ever.
    asked_fresh: how often that happened. resolver_gate: when set, resolve waits for it.
    """

    at: datetime = NOW
    addresses: tuple[str, ...] = ("127.0.0.1",)
    resolution: Resolution | None = None
    gate: asyncio.Event | None = None
    resolver_gate: asyncio.Event | None = None
    facts: Callable[[str, datetime], AddressFacts] = compliant
    error: Exception | None = None
    so_far: Callable[[str, datetime], AddressFacts] | None = None
    is_known: bool = False
    fresh_resolution: Resolution | None = None
    asked_fresh: int = 0
    revision: str = "1"
    measured: list[str] = field(default_factory=list)
    # Of measurements that wait for the gate.
    demands: list[Demand] = field(default_factory=list)
    events: list[tuple[str, str]] = field(default_factory=list)
    own_listeners: Collection[tuple[str, int]] = ()
    perspective: str = DEFAULT_PERSPECTIVE

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def known(self, host: str) -> Resolution | None:
        return self.resolved(host) if self.is_known else None

    async def resolve(self, host: str, *, fresh: bool = False) -> Resolution:
        assert fresh or not self.is_known
        self.asked_fresh += fresh
        if self.resolver_gate is not None:
            await self.resolver_gate.wait()
        if fresh and self.fresh_resolution is not None:
            return self.fresh_resolution
        return self.resolved(host)

    def resolved(self, host: str) -> Resolution:
        assert host == HOST
        addresses = tuple(map(vetted, self.addresses))
        return self.resolution or Resolution(status=ResolutionStatus.RESOLVED, addresses=addresses)

    async def measure(
        self, endpoint: Endpoint, address: VettedAddress, depth: Depth, demand: Demand
    ) -> AddressFacts:
        assert endpoint.host == HOST
        self.measured.append(address.text)
        if self.gate is not None:
            self.demands.append(demand)
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return replace(self.facts(address.text, self.at), depth=depth)

    def probe_revision(self, _address: VettedAddress) -> str:
        return self.revision

    async def partial(
        self, endpoint: Endpoint, address: VettedAddress, depth: Depth
    ) -> AddressFacts | None:
        return None if self.so_far is None else self.so_far(address.text, self.at)

    def cache_request(self, result: str) -> None:
        self.events.append(("request", result))

    def flight(self, result: str) -> None:
        self.events.append(("flight", result))

    def scan_finished(self, *, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        self.events.append(("scan", outcome))

    def leaf_reported(self, result: str) -> None:
        self.events.append(("leaf", result))

    def measurements(self, store: FactsStore | None = None) -> Measurements:
        return Measurements(
            resolver=self,
            scanner=self,
            store=store if store is not None else memory_store(),
            clock=self,
            limits=LIMITS,
            observer=self,
            perspective=self.perspective,
            is_own_listener=lambda address, port: (address, port) in self.own_listeners,
        )

    def checks(self, store: FactsStore | None = None, *elsewhere: "World") -> "Checks":
        others = [each.measurements(store) for each in elsewhere]
        return Checks(self, self.measurements(store), others)


class Checks:
    """The use case under test. Asks for HOST under the default policy unless a test says more."""

    def __init__(
        self, world: World, measurements: Measurements, elsewhere: Sequence[Measurements] = ()
    ) -> None:
        self.measurements = measurements
        self.service = CheckService(
            measurements=measurements,
            elsewhere=elsewhere,
            verdicts=Verdicts(LIFETIMES),
            forced=ForcedMeasurements(LIMITS.minimum_refresh_interval),
            clock=world,
            observer=world,
        )

    async def check(
        self,
        asked: CheckRequest | None = None,
        under: Catalog | None = None,
        *,
        wait_s: float | None = None,
    ) -> Answer:
        return await self.service.check(asked or request(), under or GENERATION, wait_s=wait_s)


def memory_store(max_entries: int = 100) -> MemoryFactsStore:
    return MemoryFactsStore(max_entries=max_entries, max_bytes=1 << 24)


def generation(*policies: Policy, revision: str = "first", **overrides: Any) -> Catalog:
    """The built-in policies and these, under the trust that the facts are made for."""
    known = {**POLICIES.policies, **{policy.name: policy for policy in policies}}
    return Catalog(
        policies=replace(POLICIES, policies=known),
        trust=make_trust(),
        revision=revision,
        **overrides,
    )


GENERATION = generation(BRIEF)


def request(
    mode: FreshnessMode = FreshnessMode.CACHE_FIRST,
    *,
    policy_name: str = "",
    endpoint: Endpoint | None = None,
    depth: Depth = Depth.STANDARD,
    observed_leaf: bytes | None = None,
    perspective: str = "",
    **freshness: timedelta,
) -> CheckRequest:
    return CheckRequest(
        observed_leaf=observed_leaf,
        perspective=perspective,
        endpoint=endpoint or parse_endpoint(HOST),
        policy_name=policy_name,
        freshness=Freshness(mode=mode, **freshness),
        depth=depth,
    )


def summary(answer: Answer) -> tuple[Decision, ResultSource]:
    return answer.judgement.verdict.decision, answer.source


def codes(answer: Answer) -> set[str]:
    return {finding.code for finding in answer.judgement.verdict.findings}


async def turns() -> None:
    """Let every task run as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)
