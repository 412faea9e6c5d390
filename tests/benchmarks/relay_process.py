"""A relay that only delays bytes, in a separate process.

Run as `python -m tests.benchmarks.relay_process LISTEN TARGET ROUND_TRIP_S TICK_S [OTHER]`. The
relay of the tests costs more CPU than a whole check; here it shares two cores with the service. So
it uses bare sockets, one loop and one queue of bytes in transit.

LISTEN, TARGET and OTHER are ADDRESS:PORT. TICK_S: it polls no more often than this and handles
everything that has arrived together. With many connections it then wakes up once for several, but
cannot tell whether an end came before the next start. 0: it wakes up whenever something arrives.
Each line on stdin is answered with the connections so far, the most open at once since the last
answer, and the most open at once to one address so far. A line "other" sends new connections to
OTHER, and a line "target" to TARGET again.
"""

import heapq
import itertools
import os
import select
import socket
import sys
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress

_READ_BYTES = 65_536
_BACKLOG = 4096
# Connections from one address to one target soon run out of ports, because each keeps its port
# for a minute after its end.
_SOURCES = 250
# epoll waits for whole milliseconds: half a millisecond either way makes round trips right on
# average, without spinning.
_HALF_TICK_S = 0.0005


class _Side:
    """One end of a connection, with a reference to the other end.

    settled_at: when the bytes of the first round trip may be forwarded. to: the address that the
    client has dialled.
    """

    __slots__ = ("connection", "is_client", "other", "settled_at", "to")

    def __init__(
        self, connection: socket.socket, settled_at: float, to: str, *, is_client: bool
    ) -> None:
        self.connection, self.settled_at, self.is_client = connection, settled_at, is_client
        self.to, self.other = to, self


class _Relay:
    def __init__(
        self,
        listener: socket.socket,
        targets: Mapping[str, tuple[str, int]],
        round_trip_s: float,
        tick_s: float,
    ) -> None:
        self._listener, self._round_trip_s, self._tick_s = listener, round_trip_s, tick_s
        self._targets, self._target = targets, targets["target"]
        self._epoll = select.epoll()
        self._sides: dict[int, _Side] = {}
        self._in_transit: list[tuple[float, int, _Side, bytes]] = []
        self._order = itertools.count()
        self._sources = itertools.cycle(f"127.254.0.{1 + number}" for number in range(_SOURCES))
        self._connections = self._open = self._most_open = 0
        self._open_to: defaultdict[str, set[_Side]] = defaultdict(set)
        self._most_to_one = 0

    def run(self) -> None:
        """Relay until stdin ends."""
        self._epoll.register(self._listener, select.EPOLLIN)
        self._epoll.register(sys.stdin, select.EPOLLIN)
        while True:
            ready = dict(self._epoll.poll(self._wait_s()))
            calls = ready.pop(self._listener.fileno(), None)
            if ready.pop(sys.stdin.fileno(), None) is not None and not self._answer():
                return
            for number in ready:
                if (side := self._sides.get(number)) is not None:
                    self._read(side)
            # Without ticks accept one connection per turn, after earlier ends: otherwise a caller
            # that never has two open would seem to.
            while calls is not None and self._accept() and self._tick_s:
                pass
            for to, content in self._due():
                self._deliver(to, content)
            if self._tick_s:
                time.sleep(self._tick_s)

    def _wait_s(self) -> float | None:
        return (
            max(0.0, self._in_transit[0][0] - time.monotonic() - _HALF_TICK_S)
            if self._in_transit
            else None
        )

    def _answer(self) -> bool:
        line = os.read(sys.stdin.fileno(), _READ_BYTES)
        if not line:
            return False
        if target := self._targets.get(line.strip().decode()):
            self._target = target
            return True
        print(self._connections, self._most_open, self._most_to_one, flush=True)
        self._most_open = self._open
        return True

    def _accept(self) -> bool:
        """Accept a waiting connection, if any; return whether there was one."""
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return False
        settled_at = self._now() + self._round_trip_s
        onward = socket.socket()
        onward.setsockopt(socket.SOL_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
        onward.bind((next(self._sources), 0))
        onward.setblocking(False)
        with suppress(BlockingIOError):
            onward.connect(self._target)
        self._connections += 1
        self._open += 1
        self._most_open = max(self._most_open, self._open)
        to = connection.getsockname()[0]
        client, target = (
            _Side(connection, settled_at, to, is_client=True),
            _Side(onward, settled_at, to, is_client=False),
        )
        client.other, target.other = target, client
        self._open_to[to].add(client)
        if len(self._open_to[to]) > self._most_to_one:
            self._most_to_one = max(self._most_to_one, len(_still_open(self._open_to[to])))
        for side in (client, target):
            side.connection.setblocking(False)
            side.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sides[side.connection.fileno()] = side
        self._epoll.register(connection, select.EPOLLIN)
        self._epoll.register(onward, select.EPOLLIN)
        return True

    def _now(self) -> float:
        """Return the average arrival time of the events in this turn."""
        return time.monotonic() - self._tick_s / 2

    def _read(self, side: _Side) -> None:
        """Read and enqueue bytes; empty bytes stand for any kind of end."""
        try:
            content = side.connection.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            content = b""
        if not content:
            self._epoll.unregister(side.connection)
            del self._sides[side.connection.fileno()]
            if side.is_client:
                self._closed(side)
        due = max(self._now(), side.settled_at) + self._round_trip_s / 2
        heapq.heappush(self._in_transit, (due, next(self._order), side.other, content))

    def _due(self) -> Iterator[tuple[_Side, bytes]]:
        while self._in_transit and self._in_transit[0][0] <= time.monotonic() + _HALF_TICK_S:
            _, _, to, content = heapq.heappop(self._in_transit)
            yield to, content

    def _deliver(self, to: _Side, content: bytes) -> None:
        if not content:
            self._end(to)
        elif to.connection.fileno() >= 0:
            # Drops a receiver whose buffer is full: no check sends or receives so much.
            try:
                is_taken = to.connection.send(content) == len(content)
            except OSError:
                is_taken = False
            if not is_taken:
                self._end(to)

    def _end(self, side: _Side) -> None:
        """Close both ends: a side that finishes has its answer."""
        for end in (side, side.other):
            number = end.connection.fileno()
            if number >= 0 and self._sides.pop(number, None) is not None and end.is_client:
                self._closed(end)
            end.connection.close()

    def _closed(self, client: _Side) -> None:
        self._open -= 1
        self._open_to[client.to].discard(client)


def _still_open(clients: Collection[_Side]) -> Collection[_Side]:
    """Return those whose client has not ended them, though nobody has read that yet."""
    poll = select.poll()
    for client in clients:
        poll.register(client.connection, select.POLLRDHUP)
    ended = {number for number, _ in poll.poll(0)}
    return [client for client in clients if client.connection.fileno() not in ended]


def main() -> None:
    """Listen, announce the address, relay."""
    listen, target, *other = (
        (host, int(port))
        for host, port in (text.rsplit(":", 1) for text in (*sys.argv[1:3], *sys.argv[5:]))
    )
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind(listen)
        listener.listen(_BACKLOG)
        address, port = listener.getsockname()
        print(f"serving on {address}:{port}", flush=True)
        targets = {"target": target, **({"other": other[0]} if other else {})}
        _Relay(listener, targets, float(sys.argv[3]), float(sys.argv[4])).run()


if __name__ == "__main__":
    main()
