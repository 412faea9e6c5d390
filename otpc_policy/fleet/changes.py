"""Last verdicts about watched endpoints, and their changes: the port, and one process's own.

Theory of operation. Whoever finds a verdict compares it with the last one that was published, and
where the decision is another writes it down and appends a change, both in one step. So the changes
replayed give the last verdicts, whoever published them in whatever order. What decides is the time
of the measurement: an older one never replaces what a newer one has shown. Of verdicts on the same
facts the worse one stays, unless they were judged under another catalog, or the last one has
expired meanwhile.

Only a change of the decision counts. Finding codes are part of a change, but others under the same
decision are no change: what a measurement that could not be finished met differs from one to the
next, and nobody may do more or less because of it. Whoever wants the codes of now lists.

That an ALLOW or DENY has expired without a new result is a change to INDETERMINATE, which any
process may publish, but not before that instant by the clock that all share. An endpoint that is
no longer watched is removed; what nobody has spoken of for a quarter of an hour is forgotten.

Changes are numbered without gaps in each of several shards. A position is a number and what marks
the change with that number, so that a history that was lost, or that has gone another way since a
failover, is told from the one that the position was in.
"""

import secrets
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from otpc_policy.check import VerdictChange
from otpc_policy.core.errors import CursorTooOld
from otpc_policy.policy.finding import Decision

MOST_AHEAD: Final = timedelta(seconds=5)
"""By so much the clock of whoever measures may be ahead."""
FORGOTTEN_AFTER: Final = timedelta(minutes=15)
# Of one process: more than a reload of everything brings at once.
_CHANGES_KEPT: Final = 20_000
_MOST_READ: Final = 256
_SEVERITY: Final = {Decision.ALLOW: 0, Decision.INDETERMINATE: 1, Decision.DENY: 2}
LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


class How(StrEnum):
    """Why a verdict is published."""

    FOUND = "found"
    """Somebody has judged the endpoint."""
    LAPSED = "lapsed"
    """Nobody knows of a verdict that is still good."""
    REMOVED = "removed"
    """The endpoint is no longer watched."""
    FORGOTTEN = "forgotten"
    """Whoever says so does not watch the endpoint, and perhaps nobody does."""


class Outcome(StrEnum):
    """What became of it."""

    PUBLISHED = "published"
    SAME = "same"
    """The decision is the last one's."""
    REFUSED = "refused"
    """Something newer was published, or the last verdict is still good."""
    FULL = "full"
    """There is no room for another endpoint."""


@dataclass(frozen=True, slots=True)
class Position:
    """In one shard: the number of a change, 0 before the first, and what marks it."""

    number: int
    mark: str


Positions = tuple[Position, ...]


@dataclass(frozen=True, slots=True)
class NumberedChange:
    """A change and where it is. mark: of its position."""

    shard: int
    number: int
    mark: str
    change: VerdictChange


@dataclass(frozen=True, slots=True)
class ChangesRead:
    """changes: in the order of each shard. positions: after them. is_all: nothing is left."""

    changes: Sequence[NumberedChange]
    positions: Positions
    is_all: bool


class Changes(Protocol):
    """Where verdicts are published. Each method may raise StoreUnavailable.

    publish: what was previous to a change is filled in. is_forced: also where the decision is the
    last one's, for a history that lacks it. snapshot: the last change of each endpoint that has a
    verdict, by name, and the positions from which to go on. read: what follows; raises
    CursorTooOld where the history has no such positions. shards: how many positions there are.
    """

    shards: int

    async def publish(
        self, change: VerdictChange, how: How, *, is_forced: bool = False
    ) -> Outcome: ...
    async def snapshot(self) -> tuple[Positions, Mapping[str, VerdictChange]]: ...
    async def read(self, after: Positions) -> ChangesRead: ...


@dataclass(slots=True)
class _Last:
    change: VerdictChange
    measured_at: datetime
    expires_at: datetime
    revision: str
    touched_at: datetime


