"""What happens while the store is asked: the answer of before is not taken for one of after."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from otpc_policy.check import FactsKey, Lease, StoredFacts, StoreUnavailable
from otpc_policy.core.facts import Support
from otpc_policy.fleet.clients import MOST_CONNECTIONS
from otpc_policy.store.tiered import TieredFactsStore
from tests.fleet.conftest import MakeReplica
from tests.fleet.world import KEY, Replica, facts

OTHER = KEY._replace(port=444)


class Late:
    """A shared store in front of which, and after which, something may happen."""

    def __init__(self, one: Replica) -> None:
        self._shared = one.shared
        self.before: Callable[[], Awaitable[Any]] | None = None
        self.after: Callable[[], Awaitable[Any]] | None = None

    async def get_many(self, keys: Sequence[FactsKey]) -> Sequence[StoredFacts | None]:
        return await self._around(self._shared.get_many(keys))  # type: ignore[no-any-return]

    async def put(self, key: FactsKey, stored: StoredFacts, *, lease: Lease | None = None) -> None:
        await self._around(self._shared.put(key, stored, lease=lease))

    async def put_if_current(self, key: FactsKey, stored: StoredFacts, lease: Lease | None) -> bool:
        return bool(await self._around(self._shared.put_if_current(key, stored, lease)))

    async def discard(self, key: FactsKey) -> None:
        await self._around(self._shared.discard(key))

    async def discard_endpoint(self, host: str, port: int) -> int:
        return int(await self._around(self._shared.discard_endpoint(host, port)))

    async def _around(self, asked: Awaitable[Any]) -> Any:
        before, after = self.before, self.after
        self.before = self.after = None
        if before is not None:
            await before()
        answer = await asked
        if after is not None:
            await after()
        return answer


def late(one: Replica) -> Late:
    """Put it between a replica's memory and the store."""
    between = Late(one)
    one.store = TieredFactsStore(
        one.memory,
        between,
        digest=lambda key: one.keyspace.names(key).digest,
        monotonic=one.observed.monotonic,
        max_entries=400,
    )
    one.notices._memory = one.store
    return between


async def measure(one: Replica, stored: StoredFacts, key: FactsKey = KEY) -> None:
    lease = await one.leases.acquire(key, new_enough_s=0)
    assert isinstance(lease, Lease)
    await one.store.put(key, stored, lease=lease)
    await one.leases.release(key, lease)


@pytest.mark.parametrize("is_following", [True, False])
async def test_facts_that_are_invalidated_while_they_are_on_their_way_are_not_kept(
    replica: MakeReplica, is_following: bool
) -> None:
    one, other = replica(), replica()
    between = late(one)
    if is_following:
        await one.notices.follow()
    await measure(other, facts())
    between.after = lambda: one.store.discard_endpoint(KEY.host, 0)
    await one.store.get_many([KEY])
    assert await one.memory.get_many([KEY]) == [None]
    assert await one.store.get_many([KEY]) == [None]


@pytest.mark.parametrize("is_following", [True, False])
async def test_facts_that_are_asked_for_during_an_invalidation_do_not_outlive_it(
    replica: MakeReplica, is_following: bool
) -> None:
    one, other = replica(), replica()
    between = late(one)
    if is_following:
        await one.notices.follow()
    await measure(other, facts())
    between.before = lambda: one.store.get_many([KEY])
    assert await one.store.discard_endpoint(KEY.host, 0) == 1
    if is_following:
        await one.notices.follow()
    assert await one.store.get_many([KEY]) == [None]


@pytest.mark.parametrize("what", ["another host", "the same facts"])
async def test_what_changes_while_a_replica_asks_does_not_make_the_answer_older(
    replica: MakeReplica, what: str
) -> None:
    one, other = replica(), replica()
    between = late(one)
    await one.notices.follow()
    await measure(other, facts(1))
    assert await one.store.get_many([KEY]) == [facts(1)]
    await measure(other, facts(2))
    # From here on it is known that the facts in memory are old.
    await one.notices.follow()

    async def meanwhile() -> None:
        if what == "another host":
            await other.store.discard_endpoint("b.test", 0)
        else:
            await measure(other, facts(3))
        await one.notices.follow()

    between.after = meanwhile
    expected = facts(2) if what == "another host" else facts(3)
    assert await one.store.get_many([KEY]) == [expected]


async def test_facts_that_change_without_end_are_asked_for_a_few_times_only(
    replica: MakeReplica,
) -> None:
    one, other = replica(), replica()
    between = late(one)
    await one.notices.follow()
    count = 0

    async def meanwhile() -> None:
        nonlocal count
        count += 1
        await measure(other, facts(count))
        await one.notices.follow()
        between.after = meanwhile

    between.after = meanwhile
    await one.store.get_many([KEY])
    assert count == 3


