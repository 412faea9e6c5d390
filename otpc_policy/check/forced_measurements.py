"""Which reports of another leaf may cause a measurement.

Any caller may send any hash, so a report costs the partner nothing but once in an interval. The
bound holds for each endpoint and perspective, and for all callers of this process together.
"""

from collections import OrderedDict
from datetime import timedelta

from otpc_policy.core.endpoint import Endpoint
from otpc_policy.core.perspective import DEFAULT_PERSPECTIVE

# An entry stays for one interval, and each stands for a measurement: at 60 measurements a second,
# which is what two cores do, an interval of ten seconds leaves 600.
_MAX_ENDPOINTS = 16_384


class ForcedMeasurements:
    """Grants one measurement for each endpoint, from each perspective, in an interval.

    max_endpoints: whose grants are remembered; while it is reached, nothing is granted to others.
    Instants are seconds of a clock that only increases.
    """

    def __init__(self, interval: timedelta, *, max_endpoints: int = _MAX_ENDPOINTS) -> None:
        self._interval_s = interval.total_seconds()
        self._max_endpoints = max_endpoints
        # In the order of the grants, which is also the order in which they end.
        self._granted_at: OrderedDict[tuple[str, Endpoint], float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._granted_at)

    def grant(
        self, endpoint: Endpoint, now_s: float, *, perspective: str = DEFAULT_PERSPECTIVE
    ) -> bool:
        """Whether the endpoint may be measured now for a report; if so, that is its one time."""
        self._forget_ended(now_s)
        seen = perspective, endpoint
        if seen in self._granted_at or len(self._granted_at) >= self._max_endpoints:
            return False
        if self._interval_s > 0:
            self._granted_at[seen] = now_s
        return True

    def wait(
        self, endpoint: Endpoint, now_s: float, *, perspective: str = DEFAULT_PERSPECTIVE
    ) -> timedelta:
        """Return how long it takes until the next grant; zero if there may be one now."""
        self._forget_ended(now_s)
        granted_at = self._granted_at.get((perspective, endpoint))
        if granted_at is None:
            if len(self._granted_at) < self._max_endpoints:
                return timedelta()
            granted_at = next(iter(self._granted_at.values()))
        return timedelta(seconds=granted_at + self._interval_s - now_s)

    def _forget_ended(self, now_s: float) -> None:
        while self._granted_at:
            seen, granted_at = next(iter(self._granted_at.items()))
            if now_s - granted_at < self._interval_s:
                return
            del self._granted_at[seen]
