"""Several replicas of the use case over one real store: who measures, what the others answer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from otpc_policy.check import (
    Answer,
    CheckRequest,
    CheckService,
    ForcedMeasurements,
    FreshnessMode,
    Lease,
    Leasing,
    Measurements,
    ResultSource,
    Verdicts,
)
from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.policy.finding import Decision
from tests.check.world import GENERATION, LIFETIMES, LIMITS, World, request, summary
from tests.fleet.conftest import MakeReplica
from tests.fleet.world import KEY, Replica, until
from tests.support.facts import HOST
from tests.support.valkey import valkey


@dataclass(frozen=True)
class LoopClock:
    """The dates of a world; seconds that pass."""

    world: World

    def now(self) -> datetime:
        return self.world.now()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


@dataclass
class Front:
    """One replica: a world of its own, and the fleet's store."""

    world: World
    replica: Replica
    measurements: Measurements
    service: CheckService

    async def check(self, asked: CheckRequest | None = None) -> Answer:
        return await self.service.check(asked or request(), GENERATION, wait_s=None)

    async def measures(self) -> None:
        """Wait until a measurement is under way, which the gate holds."""
        await until(lambda: bool(self.world.demands))


MakeFront = Callable[..., Front]


@pytest.fixture
async def front(replica: MakeReplica) -> AsyncIterator[MakeFront]:
    """Make fronts of one fleet."""
    made: list[Front] = []

    def make(url: str | None = None, *, longest_wait_s: float = 30.0, **options: Any) -> Front:
        world = World()
        one = replica(url, **options)
        measurements = Measurements(
            resolver=world,
            scanner=world,
            store=one.store,
            clock=world,
            limits=LIMITS,
            observer=world,
            leasing=Leasing(
                one.leases,
                observer=one.observed,
                clock=LoopClock(world),
                longest_wait_s=longest_wait_s,
            ),
        )
        service = CheckService(
            measurements=measurements,
            verdicts=Verdicts(LIFETIMES),
            forced=ForcedMeasurements(LIMITS.minimum_refresh_interval),
            clock=world,
            observer=world,
        )
        one.outdate = measurements.outdate_endpoints
        made.append(Front(world, one, measurements, service))
        return made[-1]

    yield make
    for each in made:
        await each.measurements.close()


def at_port(port: int) -> CheckRequest:
    return request(endpoint=parse_endpoint(HOST, port))


async def test_endpoints_that_all_are_asked_for_at_once_are_measured_once_each(
    front: MakeFront,
) -> None:
    fronts, ports = [front(most_of_a_host=1_000) for _ in range(3)], range(1, 201)
    checks = [each.check(at_port(port)) for port in ports for each in fronts]
    answers = await asyncio.gather(*checks)
    assert {answer.judgement.verdict.decision for answer in answers} == {Decision.ALLOW}
    assert sum(len(each.world.measured) for each in fronts) == len(ports)
    assert all(not each.replica.observed.refused for each in fronts)
    results = [result for each in fronts for result in each.replica.observed.leases]
    assert (results.count("leased"), results.count("taken")) == (200, 400)


async def test_whoever_waits_takes_the_facts_of_whoever_measures(front: MakeFront) -> None:
    one, two = front(), front()
    one.world.gate = asyncio.Event()
    first = asyncio.create_task(one.check())
    await one.measures()
    second = asyncio.create_task(two.check())
    await asyncio.sleep(0.1)
    assert not second.done()
    one.world.gate.set()
    theirs, ours = await asyncio.gather(first, second)
    assert ours.facts() == theirs.facts()
    assert (two.world.measured, summary(ours)[0]) == ([], Decision.ALLOW)


async def test_a_replica_that_died_is_waited_for_no_longer_than_its_lease(
    front: MakeFront, replica: MakeReplica
) -> None:
    died = replica(lease=timedelta(milliseconds=300))
    key = KEY._replace(host=HOST, server_name=HOST)
    assert isinstance(await died.leases.acquire(key, new_enough_s=0), Lease)
    one = front()
    assert summary(await one.check())[0] is Decision.ALLOW
    assert one.world.measured == ["127.0.0.1"]


async def test_a_demanded_measurement_begins_no_earlier_than_the_demand(front: MakeFront) -> None:
    one, two = front(), front()
    one.world.gate = asyncio.Event()
    first = asyncio.create_task(one.check())
    await one.measures()
    second = asyncio.create_task(two.check(request(FreshnessMode.REFRESH)))
    await asyncio.sleep(0.1)
    assert two.world.measured == []
    one.world.gate.set()
    await asyncio.gather(first, second)
    assert two.world.measured == ["127.0.0.1"]


async def test_without_the_store_everybody_measures_and_nobody_waits(front: MakeFront) -> None:
    with valkey() as server:
        one, two = front(server.url), front(server.url)
        server.kill()
        for each in (one, two):
            for _ in range(3):
                assert summary(await each.check())[0] is Decision.ALLOW
            assert each.world.measured == ["127.0.0.1"]
            assert each.replica.observed.available == [False]
        server.start()
        for each in (one, two):
            each.replica.observed.at += 10
            each.world.at += timedelta(hours=2)
            assert summary(await each.check())[0] is Decision.ALLOW
        assert [len(each.world.measured) for each in (one, two)] == [2, 1]
        assert one.replica.observed.available == [False, True]


async def test_a_store_that_dies_in_mid_measurement_costs_no_answer(front: MakeFront) -> None:
    with valkey() as server:
        one = front(server.url)
        one.world.gate = asyncio.Event()
        checking = asyncio.create_task(one.check())
        await one.measures()
        server.kill()
        one.world.gate.set()
        assert summary(await checking)[0] is Decision.ALLOW
        assert summary(await one.check())[0] is Decision.ALLOW
        assert one.world.measured == ["127.0.0.1"]


