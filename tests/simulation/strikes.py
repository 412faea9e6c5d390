"""How each kind of fault strikes a run, and ends."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tests.simulation.faults import Fault, Kind

if TYPE_CHECKING:
    from tests.simulation.run import Place, Run


class Strikes:
    """Strikes one run."""

    def __init__(self, run: "Run") -> None:
        self._run = run
        self._begins: asyncio.Future[int] | None = None

    def measuring(self, place: int) -> None:
        """Tell whoever waits for one that a measurement begins at a place."""
        if self._begins is not None and not self._begins.done():
            self._begins.set_result(place)

    async def strike(self, fault: Fault) -> None:
        """Wait for a fault's time, have it happen, and end it."""
        await asyncio.sleep(fault.at_s)
        place = self._run.places[fault.place]
        is_shared = fault.kind in (Kind.OUTAGE, Kind.FAILOVER, Kind.FLUSH)
        self._run.note(f"{fault.kind} {'' if is_shared else place.number} {fault.amount:.3f}")
        self._run.disturb(
            None if is_shared else place, fault.lasts_s, sets_clock=fault.kind is Kind.CLOCK
        )
        match fault.kind:
            case Kind.CUT:
                await self._cut([place], fault.lasts_s)
            case Kind.OUTAGE:
                await self._cut(self._run.places, fault.lasts_s)
            case Kind.FAILOVER:
                since_s = self._run.store.fail_over(fault.amount)
                for each in self._run.invariants:
                    each.lost_writes(since_s)
                await self._cut(self._run.places, fault.lasts_s)
            case Kind.FLUSH:
                self._run.store.flush()
                for each in self._run.invariants:
                    each.lost_writes(0.0)
                await self._cut(self._run.places, fault.lasts_s)
            case Kind.LOSSY:
                link = self._run.links[place.number]
                link.loses = fault.amount
                await asyncio.sleep(fault.lasts_s)
                link.loses = 0.0
            case Kind.SLOW:
                link = self._run.links[place.number]
                link.delay_s = fault.amount
                await asyncio.sleep(fault.lasts_s)
                link.delay_s = 0.0
            case Kind.CLOCK:
                clock = self._run.clocks[place.number]
                clock.ahead_s += fault.amount
                await asyncio.sleep(fault.lasts_s)
                clock.ahead_s -= fault.amount
                self._run.disturb(place, 0.0)
            case Kind.PAUSE:
                await self._pause(place, fault.lasts_s)
            case Kind.CRASH:
                await self._crash(place, fault.lasts_s)
        self._run.note(f"{fault.kind} ends")

    async def _cut(self, places: "Sequence[Place]", lasts_s: float) -> None:
        links = [self._run.links[place.number] for place in places]
        for link in links:
            link.is_cut = True
        await asyncio.sleep(lasts_s)
        for link in links:
            link.is_cut = False

    async def _pause(self, place: "Place", lasts_s: float) -> None:
        if self._run.draw.random() < 0.5:
            # In the middle of a measurement, where it hurts most.
            self._begins = self._run.loop.create_future()
            while await self._begins != place.number:
                self._begins = self._run.loop.create_future()
            await asyncio.sleep(self._run.draw.uniform(0.0, 2.0))
        if not place.runs:
            return
        self._run.disturb(place, lasts_s)
        assert place.replica is not None
        name, place.is_paused = place.replica.name, True
        self._run.loop.hold(name)
        await asyncio.sleep(lasts_s)
        place.paused_s += lasts_s
        place.is_paused = False
        if place.replica is not None and place.replica.name == name:
            self._run.loop.release(name)

    async def _crash(self, place: "Place", lasts_s: float) -> None:
        if place.replica is None:
            return
        name, place.replica = place.replica.name, None
        self._run.loop.hold(name)
        self._run.links[place.number].is_cut = True
        self._run.calls = {call for call in self._run.calls if call.replica != name}
        for each in self._run.invariants:
            each.died(name)
        await asyncio.sleep(lasts_s)
        self._run.start(place)
