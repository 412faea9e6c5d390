"""Follows the changes once for the whole process, and hands them to whoever follows here.

Theory of operation. The tail takes the last verdicts as they are kept, and from there on reads what
follows, four times a second. So what it knows is the changes replayed, up to positions that it
knows too: a list made of it and a cursor at these positions leave no gap between them.

Whoever follows from an older cursor reads from the store until nothing is left, a few at a time,
while the tail already puts aside what comes meanwhile. What both have is told by its number.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol

from otpc_policy.check import Changed, StoreUnavailable, VerdictChange
from otpc_policy.core.errors import CursorTooOld, ReaderTooSlow
from otpc_policy.fleet.changes import Changes, ChangesRead, NumberedChange, Position, Positions
from otpc_policy.fleet.cursors import Cursors

_logger = logging.getLogger(__name__)

INTERVAL_S: Final = 0.25
# Before the last verdicts are taken anew: that asks for all of them.
_REST_S: Final = 2.0
# Since the last answer: three of them may have been missed.
_CURRENT_S: Final = 3.0
# Whoever follows goes to another replica then.
_SILENT_S: Final = 15.0
# References to changes that all who follow share. A reload of everything makes 500 a second.
MOST_WAITING: Final = 4_096
_MOST_AT_ONCE: Final = 256
_CATCHING_UP: Final = 4


class TailObserver(Protocol):
    """Learns what the tail does, for metrics."""

    def changes_followed(self, is_current: bool) -> None: ...


class ChangeTail:
    """Satisfies check.ChangeFeed. run() it for as long as the service runs. monotonic: seconds."""

    def __init__(
        self,
        changes: Changes,
        *,
        cursors: Cursors,
        monotonic: Callable[[], float],
        observer: TailObserver,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._changes = changes
        self._cursors = cursors
        self._monotonic = monotonic
        self._observer = observer
        self._interval_s = interval_s
        self._published: dict[str, VerdictChange] = {}
        self._positions: Positions = ()
        self._read_at: float | None = None
        self._followers: set[Follower] = set()
        self._catching_up = asyncio.Semaphore(_CATCHING_UP)

    @property
    def is_current(self) -> bool:
        """Whether it is known what has changed last."""
        return self.silent_s < _CURRENT_S

    @property
    def silent_s(self) -> float:
        """For how long it has not been known what has changed."""
        return float("inf") if self._read_at is None else self._monotonic() - self._read_at

    @property
    def positions(self) -> Positions:
        """Up to where the changes are known; empty before they are."""
        return self._positions

    def published(self, name: str) -> VerdictChange | None:
        """Return the last change of an endpoint."""
        return self._published.get(name)

    def all_published(self) -> Iterable[tuple[str, VerdictChange]]:
        """Return the last change of every endpoint that has a verdict, as it is now."""
        return tuple(self._published.items())

    def cursor(self, scope: str) -> str:
        """Return where published() is."""
        return self._cursors.write(self._positions, scope)

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            pause_s = self._interval_s
            try:
                await self.follow_once()
            except StoreUnavailable:
                pass
            except CursorTooOld:
                _logger.warning("the changes of verdicts begin anew: some may be missing")
                pause_s = _REST_S
            except Exception:
                _logger.exception("the changes of verdicts cannot be followed")
                pause_s = _REST_S
            self._observer.changes_followed(self.is_current)
            await asyncio.sleep(pause_s)

    async def follow_once(self) -> None:
        """Read what is new. Raises StoreUnavailable, and CursorTooOld where it begins anew."""
        if not self._positions:
            self._positions, published = await self._changes.snapshot()
            self._published = dict(published)
        while True:
            try:
                read = await self._changes.read(self._positions)
            except CursorTooOld:
                self._begin_anew()
                raise
            self._read_at = self._monotonic()
            if read.positions != self._positions:
                self._take(read)
            if read.is_all:
                return

    @asynccontextmanager
    async def follow(self, cursor: str, scope: str) -> AsyncIterator["Follower"]:
        """Follow from a cursor on, or from now on."""
        if not cursor and not self.is_current:
            raise StoreUnavailable("it is not known what has changed last")
        positions = self._cursors.read(cursor, scope) if cursor else self._positions
        follower = Follower(self, self._cursors, positions, scope, is_behind=bool(cursor))
        self._followers.add(follower)
        try:
            yield follower
        finally:
            self._followers.discard(follower)

    async def read(self, positions: Positions) -> ChangesRead:
        """Read what follows positions that may be old, when it is one's turn."""
        async with self._catching_up:
            return await self._changes.read(positions)

    def _take(self, read: ChangesRead) -> None:
        for each in read.changes:
            if each.change.decision is None:
                self._published.pop(each.change.name, None)
            else:
                self._published[each.change.name] = each.change
        self._positions = read.positions
        for follower in self._followers:
            follower.put(read)

    def _begin_anew(self) -> None:
        self._positions, self._read_at = (), None
        self._published = {}
        for follower in self._followers:
            follower.lose()


class Follower:
    """Satisfies check.FollowedChanges. is_behind: there may be changes since its positions."""

    def __init__(
        self,
        tail: ChangeTail,
        cursors: Cursors,
        positions: Positions,
        scope: str,
        *,
        is_behind: bool,
    ) -> None:
        self._tail, self._cursors, self._scope = tail, cursors, scope
        self._positions = positions
        self._is_behind = is_behind
        self._waiting: deque[ChangesRead] = deque()
        self._count = 0
        self._came = asyncio.Event()
        self._failure: type[CursorTooOld | ReaderTooSlow] | None = None

    def put(self, read: ChangesRead) -> None:
        """Add what has changed; all of it goes where it is too much."""
        self._waiting.append(read)
        self._count += len(read.changes)
        if self._count > MOST_WAITING:
            self._fail(ReaderTooSlow)
        self._came.set()

    def lose(self) -> None:
        """Take note that changes may have been missed."""
        self._fail(CursorTooOld)
        self._came.set()

    async def next(self, within_s: float) -> Changed:
        """Return what has changed."""
        if self._is_behind:
            read = await self._tail.read(self._positions)
            self._is_behind = not read.is_all
            return self._after(read.changes, read.positions)
        try:
            async with asyncio.timeout(within_s):
                await self._came.wait()
        except TimeoutError:
            pass
        if self._failure is not None:
            raise self._failure
        if self._tail.silent_s > _SILENT_S:
            raise StoreUnavailable("it has not been known for a while what has changed")
        changes: list[NumberedChange] = []
        positions = self._positions
        while self._waiting and len(changes) < _MOST_AT_ONCE:
            read = self._waiting.popleft()
            self._count -= len(read.changes)
            changes += (each for each in read.changes if each.number > positions[each.shard].number)
            positions = tuple(map(_later, positions, read.positions))
        if not self._waiting:
            self._came.clear()
        return self._after(changes, positions)

    def _after(self, changes: Sequence[NumberedChange], positions: Positions) -> Changed:
        self._positions = positions
        return Changed(
            [each.change for each in changes], self._cursors.write(positions, self._scope)
        )

    def _fail(self, failure: type[CursorTooOld | ReaderTooSlow]) -> None:
        self._failure = self._failure or failure
        self._waiting.clear()
        self._count = 0


def _later(one: Position, other: Position) -> Position:
    return one if one.number >= other.number else other
