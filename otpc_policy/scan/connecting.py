"""TCP connections that nobody waits for: begun here, and finished when a selector finds the socket ready for writing."""

import errno
import os
import socket


def connecting_socket(peer: tuple[str, int]) -> socket.socket:
    """Return a socket that becomes ready for writing when it is connected, or failed to be. Raises OSError."""
    connection = socket.socket(socket.AF_INET6 if ":" in peer[0] else socket.AF_INET, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if (code := connection.connect_ex(peer)) not in (0, errno.EINPROGRESS, errno.EINTR):
            raise OSError(code, os.strerror(code))
    except OSError:
        connection.close()
        raise
    return connection


def finish_connecting(connection: socket.socket) -> None:
    """Raises OSError where the connection could not be made. connection: ready for writing."""
    if code := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(code, os.strerror(code))
