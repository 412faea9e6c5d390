"""Who holds how many places, and how many a share may hold: always some fewer than there are.

A place is held for as long as a measurement takes, 20 s with a target that says nothing. So a
newcomer must find one free, not merely be the next. A share may hold twice as many places as it
leaves free, a group four times (core.holdings): one caller alone gets two thirds, two get two
fifths each, three two sevenths, and what is left is there for the next.
A share's first place needs only to be free.

Part of the places is for partners' endpoints alone, if there are partners. Only numbers here.
"""

from otpc_policy.core.caller import WITHIN_THIS_PROCESS
from otpc_policy.core.demand import Claim
from otpc_policy.core.holdings import OF_A_GROUP, OF_A_MEMBER, Holdings

_OWN_GROUP, _ = WITHIN_THIS_PROCESS.share


class Places(Holdings):
    """The places that are held, of however many there are at the moment."""

    def __init__(self) -> None:
        super().__init__()
        self._held_by_others = 0

    def is_free(self, claim: Claim, *, of: int, reserved: int) -> bool:
        """Tell whether any place is left for such an endpoint, whoever asks.

        of: how many places there are; reserved: how many of them for partners' endpoints.
        """
        return self.free(claim.may_use_reserve, of=of, reserved=reserved) > 0

    def free(self, may_use_reserve: bool, *, of: int, reserved: int) -> int:
        """Return how many places are left. Arguments as of is_free, and of Claim."""
        free = of - self.held
        return free if may_use_reserve else min(free, of - reserved - self._held_by_others)

    def group_may_take(self, group: str, *, of: int) -> bool:
        """Tell whether a member of a group may hold one place more, at the best."""
        in_group = self.of_group(group)
        is_unbounded = not in_group or group == _OWN_GROUP
        return is_unbounded or in_group + 1 <= OF_A_GROUP * (of - self.held - 1)

    def may_take(self, claim: Claim, *, of: int, reserved: int) -> bool:
        """Tell whether a share may hold one place more. Arguments as of is_free."""
        free = self.free(claim.may_use_reserve, of=of, reserved=reserved)
        group, _ = claim.share
        if free <= 0:
            return False
        in_group, in_member = self.of_group(group), self.of_member(claim.share)
        if claim.is_own or not in_group:
            return True
        left = free - 1
        if in_group + 1 > OF_A_GROUP * left:
            return False
        return not in_member or in_member + 1 <= OF_A_MEMBER * left

    def take(self, claim: Claim) -> None:
        """Hold one more."""
        self._move(claim, 1)

    def give_back(self, claim: Claim) -> None:
        """Hold one less."""
        self._move(claim, -1)

    def _move(self, claim: Claim, step: int) -> None:
        self.count(claim.share, step)
        if not claim.may_use_reserve:
            self._held_by_others += step