async def test_whoever_waits_goes_on_through_a_moment_without_the_store(front: MakeFront) -> None:
    one, two = front(), front()
    one.world.gate = asyncio.Event()
    first = asyncio.create_task(one.check())
    await one.measures()
    second = asyncio.create_task(two.check())

    def acquires() -> int:
        return two.replica.observed.asked.count(("acquire", "ok"))

    await until(lambda: acquires() > 0)
    two.replica.connection.use_not("a moment of this test")
    await asyncio.sleep(0.3)
    two.replica.connection.use_not("")
    asked = acquires()
    await until(lambda: acquires() > asked)
    one.world.gate.set()
    await asyncio.gather(first, second)
    assert (two.world.measured, two.replica.observed.leases) == ([], ["taken"])


async def test_whoever_waits_measures_when_the_store_stays_away(front: MakeFront) -> None:
    one, two = front(), front()
    one.world.gate = asyncio.Event()
    first = asyncio.create_task(one.check())
    await one.measures()
    second = asyncio.create_task(two.check())
    await until(lambda: ("acquire", "ok") in two.replica.observed.asked)
    two.replica.connection.use_not("for the rest of this test")
    assert summary(await second)[0] is Decision.ALLOW
    assert (two.world.measured, two.replica.observed.leases) == (["127.0.0.1"], ["unavailable"])
    one.world.gate.set()
    await first


async def test_a_measurement_that_nobody_wants_any_more_does_not_wait(
    front: MakeFront, replica: MakeReplica
) -> None:
    holder = replica()
    key = KEY._replace(host=HOST, server_name=HOST)
    assert isinstance(await holder.leases.acquire(key, new_enough_s=0), Lease)
    one = front()
    checking = asyncio.create_task(one.check())
    await until(lambda: one.measurements.in_progress == 1)
    checking.cancel()
    await until(lambda: one.measurements.in_progress == 0)
    assert one.world.measured == []


async def test_who_has_waited_too_long_measures_and_keeps_that_to_itself(
    front: MakeFront, replica: MakeReplica
) -> None:
    holder = replica()
    key = KEY._replace(host=HOST, server_name=HOST)
    assert isinstance(await holder.leases.acquire(key, new_enough_s=0), Lease)
    one = front(longest_wait_s=0.2)
    assert summary(await one.check())[0] is Decision.ALLOW
    assert one.replica.observed.leases[-1] == "given_up"
    assert await holder.shared.get_many([key]) == [None]


async def test_a_replica_that_was_paused_overwrites_nothing(front: MakeFront) -> None:
    paused, other = front(lease=timedelta(milliseconds=200)), front()
    paused.world.gate = asyncio.Event()
    first = asyncio.create_task(paused.check())
    await paused.measures()
    key = KEY._replace(host=HOST, server_name=HOST)
    # As if its renewals had not arrived.
    await paused.replica.client.delete(paused.replica.keyspace.names(key).lease)
    other.world.at += timedelta(seconds=-5)
    theirs = await other.check()
    paused.world.gate.set()
    assert summary(await first)[0] is Decision.ALLOW
    (kept,) = await other.replica.shared.get_many([key])
    assert kept is not None
    assert [kept.facts.observed_at] == [facts.observed_at for facts in theirs.facts().addresses]


async def test_an_invalidation_elsewhere_outdates_a_measurement_under_way(
    front: MakeFront,
) -> None:
    one, two = front(), front()
    one.world.gate = asyncio.Event()
    checking = asyncio.create_task(one.check())
    await one.measures()
    await two.measurements.invalidate(HOST, 0)
    one.world.gate.set()
    assert summary(await checking)[0] is Decision.ALLOW
    key = KEY._replace(host=HOST, server_name=HOST)
    assert await two.replica.shared.get_many([key]) == [None]
    one.world.gate = None
    assert summary(await one.check()) == (Decision.ALLOW, ResultSource.MEASURED)
    assert len(one.world.measured) == 2


async def test_facts_that_a_request_is_too_strict_for_are_not_taken(front: MakeFront) -> None:
    one, two = front(), front()
    await one.check()
    strict = request(max_age=timedelta(milliseconds=500))
    two.world.at += timedelta(seconds=1)
    assert summary(await two.check(strict)) == (Decision.ALLOW, ResultSource.MEASURED)
    assert two.world.measured == ["127.0.0.1"]


async def test_old_facts_are_not_taken_though_the_store_calls_them_new(front: MakeFront) -> None:
    one, two = front(), front(longest_wait_s=5)
    await one.check()
    name = one.replica.keyspace.names(KEY._replace(host=HOST, server_name=HOST)).facts
    seconds, _ = await one.replica.client.time()
    await one.replica.client.hset(name, "p", str((seconds + 3_600) * 1_000_000))
    two.world.at += timedelta(hours=2)
    assert summary(await two.check()) == (Decision.ALLOW, ResultSource.MEASURED)
    assert two.world.measured == ["127.0.0.1"]


async def test_nobody_joins_a_measurement_whose_end_may_have_been_missed(front: MakeFront) -> None:
    one, two = front(), front()
    one.world.gate = asyncio.Event()
    # Measured without a lease, as while the store cannot be reached from here.
    one.replica.connection.use_not("cut off")
    first = asyncio.create_task(one.check())
    await one.measures()
    await two.measurements.invalidate(HOST, 0)
    one.replica.connection.use_not("")
    await one.replica.notices.follow()
    assert one.replica.missed == 1
    second = asyncio.create_task(one.check())
    one.world.gate.set()
    await asyncio.gather(first, second)
    assert one.world.measured == ["127.0.0.1", "127.0.0.1"]
