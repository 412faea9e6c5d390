"""When to look again at what other replicas may have measured meanwhile."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from heapq import heapify, heappop, heappush
from typing import Final

# Whoever measures may be late; a look costs one question to the store.
_FIRST_PAUSE: Final = timedelta(seconds=1)
_LONGEST_PAUSE: Final = timedelta(seconds=30)
# Some entries more than names before those that were replaced are cleared away.
_SPARE: Final = 64


class Looks:
    """Names, each with the instant at which it is to be looked at, and again until it is put off.

    One look in a second, then in two, four, and at last every half minute.
    """

    def __init__(self) -> None:
        self._pending: dict[str, tuple[datetime, timedelta]] = {}
        # With entries that have been replaced since.
        self._order: list[tuple[datetime, str]] = []

    def at(self, name: str, at: datetime) -> None:
        """Look at a name from an instant on, in place of whatever was said before."""
        self._set(name, at, _FIRST_PAUSE)

    def forget(self, name: str) -> None:
        """Look at a name no more."""
        self._pending.pop(name, None)

    def take(self, now: datetime, most: int) -> Sequence[str]:
        """Return names to look at now, those that have waited longest first."""
        found = list[str]()
        while len(found) < most and self._order and self._order[0][0] <= now:
            at, name = heappop(self._order)
            pending = self._pending.get(name)
            if pending is not None and pending[0] == at:
                found.append(name)
        for name in found:
            pause = self._pending[name][1]
            self._set(name, now + pause, min(2 * pause, _LONGEST_PAUSE))
        return found

    def _set(self, name: str, at: datetime, pause: timedelta) -> None:
        self._pending[name] = at, pause
        heappush(self._order, (at, name))
        if len(self._order) > _SPARE + 4 * len(self._pending):
            self._order = [(each[0], name) for name, each in self._pending.items()]
            heapify(self._order)
