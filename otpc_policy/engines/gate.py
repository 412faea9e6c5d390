"""How many measurements one engine is given at a time; the others wait here for their turn.

A call to an engine costs the event loop half a millisecond. In a burst of a thousand all of them
would be made at once, and nobody else be answered meanwhile. Whose turn it is says fair_queue, and
how many places a share may hold at all, places.

What nobody wants any more leaves the queue. If it has its place already it goes on, so that whoever
asks next finds facts, until somebody waits for a place: then the longest of these is given up.
"""

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from operator import attrgetter

from otpc_policy.core.demand import Claim, Demand
from otpc_policy.engines.fair_queue import FairQueue
from otpc_policy.engines.places import Places


class Gate:
    """Enter before a measurement, leave after it.

    capacity: how many may be inside, now. reserved: how many of them for partners' endpoints.
    """

    def __init__(
        self, capacity: Callable[[], int], reserved: Callable[[int], int] = lambda _capacity: 0
    ) -> None:
        self._capacity, self._reserved = capacity, reserved
        self._places = Places()
        self._queue = FairQueue[Demand](
            held_by_group=self._places.of_group, held_by_member=self._places.of_member
        )
        self._turns: dict[Demand, asyncio.Future[None]] = {}
        # By whose claim each is inside, the longest first.
        self._inside: dict[Demand, Claim] = {}

    @property
    def waiting(self) -> int:
        """Those that wait."""
        return len(self._queue)

    @property
    def is_idle(self) -> bool:
        """Nobody is inside or waits."""
        return not (self._inside or self._turns)

    @property
    def claims_inside(self) -> Collection[Claim]:
        """The claims by which places are held."""
        return self._inside.values()

    @property
    def claims_waiting(self) -> Collection[Claim]:
        """Of each measurement that waits, its most urgent claim."""
        return [min(each.claims, key=attrgetter("scan_class")) for each in self._queue]

    async def enter(self, demand: Demand) -> None:
        """Wait for a place, for as long as somebody wants it."""
        turn = asyncio.get_running_loop().create_future()
        self._turns[demand] = turn
        demand.changed = lambda: self._demand_changed(demand)
        self._queue.put(demand, demand.claims)
        if not demand.is_wanted:
            demand.drop()
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            self.leave(demand)
            raise

    def leave(self, demand: Demand) -> None:
        """Give the place, or the turn, to others. Does nothing the second time."""
        demand.changed = _ignore
        self._turns.pop(demand, None)
        self._queue.put(demand, ())
        claim = self._inside.pop(demand, None)
        if claim is not None:
            self._places.give_back(claim)
        self._admit()

    def _demand_changed(self, demand: Demand) -> None:
        if demand in self._turns:
            self._queue.put(demand, demand.claims)
            if not demand.is_wanted:
                demand.drop()
        # Whoever waits may be given the place of one that nobody wants any more.
        self._admit()

    def _admit(self) -> None:
        """Let in whom there is room for; make room where something is not wanted any more."""
        capacity = self._capacity()
        reserved = self._reserved(capacity)

        def may_have(claim: Claim) -> bool:
            return self._places.may_take(claim, of=capacity, reserved=reserved)

        group_may_have = partial(self._places.group_may_take, of=capacity)
        # With a thousand in the queue, each that comes or goes asks this.
        while any(
            self._places.free(each, of=capacity, reserved=reserved) > 0
            for each in self._queue.reserve_rights
        ) and (taken := self._queue.take(may_have, group_may_have)):
            demand, claim = taken
            self._places.take(claim)
            self._inside[demand] = claim
            turn = self._turns.pop(demand)
            if not turn.done():  # else its task has just been cancelled, and will leave
                turn.set_result(None)
        unwanted = [demand for demand in self._inside if not demand.is_wanted]
        for demand in unwanted[: len(self._queue)]:
            demand.drop()


def _ignore() -> None:
    """What has left concerns nobody here any more."""
