"""Follows what all replicas change in the store, and compares the clocks on the way."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from otpc_policy.check import StoreUnavailable
from otpc_policy.fleet.connection import StoreConnection
from otpc_policy.fleet.keys import Keyspace

_logger = logging.getLogger(__name__)

INTERVAL_S: Final = 0.25
# Of one shard in one answer. A fleet that measures 100,000 endpoints an hour makes two a second.
_MOST_AT_ONCE: Final = 1_000
# Clocks that differ by more are worth a warning, and by much more make facts look new that are old.
WARN_OFFSET: Final = timedelta(seconds=1)
MOST_OFFSET: Final = timedelta(seconds=5)


class Memory(Protocol):
    """What a replica keeps itself of the store.

    changed: the facts of a key, by its digest, are others now; facts_id is "" if they are gone.
    discarded: those of a host, of all ports for port 0. following: whether notices arrive; True
    again after some may have been missed.
    """

    def changed(self, digest: str, facts_id: str) -> None: ...
    def discarded(self, host: str, port: int) -> None: ...
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

    discarded: called with host and port after memory has forgotten them, for what another replica
    has invalidated. replica: this one's name; what it invalidated itself is passed over.
    """

    def __init__(
        self,
        connection: StoreConnection,
        *,
        keyspace: Keyspace,
        memory: Memory,
        discarded: Callable[[str, int], None],
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
            is_behind = False
            try:
                is_behind = await self.follow()
            except StoreUnavailable:
                self._lose()
            except Exception:
                _logger.exception("notices of the fleet's store cannot be read")
                self._lose()
            await asyncio.sleep(0 if is_behind else self._interval_s)

    async def follow(self) -> bool:
        """Read what is new; tell whether there is more. Raises StoreUnavailable."""
        is_beginning = not self._read_to
        commands: list[tuple[str | int, ...]] = [("TIME",)]
        if is_beginning:
            # What was written before is asked for when it is needed.
            commands += [("XREVRANGE", name, "+", "-", "COUNT", 1) for name in self._streams]
        else:
            commands += [
                ("XRANGE", name, f"({at}", "+", "COUNT", _MOST_AT_ONCE)
                for name, at in zip(self._streams, self._read_to, strict=True)
            ]
        began = self._now()
        time, *answers = await self._connection.poll(commands)
        self._compare(time, began)
        if is_beginning:
            self._read_to = [entries[0][0].decode() if entries else "0-0" for entries in answers]
            self._memory.following(True)
            return False
        for number, entries in enumerate(answers):
            for name, fields in entries:
                self._read_to[number] = name.decode()
                self._take(fields)
        return any(len(entries) == _MOST_AT_ONCE for entries in answers)

    def _lose(self) -> None:
        """Begin anew as soon as the store answers: it may have lost what was written last."""
        self._read_to = []
        self._memory.following(False)

    def _take(self, fields: dict[bytes, bytes] | Sequence[bytes]) -> None:
        pairs = fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2]))  # noqa: B905  # an odd one out is passed over
        notice = {name: value.decode("ascii", "replace") for name, value in pairs.items()}
        if b"k" in notice:
            self._memory.changed(notice[b"k"], notice.get(b"i", ""))
        elif b"h" in notice and notice.get(b"r") != self._replica:
            port = notice.get(b"p", "")
            # Notices are not signed: the worst that a false one can do is cost measurements.
            number = int(port) if port.isascii() and port.isdecimal() and len(port) < 6 else 0
            self._memory.discarded(notice[b"h"], number)
            self._discarded(notice[b"h"], number)

    def _compare(self, time: Sequence[Any], began: datetime) -> None:
        ended = self._now()
        taken, ahead = ended - began, clock_ahead(time, began, ended)
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
