"""One measurement for each key: under way, owned by the application, joined by whoever asks.

No caller's timeout or cancellation ends one. Callers wait with asyncio.wait, which leaves the task
alone.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from otpc_policy.check.ports import Boarding
from otpc_policy.check.stored_facts import FactsKey, StoredFacts

Measure = Callable[[], Coroutine[None, None, StoredFacts]]


@dataclass(slots=True, eq=False)
class Flight:
    """One measurement. outdated: nobody may join it any more."""

    task: asyncio.Task[StoredFacts]
    outdated: bool = False


class FlightBoard:
    """Flights by key. A key has at most one that flies and one that waits for it to land."""

    def __init__(self) -> None:
        self._flying: dict[FactsKey, Flight] = {}
        self._waiting: dict[FactsKey, Flight] = {}

    def __len__(self) -> int:
        return len(self._flying) + len(self._waiting)

    def join(self, key: FactsKey, measure: Measure) -> tuple[Flight, Boarding]:
        """Return the flight for the key. One that flies will do, unless it is outdated."""
        flying = self._flying.get(key)
        if flying is None or flying.outdated:
            return self.join_new(key, measure)
        return flying, Boarding.JOINED

    def join_new(self, key: FactsKey, measure: Measure) -> tuple[Flight, Boarding]:
        """Return a flight that begins no earlier than this call.

        It takes off when the present one has landed.
        """
        waiting = self._waiting.get(key)
        if waiting is not None:
            return waiting, Boarding.JOINED
        flying = self._flying.get(key)
        if flying is None:
            return self._take_off(key, measure), Boarding.BEGAN
        successor = Flight(asyncio.create_task(self._after(flying, key, measure)))
        self._waiting[key] = successor
        successor.task.add_done_callback(lambda _: self._land(key, successor))
        return successor, Boarding.BEGAN

    def under_way(self, key: FactsKey) -> Flight | None:
        """Return the flight that began last, or will, unless it is outdated; None without one."""
        flight = self._waiting.get(key) or self._flying.get(key)
        return None if flight is None or flight.outdated else flight

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
        flight = Flight(asyncio.create_task(measure()))
        self._flying[key] = flight
        flight.task.add_done_callback(lambda _: self._land(key, flight))
        return flight

    async def _after(self, flying: Flight, key: FactsKey, measure: Measure) -> StoredFacts:
        await asyncio.wait({flying.task})
        flight = self._waiting.pop(key)
        self._flying[key] = flight
        return await measure()

    def _land(self, key: FactsKey, flight: Flight) -> None:
        for flights in (self._flying, self._waiting):
            if flights.get(key) is flight:
                del flights[key]
        if not flight.task.cancelled():
            flight.task.exception()  # retrieved here, because every caller may have gone
