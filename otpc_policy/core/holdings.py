"""How much of something each share holds: places for measurements, bytes of answers, look-ups.

Of places and bytes a share may hold twice as much as is left free, a group of shares four times:
the dynamic threshold of Choudhury and Hahne ("Dynamic queue length thresholds for shared-memory
packet switches", 1998). So whatever one caller takes, something is left for the next. Only numbers
here.
"""

from enum import Enum, auto
from typing import Final, TypeVar

_Key = TypeVar("_Key")

OF_A_MEMBER: Final = 2
"""Held for each that is left free, by a member of a group."""

OF_A_GROUP: Final = 4
"""Held for each that is left free, by all members of a group."""


class Room(Enum):
    """Whether there is room for more."""

    ENOUGH = auto()
    SHARE_USED = auto()
    """There is some, but not for this share."""
    NONE = auto()


class Holdings:
    """Counts by member and by group of Caller.share. held: by all together."""

    def __init__(self) -> None:
        self._members: dict[tuple[str, str], int] = {}
        self._groups: dict[str, int] = {}
        self.held = 0

    def of_group(self, group: str) -> int:
        """Return how much the members of a group hold."""
        return self._groups.get(group, 0)

    def of_member(self, share: tuple[str, str]) -> int:
        """Return how much a member of a group holds."""
        return self._members.get(share, 0)

    def room(
        self,
        share: tuple[str, str],
        amount: int,
        *,
        total: int,
        most_of_a_member: int | None = None,
    ) -> Room:
        """Tell whether a share may hold so much more. total: of all. most_of_a_member: or None."""
        left = total - self.held - amount
        if left < 0:
            return Room.NONE
        group, _ = share
        of_member = self._members.get(share, 0) + amount
        if (
            of_member > OF_A_MEMBER * left
            or self._groups.get(group, 0) + amount > OF_A_GROUP * left
            or (most_of_a_member is not None and of_member > most_of_a_member)
        ):
            return Room.SHARE_USED
        return Room.ENOUGH

    def count(self, share: tuple[str, str], amount: int) -> None:
        """Hold so much more, or less."""
        self.held += amount
        _add(self._groups, share[0], amount)
        _add(self._members, share, amount)


def _add(counts: dict[_Key, int], key: _Key, amount: int) -> None:
    # Each call counts: a Counter would take twice as long.
    total = counts.get(key, 0) + amount
    if total:
        counts[key] = total
    else:
        counts.pop(key, None)
