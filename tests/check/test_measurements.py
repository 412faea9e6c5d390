"""Facts come from the store or from one shared measurement; what they mean is not known here."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from otpc_policy.check import Freshness, FreshnessMode, Measurements, StoredFacts
from otpc_policy.check.freshness import Lifetime
from otpc_policy.check.measurements import (
    FactsWanted,
    Found,
    Known,
    Missing,
    WhyMissing,
    outcome_of,
)
from otpc_policy.check.ports import Boarding, ScanOutcome
from otpc_policy.core.addresses import Resolution
from otpc_policy.core.endpoint import Endpoint, parse_endpoint
from otpc_policy.core.errors import Overloaded, ServiceUnavailable
from otpc_policy.core.facts import AddressFacts, Depth, ResolutionStatus, Support
from tests.check.world import (
    SECOND,
    World,
    compliant,
    memory_store,
    stale,
    turns,
    unknown,
    vetted,
)
from tests.store.fakes import FailingStore, RemoteStore
from tests.support.facts import HOST, NOW

FIRST, ONLY, REFRESH = FreshnessMode.CACHE_FIRST, FreshnessMode.CACHE_ONLY, FreshnessMode.REFRESH
ENDPOINT = parse_endpoint(HOST)


@dataclass
class Asking:
    """What callers ask for. lifetime: how long facts answer, as the caller says."""

    world: World
    measurements: Measurements
    lifetime: timedelta = timedelta(hours=1)
    lifetimes_asked: list[StoredFacts] = field(default_factory=list)

    async def __call__(
        self,
        *addresses: str,
        mode: FreshnessMode = FIRST,
        endpoint: Endpoint = ENDPOINT,
        depth: Depth = Depth.STANDARD,
        max_stale: timedelta | None = None,
        wait_s: float | None = None,
    ) -> Sequence[Found | Missing]:
        self.world.addresses = addresses or ("127.0.0.1",)
        freshness = Freshness(mode=mode, max_stale=max_stale)
        wanted = self.wanted(freshness, endpoint=endpoint, depth=depth)
        known = await self.measurements.known(wanted, wait_s=None)
        assert known is not None
        return await self.measurements.collect(wanted, known, wait_s=wait_s)

    def wanted(
        self,
        freshness: Freshness,
        *,
        endpoint: Endpoint = ENDPOINT,
        depth: Depth = Depth.STANDARD,
    ) -> FactsWanted:
        return FactsWanted(
            endpoint=endpoint, depth=depth, freshness=freshness, lifetime=self._lifetime
        )

    async def known(self, *, wait_s: float | None = None) -> Known | None:
        return await self.measurements.known(self.wanted(Freshness()), wait_s=wait_s)

    def _lifetime(self, stored: StoredFacts, _at: datetime) -> Lifetime:
        self.lifetimes_asked.append(stored)
        return Lifetime(self.lifetime, None)


def ask(world: World, store: RemoteStore | FailingStore | None = None) -> Asking:
    return Asking(world, world.measurements(store))


def ways(collected: Sequence[Found | Missing]) -> list[Boarding | WhyMissing | None]:
    """How each address came by its facts, or why it has none."""
    return [each.boarding if isinstance(each, Found) else each.why for each in collected]


def found(outcome: Found | Missing) -> AddressFacts:
    assert isinstance(outcome, Found)
    return outcome.usable.stored.facts


async def test_facts_are_measured_once_and_stored_under_their_name() -> None:
    world = World()
    asking = ask(world)
    (measured,) = await asking()
    (stored,) = await asking()
    assert (ways([measured]), ways([stored])) == ([Boarding.BEGAN], [None])
    assert found(stored) is found(measured)
    assert world.measured == ["127.0.0.1"]
    assert world.events == [
        ("flight", "began"),
        ("request", "miss"),
        ("scan", "complete"),
        ("request", "hit"),
    ]


async def test_facts_live_as_long_as_the_caller_says() -> None:
    world = World()
    asking = ask(world)
    await asking()
    world.at += 67 * SECOND
    asking.lifetime = timedelta(minutes=1)
    assert ways(await asking(mode=ONLY)) == [WhyMissing.NOT_STORED]
    asking.lifetime = timedelta(hours=1)
    assert ways(await asking(mode=ONLY)) == [None]
    expected = compliant("127.0.0.1", NOW, perspective="default")
    assert {each.facts for each in asking.lifetimes_asked} == {expected}


async def test_each_address_is_looked_up_and_measured_by_itself_and_in_order() -> None:
    world = World()
    asking = ask(world)
    await asking("127.0.0.2")
    collected = await asking("127.0.0.1", "127.0.0.2", "127.0.0.3")
    assert ways(collected) == [Boarding.BEGAN, None, Boarding.BEGAN]
    assert [found(each).address for each in collected] == ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    assert world.measured == ["127.0.0.2", "127.0.0.1", "127.0.0.3"]


@pytest.mark.parametrize(
    ("modes", "counted"),
    [
        ([ONLY], ["miss"]),
        ([FIRST, FIRST], ["miss", "hit"]),
        ([REFRESH, REFRESH], ["refresh", "hit"]),
    ],
)
async def test_each_request_counts_once_by_the_costliest_address(
    modes: list[FreshnessMode], counted: list[str]
) -> None:
    world = World()
    asking = ask(world)
    for mode in modes:
        await asking("127.0.0.1", "127.0.0.2", mode=mode)
    assert [result for event, result in world.events if event == "request"] == counted


async def test_stale_facts_answer_at_once_while_they_are_measured_anew() -> None:
    world = World()
    asking = ask(world)
    (first,) = await asking()
    assert isinstance(first, Found)
    world.at = first.usable.ends_at + SECOND
    world.gate = asyncio.Event()
    (stale,) = await asking(max_stale=timedelta(minutes=15))
    assert isinstance(stale, Found)
    assert (stale.usable.is_stale, stale.boarding) == (True, Boarding.BEGAN)
    assert asking.measurements.in_progress == 1
    (alone,) = await asking(mode=ONLY, max_stale=timedelta(minutes=15))
    assert ways([alone]) == [None]
    world.gate.set()
    await turns()
    (fresh,) = await asking()
    assert (found(fresh).observed_at, asking.measurements.in_progress) == (world.at, 0)
    assert [result for event, result in world.events if event == "request"][1:3] == ["stale"] * 2


async def test_deep_facts_serve_standard_if_they_are_newer_and_never_the_reverse() -> None:
    world = World()
    asking = ask(world)
    await asking()
    world.at += SECOND
    await asking(depth=Depth.DEEP)
    assert len(world.measured) == 2
    assert found((await asking())[0]).depth is Depth.DEEP
    world.at += 60 * SECOND
    await asking(mode=REFRESH)
    assert [found((await asking(depth=depth))[0]).depth for depth in Depth] == list(Depth)


@pytest.mark.parametrize(
    "endpoint",
    [parse_endpoint(HOST, 8443), parse_endpoint(HOST, 443, "other.test")],
    ids=["port", "server name"],
)
async def test_facts_of_another_endpoint_are_not_used(endpoint: Endpoint) -> None:
    asking = ask(World())
    await asking()
    assert ways(await asking(endpoint=endpoint)) == [Boarding.BEGAN]


async def test_facts_of_another_revision_of_the_probes_are_not_used() -> None:
    world = World()
    asking = ask(world)
    await asking()
    world.revision = "2"
    assert ways(await asking()) == [Boarding.BEGAN]
    assert ways(await asking()) == [None]


async def test_facts_are_kept_for_the_revision_that_measured() -> None:
    def by_another_release(address: str, at: datetime) -> AddressFacts:
        return replace(compliant(address, at), probe_revision="2")

    world = World(facts=by_another_release)
    asking = ask(world)
    assert ways(await asking()) == [Boarding.BEGAN]
    assert ways(await asking()) == [Boarding.BEGAN]
    world.revision = "2"
    assert ways(await asking()) == [None]


async def test_callers_share_a_measurement_and_the_facts_of_it() -> None:
    world = World(gate=asyncio.Event())
    asking = ask(world)
    tasks = [asyncio.create_task(asking()) for _ in range(5)]
    await turns()
    assert world.gate is not None
    world.gate.set()
    outcomes = [await task for task in tasks]
    assert [way for collected in outcomes for way in ways(collected)] == [
        Boarding.BEGAN,
        *[Boarding.JOINED] * 4,
    ]
    assert len({id(found(collected[0])) for collected in outcomes}) == 1


async def test_a_measurement_under_way_shows_what_it_has_found_so_far() -> None:
    world = World(gate=asyncio.Event(), so_far=unknown)
    asking = ask(world)
    (missing,) = await asking(wait_s=0)
    assert isinstance(missing, Missing)
    assert (missing.why, missing.boarding) == (WhyMissing.UNDER_WAY, Boarding.BEGAN)
    assert missing.so_far == replace(unknown("127.0.0.1", NOW), perspective="default")
    await asking.measurements.close()


async def test_what_raises_is_forgotten_counted_logged_and_told_to_all_who_wait(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    asking = ask(world)
    await asking()
    world.at, world.error = NOW + 60 * SECOND, RuntimeError("a bug")
    assert ways(await asking(mode=REFRESH)) == [WhyMissing.FAILED]
    assert ways(await asking(mode=ONLY)) == [WhyMissing.NOT_STORED]
    assert ("scan", "failed") in world.events
    assert [record.message for record in caplog.records] == ["a measurement failed"]


async def test_no_room_forgets_nothing() -> None:
    world = World()
    asking = ask(world)
    await asking()
    world.at, world.error = NOW + 60 * SECOND, Overloaded(2 * SECOND)
    (missing,) = await asking(mode=REFRESH)
    assert isinstance(missing, Missing)
    assert (missing.why, missing.overloaded) == (WhyMissing.NO_ROOM, world.error)
    assert ways(await asking()) == [None]
    assert ("scan", "overloaded") in world.events


async def test_facts_that_have_no_name_count_as_a_failure() -> None:
    world = World(facts=lambda address, at: compliant(address, at.replace(tzinfo=None)))
    assert ways(await ask(world)()) == [WhyMissing.FAILED]


@pytest.mark.parametrize("remote", [False, True])
async def test_an_outdated_measurement_is_not_stored(remote: bool) -> None:
    world = World(gate=asyncio.Event())
    asking = ask(world, RemoteStore() if remote else None)
    early = asyncio.create_task(asking())
    await turns()
    assert await asking.measurements.invalidate(HOST, 0) == 0
    assert world.gate is not None
    world.gate.set()
    assert ways(await early) == [Boarding.BEGAN]
    assert ways(await asking(mode=ONLY)) == [WhyMissing.NOT_STORED]


async def test_facts_invalidated_on_their_way_into_the_store_do_not_stay_there() -> None:
    world, store = World(gate=asyncio.Event()), RemoteStore()
    assert world.gate is not None
    asking = ask(world, store)
    early = asyncio.create_task(asking())
    await turns()
    store.put_gate.clear()
    world.gate.set()
    await turns()
    await asking.measurements.invalidate(HOST, 443)
    store.put_gate.set()
    assert ways(await early) == [Boarding.BEGAN]
    assert ways(await asking(mode=ONLY)) == [WhyMissing.NOT_STORED]


async def test_an_invalidation_that_the_store_did_not_take_is_an_error() -> None:
    asking = ask(World(), FailingStore(memory_store(), "discard_endpoint"))
    with pytest.raises(ServiceUnavailable):
        await asking.measurements.invalidate(HOST, 443)


async def test_closing_ends_what_callers_wait_for_and_nothing_begins_any_more() -> None:
    world = World(gate=asyncio.Event())
    asking = ask(world)
    waiting = asyncio.create_task(asking())
    await turns()
    await asking.measurements.close()
    for attempt in (waiting, asking()):
        with pytest.raises(ServiceUnavailable):
            await attempt
    assert (asking.measurements.in_progress, len(world.measured)) == (0, 1)


async def test_a_host_that_takes_too_long_to_resolve_is_not_waited_for() -> None:
    world = World(resolver_gate=asyncio.Event())
    assert await ask(world).known(wait_s=0) is None


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_resolution_at_hand_is_not_asked_for(is_known: bool) -> None:
    failed = Resolution(status=ResolutionStatus.FAILED)
    world = World(resolution=failed, is_known=is_known)
    assert await ask(world).known(wait_s=1) == Known(failed, ())


@pytest.mark.parametrize("mode", [FIRST, REFRESH])
async def test_nothing_is_measured_at_the_addresses_of_an_earlier_answer(
    mode: FreshnessMode,
) -> None:
    world = World(resolution=stale())
    asking = ask(world)
    assert ways(await asking(mode=mode)) == [WhyMissing.EARLIER_ADDRESS]
    assert (world.measured, world.asked_fresh) == ([], 1)
    assert world.events == [("request", "miss")]
    assert ways(await asking(mode=ONLY)) == [WhyMissing.NOT_STORED]
    assert world.asked_fresh == 1, "nothing would have been measured anyway"


async def test_who_refreshes_too_soon_gets_recent_facts_at_earlier_addresses_too() -> None:
    world = World()
    asking = ask(world)
    await asking()
    world.at, world.resolution = NOW + 4 * SECOND, stale()
    (recent,) = await asking(mode=REFRESH)
    assert isinstance(recent, Found)
    assert (recent.usable.retry_after, recent.boarding, world.asked_fresh) == (6 * SECOND, None, 0)


async def test_an_answer_that_comes_after_all_is_measured_at() -> None:
    answered = Resolution(status=ResolutionStatus.RESOLVED, addresses=(vetted("127.0.0.2"),))
    world = World(resolution=stale(), is_known=True, fresh_resolution=answered)
    (measured,) = await ask(world)()
    assert (found(measured).address, world.measured) == ("127.0.0.2", ["127.0.0.2"])


async def test_name_servers_are_waited_for_within_the_callers_time() -> None:
    class Slow(World):
        """The resolver has an earlier answer after three seconds."""

        async def resolve(self, host: str, *, fresh: bool = False) -> Resolution:
            self.at += 3 * SECOND
            return await super().resolve(host, fresh=fresh)

    world = Slow(resolution=stale())
    assert await ask(world).known(wait_s=3.001) is not None
    assert world.asked_fresh == 1
    waited = asyncio.Event()

    class Silent(Slow):
        """The name servers never answer."""

        async def resolve(self, host: str, *, fresh: bool = False) -> Resolution:
            if fresh:
                waited.set()
                await asyncio.Event().wait()
            return await super().resolve(host, fresh=fresh)

    assert await ask(Silent(resolution=stale())).known(wait_s=3.001) is None
    assert waited.is_set()


@pytest.mark.parametrize(
    ("facts", "outcome"),
    [
        (compliant("127.0.0.1", NOW), ScanOutcome.COMPLETE),
        (unknown("127.0.0.1", NOW), ScanOutcome.INCOMPLETE),
        (compliant("127.0.0.1", NOW, reachable=Support.NO), ScanOutcome.UNREACHABLE),
        (compliant("127.0.0.1", NOW, reachable=Support.UNKNOWN), ScanOutcome.UNREACHABLE),
    ],
)
def test_measurements_end_complete_only_without_an_unknown(
    facts: AddressFacts, outcome: ScanOutcome
) -> None:
    assert outcome_of(facts) is outcome
