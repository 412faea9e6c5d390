"""A replica's share of the connections to an address: obtained once, kept, and given back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from otpc_policy.check import StoreUnavailable
from otpc_policy.fleet.address_shares import AddressShares, lifetime_s
from otpc_policy.fleet.slots import InMemorySlots, SlotRequest, Slots

ADDRESS, CAP, DEADLINE_S = "192.0.2.1", 20, 4.0


@dataclass
class Watched:
    """Slots of one owner, with what was asked. fails: the store does."""

    slots: Slots
    asked: list[SlotRequest] = field(default_factory=list)
    fails: bool = False
    lifetime_s: float = lifetime_s(DEADLINE_S)

    async def ask(self, address: str, request: SlotRequest) -> int:
        self.asked.append(request)
        if self.fails:
            raise StoreUnavailable("of this test")
        return await self.slots.ask(address, request)


class World:
    """Slots on a clock that a test moves. Each owner has shares of its own."""

    def __init__(self) -> None:
        self.at_s = 100.0
        self.slots = InMemorySlots(lambda: self.at_s, lifetime_s=lifetime_s(DEADLINE_S))
        self.results: list[str] = []
        self.members = 1
        self.made: list[AddressShares] = []

    def slots_asked(self, result: str) -> None:
        self.results.append(result)

    async def sleep(self, seconds: float) -> None:
        # In real time the others renew meanwhile.
        await asyncio.sleep(seconds / 20)
        self.at_s += seconds

    def owner(self, name: str) -> tuple[Watched, AddressShares]:
        watched = Watched(self.slots.of(name))
        shares = AddressShares(
            watched,
            cap=CAP,
            connection_deadline_s=DEADLINE_S,
            members=lambda: self.members,
            observer=self,
            monotonic=lambda: self.at_s,
            sleep=self.sleep,
        )
        self.made.append(shares)
        return watched, shares


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr("otpc_policy.fleet.address_shares._RENEWED_EVERY_S", 0.01)
    made = World()
    yield made
    for shares in made.made:
        await shares.close()


def heard(numbers: list[int]) -> Callable[[int], None]:
    return numbers.append


@asynccontextmanager
async def held(
    shares: AddressShares, numbers: list[int] | None = None, *, is_deep: bool = False
) -> AsyncIterator[int]:
    changed = heard([] if numbers is None else numbers)
    async with shares.held(ADDRESS, is_deep=is_deep, changed=changed) as connections:
        yield connections


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110  # what it waits for is another task
            await asyncio.sleep(0.001)


async def test_measurements_of_one_address_ask_once_and_have_the_same_number(world: World) -> None:
    watched, shares = world.owner("aa")
    async with AsyncExitStack() as stack:
        numbers = [await stack.enter_async_context(held(shares)) for _ in range(50)]
    assert numbers == [CAP] * 50
    assert world.results == ["granted"]
    assert sum(request.using == 0 for request in watched.asked) == 1


async def test_the_last_one_gives_it_back(world: World) -> None:
    watched, shares = world.owner("aa")
    async with held(shares):
        pass
    await until(lambda: watched.asked[-1].wanted == 0)
    _, others = world.owner("bb")
    async with held(others) as connections:
        assert connections == CAP


async def test_whoever_comes_while_it_is_given_back_asks_anew(world: World) -> None:
    watched, shares = world.owner("aa")
    for _ in range(20):
        async with held(shares) as connections:
            assert connections == CAP
        await until(lambda: watched.asked[-1].wanted == 0)
        async with held(shares) as connections:
            assert (connections, watched.asked[-1].wanted) == (CAP, CAP)


async def test_a_share_shrinks_for_others_once_its_connections_have_ended(world: World) -> None:
    first, ones = world.owner("aa")
    second, others = world.owner("bb")
    numbers: list[int] = []
    async with held(ones, numbers) as connections:
        assert connections == CAP
        waiting = asyncio.create_task(_once(others))
        await until(lambda: bool(second.asked) and 10 in numbers)
        # It opens no more than its part, and may have those open that it had.
        assert first.asked[-1].using == CAP
        shrunk_at_s = world.at_s
        await until(waiting.done)
        assert waiting.result() == 10
        assert world.at_s - shrunk_at_s >= DEADLINE_S
        assert numbers[-1] == 10
    assert world.results == ["granted", "waited"]


async def _once(shares: AddressShares) -> int:
    async with held(shares) as connections:
        return connections


async def test_connections_of_a_deep_part_are_taken_until_it_ends(world: World) -> None:
    watched, shares = world.owner("aa")
    _, others = world.owner("bb")
    numbers: list[int] = []
    async with held(shares, numbers, is_deep=True):
        # Longer than it waits: it measures with its part then.
        assert await _once(others) == CAP
        await until(lambda: 10 in numbers)
        assert {request.using for request in watched.asked} == {0, CAP}
    assert world.results == ["granted", "given_up"]


async def test_without_the_store_each_uses_its_part(world: World) -> None:
    world.members = 3
    watched, shares = world.owner("aa")
    watched.fails = True
    numbers: list[int] = []
    async with held(shares, numbers) as connections:
        assert connections == CAP // 3
        watched.fails = False
        await until(lambda: bool(numbers) and numbers[-1] == 16)
    assert world.results == ["unavailable"]
    world.members = 50
    watched.fails = True
    await until(lambda: not shares._shares)
    async with held(shares) as connections:
        assert connections == 2


async def test_a_replica_that_knows_of_no_others_yet_takes_the_least(world: World) -> None:
    world.members = 0
    watched, shares = world.owner("aa")
    numbers: list[int] = []
    async with held(shares, numbers) as connections:
        assert connections == 2
        world.members = 3
        await until(lambda: bool(numbers) and numbers[-1] == 16)
    watched.fails = True
    world.members = 0
    await until(lambda: not shares._shares)
    async with held(shares) as connections:
        assert connections == 2


async def test_a_share_is_no_more_than_a_part_as_soon_as_the_store_fails(world: World) -> None:
    world.members = 2
    watched, shares = world.owner("aa")
    numbers: list[int] = []
    async with held(shares, numbers) as connections:
        assert connections == 18
        watched.fails = True
        await until(lambda: bool(numbers) and numbers[-1] == 10)


async def test_a_share_that_was_small_stays_so_until_those_of_others_have_ended(
    world: World,
) -> None:
    world.members = 2
    _, ones = world.owner("aa")
    watched, others = world.owner("bb")
    numbers: list[int] = []
    async with held(ones), held(others, numbers) as connections:
        assert connections == 2
        watched.fails = True
        count = len(watched.asked)
        await until(lambda: len(watched.asked) > count + 3)
        assert numbers[-1] == 2
        world.at_s += watched.lifetime_s
        await until(lambda: numbers[-1] == 10)


async def test_a_cancelled_wait_leaves_nothing_behind(world: World) -> None:
    _, ones = world.owner("aa")
    watched, others = world.owner("bb")
    async with held(ones, is_deep=True):
        waiting = asyncio.create_task(_once(others))
        await until(lambda: bool(watched.asked))
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await until(lambda: not others._shares)


async def test_the_end_of_a_replica_gives_everything_back_at_once(world: World) -> None:
    _, ones = world.owner("aa")
    async with held(ones):
        await ones.close()
        _, others = world.owner("bb")
        async with held(others) as connections:
            assert connections == CAP
