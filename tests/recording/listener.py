"""A loopback server that reads the ClientHello of each connection, keeps it, and hangs up."""

import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.hostile.hello import hello_length
from tests.support.loopback import Listener, free_port

# Programs resolve this name without DNS, and send it as a server name.
NAME = "localhost"
_ADDRESS = "127.0.0.1"
_WITHIN_S = 20.0


class Hellos:
    """The hellos of a listener, as they arrive."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self._received: queue.Queue[bytes] = queue.Queue()

    def add(self, received: bytes) -> None:
        """Keep a hello."""
        self._received.put(received)

    def forget(self) -> None:
        """Drop what arrived so far, such as retries."""
        while not self._received.empty():
            self._received.get()

    def next(self) -> bytes:
        """Return the next hello. Raises queue.Empty if none comes."""
        return self._received.get(timeout=_WITHIN_S)


@contextmanager
def recording() -> Iterator[Hellos]:
    """Listen while the context lasts."""
    with socket.create_server((_ADDRESS, free_port(_ADDRESS)), backlog=64) as server:
        hellos = Hellos(Listener(_ADDRESS, server.getsockname()[1]))
        is_over = threading.Event()
        server.settimeout(0.2)

        def serve() -> None:
            while not is_over.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                with connection:
                    received = _read(connection)
                    if received:
                        hellos.add(received)

        thread = threading.Thread(target=serve, name="recording", daemon=True)
        thread.start()
        try:
            yield hellos
        finally:
            is_over.set()
            thread.join()


def _read(connection: socket.socket) -> bytes:
    """Return one hello, whole; nothing if the client sends something else or leaves."""
    connection.settimeout(_WITHIN_S)
    received = b""
    try:
        while len(received) < hello_length(received):
            more = connection.recv(65536)
            if not more:
                return b""
            received += more
    except OSError:
        return b""
    return received
