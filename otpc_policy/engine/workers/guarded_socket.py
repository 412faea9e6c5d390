"""The socket that is handed to nassl: one deadline and one byte limit for a whole connection.

nassl calls only recv, send and close, and every recv of its own would start a new timeout: a
server that drips one byte a second would hold it for ever.
"""

import socket
import time

# Enough for any ServerHello after a few warnings.
FIRST_BYTES = 4096


class ByteLimitReached(OSError):
    """The server sent more than one connection may read."""


class GuardedSocket:
    """A TCP connection that ends by itself. Owns the socket that it is given.

    connection: None where it is made later (use_connection). sent, first_bytes: the start of what
    went out and came in. Methods raise TimeoutError at the deadline.
    """

    def __init__(
        self, connection: socket.socket | None = None, *, deadline_s: float, byte_limit: int
    ) -> None:
        self._ends_at = time.monotonic() + deadline_s
        self._bytes_left = byte_limit
        self._socket = connection
        self.peer_closed = False
        self.sent = b""
        self.first_bytes = b""

    @property
    def connected(self) -> bool:
        """There has been a connection, closed since or not."""
        return self._socket is not None

    def use_connection(self, connection: socket.socket) -> None:
        """Take a connection that was not there before."""
        self._socket = connection

    def send(self, content: bytes) -> int:
        """Send everything: nassl does not look at how much was sent."""
        if len(self.sent) < FIRST_BYTES:
            self.sent += content
        self._ready().sendall(content)
        return len(content)

    def recv(self, size: int) -> bytes:
        """Receive up to size bytes. Raises ByteLimitReached."""
        received = self._ready().recv(min(size, self._bytes_left + 1))
        self._bytes_left -= len(received)
        if len(self.first_bytes) < FIRST_BYTES:
            self.first_bytes += received[: FIRST_BYTES - len(self.first_bytes)]
        if self._bytes_left < 0:
            raise ByteLimitReached("the server sent more than the limit")
        self.peer_closed = not received
        return received

    def close(self) -> None:
        """Close; twice is fine."""
        if self._socket is not None:
            self._socket.close()

    def left_s(self) -> float:
        """Return what is left of the deadline. Raises TimeoutError."""
        left_s = self._ends_at - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the deadline of the connection has passed")
        return left_s

    def _opened(self) -> socket.socket:
        if self._socket is None:
            raise TimeoutError("nothing is connected")
        return self._socket

    def _ready(self) -> socket.socket:
        """Return the socket with what is left of the deadline."""
        left_s, ready = self.left_s(), self._opened()
        ready.settimeout(left_s)
        return ready


class EagerSocket(GuardedSocket):
    """One that never waits: where it would, methods raise BlockingIOError.

    Its connection does not block.
    """

    def fileno(self) -> int:
        """Return the descriptor, for a selector; -1 when it is closed."""
        return self._opened().fileno()

    def _ready(self) -> socket.socket:
        self.left_s()
        return self._opened()
