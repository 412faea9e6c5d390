"""One replica measures at a time. Both kinds of leases keep one contract."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from otpc_policy.check import FactsKey, FactsStore, Lease, Leases, Leasing, StoreUnavailable
from otpc_policy.core.demand import Demand
from otpc_policy.fleet.in_memory import LEASE_S, InMemoryLeases
from otpc_policy.store.memory import MemoryFactsStore
from tests.check.world import World
from tests.fleet.conftest import MakeReplica
from tests.fleet.world import KEY, NOW, Observed, facts

OTHER = KEY._replace(port=444)


class LeasesContract:
    """Derive, and set leases, store (in which others' facts are) and end (lets every lease end)."""

    leases: Leases
    store: FactsStore
    end: Callable[[], Awaitable[None]]

    async def acquire(self, key: object = KEY) -> Lease:
        lease = await self.leases.acquire(key, new_enough_s=0)  # type: ignore[arg-type]
        assert isinstance(lease, Lease)
        return lease

    async def test_of_many_who_ask_one_has_it_until_it_is_released(self) -> None:
        for _ in range(3):
            asked = [self.leases.acquire(KEY, new_enough_s=0) for _ in range(50)]
            leases = [has for has in await asyncio.gather(*asked) if isinstance(has, Lease)]
            assert len(leases) == 1
            await self.leases.release(KEY, leases[0])

    async def test_keys_have_leases_of_their_own(self) -> None:
        assert await self.acquire() != await self.acquire(OTHER)

    async def test_fences_rise(self) -> None:
        fences = []
        for _ in range(5):
            lease = await self.acquire()
            fences.append(lease.fence)
            await self.leases.release(KEY, lease)
        assert fences == sorted(set(fences))

    async def test_one_that_has_ended_is_another_s(self) -> None:
        first = await self.acquire()
        assert await self.leases.renew(KEY, first)
        await self.end()
        second = await self.acquire()
        assert second.fence > first.fence
        assert not await self.leases.renew(KEY, first)
        await self.leases.release(KEY, first)
        assert await self.leases.acquire(KEY, new_enough_s=0) is None
        assert await self.leases.renew(KEY, second)

    async def test_one_that_was_released_cannot_be_renewed(self) -> None:
        lease = await self.acquire()
        await self.leases.release(KEY, lease)
        assert not await self.leases.renew(KEY, lease)

    async def test_new_facts_do_in_place_of_a_lease_where_they_may(self) -> None:
        await self.store.put(KEY, facts())
        assert await self.leases.acquire(KEY, new_enough_s=3_600) == facts()
        assert isinstance(await self.leases.acquire(OTHER, new_enough_s=3_600), Lease)
        assert isinstance(await self.leases.acquire(KEY, new_enough_s=0), Lease)

    async def test_they_do_while_another_has_the_lease_too(self) -> None:
        await self.acquire()
        assert await self.leases.acquire(KEY, new_enough_s=3_600) is None
        await self.store.put(KEY, facts())
        assert await self.leases.acquire(KEY, new_enough_s=3_600) == facts()


class TestInMemoryLeases(LeasesContract):
    @pytest.fixture(autouse=True)
    def _make(self) -> None:
        world = World(at=NOW)
        self.store = MemoryFactsStore(max_entries=10, max_bytes=1 << 20)
        self.leases = InMemoryLeases(self.store, world)

        async def end() -> None:
            world.at += timedelta(seconds=LEASE_S)

        self.end = end


class TestSharedLeases(LeasesContract):
    @pytest.fixture(autouse=True)
    def _make(self, replica: MakeReplica) -> None:
        made = replica()
        self.store, self.leases = made.shared, made.leases

        async def end() -> None:
            # As its time does: the server forgets the name.
            await made.client.delete(made.keyspace.names(KEY).lease)

        self.end = end


async def test_the_server_ends_a_lease_by_its_own_clock(replica: MakeReplica) -> None:
    made = replica(lease=timedelta(seconds=30))
    lease = await made.leases.acquire(KEY, new_enough_s=0)
    assert isinstance(lease, Lease)
    assert 29_000 < await made.client.pttl(made.keyspace.names(KEY).lease) <= 30_000
    await made.client.pexpire(made.keyspace.names(KEY).lease, 1_000)
    assert await made.leases.renew(KEY, lease)
    assert 29_000 < await made.client.pttl(made.keyspace.names(KEY).lease) <= 30_000


async def test_a_lease_that_nobody_heard_of_is_not_asked_for_by_a_name_that_will_end(
    replica: MakeReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others would take it for none before the measurement has ended, and measure too."""
    now = [NOW]
    mine, others = (replica(now=lambda: now[0]) for _ in range(2))
    run = mine.connection.run

    async def loses(*asked: Any) -> Any:
        await run(*asked)
        raise StoreUnavailable("late")

    monkeypatch.setattr(mine.connection, "run", loses)
    with pytest.raises(StoreUnavailable):
        await mine.leases.acquire(KEY, new_enough_s=0)
    monkeypatch.undo()
    # Asked again at once, it is this replica's; later, it has ended.
    assert isinstance(await mine.leases.acquire(KEY, new_enough_s=0), Lease)
    monkeypatch.setattr(mine.connection, "run", loses)
    with pytest.raises(StoreUnavailable):
        await mine.leases.acquire(KEY, new_enough_s=0)
    monkeypatch.undo()
    await mine.client.delete(mine.keyspace.names(KEY).lease)
    now[0] += timedelta(seconds=85)
    assert isinstance(await mine.leases.acquire(KEY, new_enough_s=0), Lease)
    now[0] += timedelta(seconds=20)
    assert await others.leases.acquire(KEY, new_enough_s=0) is None


async def test_new_facts_that_nobody_of_the_fleet_signed_give_a_lease(
    replica: MakeReplica,
) -> None:
    await replica(keys=(bytes(32),)).shared.put(KEY, facts())
    mine = replica()
    assert isinstance(await mine.leases.acquire(KEY, new_enough_s=3_600), Lease)
    assert mine.observed.refused == ["signature"]


async def test_a_cancellation_that_a_client_swallows_ends_the_renewals_as_well() -> None:
    asked = asyncio.Event()

    class Swallowing(InMemoryLeases):
        renew_every_s = 0.0

        async def renew(self, key: FactsKey, lease: Lease) -> bool:
            asked.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise StoreUnavailable("late") from None
            return True

    world = World()
    leases = Swallowing(MemoryFactsStore(max_entries=10, max_bytes=1 << 20), world)
    leasing = Leasing(leases, observer=Observed(), clock=world, longest_wait_s=1)
    async with asyncio.timeout(10), leasing.turn(KEY, Demand(), must_be_new=True) as has:
        assert isinstance(has, Lease)
        await asked.wait()