class InMemoryChanges:
    """The changes of one process. Satisfies Changes. now: the wall clock."""

    shards = 1

    def __init__(self, now: Callable[[], datetime], *, most_kept: int = _CHANGES_KEPT) -> None:
        self._now = now
        self._mark = secrets.token_hex(4)
        self._last: dict[str, _Last] = {}
        self._changes: deque[VerdictChange] = deque(maxlen=most_kept)
        self._count = 0

    async def publish(self, change: VerdictChange, how: How, *, is_forced: bool = False) -> Outcome:
        """Publish a verdict if it is news."""
        now, last = self._now(), self._last.get(change.name)
        outcome = _outcome(change, how, last, now, is_forced=is_forced)
        if outcome is Outcome.SAME and last is not None:
            last.touched_at = now
            if how is How.FOUND:
                last.measured_at = measured_at(change)
                last.expires_at, last.revision = expires_at(change), change.revision
        if outcome is not Outcome.PUBLISHED:
            return outcome
        change = replace(change, previous=None if last is None else last.change.decision)
        self._count += 1
        self._changes.append(change)
        if change.decision is None:
            self._last.pop(change.name, None)
            return outcome
        measured = last.measured_at if last and how is How.LAPSED else measured_at(change)
        self._last[change.name] = _Last(change, measured, expires_at(change), change.revision, now)
        return outcome

    async def snapshot(self) -> tuple[Positions, Mapping[str, VerdictChange]]:
        """Return the last changes."""
        return (self._position(self._count),), {
            name: last.change for name, last in self._last.items()
        }

    async def read(self, after: Positions) -> ChangesRead:
        """Return what follows."""
        (position,) = after
        first = self._count - len(self._changes)
        if position.mark != self._mark or not first <= position.number <= self._count:
            raise CursorTooOld
        until = min(self._count, position.number + _MOST_READ)
        changes = [
            NumberedChange(0, number + 1, self._mark, self._changes[number - first])
            for number in range(position.number, until)
        ]
        return ChangesRead(changes, (self._position(until),), until == self._count)

    def _position(self, number: int) -> Position:
        return Position(number, self._mark)


def measured_at(change: VerdictChange) -> datetime:
    """Return what orders verdicts: without facts, when it was found that there are none."""
    return change.changed_at if change.observed_at is None else change.observed_at


def expires_at(change: VerdictChange) -> datetime:
    """Return when an ALLOW or DENY expires; long ago for what does not."""
    if change.decision is Decision.INDETERMINATE or change.expires_at is None:
        return LONG_AGO
    return change.expires_at


def _outcome(
    change: VerdictChange, how: How, last: _Last | None, now: datetime, *, is_forced: bool
) -> Outcome:
    """Decide whether a verdict is news. change_scripts.PUBLISH decides the same."""
    if how is not How.FOUND:
        return _without_verdict(how, last, now)
    measured = measured_at(change)
    is_expired = change.decision is not Decision.INDETERMINATE and expires_at(change) <= now
    if measured > now + MOST_AHEAD or is_expired:
        return Outcome.REFUSED
    if last is None or last.measured_at > now + MOST_AHEAD:
        return Outcome.PUBLISHED
    if measured < last.measured_at:
        return Outcome.REFUSED
    if change.decision is last.change.decision:
        return Outcome.PUBLISHED if is_forced else Outcome.SAME
    is_tie = measured == last.measured_at and change.revision == last.revision
    if is_tie and last.expires_at > now and not is_worse(change.decision, last.change.decision):
        return Outcome.REFUSED
    return Outcome.PUBLISHED


def _without_verdict(how: How, last: _Last | None, now: datetime) -> Outcome:
    if last is None:
        return Outcome.SAME if how is not How.LAPSED else Outcome.REFUSED
    is_good = last.change.decision is not Decision.INDETERMINATE and last.expires_at > now
    match how:
        case How.REMOVED:
            return Outcome.PUBLISHED
        case How.FORGOTTEN:
            is_old = last.touched_at <= now - FORGOTTEN_AFTER
            return Outcome.PUBLISHED if is_old and not is_good else Outcome.REFUSED
        case _ if last.change.decision is Decision.INDETERMINATE:
            return Outcome.SAME
        case _:
            return Outcome.REFUSED if is_good else Outcome.PUBLISHED


def is_worse(decision: Decision | None, than: Decision | None) -> bool:
    """Whether a decision permits less than another, or says it for certain."""
    return _SEVERITY.get(decision, -1) > _SEVERITY.get(than, -1)  # type: ignore[arg-type]
