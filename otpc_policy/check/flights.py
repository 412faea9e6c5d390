"""One flight for each key: measurements under way, owned by the application, joined by whoever asks.

No caller's timeout or cancellation ends one. Callers wait with asyncio.wait, which leaves the task alone.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from otpc_policy.core.facts import AddressFacts


@dataclass(slots=True, eq=False)
class Flight:
    """One measurement. began_at: monotonic seconds, None while it waits for its predecessor. outdated: nobody may join it any more."""

    task: asyncio.Task[AddressFacts]
    began_at: float | None = None
    outdated: bool = False


class FlightBoard:
    """Flights by key. A key has at most one that flies and one that waits for it to land."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._flying: dict[bytes, Flight] = {}
        self._waiting: dict[bytes, Flight] = {}

    def __len__(self) -> int:
        return len(self._flying) + len(self._waiting)

    def join(self, key: bytes, measure: Callable[[], Coroutine[None, None, AddressFacts]]) -> tuple[Flight, bool]:
        """Return the flight for the key and whether it is new. Whatever flies will do, unless it is outdated."""
        flying = self._flying.get(key)
        if flying is not None and flying.outdated:
            return self.join_new(key, measure)
        if flying is not None:
            return flying, False
        return self._take_off(key, measure), True

    def join_new(self, key: bytes, measure: Callable[[], Coroutine[None, None, AddressFacts]]) -> tuple[Flight, bool]:
        """Return a flight that begins no earlier than this call and whether it is new; it takes off when the present one has landed."""
        flying = self._flying.get(key)
        if flying is None:
            return self._take_off(key, measure), True
        if flying.began_at is None:
            return flying, False
        waiting = self._waiting.get(key)
        if waiting is not None:
            return waiting, False
        successor = Flight(asyncio.create_task(self._after(flying, key, measure)))
        self._waiting[key] = successor
        successor.task.add_done_callback(lambda _: self._land(key, successor))
        return successor, True

    def outdate(self, prefix: bytes) -> None:
        """Let nobody join the measurements under way whose keys begin so; those that still wait begin late enough."""
        for key, flight in self._flying.items():
            if key.startswith(prefix):
                flight.outdated = True

    def is_outdated(self, key: bytes) -> bool:
        """The measurement that flies for the key is outdated."""
        flying = self._flying.get(key)
        return flying is not None and flying.outdated

    async def close(self) -> None:
        """Cancel every flight and wait until each has ended."""
        tasks = [flight.task for flights in (self._waiting, self._flying) for flight in flights.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _take_off(self, key: bytes, measure: Callable[[], Coroutine[None, None, AddressFacts]]) -> Flight:
        flight = Flight(asyncio.create_task(measure()), self._monotonic())
        self._flying[key] = flight
        flight.task.add_done_callback(lambda _: self._land(key, flight))
        return flight

    async def _after(self, flying: Flight, key: bytes, measure: Callable[[], Coroutine[None, None, AddressFacts]]) -> AddressFacts:
        await asyncio.wait({flying.task})
        flight = self._waiting.pop(key)
        flight.began_at = self._monotonic()
        self._flying[key] = flight
        return await measure()

    def _land(self, key: bytes, flight: Flight) -> None:
        for flights in (self._flying, self._waiting):
            if flights.get(key) is flight:
                del flights[key]
        if not flight.task.cancelled():
            flight.task.exception()  # retrieved here, because every caller may have gone
