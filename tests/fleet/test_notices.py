"""What replicas keep themselves follows what is changed in the store."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from otpc_policy.check import Lease, StoreUnavailable
from otpc_policy.core.facts import Support
from otpc_policy.fleet.scripts import Script
from otpc_policy.fleet.store import Polled
from tests.fleet.conftest import MakeReplica
from tests.fleet.world import KEY, Replica, facts
from tests.support.valkey import Valkey, valkey


async def following(make: MakeReplica, count: int = 2) -> list[Replica]:
    made = [make() for _ in range(count)]
    for one in made:
        await one.notices.follow()
    return made


async def store(one: Replica, number: int) -> None:
    """Measure, as it were, under a lease."""
    lease = await one.leases.acquire(KEY, new_enough_s=0)
    assert isinstance(lease, Lease)
    await one.store.put(KEY, facts(number), lease=lease)
    await one.leases.release(KEY, lease)


async def test_memory_answers_until_a_notice_says_otherwise(replica: MakeReplica) -> None:
    one, two = await following(replica)
    absent = KEY._replace(port=444)
    await store(one, 1)
    for _ in range(5):
        assert await two.store.get_many([KEY, absent]) == [facts(1), None]
        await two.notices.follow()
    assert two.observed.gets() <= 2, "once, and once more after the notice of the first facts"
    asked = two.observed.gets()
    await store(one, 2)
    assert await two.store.get_many([KEY, absent]) == [facts(1), None]
    assert two.observed.gets() == asked
    await two.notices.follow()
    assert await two.store.get_many([KEY, absent]) == [facts(2), None]


async def test_a_replica_s_own_facts_need_not_be_asked_for(replica: MakeReplica) -> None:
    (one,) = await following(replica, 1)
    await store(one, 1)
    await one.notices.follow()
    assert await one.store.get_many([KEY]) == [facts(1)]
    assert one.observed.gets() == 0


async def test_an_invalidation_reaches_every_memory_and_every_flight(replica: MakeReplica) -> None:
    one, two = await following(replica)
    await store(one, 1)
    await two.store.get_many([KEY])
    assert await one.store.discard_endpoint(KEY.host, 0) == 1
    await one.notices.follow()
    await two.notices.follow()
    assert (one.discarded, two.discarded) == ([], [(KEY.host, 0)])
    for each in (one, two):
        assert await each.store.get_many([KEY]) == [None]


async def test_what_failed_at_one_replica_is_still_there_for_the_others(
    replica: MakeReplica,
) -> None:
    one, two = await following(replica)
    await store(one, 1)
    await two.store.get_many([KEY])
    await two.store.discard(KEY)
    assert await two.store.get_many([KEY]) == [None]
    assert await replica().store.get_many([KEY]) == [facts(1)]
    await store(one, 2)
    await two.notices.follow()
    assert await two.store.get_many([KEY]) == [facts(2)]


async def test_a_replica_that_reaches_nothing_keeps_that_to_itself(replica: MakeReplica) -> None:
    one, two = await following(replica)
    unreachable = facts(9, reachable=Support.NO)
    lease = await one.leases.acquire(KEY, new_enough_s=0)
    assert isinstance(lease, Lease)
    await one.store.put(KEY, unreachable, lease=lease)
    assert await one.store.get_many([KEY]) == [unreachable]
    assert await two.store.get_many([KEY]) == [None]
    other = KEY._replace(port=444)
    its_lease = await one.leases.acquire(other, new_enough_s=0)
    assert isinstance(its_lease, Lease)
    await one.store.put(other, facts(1), lease=its_lease)
    await one.store.put(KEY, unreachable, lease=lease)
    assert await replica().store.get_many([KEY]) == [unreachable]
    one.observed.at += 61
    await one.store.put(KEY, facts(10, reachable=Support.NO), lease=lease)
    assert await replica().store.get_many([KEY]) == [unreachable]


async def test_notices_that_may_have_been_missed_make_memory_ask_again(
    replica: MakeReplica,
) -> None:
    with valkey() as server:
        one, two = replica(server.url), replica(server.url)
        for each in (one, two):
            await each.notices.follow()
        await store(one, 1)
        assert await two.store.get_many([KEY]) == [facts(1)]
        server.kill()
        with pytest.raises(StoreUnavailable):
            await two.notices.follow()
        two.store.following(False)
        # Memory goes on answering, and the dead store is hardly asked.
        asked = two.observed.gets()
        two.observed.at += 10
        for _ in range(20):
            assert await two.store.get_many([KEY]) == [facts(1)]
        assert two.observed.gets() == asked + 1
        server.start()
        two.observed.at += 10
        two.notices._lose()
        await two.notices.follow()
        # The store has lost everything, so nobody can tell what has been invalidated.
        assert await two.store.get_many([KEY]) == [None]


async def test_without_notices_each_key_is_asked_about_every_five_seconds(
    replica: MakeReplica,
) -> None:
    one, two = replica(), replica()
    await store(one, 1)
    for after_s, number in ((0.0, 1), (4.9, 1), (5.1, 2)):
        two.observed.at = 1_000 + after_s
        assert await two.store.get_many([KEY]) == [facts(number)]
        await store(one, 2)
    assert two.observed.gets() == 2


@pytest.mark.parametrize(("shown_s", "passed_s", "is_used"), [(3.0, 3.0, True), (3.0, 0.0, False)])
async def test_a_slow_poll_is_told_from_a_clock_that_was_set(
    replica: MakeReplica, shown_s: float, passed_s: float, is_used: bool
) -> None:
    at, seconds = [datetime.now(UTC)], [0.0]
    one = replica(now=lambda: at[0])
    one.notices._monotonic = lambda: seconds[0]
    await one.notices.follow()
    assert await one.shared.get_many([KEY]) == [None]
    ask = one.connection.poll

    async def slowly(script: Script, calls: Sequence[tuple[str, ...]]) -> Polled:
        polled = await ask(script, calls)
        at[0] += timedelta(seconds=shown_s)
        seconds[0] += passed_s
        return polled

    one.connection.poll = slowly  # type: ignore[method-assign]
    await one.notices.follow()
    if is_used:
        assert await one.shared.get_many([KEY]) == [None]
    else:
        with pytest.raises(StoreUnavailable, match="just been set"):
            await one.shared.get_many([KEY])


@pytest.mark.parametrize("minutes", [-60, 60])
async def test_a_replica_whose_clock_is_wrong_does_without_the_store(
    replica: MakeReplica, minutes: int, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = replica(now=lambda: datetime.now(UTC) + timedelta(minutes=minutes))
    await store(replica(), 1)
    await wrong.notices.follow()
    assert await wrong.store.get_many([KEY]) == [None]
    with pytest.raises(StoreUnavailable, match="clock"):
        await wrong.leases.acquire(KEY, new_enough_s=0)
    assert "differs from this one" in caplog.text
    assert wrong.observed.ahead_s[0] == pytest.approx(-60 * minutes, abs=30)


async def test_a_flood_of_notices_is_not_read_and_everything_is_asked_for_anew(
    replica: MakeReplica,
) -> None:
    (one,) = await following(replica, 1)
    await store(one, 1)
    assert one.observed.gets() == 0
    name = one.keyspace.host(KEY.host).notices
    async with one.client.pipeline(transaction=False) as pipeline:
        for number in range(2_500):
            pipeline.xadd(name, {"k": f"{number}", "i": ""})
        await pipeline.execute()
    assert [await one.notices.follow() for _ in range(2)] == [False, True]
    assert one.missed == 2
    assert await one.store.get_many([KEY]) == [facts(1)]
    assert one.observed.gets() == 1


async def test_a_notice_larger_than_any_is_not_even_fetched(replica: MakeReplica) -> None:
    (one,) = await following(replica, 1)
    await store(one, 1)
    await one.notices.follow()
    await one.client.xadd(one.keyspace.host(KEY.host).notices, {"k": "x" * 1_000_000})
    assert await one.notices.follow() is False
    with pytest.raises(StoreUnavailable):
        await one.notices.follow()
    assert await one.store.get_many([KEY]) == [facts(1)]
    await store(one, 2)
    assert await one.notices.follow() is True
    assert await one.store.get_many([KEY]) == [facts(2)]


@pytest.mark.parametrize(
    "fields", [{"x": "y"}, {"h": ""}, {"h": "a.test", "p": "x"}, {"h": "a.test", "p": "9" * 99}]
)
async def test_nonsense_among_the_notices_costs_measurements_at_most(
    replica: MakeReplica, fields: dict[str, str]
) -> None:
    (one,) = await following(replica, 1)
    await store(one, 1)
    await one.client.xadd(one.keyspace.host(KEY.host).notices, fields)
    await one.notices.follow()
    assert await one.store.get_many([KEY]) == [facts(1)]


def test_the_server_is_a_real_one(server: Valkey) -> None:
    assert b"valkey_version" in server.ask("INFO", "server")
