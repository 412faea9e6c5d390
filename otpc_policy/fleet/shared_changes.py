"""Last verdicts and their changes that all replicas share. Satisfies fleet.changes.Changes."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from otpc_policy.check import StoreUnavailable, VerdictChange
from otpc_policy.core.errors import CursorTooOld
from otpc_policy.fleet.change_records import (
    MARK_CHARACTERS,
    ChangeRecords,
    decision_of,
    letter_of,
)
from otpc_policy.fleet.change_scripts import FULL, MOVED, PUBLISH, PUBLISHED, READ, SAME, SNAPSHOT
from otpc_policy.fleet.changes import (
    ChangesRead,
    How,
    NumberedChange,
    Outcome,
    Position,
    Positions,
    expires_at,
    measured_at,
)
from otpc_policy.fleet.keys import SHARDS, Keyspace
from otpc_policy.fleet.store import Store

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO: Final = timedelta(microseconds=1)
# Others publish to the same shard meanwhile. Beyond that the next look tries again.
_MOST_ATTEMPTS: Final = 16
_OUTCOMES: Final = {PUBLISHED: Outcome.PUBLISHED, SAME: Outcome.SAME, FULL: Outcome.FULL}


class SharedChanges:
    """Changes in the store, each signed for its place.

    So whoever can write to the store can make events neither say ALLOW nor come again. He can take
    them away, which those who follow see; and falsify what a verdict is compared with, which keeps
    a change back until whoever follows forces it. move_s: by how much to move the server's clock,
    for tests.
    """

    shards = SHARDS

    def __init__(
        self,
        connection: Store,
        *,
        keyspace: Keyspace,
        records: ChangeRecords,
        move_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._connection = connection
        self._keyspace = keyspace
        self._records = records
        self._move_s = move_s
        # By shard, as far as is known here: a record is signed for the number after that.
        self._numbers = [0] * SHARDS

    async def publish(self, change: VerdictChange, how: How, *, is_forced: bool = False) -> Outcome:
        """Publish a verdict if it is news."""
        shard = self._keyspace.shard_of(change.name)
        keys, previous = self._keyspace.changes[shard], change.previous
        for _ in range(_MOST_ATTEMPTS):
            number = self._numbers[shard]
            record = self._records.write(
                replace(change, previous=previous), stream=keys[1], number=number + 1
            )
            outcome, self._numbers[shard], before = await self._connection.run(
                PUBLISH,
                keys,
                self._move,
                how.value,
                change.name,
                letter_of(change.decision),
                (measured_at(change) - _EPOCH) // _MICRO,
                (expires_at(change) - _EPOCH) // _MICRO,
                change.revision or "-",
                int(is_forced),
                number,
                letter_of(previous),
                record,
            )
            if outcome != MOVED:
                return _OUTCOMES.get(outcome, Outcome.REFUSED)
            try:
                previous = decision_of(before.decode("latin-1"))
            except KeyError:
                raise StoreUnavailable("what the store says of a verdict is none") from None
        raise StoreUnavailable("others publish too fast")

    async def snapshot(self) -> tuple[Positions, Mapping[str, VerdictChange]]:
        """Return the last changes."""
        answers = await asyncio.gather(
            *(self._connection.run(SNAPSHOT, keys, self._move) for keys in self._keyspace.changes)
        )
        positions: list[Position] = []
        found: dict[str, VerdictChange] = {}
        for shard, (number, mark, *kept) in enumerate(answers):
            self._numbers[shard] = number
            positions.append(Position(number, _mark(mark.decode("latin-1"))))
            for name, numbered in zip(kept[::2], kept[1::2], strict=True):
                at, _, record = numbered.decode("latin-1").partition(" ")
                change = self._read(shard, int(at), record)
                if change is not None and change.name.encode() == name:
                    found[change.name] = change
        return tuple(positions), found

    async def read(self, after: Positions) -> ChangesRead:
        """Return what follows."""
        calls = [
            (changes, str(position.number))
            for (_, changes), position in zip(self._keyspace.changes, after, strict=True)
        ]
        answers = (await self._connection.poll(READ, calls)).answers
        if None in answers:
            # A checkpoint speaks for all shards.
            raise StoreUnavailable("a server of the store does not answer")
        changes: list[NumberedChange] = []
        positions: list[Position] = []
        is_all = True
        for shard, (position, answer) in enumerate(zip(after, answers, strict=True)):
            lines = _following(position, answer)
            # Whether that was all is not said: where something came there may be more.
            is_all = is_all and not lines
            for number, record in lines:
                position = Position(number, _mark(record))  # noqa: PLW2901  # after that change
                change = self._read(shard, number, record)
                if change is not None:
                    changes.append(NumberedChange(shard, number, position.mark, change))
            positions.append(position)
        return ChangesRead(changes, tuple(positions), is_all)

    def _read(self, shard: int, number: int, record: str) -> VerdictChange | None:
        return self._records.read(record, stream=self._keyspace.changes[shard][1], number=number)

    @property
    def _move(self) -> int:
        return int(self._move_s() * 1_000_000)


def _following(position: Position, answer: Any) -> Sequence[tuple[int, str]]:
    """Return numbers and records after a position. Raises CursorTooOld if that is not there."""
    lines = [line.partition(" ") for line in answer.decode("ascii").splitlines()]
    entries = [(int(at.removesuffix("-0")), record) for at, _, record in lines]
    if position.number:
        if not entries or entries[0][0] != position.number or _mark(entries[0][1]) != position.mark:
            raise CursorTooOld
        entries = entries[1:]
    expected = range(position.number + 1, position.number + 1 + len(entries))
    if [number for number, _ in entries] != list(expected):
        raise CursorTooOld
    return entries


def _mark(record: str) -> str:
    return record[:MARK_CHARACTERS]
