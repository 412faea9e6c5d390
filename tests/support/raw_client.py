"""A client that sends raw bytes and reads the response."""

import socket

from tests.support.loopback import Listener

_WITHIN_S = 5.0


def answer_to(server: Listener, sent: bytes) -> bytes:
    """Return everything that the server sends to a client that sends only these bytes."""
    received = b""
    with socket.create_connection((server.address, server.port), timeout=_WITHIN_S) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        while more := client.recv(65536):
            received += more
    return received
