"""The order in which measurements that wait get their turn: by class, then group, then member.

Classes take turns by weight: in each round, so many of one class, then of the next. Within a class,
whoever holds the fewest places comes first; among equals, whoever was served longest ago. So many
short measurements and few long ones get the same number of places, where counting turns alone would
give nearly all of them to the long ones. The same holds among the members of a group.

What waits may be claimed by several shares. It stands in the line of each, and leaves all of them
with the first turn that it gets. Nothing here awaits or knows what it orders.
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from typing import Final, Generic, TypeVar

from otpc_policy.core.demand import Claim, ScanClass

TURNS_A_ROUND: Final[Mapping[ScanClass, int]] = {
    ScanClass.INTERACTIVE: 8,
    ScanClass.REFRESH: 2,
    ScanClass.WATCH: 1,
}

_T = TypeVar("_T", bound=Hashable)
# In the order of arrival. A share may claim the same twice, as a partner's endpoint and not: over a
# reload.
_Line = dict[tuple[_T, Claim], None]
_Group = dict[str, _Line[_T]]


class FairQueue(Generic[_T]):
    """What waits, by the shares that claim it.

    held_by_group, held_by_member: how many places a share holds now.
    """

    def __init__(
        self,
        *,
        held_by_group: Callable[[str], int],
        held_by_member: Callable[[tuple[str, str]], int],
    ) -> None:
        self._held_by_group, self._held_by_member = held_by_group, held_by_member
        self._classes: dict[ScanClass, dict[str, _Group[_T]]] = {each: {} for each in ScanClass}
        self._claims: dict[_T, set[Claim]] = {}
        self._turns_left = dict(TURNS_A_ROUND)
        # By class and share: when it was served last, or came after it had been away.
        self._served: dict[tuple[ScanClass, str, str | None], int] = {}
        self._now = 0

    def __len__(self) -> int:
        return len(self._claims)

    def __iter__(self) -> Iterator[_T]:
        return iter(self._claims)

    def put(self, item: _T, claims: Collection[Claim]) -> None:
        """Have an item wait under exactly these claims, new or not; without any, it leaves."""
        wanted, present = set(claims), self._claims.get(item, set())
        for claim in present - wanted:
            self._leave(item, claim)
        for claim in wanted - present:
            self._enter(item, claim)
        if wanted:
            self._claims[item] = wanted
        else:
            self._claims.pop(item, None)

    def take(self, may_have: Callable[[Claim], bool]) -> tuple[_T, Claim] | None:
        """Remove and return whose turn it is, and by which claim; None where no claim may have one.

        may_have: tells whether a place is left for a claim.
        """
        for _ in range(2):
            for scan_class, groups in self._classes.items():
                if not self._turns_left[scan_class]:
                    continue
                found = self._first(scan_class, groups, may_have)
                if found is not None:
                    self._turns_left[scan_class] -= 1
                    self._serve(*found)
                    return found
            self._turns_left = dict(TURNS_A_ROUND)
        return None

    def _first(
        self,
        scan_class: ScanClass,
        groups: Mapping[str, _Group[_T]],
        may_have: Callable[[Claim], bool],
    ) -> tuple[_T, Claim] | None:
        def rank_of_group(group: str) -> tuple[int, int]:
            return self._held_by_group(group), self._served[scan_class, group, None]

        for group in sorted(groups, key=rank_of_group):

            def rank_of_member(member: str, group: str = group) -> tuple[int, int]:
                held = self._held_by_member((group, member))
                return held, self._served[scan_class, group, member]

            for member in sorted(groups[group], key=rank_of_member):
                found = _first_in(groups[group][member], may_have)
                if found is not None:
                    return found
        return None

    def _serve(self, item: _T, claim: Claim) -> None:
        group, member = claim.share
        for key in ((claim.scan_class, group, None), (claim.scan_class, group, member)):
            self._served[key] = self._tick()
        self.put(item, ())

    def _enter(self, item: _T, claim: Claim) -> None:
        group, member = claim.share
        lines = self._classes[claim.scan_class].setdefault(group, {})
        lines.setdefault(member, {})[item, claim] = None
        # Whoever comes begins behind those who are here: to come and go is no advantage.
        for key in ((claim.scan_class, group, None), (claim.scan_class, group, member)):
            self._served.setdefault(key, self._tick())

    def _leave(self, item: _T, claim: Claim) -> None:
        group, member = claim.share
        groups = self._classes[claim.scan_class]
        del groups[group][member][item, claim]
        if not groups[group][member]:
            del groups[group][member], self._served[claim.scan_class, group, member]
        if not groups[group]:
            del groups[group], self._served[claim.scan_class, group, None]

    def _tick(self) -> int:
        self._now += 1
        return self._now


def _first_in(
    line: Iterable[tuple[_T, Claim]], may_have: Callable[[Claim], bool]
) -> tuple[_T, Claim] | None:
    allowed: dict[Claim, bool] = {}
    for item, claim in line:
        if claim not in allowed:
            allowed[claim] = may_have(claim)
        if allowed[claim]:
            return item, claim
    return None
