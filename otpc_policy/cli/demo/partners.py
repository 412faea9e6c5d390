"""Partners' servers for the demo: TLS or plain HTTP on loopback, with a fixed response.

A thread for each connection, with blocking sockets: asyncio closes a failed handshake without
sending its alert, and the alert is the proof of a refusal.
"""

import socket
import socketserver
import ssl
import struct
import threading
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from otpc_policy.cli.demo.certificates import Credentials

# The six suites of the policy, over TLS 1.2, as OpenSSL spells them.
OTPC_CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
    ":ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256"
)
# TLS 1.0 and 1.1 need SHA-1 signatures, which OpenSSL 3 allows at security level 0 only.
LEGACY_CIPHERS = "ECDHE+AES256:!AESCCM:@SECLEVEL=0"

_BODY = b"accepted\n"
_RESPONSE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(_BODY), _BODY)
)
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_HEAD_BYTES = 16 * 1024
_IDLE_S = 5.0


class ConnectionLimit:
    """Admits so many connections in a window of time: scanners run into it, clients hardly do."""

    def __init__(self, count: int, window_s: float, monotonic: Callable[[], float]) -> None:
        self._count = count
        self._window_s = window_s
        self._monotonic = monotonic
        self._admitted: deque[float] = deque()
        self._lock = threading.Lock()

    def admits(self) -> bool:
        """Count a connection; return whether it may go on."""
        with self._lock:
            now = self._monotonic()
            while self._admitted and self._admitted[0] <= now - self._window_s:
                self._admitted.popleft()
            if len(self._admitted) >= self._count:
                return False
            self._admitted.append(now)
            return True


def compliant_context(credentials: Sequence[Credentials], directory: Path) -> ssl.SSLContext:
    """Return a server context with TLS 1.2 and the six suites, and TLS 1.3.

    credentials: one for each key type.
    """
    context = _context(credentials, directory)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(OTPC_CIPHERS)
    return context


def legacy_context(credentials: Sequence[Credentials], directory: Path) -> ssl.SSLContext:
    """Return the server side of TLS 1.0 to 1.2 with AES-256 suites only."""
    context = _context(credentials, directory)
    context.set_ciphers(LEGACY_CIPHERS)
    with warnings.catch_warnings():
        # Python warns of TLS 1.0, which is what this partner is here to show.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def _context(credentials: Sequence[Credentials], directory: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for index, credential in enumerate(credentials):
        # The ssl module reads certificates and keys from files only.
        certificate = directory / f"{credential.sha256}-{index}.pem"
        key = directory / f"{credential.sha256}-{index}.key"
        certificate.write_bytes(credential.certificate_pem)
        key.touch(mode=0o600)
        key.write_bytes(credential.key_pem)
        context.load_cert_chain(certificate, key)
    return context


class _Connection(socketserver.BaseRequestHandler):
    request: socket.socket
    server: "PartnerServer"

    def handle(self) -> None:
        self.request.settimeout(_IDLE_S)
        if self.server.limit and not self.server.limit.admits():
            # Lingering for zero seconds makes close() send RST instead of FIN.
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.request.close()
            return
        try:
            if self.server.context is None:
                self._answer(self.request)
            else:
                with self.server.context.wrap_socket(self.request, server_side=True) as connection:
                    self._answer(connection)
        except OSError:
            # The caller left, or the handshake failed, and then the alert has been sent.
            return

    @staticmethod
    def _answer(connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head and len(head) < _HEAD_BYTES:
            received = connection.recv(4096)
            if not received:
                return
            head += received
            if not head[:1].isalpha():
                connection.sendall(_BAD_REQUEST)
                return
        connection.sendall(_RESPONSE)


class PartnerServer(socketserver.ThreadingTCPServer):
    """A partner that serves from start to close on its own port. context: None for plain HTTP."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self, address: str, *, context: ssl.SSLContext | None, limit: ConnectionLimit | None = None
    ) -> None:
        self.context = context
        self.limit = limit
        super().__init__((address, 0), _Connection)
        self._thread = threading.Thread(
            target=self.serve_forever,
            kwargs={"poll_interval": 0.05},
            name=f"partner {address}",
            daemon=True,
        )

    @property
    def port(self) -> int:
        """The port that the system chose."""
        return int(self.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
