"""Follows what all replicas change in the store, and compares the clocks on the way."""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from otpc_policy.check import StoreUnavailable
from otpc_policy.fleet.connection import StoreConnection
from otpc_policy.fleet.keys import Keyspace

_logger = logging.getLogger(__name__)

INTERVAL_S: Final = 0.25
# Of one shard in one answer. A fleet that measures 100,000 endpoints an hour makes two a second.
# Whatever makes more costs a fresh start, and not this replica's time.
_MOST_AT_ONCE: Final = 256
# A poll takes less. The clock has been set meanwhile, or the process was stopped.
_LONGEST_POLL: Final = timedelta(seconds=1)
# Of a stream in which there is nothing yet.
_BEGINNING: Final = "0-0"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_NAME_BYTES: Final = 64
# Clocks that differ by more are worth a warning, and by much more make facts look new that are old.
WARN_OFFSET: Final = timedelta(seconds=1)
MOST_OFFSET: Final = timedelta(seconds=5)


class Memory(Protocol):
    """What a replica keeps itself of the store.

    changed: the facts of a key, by its digest, are others now; facts_id is "" if they are gone.
    discarded: those of hosts and ports, of all ports for port 0. following: whether notices arrive;
    True again after some may have been missed.
    """

    def changed(self, digest: str, facts_id: str) -> None: ...
    def discarded(self, endpoints: Collection[tuple[str, int]]) -> None: ...
    def following(self, is_following: bool) -> None: ...


class ClockObserver(Protocol):
    """Learns by how many seconds the server's clock is ahead, for metrics."""

    def clock_compared(self, ahead_s: float) -> None: ...


def clock_ahead(time: Sequence[Any], began: datetime, ended: datetime) -> timedelta:
    """Return by how much the server's clock is ahead, give or take half of what asking took.

    time: what TIME answered, which was asked between two instants of this clock.
    """
    local = began + (ended - began) / 2
    server = datetime.fromtimestamp(int(time[0]), local.tzinfo)
    return server + timedelta(microseconds=int(time[1])) - local


