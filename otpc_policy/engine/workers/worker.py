"""A worker: completes handshakes with one target, several at a time in one thread, and is killed.

It decides nothing and opens nothing: requests come with a connection each, statements go back the
same way (see messages). It is forked from a process that has imported everything
(template); whatever a server makes of it ends with its target.
"""

import select
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from otpc_policy.engine import isolation
from otpc_policy.engine.isolation import Isolation
from otpc_policy.engine.workers.client_handshake import ClientHandshake
from otpc_policy.engine.workers.handshake import HandshakeEnding, HandshakeOutcome, Target
from otpc_policy.engine.workers.messages import (
    LENGTH_BYTES,
    decode_request,
    encode_ready,
    encode_statement,
    frame,
)

_READ_BYTES: Final = 65_536
# More than one scan opens at a time.
_MAX_CONNECTIONS: Final = 64
# A handshake takes a few MiB and milliseconds; the rest is margin for hostile servers.
_MEMORY_BYTES: Final = 192 * 2**20
_PROCESSOR_S: Final = 20
_OPEN_FILES: Final = _MAX_CONNECTIONS + 16


class _Requests:
    """What arrives on the channel: frames, and a connection with each."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._received = b""
        self._connections: deque[int] = deque()
        self.has_ended = False

    def arrived(self) -> Iterator[tuple[bytes, socket.socket]]:
        """Read what is there, and yield each whole message with its connection."""
        content, descriptors, _, _ = socket.recv_fds(self._channel, _READ_BYTES, _MAX_CONNECTIONS)
        self._connections += descriptors
        self.has_ended = not content
        self._received += content
        while len(self._received) >= LENGTH_BYTES:
            end = LENGTH_BYTES + int.from_bytes(self._received[:LENGTH_BYTES], "big")
            if len(self._received) < end:
                break
            connection = socket.socket(fileno=self._connections.popleft())
            connection.setblocking(False)
            yield self._received[LENGTH_BYTES:end], connection
            self._received = self._received[end:]


class _Worker:
    """Handshakes under way, by the numbers of their requests."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._requests = _Requests(channel)
        self._under_way: dict[int, tuple[Target, ClientHandshake]] = {}
        # By descriptor, the number of the request that waits for it.
        self._numbers: dict[int, int] = {}
        self._poll = select.poll()
        self._poll.register(channel, select.POLLIN)

    def run(self) -> None:
        """Serve until the channel ends. Raises OSError if the statements have no reader."""
        while not self._requests.has_ended:
            for descriptor, _ in self._poll.poll(self._wait_ms()):
                if descriptor == self._channel.fileno():
                    self._begin()
                else:
                    number = self._numbers[descriptor]
                    self._take(number, self._under_way[number][1].go_on)
            now_s = time.monotonic()
            for number, (_, handshake) in list(self._under_way.items()):
                if handshake.until_s <= now_s:
                    self._take(number, handshake.give_up)

    def _begin(self) -> None:
        for message, connection in self._requests.arrived():
            number, target, hello = decode_request(message)
            handshake = ClientHandshake(hello, connection)
            self._under_way[number] = (target, handshake)
            self._numbers[connection.fileno()] = number
            self._poll.register(connection, select.POLLIN)
            self._take(number, handshake.go_on)

    def _take(self, number: int, step: Callable[[], HandshakeOutcome | None]) -> None:
        """Take a step of a handshake; if it was the last, state the outcome."""
        target, handshake = self._under_way[number]
        descriptor = handshake.fileno()
        try:
            outcome = step()
        except Exception as error:  # noqa: BLE001 - outermost frame of a request
            detail = f"{type(error).__name__}: {error}"[:200]
            outcome = HandshakeOutcome(ending=HandshakeEnding.NOT_RUN, detail=detail)
        if outcome is None:
            return
        del self._under_way[number]
        self._poll.unregister(descriptor)
        del self._numbers[descriptor]
        self._channel.sendall(frame(encode_statement(number, target, outcome)))

    def _wait_ms(self) -> float | None:
        soonest_s = min(
            (handshake.until_s for _, handshake in self._under_way.values()), default=None
        )
        if soonest_s is None:
            return None
        return max(0.0, soonest_s - time.monotonic()) * 1000


def serve(channel: socket.socket, level: Isolation, missing: tuple[str, ...]) -> None:
    """Be one worker in this process, which holds no other descriptor than the channel.

    missing: what the kernel lacks for the isolation that was attempted before the fork.
    """
    isolation.limit_resources(
        memory_bytes=_MEMORY_BYTES, open_files=_OPEN_FILES, processor_s=_PROCESSOR_S
    )
    worker = _Worker(channel)
    missing += isolation.attempt(
        level, lambda: isolation.confine_syscalls(isolation.HANDSHAKE_CALLS)
    )
    try:
        channel.sendall(frame(encode_ready(missing)))
        worker.run()
    except OSError:
        pass  # the scanner is gone
