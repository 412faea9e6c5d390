"""Slots of an address: all of them for one endpoint alone, the fewest first between several."""

import asyncio
from collections.abc import Callable

import pytest

from otpc_policy.core.endpoint import Endpoint, parse_endpoint
from otpc_policy.engine.transport import address_slots as module
from otpc_policy.engine.transport.address_slots import AddressSlots, SlotsOfScan


@pytest.fixture(autouse=True)
def _asks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ASKED_EVERY_S", 0.01)


def scan(slots: AddressSlots, port: int = 443, name: str = "a.test") -> SlotsOfScan:
    return slots.for_scan(parse_endpoint(name, port))


async def wanting(slots: SlotsOfScan, count: int) -> "list[asyncio.Task[None]]":
    """Ask for so many slots; return the tasks, which end as they get one."""
    tasks = [asyncio.create_task(slots.acquire()) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


def taken(tasks: "list[asyncio.Task[None]]") -> int:
    return sum(task.done() for task in tasks)


def releasing(slots: SlotsOfScan) -> Callable[[int], None]:
    def surrender(count: int) -> None:
        for _ in range(count):
            slots.release()

    return surrender


async def test_one_alone_takes_all() -> None:
    slots = AddressSlots(4)
    one = scan(slots)
    tasks = await wanting(one, 5)
    assert (taken(tasks), one.locked()) == (4, True)
    one.release()
    await tasks[4]


async def test_whoever_holds_fewest_is_next() -> None:
    slots = AddressSlots(4)
    first, second = scan(slots), scan(slots, 8443)
    await wanting(first, 4)
    more, others = await wanting(first, 4), await wanting(second, 4)
    for expected in ((0, 1), (0, 2), (1, 2), (2, 2)):
        first.release()
        await asyncio.sleep(0)
        assert (taken(more), taken(others)) == expected


async def test_each_has_its_part_whether_it_uses_it_now_or_not() -> None:
    """One that asks for slot after slot does not take what others will need."""
    slots = AddressSlots(6)
    first, second = scan(slots), scan(slots, 8443)
    for one in (first, second):
        one.on_surrender(lambda _count: None)
    many = await wanting(first, 6)
    assert (taken(many), first.locked(), second.locked()) == (3, True, False)
    second.on_surrender(None)
    await asyncio.sleep(0)
    assert taken(many) == 6


async def test_names_at_one_port_are_different_endpoints() -> None:
    slots = AddressSlots(2)
    first, second = scan(slots), scan(slots, name="b.test")
    await wanting(first, 2)
    more, others = await wanting(first, 1), await wanting(second, 1)
    first.release()
    await asyncio.sleep(0)
    assert (taken(more), taken(others)) == (0, 1)
    more[0].cancel()


async def test_silent_connections_beyond_their_part_are_given_up() -> None:
    slots = AddressSlots(20)
    silent = [scan(slots, port) for port in range(1, 5)]
    for one in silent:
        one.on_surrender(releasing(one))
    tasks = [await wanting(one, 20) for one in silent]
    healthy = await wanting(scan(slots, 443), 4)
    async with asyncio.timeout(5):
        await asyncio.gather(*healthy)
    for task in (task for each in tasks for task in each):
        task.cancel()


async def test_nothing_is_given_up_for_the_same_endpoint_or_for_nobody() -> None:
    slots = AddressSlots(2)
    asked: list[int] = []
    one = scan(slots)
    one.on_surrender(asked.append)
    tasks = await wanting(one, 3)
    await asyncio.sleep(0.05)
    tasks[2].cancel()
    await asyncio.sleep(0.05)
    assert asked == []


async def test_a_scan_that_has_ended_is_not_asked() -> None:
    slots = AddressSlots(2)
    asked: list[int] = []
    one = scan(slots)
    one.on_surrender(asked.append)
    await wanting(one, 2)
    one.on_surrender(None)
    other = await wanting(scan(slots, 8443), 1)
    await asyncio.sleep(0.05)
    assert asked == []
    other[0].cancel()


@pytest.mark.parametrize("has_its_turn", [False, True])
async def test_one_who_gives_up_keeps_no_slot(has_its_turn: bool) -> None:
    slots = AddressSlots(1)
    one = scan(slots)
    await one.acquire()
    quitter, heir = await wanting(one, 2)
    if has_its_turn:
        one.release()
        quitter.cancel()
    else:
        quitter.cancel()
        await asyncio.sleep(0)
        one.release()
    await heir
    assert one.locked()
    one.release()
    assert not one.locked()


class CountedName(str):
    """A server name that counts how often it is looked at."""

    looked_at = 0

    def __hash__(self) -> int:
        CountedName.looked_at += 1
        return super().__hash__()


async def test_a_connection_that_comes_or_goes_does_not_walk_past_all_that_wait() -> None:
    """Sixty scans with a hundred connections each took the loop for a quarter of a minute."""

    async def looks(waiting: int) -> int:
        slots = AddressSlots(1)
        endpoint = Endpoint(host="a.test", port=443, server_name=CountedName("a.test"))
        mine = slots.for_scan(endpoint)
        others = slots.for_scan(Endpoint(host="a.test", port=443, server_name=CountedName("b")))
        await mine.acquire()
        tasks = [asyncio.create_task(others.acquire()) for _ in range(waiting)]
        await asyncio.sleep(0)
        before = CountedName.looked_at
        tasks.append(asyncio.create_task(mine.acquire()))
        await asyncio.sleep(0)
        mine.release()
        await asyncio.sleep(0)
        found = CountedName.looked_at - before
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return found

    assert await looks(1000) == await looks(10)


async def test_a_smaller_share_holds_for_what_is_opened_from_now_on() -> None:
    slots = AddressSlots(6)
    one = scan(slots)
    tasks = await wanting(one, 8)
    slots.share(2)
    assert (slots.taken, slots.total) == (6, 2)
    for left in (5, 4, 3, 2, 2, 2):
        one.release()
        await asyncio.sleep(0)
        assert slots.taken == left
    assert taken(tasks) == 8
    slots.share(4)
    more = await wanting(one, 3)
    assert (taken(more), slots.taken) == (2, 4)
    slots.share(5)
    await asyncio.sleep(0)
    assert slots.taken == 5


async def test_no_share_is_larger_than_the_limit() -> None:
    slots = AddressSlots(3)
    slots.share(20)
    assert slots.total == 3
    tasks = await wanting(scan(slots), 5)
    assert taken(tasks) == 3


async def test_endpoints_have_equal_parts_of_a_share() -> None:
    slots = AddressSlots(6)
    slots.share(2)
    first, second = await wanting(scan(slots), 3), await wanting(scan(slots, 8443), 3)
    assert (taken(first), taken(second)) == (2, 0)
    slots.share(4)
    await asyncio.sleep(0)
    assert (taken(first), taken(second)) == (2, 2)
