"""Standard-library servers in a thread of this process: plain HTTP, and TLS around any answer."""

import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.loopback import Listener
from tests.support.servers.offer import BODY, TlsOffer

_IDLE_S = 5.0
_RESPONSE = (
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
    f"Content-Length: {len(BODY)}\r\nConnection: close\r\n\r\n{BODY}"
).encode()
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

# Serves an accepted connection, which it need not close.
Answer = Callable[[socket.socket], None]


@contextmanager
def threaded_server(listener: Listener, answer: Answer) -> Iterator[Listener]:
    """Run a server, one thread for each connection. Clients that leave early are not an error."""

    class Connection(socketserver.BaseRequestHandler):
        request: socket.socket

        def handle(self) -> None:
            self.request.settimeout(_IDLE_S)
            try:
                answer(self.request)
            except OSError:
                return

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        block_on_close = False
        request_queue_size = 128

    with Server((listener.address, listener.port), Connection) as server:
        thread = threading.Thread(
            target=server.serve_forever,
            kwargs={"poll_interval": 0.05},
            name=f"server {listener}",
            daemon=True,
        )
        thread.start()
        try:
            yield listener
        finally:
            server.shutdown()
            thread.join()


def http_server(listener: Listener) -> AbstractContextManager[Listener]:
    """Serve HTTP without TLS; anything but an HTTP request gets 400, as usual."""
    return threaded_server(listener, answer_http)


@contextmanager
def tls_server(listener: Listener, offer: TlsOffer, answer: Answer) -> Iterator[Listener]:
    """Serve TLS, without ALPN, and something inside it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(offer.ciphers)
    context.minimum_version = ssl.TLSVersion[f"TLSv{offer.versions[0].replace('.', '_')}"]
    context.maximum_version = ssl.TLSVersion[f"TLSv{offer.versions[-1].replace('.', '_')}"]
    with TemporaryDirectory(prefix="otpc-server-") as directory:
        for chain, key in offer.write_certificates(Path(directory)):
            context.load_cert_chain(chain, key)

    def inside(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            answer(wrapped)

    with threaded_server(listener, inside) as running:
        yield running


def answer_http(connection: socket.socket) -> None:
    """Answer one HTTP/1.1 request."""
    head = b""
    while b"\r\n\r\n" not in head:
        received = connection.recv(4096)
        if not received:
            return
        head += received
        if not head[:1].isalpha():
            connection.sendall(_BAD_REQUEST)
            return
    connection.sendall(_RESPONSE)


def echo(connection: socket.socket) -> None:
    """Echo the input, which is not HTTP."""
    while received := connection.recv(4096):
        connection.sendall(received)


def say_nothing(connection: socket.socket) -> None:
    """Read and never answer."""
    while connection.recv(4096):
        pass
