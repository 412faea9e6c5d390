"""One measurement for each key: under way, owned by the application, joined by whoever asks.

No caller's timeout or cancellation ends one. Callers wait with asyncio.wait, which leaves the task
alone. A flight knows who wants it (demand); whoever carries it out may drop it when nobody does.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass

from otpc_policy.check.ports import Boarding
from otpc_policy.check.stored_facts import FactsKey, StoredFacts
from otpc_policy.core.demand import Demand
from otpc_policy.core.spans import Span, current_span, within

Measure = Callable[[Demand], Coroutine[None, None, StoredFacts]]


@dataclass(slots=True, eq=False)
class Flight:
    """One measurement. outdated: nobody may join it any more. demand: who wants it.

    began_s: on the clock of the event loop. span: of the trace that it was begun in.
    """

    task: asyncio.Task[StoredFacts]
    demand: Demand
    began_s: float
    outdated: bool = False
    span: Span | None = None

    @property
    def may_be_joined(self) -> bool:
        """Its facts will be new enough, and it has not been given up."""
        return not (self.outdated or self.demand.is_dropped)


class FlightBoard:
    """Flights by key. A key has at most one that flies and one that waits for it to land."""

    def __init__(self) -> None:
        self._flying: dict[FactsKey, Flight] = {}
        self._waiting: dict[FactsKey, Flight] = {}

    def __len__(self) -> int:
        return len(self._flying) + len(self._waiting)

    def flights(self) -> Iterator[tuple[FactsKey, Flight, bool]]:
        """Yield each flight, the longest under way first; True for those that wait to begin."""
        for key, flight in self._flying.items():
            yield key, flight, False
        for key, flight in self._waiting.items():
            yield key, flight, True

    def join(self, key: FactsKey, measure: Measure) -> tuple[Flight, Boarding]:
        """Return the flight for the key. One that flies will do, unless it is outdated."""
        flying = self._flying.get(key)
        if flying is None or not flying.may_be_joined:
            return self.join_new(key, measure)
        return flying, Boarding.JOINED

    def join_new(self, key: FactsKey, measure: Measure) -> tuple[Flight, Boarding]:
        """Return a flight that begins no earlier than this call.

        It takes off when the present one has landed.
        """
        waiting = self._waiting.get(key)
        if waiting is not None and waiting.may_be_joined:
            return waiting, Boarding.JOINED
        flying = self._flying.get(key)
        if flying is None:
            return self._take_off(key, measure), Boarding.BEGAN
        successor = _flight(lambda demand: self._after(flying, key, measure, demand))
        self._waiting[key] = successor
        successor.task.add_done_callback(lambda _: self._land(key, successor))
        return successor, Boarding.BEGAN

    def under_way(self, key: FactsKey) -> Flight | None:
        """Return the flight that began last, or will, unless it is outdated; None without one."""
        flight = self._waiting.get(key) or self._flying.get(key)
        return flight if flight is not None and flight.may_be_joined else None

    def outdate(self, concerns: Callable[[FactsKey], bool]) -> None:
        """Let nobody join the measurements under way that this concerns.

        Those that still wait begin late enough.
        """
        for key, flight in self._flying.items():
            if concerns(key):
                flight.outdated = True

    def is_outdated(self, key: FactsKey) -> bool:
        """The measurement that flies for the key is outdated."""
        flying = self._flying.get(key)
        return flying is not None and flying.outdated

    async def close(self) -> None:
        """Cancel every flight and wait until each has ended."""
        flights = (*self._waiting.values(), *self._flying.values())
        for flight in flights:
            flight.task.cancel()
        await asyncio.gather(*(flight.task for flight in flights), return_exceptions=True)

    def _take_off(self, key: FactsKey, measure: Measure) -> Flight:
        flight = _flight(measure)
        self._flying[key] = flight
        flight.task.add_done_callback(lambda _: self._land(key, flight))
        return flight

    async def _after(
        self, flying: Flight, key: FactsKey, measure: Measure, demand: Demand
    ) -> StoredFacts:
        await asyncio.wait({flying.task})
        flight = self._waiting.pop(key)
        self._flying[key] = flight
        return await measure(demand)

    def _land(self, key: FactsKey, flight: Flight) -> None:
        for flights in (self._flying, self._waiting):
            if flights.get(key) is flight:
                del flights[key]
        if not flight.task.cancelled():
            flight.task.exception()  # retrieved here, because every caller may have gone


def _flight(measure: Measure) -> Flight:
    demand, parent = Demand(), current_span()
    span = None if parent is None else parent.child("flight")
    work = measure(demand) if span is None else _in_span(span, measure, demand)
    task = asyncio.create_task(work)
    demand.dropped = task.cancel
    return Flight(task, demand, asyncio.get_running_loop().time(), span=span)


async def _in_span(span: Span, measure: Measure, demand: Demand) -> StoredFacts:
    with within(span):
        return await measure(demand)
