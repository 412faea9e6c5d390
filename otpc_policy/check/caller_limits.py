"""What one caller may have measured: which ports, how many targets in an hour, how many names.

So that nobody scans networks through this service. Partners' endpoints are the operator's own list,
and count for nothing here; neither does what this process asks for itself.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from otpc_policy.core.addresses import VettedAddress
from otpc_policy.core.caller import WITHIN_THIS_PROCESS, Caller
from otpc_policy.core.endpoint import Endpoint
from otpc_policy.core.errors import Budget, CallerBudgetUsed, PortNotAllowed
from otpc_policy.core.holdings import Holdings

_HOUR_S: Final = 3600.0
_NAMES_RETRY: Final = timedelta(seconds=1)
_LONGEST_RETRY: Final = timedelta(minutes=5)
# Groups whose targets are remembered: the newest ones.
_MAX_GROUPS: Final = 1024
# A machine's connections without certificates have so many times the names of one of them.
_NAMES_OF_A_GROUP: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerBounds:
    """ports: None for all. targets_per_hour: of a group of callers. names: at the same time."""

    ports: frozenset[int] | None = None
    targets_per_hour: int = 1_000_000
    names: int = 1_000_000


class CallerLimits:
    """Counts by caller. monotonic: seconds."""

    def __init__(self, bounds: CallerBounds, *, monotonic: Callable[[], float]) -> None:
        self._bounds, self._monotonic = bounds, monotonic
        # By group, when each target was first asked for within the last hour, the oldest first.
        self._targets: dict[str, dict[tuple[str, int], float]] = {}
        self._names = Holdings()

    def admit(
        self,
        endpoint: Endpoint,
        addresses: Sequence[VettedAddress],
        caller: Caller,
        *,
        is_partners: bool,
    ) -> None:
        """Count a target that is to be measured.

        Any port is allowed at addresses of a network that the operator has opened by name
        (allow_networks). Raises PortNotAllowed, CallerBudgetUsed.
        """
        if is_partners or caller.share == WITHIN_THIS_PROCESS.share:
            return
        ports = self._bounds.ports
        is_public = any(not address.opened for address in addresses)
        if ports is not None and endpoint.port not in ports and is_public:
            raise PortNotAllowed(endpoint.port, sorted(ports))
        self._count_target((endpoint.host, endpoint.port), caller.share[0])

    @contextmanager
    def looking_up(self, caller: Caller) -> Iterator[None]:
        """Count a name for as long as the body takes. Raises CallerBudgetUsed."""
        if caller.share == WITHIN_THIS_PROCESS.share:
            yield
            return
        names, share, most = self._names, caller.share, self._bounds.names
        if names.of_member(share) >= most or names.of_group(share[0]) >= most * _NAMES_OF_A_GROUP:
            raise CallerBudgetUsed(_NAMES_RETRY, Budget.NAMES)
        names.count(share, 1)
        try:
            yield
        finally:
            names.count(share, -1)

    def _count_target(self, target: tuple[str, int], group: str) -> None:
        now_s = self._monotonic()
        targets = self._targets.pop(group, {})
        self._targets[group] = targets
        if len(self._targets) > _MAX_GROUPS:
            del self._targets[next(iter(self._targets))]
        while targets and (oldest := next(iter(targets.items())))[1] <= now_s - _HOUR_S:
            del targets[oldest[0]]
        if target in targets:
            return
        if len(targets) >= self._bounds.targets_per_hour:
            until = timedelta(seconds=next(iter(targets.values())) + _HOUR_S - now_s)
            raise CallerBudgetUsed(min(until, _LONGEST_RETRY), Budget.TARGETS)
        targets[target] = now_s
