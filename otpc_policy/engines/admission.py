"""Which measurements may wait at all: bounded in number, for each caller and for all together."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from otpc_policy.core.demand import Claim, Demand
from otpc_policy.core.errors import CallerBudgetUsed, Overloaded
from otpc_policy.engines.places import Places

# A scan takes a second or a few; a caller that comes back sooner finds the same queue.
_RETRY_AFTER: Final = timedelta(seconds=2)


class Admission:
    """Counts measurements from their begin to their end, those that wait included.

    room: how many there may be. reserved: how many of a number are for partners' endpoints.
    most_of_a_caller: whatever room there is. A caller may also have no more than its share of the
    room (places), so that none finds it full because of another.
    """

    def __init__(
        self,
        room: Callable[[], int],
        reserved: Callable[[int], int] = lambda _room: 0,
        *,
        most_of_a_caller: int,
    ) -> None:
        self._room, self._reserved = room, reserved
        self._most_of_a_caller = most_of_a_caller
        self._places = Places()

    @contextmanager
    def admitted(self, demand: Demand) -> Iterator[None]:
        """Count a measurement for as long as the body takes.

        It counts for the first claim that allows it. Raises CallerBudgetUsed, and Overloaded where
        the service has no room. What nobody wants is admitted: it will not begin.
        """
        if not demand.is_wanted:
            yield
            return
        claim = self._admitting(demand)
        self._places.take(claim)
        try:
            yield
        finally:
            self._places.give_back(claim)

    def _admitting(self, demand: Demand) -> Claim:
        room = self._room()
        reserved = self._reserved(room)
        errors: list[Overloaded] = []
        for claim in demand.claims:
            if not self._places.is_free(claim, of=room, reserved=reserved):
                errors.append(Overloaded(_RETRY_AFTER))
            elif not claim.is_own and (
                self._places.of_member(claim.share) >= self._most_of_a_caller
                or not self._places.may_take(claim, of=room, reserved=reserved)
            ):
                errors.append(CallerBudgetUsed(_RETRY_AFTER))
            else:
                return claim
        raise errors[0]
