"""When watched endpoints are due: the port, and an implementation within one process."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Final, Protocol

CLAIM_S: Final = 15.0
"""For so long what a replica has claimed is nobody else's, unless it says so again.

A verdict of DENY that is measured again at nine tenths of its life has 27 seconds left at least. So
another replica still measures in time what one that died had claimed.
"""
FORGET_S: Final = 900.0
"""What no replica has wanted to keep for so long is forgotten."""
KEEP_EVERY_S: Final = 60.0
"""How often each replica says what it wants to keep."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """What was due. behind_s: for how long the next one has been due; 0 if nothing is left."""

    names: Sequence[str]
    behind_s: float


class Schedule(Protocol):
    """When names are due. Each method may raise StoreUnavailable.

    keep: names, with the seconds until each is due if it is not known; known ones stay as they are.
    claim: up to so many names that are due, the most overdue first; they are due again after
    CLAIM_S, so that whoever claims them does not have to live. due_in: sets when a name that is
    known is due; it may say so for one that is not known, which then stays unknown. sooner: the
    same, where it is due later. drop: forgets names. due: by name, in how many seconds it is due,
    negative where it is overdue; names that are not known are left out.
    """

    async def keep(self, names: Mapping[str, float]) -> None: ...
    async def claim(self, most: int) -> Claimed: ...
    async def due_in(self, names: Mapping[str, float]) -> None: ...
    async def sooner(self, names: Mapping[str, float]) -> None: ...
    async def drop(self, names: Collection[str]) -> None: ...
    async def due(self, names: Collection[str]) -> Mapping[str, float]: ...


class InMemorySchedule:
    """A schedule for one process. monotonic: seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._due: dict[str, float] = {}
        self._kept: dict[str, float] = {}
        # With entries that _due has overtaken; those are passed over.
        self._heap: list[tuple[float, str]] = []

    async def keep(self, names: Mapping[str, float]) -> None:
        """Add what is not known yet."""
        now = self._monotonic()
        for name, seconds in names.items():
            self._kept[name] = now
            if name not in self._due:
                self._set(name, now + seconds)

    async def claim(self, most: int) -> Claimed:
        """Return names that are due."""
        now = self._monotonic()
        claimed: list[str] = []
        while (name := self._first()) is not None and self._due[name] <= now:
            if self._kept[name] <= now - FORGET_S:
                del self._due[name], self._kept[name]
            elif len(claimed) < most:
                claimed.append(name)
                self._set(name, now + CLAIM_S)
            else:
                return Claimed(claimed, now - self._due[name])
        return Claimed(claimed, 0.0)

    async def due_in(self, names: Mapping[str, float]) -> None:
        """Say when names are due."""
        now = self._monotonic()
        for name, seconds in names.items():
            if name in self._due:
                self._set(name, now + seconds)

    async def sooner(self, names: Mapping[str, float]) -> None:
        """Say when names are due that were due later."""
        now = self._monotonic()
        await self.due_in(
            {
                name: seconds
                for name, seconds in names.items()
                if self._due.get(name, 0.0) > now + seconds
            }
        )

    async def drop(self, names: Collection[str]) -> None:
        """Forget names."""
        for name in names:
            self._due.pop(name, None)
            self._kept.pop(name, None)

    async def due(self, names: Collection[str]) -> Mapping[str, float]:
        """Return in how many seconds names are due."""
        now = self._monotonic()
        return {name: self._due[name] - now for name in names if name in self._due}

    def _set(self, name: str, at: float) -> None:
        self._due[name] = at
        heappush(self._heap, (at, name))
        if len(self._heap) > 64 + 4 * len(self._due):
            self._heap = [(due, each) for each, due in self._due.items()]
            heapify(self._heap)

    def _first(self) -> str | None:
        """Return the name that is due first."""
        while self._heap:
            at, name = self._heap[0]
            if self._due.get(name) == at:
                return name
            heappop(self._heap)
        return None