async def test_newer_facts_of_another_replica_are_not_missed_while_older_ones_are_stored(
    replica: MakeReplica,
) -> None:
    one, other = replica(), replica()
    between = late(one)
    await one.notices.follow()
    lease = await one.leases.acquire(KEY, new_enough_s=0)
    assert isinstance(lease, Lease)

    async def meanwhile() -> None:
        await one.leases.release(KEY, lease)
        await measure(other, facts(2))
        await one.notices.follow()

    between.after = meanwhile
    await one.store.put(KEY, facts(1), lease=lease)
    assert await one.store.get_many([KEY]) == [facts(2)]


async def test_facts_that_the_store_may_have_refused_are_asked_for_again(
    replica: MakeReplica,
) -> None:
    one, other = replica(), replica()
    between = late(one)
    lease = await one.leases.acquire(KEY, new_enough_s=0)
    assert isinstance(lease, Lease)
    await one.leases.release(KEY, lease)
    await measure(other, facts(2))
    await one.notices.follow()

    async def fail() -> None:
        raise StoreUnavailable("late")

    between.after = fail
    await one.store.put(KEY, facts(1), lease=lease)
    assert await one.store.get_many([KEY]) == [facts(2)]


async def test_facts_that_a_failed_measurement_made_doubtful_stay_away(
    replica: MakeReplica,
) -> None:
    one, other = replica(), replica()
    between = late(one)
    await one.notices.follow()
    await measure(other, facts(1))
    await one.store.get_many([KEY])
    await one.notices.follow()
    one.store.changed(one.keyspace.names(KEY).digest, "another")
    between.after = lambda: one.store.discard(KEY)
    await one.store.get_many([KEY])
    assert between.after is None
    for happens in (lambda: None, lambda: one.store.following(False)):
        happens()
        assert await one.store.get_many([KEY]) == [None]
        one.store.following(True)
        assert await one.store.get_many([KEY]) == [None]
    await measure(other, facts(2))
    await one.notices.follow()
    assert await one.store.get_many([KEY]) == [facts(2)]


async def test_what_was_measured_last_replaces_what_a_faster_clock_has_dated_later(
    replica: MakeReplica,
) -> None:
    fast, slow, reader = replica(), replica(), replica()
    for each in (fast, slow, reader):
        await each.notices.follow()
    await measure(fast, facts(4))
    assert await reader.store.get_many([KEY]) == [facts(4)]
    last = facts(2, remarks=("another leaf",))
    await measure(slow, last)
    for each in (fast, slow, reader):
        await each.notices.follow()
        assert await each.store.get_many([KEY]) == [last]


async def test_of_facts_that_a_replica_measured_without_a_lease_the_newer_ones_stay(
    replica: MakeReplica,
) -> None:
    one, other = replica(), replica()
    await measure(other, facts(1))
    await one.store.put(KEY, facts(2))
    await one.notices.follow()
    for _ in range(2):
        assert await one.store.get_many([KEY]) == [facts(2)]
    await measure(other, facts(3))
    await one.notices.follow()
    assert await one.store.get_many([KEY]) == [facts(3)]


async def test_an_invalidation_needs_no_index(replica: MakeReplica) -> None:
    one, other = replica(), replica()
    for key in (KEY, OTHER):
        await measure(one, facts(), key)
    # As a server does that has no memory left.
    await one.client.delete(one.keyspace.host(KEY.host).index)
    await one.store.discard_endpoint(KEY.host, KEY.port)
    assert await other.store.get_many([KEY]) == [None]


async def test_an_invalidation_of_a_port_keeps_the_others(replica: MakeReplica) -> None:
    one, other = replica(), replica()
    for key in (KEY, OTHER):
        await measure(one, facts(), key)
    assert await one.store.discard_endpoint(KEY.host, KEY.port) == 1
    assert await other.store.get_many([KEY, OTHER]) == [None, facts()]


@pytest.mark.parametrize("is_invalidated", [True, False])
async def test_counters_that_the_store_has_lost_do_not_begin_anew(
    replica: MakeReplica, is_invalidated: bool
) -> None:
    one, other = replica(), replica()
    names = one.keyspace.names(KEY)
    first = await one.leases.acquire(KEY, new_enough_s=0)
    assert isinstance(first, Lease)
    if is_invalidated:
        await other.store.discard_endpoint(KEY.host, 0)
    await one.client.delete(names.lease, names.fence, names.host.epoch)
    second = await other.leases.acquire(KEY, new_enough_s=0)
    assert isinstance(second, Lease)
    assert not await one.shared.put_if_current(KEY, facts(2), first)
    assert await other.shared.put_if_current(KEY, facts(1), second)


