"""One measurement for each key at a time, whoever asks and whoever gives up."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from otpc_policy.check import FactsKey, StoredFacts
from otpc_policy.check.ports import Boarding
from otpc_policy.check.single_flight import FlightBoard
from otpc_policy.core.demand import Demand
from otpc_policy.core.facts import Depth
from tests.check.world import compliant, turns
from tests.support.facts import NOW

FACTS = StoredFacts.of(compliant("127.0.0.1", NOW))
KEY = FactsKey("a.test", 443, "a.test", "127.0.0.1", Depth.STANDARD, "1", "default")
OTHER = KEY._replace(port=8443)
BEGAN, JOINED = Boarding.BEGAN, Boarding.JOINED


@dataclass
class Measuring:
    """A measurement that lasts until its gate opens. most: how many ran at once."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    begun: int = 0
    running: int = 0
    most: int = 0
    error: Exception | None = None

    async def __call__(self, _demand: Demand) -> StoredFacts:
        self.begun += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.gate.wait()
            if self.error is not None:
                raise self.error
        finally:
            self.running -= 1
        return FACTS


async def waiting(task: Awaitable[StoredFacts]) -> StoredFacts:
    await asyncio.wait({asyncio.ensure_future(task)})
    return await task


async def test_whoever_asks_joins_the_flight_of_the_key() -> None:
    board, measure = FlightBoard(), Measuring()
    first, joined = board.join(KEY, measure), board.join(KEY, measure)
    assert [first[1], joined[1], joined[0] is first[0]] == [BEGAN, JOINED, True]
    assert board.join(OTHER, measure)[1] is BEGAN
    measure.gate.set()
    await turns()
    assert (measure.begun, len(board)) == (2, 0)
    assert board.join(KEY, measure)[1] is BEGAN
    await board.close()


async def test_a_caller_that_is_cancelled_ends_no_flight() -> None:
    board, measure = FlightBoard(), Measuring()
    flight, _ = board.join(KEY, measure)
    impatient = asyncio.create_task(waiting(flight.task))
    await turns()
    impatient.cancel()
    await turns()
    measure.gate.set()
    assert await flight.task is FACTS


async def test_a_flight_that_was_dropped_is_joined_by_nobody() -> None:
    board, measure = FlightBoard(), Measuring()
    dropped, _ = board.join(KEY, measure)
    await turns()
    dropped.demand.drop()
    assert board.under_way(KEY) is None
    other, boarding = board.join(KEY, measure)
    assert (other is dropped, boarding) == (False, BEGAN)
    measure.gate.set()
    assert await other.task is FACTS
    assert dropped.task.cancelled()


async def test_a_new_flight_takes_off_when_the_present_one_has_landed() -> None:
    board, measure = FlightBoard(), Measuring()
    board.join(KEY, measure)
    await turns()
    successors = [board.join_new(KEY, measure) for _ in range(5)]
    assert [boarding for _, boarding in successors] == [BEGAN, *[JOINED] * 4]
    await turns()
    assert (measure.begun, len(board)) == (1, 2)
    measure.gate.set()
    assert await successors[0][0].task is FACTS
    assert (measure.begun, measure.most, len(board)) == (2, 1, 0)


async def test_whoever_asks_as_a_flight_lands_joins_its_successor() -> None:
    board, measure = FlightBoard(), Measuring()
    flying, _ = board.join(KEY, measure)
    successor, _ = board.join_new(KEY, measure)
    await turns()
    between: list[tuple[object, Boarding]] = []

    def ask(join: Callable[..., tuple[object, Boarding]]) -> None:
        between.append(join(KEY, measure))

    flying.task.add_done_callback(lambda _: ask(board.join))
    flying.task.add_done_callback(lambda _: ask(board.join_new))
    measure.gate.set()
    await turns()
    assert between == [(successor, JOINED)] * 2
    assert (measure.begun, measure.most) == (2, 1)


async def test_nobody_joins_an_outdated_flight_and_its_successor_is_not_outdated() -> None:
    board, measure = FlightBoard(), Measuring()
    flying, _ = board.join(KEY, measure)
    board.join(OTHER, measure)
    board.outdate(lambda key: key.port == 443)
    assert [board.is_outdated(key) for key in (KEY, OTHER)] == [True, False]
    successor, boarding = board.join(KEY, measure)
    assert (successor is flying, boarding) == (False, BEGAN)
    await turns()
    assert (measure.begun, measure.most) == (2, 2)
    measure.gate.set()
    await turns()
    assert (board.is_outdated(KEY), measure.begun, measure.most) == (False, 3, 2)


async def test_the_flight_under_way_is_the_latest_that_is_not_outdated() -> None:
    board, measure = FlightBoard(), Measuring()
    assert board.under_way(KEY) is None
    flying, _ = board.join(KEY, measure)
    assert (board.under_way(KEY), board.under_way(OTHER)) == (flying, None)
    board.outdate(lambda key: key == KEY)
    assert board.under_way(KEY) is None
    successor, _ = board.join(KEY, measure)
    assert board.under_way(KEY) is successor
    measure.gate.set()
    await turns()
    assert board.under_way(KEY) is None


async def test_a_failure_that_nobody_waits_for_is_nobodys_and_the_next_flight_flies() -> None:
    board, measure = FlightBoard(), Measuring(error=RuntimeError("a bug"))
    board.join(KEY, measure)
    successor, _ = board.join_new(KEY, measure)
    measure.gate.set()
    with pytest.raises(RuntimeError):
        await waiting(successor.task)
    assert (measure.begun, len(board)) == (2, 0)


async def test_closing_ends_every_flight_also_those_that_wait() -> None:
    board, measure = FlightBoard(), Measuring()
    flights = [board.join(KEY, measure)[0], board.join_new(KEY, measure)[0]]
    await turns()
    await board.close()
    assert [flight.task.cancelled() for flight in flights] == [True, True]
    assert (len(board), measure.begun) == (0, 1)
