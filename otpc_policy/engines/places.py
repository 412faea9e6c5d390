"""Who holds how many places, and how many a share may hold: always some fewer than there are.

A place is held for as long as a measurement takes, 20 s with a target that says nothing. So a
newcomer must find one free, not merely be the next. A share may hold twice as many places as it
leaves free (a group of shares, four times), which is the dynamic threshold of Choudhury and Hahne
("Dynamic queue length thresholds for shared-memory packet switches", 1998): one caller alone gets
two thirds, two get two fifths each, three two sevenths, and what is left is there for the next.
A share's first place needs only to be free.

Part of the places is for partners' endpoints alone, if there are partners. Only numbers here.
"""

from collections import Counter
from typing import Final

from otpc_policy.core.demand import Claim

# Places held for each that is left free.
_OF_A_MEMBER: Final = 2
_OF_A_GROUP: Final = 4


class Places:
    """The places that are held, of however many there are at the moment."""

    def __init__(self) -> None:
        self._members: Counter[tuple[str, str]] = Counter()
        self._groups: Counter[str] = Counter()
        self.held = 0
        self._held_by_others = 0

    def of_group(self, group: str) -> int:
        """Return how many places the members of a group hold."""
        return self._groups[group]

    def of_member(self, share: tuple[str, str]) -> int:
        """Return how many places a member of a group holds."""
        return self._members[share]

    def is_free(self, claim: Claim, *, of: int, reserved: int) -> bool:
        """Tell whether any place is left for such an endpoint, whoever asks.

        of: how many places there are; reserved: how many of them for partners' endpoints.
        """
        return self._free(claim, of, reserved) > 0

    def may_take(self, claim: Claim, *, of: int, reserved: int) -> bool:
        """Tell whether a share may hold one place more. Arguments as of is_free."""
        free = self._free(claim, of, reserved)
        group, _ = claim.share
        if free <= 0:
            return False
        in_group, in_member = self._groups[group], self._members[claim.share]
        if claim.is_own or not in_group:
            return True
        left = free - 1
        if in_group + 1 > _OF_A_GROUP * left:
            return False
        return not in_member or in_member + 1 <= _OF_A_MEMBER * left

    def take(self, claim: Claim) -> None:
        """Hold one more."""
        self._count(claim, 1)

    def give_back(self, claim: Claim) -> None:
        """Hold one less."""
        self._count(claim, -1)

    def _free(self, claim: Claim, of: int, reserved: int) -> int:
        free = of - self.held
        if claim.is_partners or claim.is_own:
            return free
        return min(free, of - reserved - self._held_by_others)

    def _count(self, claim: Claim, step: int) -> None:
        group, _ = claim.share
        self.held += step
        self._groups[group] += step
        self._members[claim.share] += step
        if not (claim.is_partners or claim.is_own):
            self._held_by_others += step
        if not self._groups[group]:
            del self._groups[group]
        if not self._members[claim.share]:
            del self._members[claim.share]
