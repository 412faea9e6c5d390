"""The socket that is handed to nassl: one deadline and one byte limit for a whole connection.

nassl calls only recv, send and close, and every recv of its own would start a new timeout: a server that drips one byte
a second would hold it for ever.
"""

import socket
import time

from otpc_policy.scan.connecting import connecting_socket, finish_connecting

# Enough for any ServerHello, behind a few warnings.
FIRST_BYTES = 4096


class ByteLimitReached(OSError):
    """The server sent more than one connection may read."""


class GuardedSocket:
    """A TCP connection to one address that ends by itself.

    sent, first_bytes: the start of what went out and came in. Methods raise TimeoutError at the deadline.
    """

    def __init__(self, *, deadline_s: float, byte_limit: int) -> None:
        self._ends_at = time.monotonic() + deadline_s
        self._bytes_left = byte_limit
        self._socket: socket.socket | None = None
        self.connected = False
        self.peer_closed = False
        self.sent = b""
        self.first_bytes = b""

    def connect(self, address: str, port: int) -> None:
        """Connect to an IP address; names are not resolved here."""
        self._socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ready().connect((address, port))
        self.connected = True

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

    def _ready(self) -> socket.socket:
        """Return the socket with what is left of the deadline."""
        left_s = self._ends_at - time.monotonic()
        if self._socket is None or left_s <= 0:
            raise TimeoutError("the deadline of the connection has passed")
        self._socket.settimeout(left_s)
        return self._socket


class EagerSocket(GuardedSocket):
    """One that never waits: where it would, methods raise BlockingIOError."""

    def fileno(self) -> int:
        """Return the number of the socket, for a selector; -1 when it is closed, or not there yet."""
        return -1 if self._socket is None else self._socket.fileno()

    def connect(self, address: str, port: int) -> None:
        """Begin to connect to an IP address; when the socket can be written, finish_connecting tells what came of it."""
        self._socket = connecting_socket((address, port))
        raise BlockingIOError("not connected yet")

    def finish_connecting(self) -> None:
        """Raises OSError where the connection could not be made."""
        finish_connecting(self._ready())
        self.connected = True

    def _ready(self) -> socket.socket:
        if self._socket is None or self._ends_at <= time.monotonic():
            raise TimeoutError("the deadline of the connection has passed")
        return self._socket
