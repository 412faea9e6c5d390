"""The order in which measurements that wait get their turn: by class, then group, then member.

Classes take turns by weight: in each round, so many of one class, then of the next. Within a class,
whoever holds the fewest places comes first; among equals, whoever was served longest ago. So many
short measurements and few long ones get the same number of places, where counting turns alone would
give nearly all of them to the long ones. The same holds among the members of a group.

What waits may be claimed by several shares. It stands in the line of each, and leaves all of them
with the first turn that it gets. Nothing here awaits or knows what it orders.
"""

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from operator import itemgetter
from typing import Final, Generic, TypeVar

from otpc_policy.core.demand import Claim, ScanClass

TURNS_A_ROUND: Final[Mapping[ScanClass, int]] = {
    ScanClass.INTERACTIVE: 8,
    ScanClass.REFRESH: 2,
    ScanClass.WATCH: 1,
}

_T = TypeVar("_T", bound=Hashable)
# By claim, with numbers in the order of arrival. A share has few different claims, so that nobody
# who comes or goes has to walk past everything that waits.
_Lines = dict[Claim, dict[_T, int]]
_Group = dict[str, _Lines[_T]]


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
        self._reserve_rights: Counter[bool] = Counter()
        self._turns_left = dict(TURNS_A_ROUND)
        # By class and share: when it was served last, or came after it had been away.
        self._served: dict[tuple[ScanClass, str, str | None], int] = {}
        self._now = 0

    def __len__(self) -> int:
        return len(self._claims)

    def __iter__(self) -> Iterator[_T]:
        return iter(self._claims)

    @property
    def reserve_rights(self) -> Collection[bool]:
        """Which values of may_use_reserve the claims of all that waits have."""
        return self._reserve_rights.keys()

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

    def take(
        self,
        may_have: Callable[[Claim], bool],
        group_may_have: Callable[[str], bool] = lambda _group: True,
    ) -> tuple[_T, Claim] | None:
        """Remove and return whose turn it is, and by which claim; None where no claim may have one.

        may_have: tells whether a place is left for a claim. group_may_have: False where it is
        certain that none is left for any claim of a group; its members are not asked about then.
        """
        for _ in range(2):
            for scan_class, groups in self._classes.items():
                if not self._turns_left[scan_class]:
                    continue
                found = self._first(scan_class, groups, may_have, group_may_have)
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
        group_may_have: Callable[[str], bool],
    ) -> tuple[_T, Claim] | None:
        def rank_of_group(group: str) -> tuple[int, int]:
            return self._held_by_group(group), self._served[scan_class, group, None]

        for group in sorted(filter(group_may_have, groups), key=rank_of_group):

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
        lines.setdefault(member, {}).setdefault(claim, {})[item] = self._tick()
        self._reserve_rights[claim.may_use_reserve] += 1
        # Whoever comes begins behind those who are here: to come and go is no advantage.
        for key in ((claim.scan_class, group, None), (claim.scan_class, group, member)):
            self._served.setdefault(key, self._tick())

    def _leave(self, item: _T, claim: Claim) -> None:
        group, member = claim.share
        groups = self._classes[claim.scan_class]
        del groups[group][member][claim][item]
        if not groups[group][member][claim]:
            del groups[group][member][claim]
        self._reserve_rights[claim.may_use_reserve] -= 1
        if not self._reserve_rights[claim.may_use_reserve]:
            del self._reserve_rights[claim.may_use_reserve]
        if not groups[group][member]:
            del groups[group][member], self._served[claim.scan_class, group, member]
        if not groups[group]:
            del groups[group], self._served[claim.scan_class, group, None]

    def _tick(self) -> int:
        self._now += 1
        return self._now


def _first_in(lines: _Lines[_T], may_have: Callable[[Claim], bool]) -> tuple[_T, Claim] | None:
    heads = [
        (*next((number, item) for item, number in line.items()), claim)
        for claim, line in lines.items()
        if may_have(claim)
    ]
    if not heads:
        return None
    _, item, claim = min(heads, key=itemgetter(0))
    return item, claim
