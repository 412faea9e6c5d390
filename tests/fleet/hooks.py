"""A real HTTP server that receives deliveries, and behaves as a test says."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behaviour = Callable[[BaseHTTPRequestHandler], None]


@dataclass(frozen=True)
class Request:
    """A delivery as it came. at: by the clock of this machine."""

    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event


@dataclass
class Hooks:
    """behaviours: of the next requests; then each is taken. requests: all that came."""

    url: str = ""
    behaviours: list[Behaviour] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    taken: list[Request] = field(default_factory=list)

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers["Content-Length"])
        headers = {name.lower(): value for name, value in handler.headers.items()}
        request = Request(headers, handler.rfile.read(length), time.monotonic())
        self.requests.append(request)
        if self.behaviours:
            self.behaviours.pop(0)(handler)
        else:
            self.taken.append(request)
            answering(204)(handler)

    def subjects(self) -> list[str]:
        """Return the ports of the endpoints whose changes were taken, with their decisions."""
        return [
            f"{each.event['data']['port']} {each.event['data']['decision']}" for each in self.taken
        ]


def answering(status: int, **headers: str) -> Behaviour:
    """Answer with a status."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return behave


def closing(handler: BaseHTTPRequestHandler) -> None:
    """Say nothing, and close."""
    handler.close_connection = True


def resetting(handler: BaseHTTPRequestHandler) -> None:
    """End the connection hard, in the middle of an answer."""
    handler.wfile.write(b"HTTP/1.1 20")
    linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.close()


def hanging(handler: BaseHTTPRequestHandler) -> None:
    """Say nothing for longer than anybody waits."""
    time.sleep(1.5)


def dripping(handler: BaseHTTPRequestHandler) -> None:
    """Answer a byte at a time, without end."""
    with suppress(OSError):
        for _ in range(60):
            handler.wfile.write(b"H")
            handler.wfile.flush()
            time.sleep(0.05)


def endless(handler: BaseHTTPRequestHandler) -> None:
    """Answer with a body that is larger than anybody reads."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(1 << 30))
    handler.end_headers()
    with suppress(OSError):
        for _ in range(1_000):
            handler.wfile.write(bytes(65_536))


def noise(handler: BaseHTTPRequestHandler) -> None:
    """Answer with something that is no HTTP."""
    with suppress(OSError):
        handler.wfile.write(b"\x00\xff" * 2_000)
    handler.close_connection = True


@contextmanager
def hooks(tls: ssl.SSLContext | None = None) -> Iterator[Hooks]:
    """Listen on loopback while the context lasts."""
    received = Hooks()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            received.take(self)

        def log_message(self, *_arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = False  # so that closing it waits for them

        def handle_error(self, *_arguments: object) -> None:
            pass  # clients leave in the middle, as they are meant to

    server = Server(("127.0.0.1", 0), Handler)
    scheme = "http"
    if tls is not None:
        scheme = "https"
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    received.url = f"{scheme}://localhost:{server.server_address[1]}/hook?of=test"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