class Notices:
    """Reads notices four times a second while run() runs.

    discarded: called with hosts and ports after memory has forgotten them, for what other replicas
    have invalidated; with None where that may be anything. replica: this one's name; what it
    invalidated itself is passed over.
    """

    def __init__(
        self,
        connection: StoreConnection,
        *,
        keyspace: Keyspace,
        memory: Memory,
        discarded: Callable[[Collection[tuple[str, int]] | None], None],
        now: Callable[[], datetime],
        observer: ClockObserver,
        replica: str = "",
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._connection = connection
        self._streams = keyspace.notices
        self._memory = memory
        self._discarded = discarded
        self._now = now
        self._observer = observer
        self._replica = replica
        self._interval_s = interval_s
        self._read_to: list[str] = []
        self._is_clock_off = False

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self.follow()
            except StoreUnavailable:
                self._lose()
            await asyncio.sleep(self._interval_s)

    async def follow(self) -> None:
        """Read what is new; begin anew where some of it may be missing. Raises StoreUnavailable."""
        is_beginning = not self._read_to
        commands: list[tuple[str | int, ...]] = [("TIME",)]
        if is_beginning:
            # What was written before is asked for when it is needed.
            commands += [("XREVRANGE", name, "+", "-", "COUNT", 1) for name in self._streams]
        else:
            commands += [
                # With what was read last, which is there unless the store has lost notices.
                ("XRANGE", name, at, "+", "COUNT", _MOST_AT_ONCE)
                for name, at in zip(self._streams, self._read_to, strict=True)
            ]
        began = self._now()
        answers = await self._connection.poll(commands)
        try:
            time, streams = _time(answers[0]), [_entries(answer) for answer in answers[1:]]
        except (TypeError, ValueError, IndexError, OverflowError):
            raise StoreUnavailable("what the store says of notices is none") from None
        self._compare(time, began)
        if is_beginning:
            self._read_to = [entries[0][0] if entries else _BEGINNING for entries in streams]
            self._memory.following(True)
            self._discarded(None)
        elif all(map(_is_whole, self._read_to, streams)):
            self._take([fields for entries in streams for _, fields in entries])
            self._read_to = [
                entries[-1][0] if entries else at
                for at, entries in zip(self._read_to, streams, strict=True)
            ]
        else:
            self._lose()

    def _lose(self) -> None:
        """Begin anew as soon as the store answers: it may have lost what was written last."""
        self._read_to = []
        self._memory.following(False)

    def _take(self, notices: Sequence[dict[bytes, bytes]]) -> None:
        endpoints: set[tuple[str, int]] = set()
        for fields in notices:
            notice = {name: value.decode("ascii", "replace") for name, value in fields.items()}
            if b"k" in notice:
                self._memory.changed(notice[b"k"], notice.get(b"i", ""))
            elif b"h" in notice and notice.get(b"r") != self._replica:
                port = notice.get(b"p", "")
                # Notices are not signed: the worst that a false one can do is cost measurements.
                number = int(port) if port.isascii() and port.isdecimal() and len(port) < 6 else 0
                endpoints.add((notice[b"h"], number))
        if endpoints:
            # All in one look at what is kept: there may be hundreds.
            self._memory.discarded(endpoints)
            self._discarded(endpoints)

    def _compare(self, server: datetime, began: datetime) -> None:
        taken = self._now() - began
        if not timedelta() <= taken <= _LONGEST_POLL:
            self._connection.use_not("this one's clock has just been set")
            return
        ahead = server - (began + taken / 2)
        self._observer.clock_compared(ahead.total_seconds())
        is_off = abs(ahead) > WARN_OFFSET + taken
        if is_off != self._is_clock_off:
            self._is_clock_off = is_off
            shown = f"{ahead.total_seconds():+.1f} s"
            if is_off:
                _logger.warning("the clock of the fleet's store differs from this one by %s", shown)
            else:
                _logger.info("the clock of the fleet's store agrees with this one again")
        # Facts of the others would look newer or older than they are, and so would these to them.
        too_far = abs(ahead) > MOST_OFFSET + taken
        self._connection.use_not("its clock differs too much from this one" if too_far else "")


def _time(answer: Any) -> datetime:
    """Read the answer to TIME. Raises ValueError, TypeError or OverflowError for anything else."""
    seconds, microseconds = answer
    if type(seconds) is not int or type(microseconds) is not int:
        raise TypeError
    return _EPOCH + timedelta(seconds=seconds, microseconds=microseconds)


def _entries(answer: Any) -> Sequence[tuple[str, dict[bytes, bytes]]]:
    """Read a part of a stream: names and fields. Raises TypeError or ValueError for anything else.

    The client gives fields as pairs of bytes in a list, or in a mapping, as the protocol has it.
    """
    if not isinstance(answer, list) or len(answer) > _MOST_AT_ONCE:
        raise TypeError
    return [(_text(name), _fields(fields)) for name, fields in answer]


def _fields(fields: Any) -> dict[bytes, bytes]:
    pairs = fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2]))  # noqa: B905  # an odd one out is passed over
    if not all(isinstance(each, bytes) for pair in pairs.items() for each in pair):
        raise TypeError
    return pairs


def _text(name: Any) -> str:
    if not isinstance(name, bytes) or len(name) > _MOST_NAME_BYTES:
        raise TypeError
    return name.decode("ascii")


def _is_whole(read_to: str, entries: Sequence[tuple[str, dict[bytes, bytes]]]) -> bool:
    """Whether nothing is missing between what was read last and what was read now."""
    if len(entries) >= _MOST_AT_ONCE:
        return False
    return read_to == _BEGINNING or (bool(entries) and entries[0][0] == read_to)
