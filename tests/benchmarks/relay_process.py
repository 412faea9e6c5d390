"""A relay that only delays bytes, in a process of its own: `python -m tests.benchmarks.relay_process LISTEN TARGET ROUND_TRIP_S TICK_S`.

The relay of the tests costs more CPU than the whole of a check; here it shares two cores with what is measured. So: bare sockets, one
loop, one queue of what is under way. LISTEN and TARGET are ADDRESS:PORT. TICK_S: it looks no more often than that, and takes all that has
come together; of many connections it then wakes up once for several, but cannot tell whether an end came before the next begin. 0: it looks
whenever something comes. Each line on stdin is answered with the connections that came so far, and the most that were open at once since the
last answer.
"""

import heapq
import itertools
import os
import select
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

_READ_BYTES = 65_536
_BACKLOG = 4096
# Connections to one target from one address are soon out of ports, because each keeps its own for a minute after its end.
_SOURCES = 250
# epoll waits for whole milliseconds: half of one to either side makes round trips right on average, without spinning.
_HALF_TICK_S = 0.0005


class _Side:
    """One end of a connection, and the other. settled_at: when the bytes of the first round trip may go on."""

    __slots__ = ("connection", "is_client", "other", "settled_at")

    def __init__(self, connection: socket.socket, settled_at: float, *, is_client: bool) -> None:
        self.connection, self.settled_at, self.is_client = connection, settled_at, is_client
        self.other = self


class _Relay:
    def __init__(self, listener: socket.socket, target: tuple[str, int], round_trip_s: float, tick_s: float) -> None:
        self._listener, self._target, self._round_trip_s, self._tick_s = listener, target, round_trip_s, tick_s
        self._epoll = select.epoll()
        self._sides: dict[int, _Side] = {}
        self._under_way: list[tuple[float, int, _Side, bytes]] = []
        self._order = itertools.count()
        self._sources = itertools.cycle(f"127.254.0.{1 + number}" for number in range(_SOURCES))
        self._connections = self._open = self._most_open = 0

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
            # One in each turn, after the ends that came before it: or a caller that never has two open would seem to.
            while calls is not None and self._accept() and self._tick_s:
                pass
            for to, content in self._due():
                self._deliver(to, content)
            if self._tick_s:
                time.sleep(self._tick_s)

    def _wait_s(self) -> float | None:
        return max(0.0, self._under_way[0][0] - time.monotonic() - _HALF_TICK_S) if self._under_way else None

    def _answer(self) -> bool:
        if not os.read(sys.stdin.fileno(), 1):
            return False
        print(self._connections, self._most_open, flush=True)
        self._most_open = self._open
        return True

    def _accept(self) -> bool:
        """Take one connection that waits; say whether there was one."""
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
        client, target = _Side(connection, settled_at, is_client=True), _Side(onward, settled_at, is_client=False)
        client.other, target.other = target, client
        for side in (client, target):
            side.connection.setblocking(False)
            side.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sides[side.connection.fileno()] = side
        self._epoll.register(connection, select.EPOLLIN)
        self._epoll.register(onward, select.EPOLLIN)
        return True

    def _now(self) -> float:
        """Return when what is found in this turn came, on average."""
        return time.monotonic() - self._tick_s / 2

    def _read(self, side: _Side) -> None:
        """Take what came; nothing stands for an end, whatever its kind."""
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
                self._open -= 1
        due = max(self._now(), side.settled_at) + self._round_trip_s / 2
        heapq.heappush(self._under_way, (due, next(self._order), side.other, content))

    def _due(self) -> Iterator[tuple[_Side, bytes]]:
        while self._under_way and self._under_way[0][0] <= time.monotonic() + _HALF_TICK_S:
            _, _, to, content = heapq.heappop(self._under_way)
            yield to, content

    def _deliver(self, to: _Side, content: bytes) -> None:
        if not content:
            self._end(to)
        elif to.connection.fileno() >= 0:
            # A receiver whose buffer is full is given up: no check sends or gets so much.
            try:
                is_taken = to.connection.send(content) == len(content)
            except OSError:
                is_taken = False
            if not is_taken:
                self._end(to)

    def _end(self, side: _Side) -> None:
        """Close both ends: who is done here has its answer."""
        for one in (side, side.other):
            number = one.connection.fileno()
            if number >= 0 and self._sides.pop(number, None) is not None and one.is_client:
                self._open -= 1
            one.connection.close()


def main() -> None:
    """Listen, say so, relay."""
    listen, target = (text.rsplit(":", 1) for text in sys.argv[1:3])
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind((listen[0], int(listen[1])))
        listener.listen(_BACKLOG)
        address, port = listener.getsockname()
        print(f"serving on {address}:{port}", flush=True)
        _Relay(listener, (target[0], int(target[1])), float(sys.argv[3]), float(sys.argv[4])).run()


if __name__ == "__main__":
    main()
