"""What one caller may have measured: which ports, how many targets in an hour, how many names.

So that nobody scans networks through this service. Partners' endpoints are the operator's own list,
and count for nothing here; neither does what this process asks for itself, nor what the operator
has watched.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from otpc_policy.core.addresses import MAXIMUM_ADDRESSES, VettedAddress
from otpc_policy.core.caller import WATCH_LIST, WITHIN_THIS_PROCESS, Caller
from otpc_policy.core.endpoint import Endpoint
from otpc_policy.core.errors import Budget, CallerBudgetUsed, PortNotAllowed
from otpc_policy.core.holdings import Holdings
from otpc_policy.core.perspective import DEFAULT_PERSPECTIVE

_HOUR_S: Final = 3600.0
_NAMES_RETRY: Final = timedelta(seconds=1)
_LONGEST_RETRY: Final = timedelta(minutes=5)
# Groups whose targets are remembered, and targets of all of them: of those that asked last. A
# target takes about half a kilobyte.
_MAX_GROUPS: Final = 1024
_MAX_TARGETS: Final = 200_000
# A machine's connections without certificates have so many times the names of one of them.
_NAMES_OF_A_GROUP: Final = 4
# For whom the operator has said what may be measured.
_OPERATORS: Final = frozenset({WITHIN_THIS_PROCESS.share, WATCH_LIST.share})


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerBounds:
    """ports: None for all. targets_per_hour: of a group of callers. names: at the same time."""

    ports: frozenset[int] | None = None
    targets_per_hour: int = 1_000_000
    names: int = 1_000_000


_Seen = tuple[str, Endpoint]
"""A perspective, and an endpoint that is measured from there."""


@dataclass(frozen=True, slots=True)
class _Target:
    """An endpoint as seen from a perspective, with so many addresses as one host may have.

    turn: tells those apart that it becomes by changing its addresses.
    """

    seen: _Seen
    turn: int


class _Targets:
    """What one group had measured within the last hour."""

    __slots__ = ("_addresses", "_since")

    def __init__(self) -> None:
        # When each was first asked for, the oldest first.
        self._since: dict[_Target, float] = {}
        # The target that each is now, and its addresses.
        self._addresses: dict[_Seen, tuple[_Target, tuple[str, ...]]] = {}

    def __len__(self) -> int:
        return len(self._since)

    @property
    def oldest_s(self) -> float:
        """When the oldest was first asked for. There must be one."""
        return next(iter(self._since.values()))

    def forget_until(self, until_s: float) -> None:
        """Forget those that were first asked for until then."""
        while self._since and self.oldest_s <= until_s:
            target = next(iter(self._since))
            del self._since[target]
            if self._addresses[target.seen][0] == target:
                del self._addresses[target.seen]

    def has(self, seen: _Seen, addresses: Sequence[VettedAddress]) -> bool:
        """Tell whether it has been counted, and take note of what addresses it has now."""
        known = self._addresses.get(seen)
        if known is None:
            return False
        target, before = known
        together = tuple(dict.fromkeys((*before, *(each.text for each in addresses))))
        if len(together) > max(len(before), MAXIMUM_ADDRESSES):
            return False
        self._addresses[seen] = target, together
        return True

    def add(self, seen: _Seen, addresses: Sequence[VettedAddress], now_s: float) -> None:
        """Count a target that is not there yet."""
        known = self._addresses.get(seen)
        target = _Target(seen, 0 if known is None else known[0].turn + 1)
        self._since[target] = now_s
        self._addresses[seen] = target, tuple([each.text for each in addresses])


class CallerLimits:
    """Counts by caller. monotonic: seconds."""

    def __init__(self, bounds: CallerBounds, *, monotonic: Callable[[], float]) -> None:
        self._bounds, self._monotonic = bounds, monotonic
        # By group, those that asked last at the end.
        self._targets: dict[str, _Targets] = {}
        self._names = Holdings()
        # By share, perspective and name, how many calls wait for it.
        self._looked_up = Counter[tuple[tuple[str, str], str, str]]()
        self.remembered = 0
        """Targets of all groups."""

    def admit(
        self,
        endpoint: Endpoint,
        addresses: Sequence[VettedAddress],
        caller: Caller,
        *,
        is_partners: bool,
        perspective: str = DEFAULT_PERSPECTIVE,
    ) -> None:
        """Count a target that is to be measured: from each perspective it is one of its own.

        Any port is allowed at addresses of a network that the operator has opened by name
        (allow_networks). An endpoint whose addresses change counts anew with every eight of them:
        the owner of a name could otherwise have any number of addresses measured by it.
        Raises PortNotAllowed, CallerBudgetUsed.
        """
        if is_partners or caller.share in _OPERATORS:
            return
        ports = self._bounds.ports
        is_public = any(not address.opened for address in addresses)
        if ports is not None and endpoint.port not in ports and is_public:
            raise PortNotAllowed(endpoint.port, sorted(ports))
        self._count_target((perspective, endpoint), addresses, caller.share[0])

    @contextmanager
    def looking_up(
        self, caller: Caller, host: str, *, perspective: str = DEFAULT_PERSPECTIVE
    ) -> Iterator[None]:
        """Count a name for as long as the body takes, once for all calls of the caller.

        From each perspective the same name is another.

        Raises CallerBudgetUsed.
        """
        if caller.share == WITHIN_THIS_PROCESS.share:
            yield
            return
        names, share, most = self._names, caller.share, self._bounds.names
        key = share, perspective, host
        if key not in self._looked_up:
            is_used_up = names.of_member(share) >= most
            if is_used_up or names.of_group(share[0]) >= most * _NAMES_OF_A_GROUP:
                raise CallerBudgetUsed(_NAMES_RETRY, Budget.NAMES)
            names.count(share, 1)
        self._looked_up[key] += 1
        try:
            yield
        finally:
            self._looked_up[key] -= 1
            if not self._looked_up[key]:
                del self._looked_up[key]
                names.count(share, -1)

    def _count_target(self, seen: _Seen, addresses: Sequence[VettedAddress], group: str) -> None:
        now_s = self._monotonic()
        targets = self._targets.pop(group, None) or _Targets()
        self._targets[group] = targets
        self.remembered -= len(targets)
        targets.forget_until(now_s - _HOUR_S)
        self.remembered += len(targets)
        if targets.has(seen, addresses):
            return
        if len(targets) >= self._bounds.targets_per_hour:
            until = timedelta(seconds=targets.oldest_s + _HOUR_S - now_s)
            raise CallerBudgetUsed(min(until, _LONGEST_RETRY), Budget.TARGETS)
        targets.add(seen, addresses, now_s)
        self.remembered += 1
        self._forget_groups()

    def _forget_groups(self) -> None:
        """Forget those that have asked for nothing for the longest time; never the last one."""
        while len(self._targets) > 1 and (
            len(self._targets) > _MAX_GROUPS or self.remembered > _MAX_TARGETS
        ):
            group = next(iter(self._targets))
            self.remembered -= len(self._targets.pop(group))
