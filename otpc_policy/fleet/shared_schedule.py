"""A schedule that all replicas share, and what a replica does while it cannot be asked."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

from otpc_policy.check import StoreUnavailable
from otpc_policy.fleet.keys import Keyspace
from otpc_policy.fleet.schedule import CLAIM_S, FORGET_S, Claimed, Schedule
from otpc_policy.fleet.schedule_scripts import (
    WATCH_CLAIM,
    WATCH_DROP,
    WATCH_DUE,
    WATCH_DUE_IN,
    WATCH_KEEP,
)
from otpc_policy.fleet.store import Store

# A script holds the server up for as long as it runs: a millisecond for so many.
_AT_ONCE: Final = 500
# Of the whole schedule, after the last time that a replica kept something in it.
_LIFETIME_MS: Final = 86_400_000
_MICRO: Final = 1_000_000


class SharedSchedule:
    """A schedule in the store, by the server's clock. Satisfies Schedule.

    It is one sorted set, so that whoever claims gets the most overdue of all in one round trip. It
    names endpoints, and is not signed: what a replica does not watch itself it does not measure,
    and one that was moved is found by the sweep of whoever watches it. move_s: by how much to move
    the server's clock, for tests.
    """

    def __init__(
        self,
        connection: Store,
        *,
        keyspace: Keyspace,
        move_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._connection = connection
        self._due, self._kept = keyspace.watch
        self._move_s = move_s

    async def keep(self, names: Mapping[str, float]) -> None:
        """Add what is not known yet."""
        for part in _parts(list(names)):
            pairs = _pairs({name: names[name] for name in part})
            keys = (self._due, self._kept)
            await self._connection.run(WATCH_KEEP, keys, self._move, _LIFETIME_MS, *pairs)

    async def claim(self, most: int) -> Claimed:
        """Return names that are due."""
        behind, *names = await self._connection.run(
            WATCH_CLAIM,
            (self._due, self._kept),
            self._move,
            most,
            int(CLAIM_S * _MICRO),
            int(FORGET_S * _MICRO),
        )
        return Claimed([name.decode("utf-8", "replace") for name in names], behind / _MICRO)

    async def due_in(self, names: Mapping[str, float]) -> None:
        """Say when names are due."""
        await self._set(names, "")

    async def sooner(self, names: Mapping[str, float]) -> None:
        """Say when names are due that were due later."""
        await self._set(names, "LT")

    async def drop(self, names: Collection[str]) -> None:
        """Forget names."""
        for part in _parts(list(names)):
            await self._connection.run(WATCH_DROP, (self._due, self._kept), *part)

    async def due(self, names: Collection[str]) -> Mapping[str, float]:
        """Return in how many seconds names are due."""
        found: dict[str, float] = {}
        for part in _parts(list(names)):
            answer = await self._connection.run(WATCH_DUE, (self._due,), self._move, *part)
            if len(answer) != len(part):
                raise StoreUnavailable("the store answers for other names")
            found |= {
                name: int(left) / _MICRO for name, left in zip(part, answer, strict=True) if left
            }
        return found

    @property
    def _move(self) -> int:
        return int(self._move_s() * _MICRO)

    async def _set(self, names: Mapping[str, float], which: str) -> None:
        for part in _parts(list(names)):
            pairs = _pairs({name: names[name] for name in part})
            await self._connection.run(WATCH_DUE_IN, (self._due,), self._move, which, *pairs)


class ScheduleWithFallback:
    """The shared schedule, and while it cannot be asked this replica's own. Satisfies Schedule.

    Its own has learnt from every sweep when the others' endpoints are due. So a replica that is cut
    off goes on from there, and measures all of them.
    """

    def __init__(self, shared: Schedule, own: Schedule) -> None:
        self._shared, self._own = shared, own
        # What the shared one could not be told: it cannot be asked in the first moments of a start.
        self._untold: dict[str, float] = {}

    async def keep(self, names: Mapping[str, float]) -> None:
        """Add what is not known yet to both."""
        await self._own.keep(names)
        self._untold |= names
        with suppress(StoreUnavailable):
            await self._tell()

    async def claim(self, most: int) -> Claimed:
        """Return names that are due."""
        try:
            await self._tell()
            return await self._shared.claim(most)
        except StoreUnavailable:
            return await self._own.claim(most)

    async def due_in(self, names: Mapping[str, float]) -> None:
        """Say to both when names are due."""
        await self._own.due_in(names)
        try:
            await self._shared.due_in(names)
        except StoreUnavailable:
            return

    async def sooner(self, names: Mapping[str, float]) -> None:
        """Say to both when names are due that were due later."""
        await self._own.sooner(names)
        try:
            await self._shared.sooner(names)
        except StoreUnavailable:
            return

    async def drop(self, names: Collection[str]) -> None:
        """Forget names in both."""
        for name in names:
            self._untold.pop(name, None)
        await self._own.drop(names)
        try:
            await self._shared.drop(names)
        except StoreUnavailable:
            return

    async def due(self, names: Collection[str]) -> Mapping[str, float]:
        """Return in how many seconds names are due."""
        try:
            found = await self._shared.due(names)
        except StoreUnavailable:
            return await self._own.due(names)
        await self._own.due_in(found)
        return found

    async def _tell(self) -> None:
        if self._untold:
            names = self._untold
            await self._shared.keep(names)
            self._untold = {name: at for name, at in self._untold.items() if name not in names}


def _parts(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for at in range(0, len(names), _AT_ONCE):
        yield names[at : at + _AT_ONCE]


def _pairs(names: Mapping[str, float]) -> Iterator[str | int]:
    for name, seconds in names.items():
        yield name
        yield int(seconds * _MICRO)