async def test_facts_too_large_to_be_shared_take_the_place_of_older_ones(
    replica: MakeReplica,
) -> None:
    one, other = replica(), replica()
    for each in (one, other):
        await each.notices.follow()
    await measure(one, facts(1))
    assert await other.store.get_many([KEY]) == [facts(1)]
    large = facts(2, remarks=("x" * 600_000,))
    await measure(one, large)
    for each in (one, other):
        await each.notices.follow()
    assert await one.store.get_many([KEY]) == [large]
    assert await other.store.get_many([KEY]) == [None]


async def test_facts_dated_in_the_server_s_future_are_not_shared(replica: MakeReplica) -> None:
    one = replica()
    seconds, _ = await one.client.time()
    stored = facts(seconds + 3_600 - int(facts().facts.observed_at.timestamp()))
    await measure(one, stored)
    assert await one.shared.get_many([KEY]) == [None]


@pytest.mark.parametrize("error", [StoreUnavailable("late"), asyncio.CancelledError()])
async def test_a_lease_that_was_granted_unheard_is_its_replica_s_next(
    replica: MakeReplica, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    one, other = replica(), replica()
    run = one.connection.run

    async def unheard(*asked: Any) -> None:
        await run(*asked)
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(one.connection, "run", unheard)
        with pytest.raises(type(error)):
            await one.leases.acquire(KEY, new_enough_s=0)
    assert await other.leases.acquire(KEY, new_enough_s=0) is None
    lease = await one.leases.acquire(KEY, new_enough_s=0)
    assert isinstance(lease, Lease)
    await one.store.put(KEY, facts(), lease=lease)
    assert await other.store.get_many([KEY]) == [facts()]


async def test_what_no_replica_has_signed_is_no_lease(replica: MakeReplica) -> None:
    one, other = replica(), replica()
    name = one.keyspace.names(KEY).lease
    await one.client.set(name, "for ever")
    assert isinstance(await one.leases.acquire(KEY, new_enough_s=0), Lease)
    genuine = await one.client.get(name)
    assert isinstance(genuine, bytes)
    assert await other.leases.acquire(KEY, new_enough_s=0) is None
    elsewhere = one.keyspace.names(OTHER).lease
    for held, at in ((b"for ever", name), (genuine[:-1] + b"9", name), (genuine, elsewhere)):
        await one.client.set(at, held, px=9_000)
        key = KEY if at == name else OTHER
        with pytest.raises(StoreUnavailable, match="is none"):
            await other.leases.acquire(key, new_enough_s=0)
    later = replica(now=lambda: facts().facts.observed_at + timedelta(days=4_000))
    await one.client.set(name, genuine, px=9_000)
    with pytest.raises(StoreUnavailable, match="is none"):
        await later.leases.acquire(KEY, new_enough_s=0)


async def test_notices_that_the_store_has_lost_are_noticed(replica: MakeReplica) -> None:
    one, other = replica(), replica()
    await measure(other, facts())
    await one.notices.follow()
    await one.store.get_many([KEY])
    asked, missed = one.observed.gets(), one.missed
    await other.store.discard_endpoint(KEY.host, 0)
    # Before it was read, as in a failover, a restart between two polls, or a flood.
    await other.client.delete(one.keyspace.host(KEY.host).notices)
    for _ in range(2):
        await one.notices.follow()
    assert one.missed == missed + 1
    assert await one.store.get_many([KEY]) == [None]
    assert one.observed.gets() == asked + 1


async def test_a_crowd_that_waits_together_counts_once(replica: MakeReplica) -> None:
    from tests.fleet.test_connection import silent_server

    async with silent_server() as url:
        one = replica(url, deadline_s=0.02)
        server = one.connection._server  # type: ignore[attr-defined]
        server._available = True
        for expected in (True, True, False):
            # As many as are asked at once. Those that wait for a place are asked after these.
            asked = [one.shared.get_many([KEY]) for _ in range(MOST_CONNECTIONS)]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            assert all(isinstance(answer, StoreUnavailable) for answer in answers)
            assert server._available is expected
            one.observed.at += 0.1


async def test_unreachable_is_kept_here_alone(replica: MakeReplica) -> None:
    one = replica()
    await measure(one, facts(1, reachable=Support.NO))
    assert await one.shared.get_many([KEY]) == [None]
