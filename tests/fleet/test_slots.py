"""Connections to one address are shared among owners. Both kinds of slots keep one contract."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otpc_policy.fleet.address_shares import lifetime_s
from otpc_policy.fleet.shared_slots import Members, SharedSlots
from otpc_policy.fleet.slots import Holding, InMemorySlots, SlotRequest, Slots, target
from tests.fleet.conftest import MakeReplica
from tests.fleet.world import Replica

ADDRESS = "192.0.2.1"
CAP = 20
OWNERS = ("aa", "bb", "cc", "dd")


def request(wanted: int = CAP, *, using: int = 0, members: int = 1, cap: int = CAP) -> SlotRequest:
    return SlotRequest(wanted=wanted, using=using, least=min(2, cap), cap=cap, members=members)


class SlotsContract:
    """Derive, and make owners, and have pass() end what was asked for before."""

    owners: dict[str, Slots]

    async def end(self) -> None:
        raise NotImplementedError

    async def ask(self, owner: str, wanted: int = CAP, *, using: int = 0, members: int = 1) -> int:
        asked = request(wanted, using=using, members=members)
        return await self.owners[owner].ask(ADDRESS, asked)

    async def test_one_alone_has_all(self) -> None:
        assert await self.ask("aa") == 20
        assert await self.ask("aa", using=20) == 20
        assert await self.ask("aa", 5) == 5

    async def test_addresses_have_slots_of_their_own(self) -> None:
        assert await self.ask("aa") == 20
        assert await self.owners["bb"].ask("192.0.2.2", request()) == 20

    async def test_members_that_have_asked_for_none_have_some_kept_back(self) -> None:
        assert await self.ask("aa", members=3) == 16
        assert await self.ask("bb", members=3) == 2
        assert await self.ask("cc", members=3) == 2

    async def test_slots_are_free_when_the_owner_says_that_it_uses_them_no_more(self) -> None:
        assert await self.ask("aa") == 20
        assert await self.ask("bb") == 0
        # From now on it opens no more than its part, and has the others open still.
        assert await self.ask("aa", using=20) == 10
        assert await self.ask("bb") == 0
        assert await self.ask("aa", using=10) == 10
        assert await self.ask("bb") == 10

    async def test_what_was_given_back_is_another_s(self) -> None:
        assert await self.ask("aa") == 20
        assert await self.ask("aa", 0) == 0
        assert await self.ask("bb") == 20

    async def test_what_is_not_asked_for_again_ends(self) -> None:
        assert await self.ask("aa") == 20
        assert await self.ask("bb") == 0
        await self.end()
        assert await self.ask("bb") == 20

    async def test_whoever_wants_little_leaves_the_rest(self) -> None:
        assert await self.ask("aa", 3) == 3
        assert await self.ask("bb") == 17
        assert await self.ask("aa", 3, using=3) == 3
        assert await self.ask("bb", using=17) == 17

    async def test_there_are_never_more_than_the_cap_whoever_asks_and_when(self) -> None:
        draw = random.Random(7)
        using = dict.fromkeys(OWNERS, 0)
        for _ in range(400):
            owner = draw.choice(OWNERS)
            if draw.random() < 0.1:
                await self.ask(owner, 0)
                using[owner] = 0
                continue
            members = draw.randint(1, 5)
            found = await self.ask(owner, using=using[owner], members=members)
            # Connections end later, or they do not end until the next time.
            using[owner] = found if draw.random() < 0.5 else max(found, using[owner])
            assert sum(using.values()) <= CAP

    async def test_everybody_comes_to_the_same_part(self) -> None:
        found = dict.fromkeys(OWNERS, 0)
        for _ in range(6):
            for owner in OWNERS:
                found[owner] = await self.ask(owner, using=found[owner], members=4)
        assert set(found.values()) == {5}


class TestInMemorySlots(SlotsContract):
    @pytest.fixture(autouse=True)
    def _make(self) -> None:
        self.at_s = 0.0
        slots = InMemorySlots(lambda: self.at_s, lifetime_s=8)
        self.owners = {owner: slots.of(owner) for owner in OWNERS}

    async def end(self) -> None:
        self.at_s += 8


class TestSharedSlots(SlotsContract):
    @pytest.fixture(autouse=True)
    def _make(self, replica: MakeReplica) -> None:
        self.replica = made = replica()
        self.owners = {owner: shared(made, owner) for owner in OWNERS}

    async def end(self) -> None:
        key = self.replica.keyspace.slots(ADDRESS)
        for entry in await self.replica.client.zrange(key, 0, -1):
            await self.replica.client.zadd(key, {entry: 1})

    async def test_they_end_by_the_server_s_clock(self) -> None:
        await self.ask("aa")
        key = self.replica.keyspace.slots(ADDRESS)
        seconds, microseconds = await self.replica.client.time()
        ((entry, ends_ms),) = await self.replica.client.zrange(key, 0, -1, withscores=True)
        assert entry == b"aa:20:20"
        assert ends_ms / 1e3 - (seconds + microseconds / 1e6) == pytest.approx(8, abs=1)
        assert 0 < await self.replica.client.pttl(key) <= 120_000

    @pytest.mark.parametrize(
        ("entry", "lasts_s"),
        [("zz:20:20", 5), ("ee:20", 5), ("ee:2000:20", 5), ("", 5), ("ee:20:20", 3_600)],
    )
    async def test_what_no_replica_has_written_takes_nothing(
        self, entry: str, lasts_s: float
    ) -> None:
        client, key = self.replica.client, self.replica.keyspace.slots(ADDRESS)
        seconds, _ = await client.time()
        await client.zadd(key, {entry: (seconds + lasts_s) * 1_000})
        assert await self.ask("aa") == 20

    async def test_more_owners_than_any_fleet_has_are_none(self) -> None:
        client, key = self.replica.client, self.replica.keyspace.slots(ADDRESS)
        seconds, _ = await client.time()
        ends_ms = (seconds + 60) * 1_000
        await client.zadd(key, {f"{number:x}:2:20": ends_ms for number in range(1_000)})
        assert await self.ask("aa") == 20


def shared(made: Replica, owner: str) -> SharedSlots:
    return SharedSlots(
        made.connection, keyspace=made.keyspace, replica=owner, lifetime_s=lifetime_s(4)
    )


COUNTS = st.integers(0, 30)


@settings(deadline=None)
@given(
    wanted=st.integers(1, 30),
    using=COUNTS,
    cap=st.integers(1, 30),
    members=st.integers(1, 40),
    others=st.lists(st.builds(Holding, COUNTS, COUNTS), max_size=6),
)
def test_nobody_gets_what_is_not_free(
    wanted: int, using: int, cap: int, members: int, others: list[Holding]
) -> None:
    asked = request(wanted, using=using, members=members, cap=cap)
    found = target(asked, others)
    assert 0 <= found <= min(wanted, max(0, cap - sum(other.slots for other in others)))
    assert found == 0 or found >= asked.least


async def test_members_are_those_who_have_said_so_of_late(replica: MakeReplica) -> None:
    made = replica()
    members = [
        Members(made.connection, keyspace=made.keyspace, replica=name) for name in OWNERS[:3]
    ]
    for number, member in enumerate(members, start=1):
        await member.join()
        assert member.count == number
    await members[0].leave()
    await members[1].join()
    assert members[1].count == 2
    # As the server's clock passes.
    await made.client.zadd(made.keyspace.members, {OWNERS[2]: 1})
    await members[1].join()
    assert members[1].count == 1
