"""Follows what all replicas change in the store, and compares the clocks on the way."""

import asyncio
import json
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, Final, Protocol

from otpc_policy.check import StoreUnavailable
from otpc_policy.fleet.keys import Keyspace
from otpc_policy.fleet.scripts import NEWS
from otpc_policy.fleet.store import Store

_logger = logging.getLogger(__name__)

INTERVAL_S: Final = 0.25
# Of one shard in one answer. A fleet that measures 100,000 endpoints an hour makes two a second.
# Whatever makes more costs a fresh start, and not this replica's time.
_MOST_AT_ONCE: Final = 256
# Before a fresh start: each has everything asked for anew.
_REST_S: Final = 5.0
# A poll takes less, where this process is not starved. Then clocks can be compared.
_LONGEST_POLL: Final = timedelta(seconds=1)
# By so much a clock that nobody has set may run otherwise than one that nobody can set.
_DRIFT: Final = timedelta(milliseconds=500)
# Of a stream in which there is nothing yet.
_BEGINNING: Final = "0-0"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_NAME_CHARACTERS: Final = 64
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


class Notices:
    """Reads notices four times a second while run() runs.

    discarded: called with hosts and ports after memory has forgotten them, for what other replicas
    have invalidated; with None where that may be anything. replica: this one's name; what it
    invalidated itself is passed over.
    """

    def __init__(
        self,
        connection: Store,
        *,
        keyspace: Keyspace,
        memory: Memory,
        discarded: Callable[[Collection[tuple[str, int]] | None], None],
        now: Callable[[], datetime],
        observer: ClockObserver,
        replica: str = "",
        interval_s: float = INTERVAL_S,
        monotonic: Callable[[], float] = monotonic,
    ) -> None:
        self._connection = connection
        self._monotonic = monotonic
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
            is_whole = True
            try:
                is_whole = await self.follow()
            except StoreUnavailable:
                self._lose()
            await asyncio.sleep(self._interval_s if is_whole else _REST_S)

    async def follow(self) -> bool:
        """Read what is new; tell whether nothing was missing, or else begin anew the next time.

        Raises StoreUnavailable.
        """
        is_beginning = not self._read_to
        # At first the last one alone: what was changed before is asked for when it is needed.
        # Afterwards with what was read last, which is there unless the store has lost notices.
        read_to = self._read_to or [""] * len(self._streams)
        calls = [
            (name, at, str(_MOST_AT_ONCE)) for name, at in zip(self._streams, read_to, strict=True)
        ]
        began, began_s = self._now(), self._monotonic()
        polled = await self._connection.poll(NEWS, calls)
        try:
            times = [server_time(time) for time in polled.times]
            streams = [None if each is None else _entries(each) for each in polled.answers]
        except (TypeError, ValueError, IndexError, OverflowError, RecursionError):
            raise StoreUnavailable("what the store says of notices is none") from None
        self._compare(times, began, timedelta(seconds=self._monotonic() - began_s))
        if None in polled.answers:
            raise StoreUnavailable("a part of the store does not answer")
        if is_beginning:
            if None in streams:
                raise StoreUnavailable("what the store says of notices is none")
            self._read_to = [entries[0][0] if entries else _BEGINNING for entries in streams]
            self._memory.following(True)
            self._discarded(None)
        elif all(map(_is_whole, self._read_to, streams)):
            self._take(fields for entries in streams for _, fields in entries or ())
            self._read_to = [
                entries[-1][0] if entries else at
                for at, entries in zip(self._read_to, streams, strict=True)
            ]
        else:
            self._lose()
            return False
        return True

    def _lose(self) -> None:
        """Begin anew as soon as the store answers: it may have lost what was written last."""
        self._read_to = []
        self._memory.following(False)

    def _take(self, notices: Iterable[dict[str, str]]) -> None:
        endpoints: set[tuple[str, int]] = set()
        for notice in notices:
            if "k" in notice:
                self._memory.changed(notice["k"], notice.get("i", ""))
            elif "h" in notice and notice.get("r") != self._replica:
                port = notice.get("p", "")
                # Notices are not signed: the worst that a false one can do is cost measurements.
                number = int(port) if port.isascii() and port.isdecimal() and len(port) < 6 else 0
                endpoints.add((notice["h"], number))
        if endpoints:
            # All in one look at what is kept: there may be hundreds.
            self._memory.discarded(endpoints)
            self._discarded(endpoints)

    def _compare(self, servers: Sequence[datetime], began: datetime, waited: timedelta) -> None:
        """Compare clocks. waited: for the servers, by a clock that cannot be set."""
        taken = self._now() - began
        is_slow = taken > _LONGEST_POLL
        if taken < timedelta() or (is_slow and taken - waited > _DRIFT):
            self._connection.use_not("this one's clock has just been set")
            return
        # Of several servers the one whose clock is worst: it dates what it keeps.
        ahead = max((clock_ahead(each, began, began + taken) for each in servers), key=abs)
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
        if too_far:
            self._connection.use_not("its clock differs too much from this one")
        elif not is_slow:
            # What was compared over seconds shows no agreement: it stays as it was.
            self._connection.use_not("")


def clock_ahead(server: datetime, began: datetime, ended: datetime) -> timedelta:
    """Return by how much the server's clock is ahead, which was asked between two instants here."""
    return server - (began + (ended - began) / 2)


def server_time(answer: Any) -> datetime:
    """Read the answer to TIME. Raises ValueError, TypeError or OverflowError for anything else."""
    seconds, microseconds = answer
    if type(seconds) is not int or type(microseconds) is not int:
        raise TypeError
    return _EPOCH + timedelta(seconds=seconds, microseconds=microseconds)


def _entries(answer: bytes) -> Sequence[tuple[str, dict[str, str]]] | None:
    """Read a part of a stream, names and fields; None for one that is too large.

    Raises TypeError, ValueError or RecursionError for anything else.
    """
    if not answer:
        return None
    # Fields may hold any bytes. Lua calls an empty list an empty mapping.
    entries = json.loads(answer.decode("latin-1")) or []
    if not isinstance(entries, list):
        raise TypeError
    return [(_text(name), _fields(fields)) for name, fields in entries]


def _fields(fields: Any) -> dict[str, str]:
    if not all(isinstance(each, str) for each in fields):
        raise TypeError
    return dict(zip(fields[::2], fields[1::2]))  # noqa: B905  # an odd one out is passed over


def _text(name: Any) -> str:
    if not isinstance(name, str) or len(name) > _MOST_NAME_CHARACTERS:
        raise TypeError
    return name


def _is_whole(read_to: str, entries: Sequence[tuple[str, dict[str, str]]] | None) -> bool:
    """Whether nothing is missing between what was read last and what was read now."""
    if entries is None or len(entries) >= _MOST_AT_ONCE:
        return False
    return read_to == _BEGINNING or (bool(entries) and entries[0][0] == read_to)
