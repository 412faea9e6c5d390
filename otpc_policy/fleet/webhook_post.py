"""One POST to the operator's server, bounded in time and bytes. Blocks: for a thread."""

import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

from otpc_policy import __version__
from otpc_policy.fleet.cloud_events import CONTENT_TYPE

_RESPONSE_BYTES: Final = 16_384
_MOST_RETRY_AFTER_S: Final = 86_400.0


class NotDelivered(Exception):
    """There was no answer. The text is for people, and is nobody else's."""


@dataclass(frozen=True, slots=True)
class Posted:
    """What the server answered. retry_after_s: when to ask again, where it says so."""

    status: int
    retry_after_s: float | None


class WebhookPost:
    """Posts bodies to a URL, each over a connection of its own. Redirects are not followed.

    ca_file: PEM CAs of the server; None for those of the system. headers: read for each request.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float,
        ca_file: Path | None = None,
        headers: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        parts = urlsplit(url)
        is_tls = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (http.client.HTTPS_PORT if is_tls else http.client.HTTP_PORT)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._tls = ssl.create_default_context(cafile=ca_file) if is_tls else None
        self._timeout_s, self._headers = timeout_s, headers
        self._connection: _Connection | None = None

    def post(self, body: bytes, headers: Mapping[str, str]) -> Posted:
        """Return the answer. Raises NotDelivered."""
        connection = self._connection = _Connection(
            self._host, self._port, timeout_s=self._timeout_s, tls=self._tls
        )
        # The socket's own timeout starts anew with every byte of an answer that drips.
        timer = threading.Timer(self._timeout_s, connection.end)
        timer.daemon = True
        timer.start()
        try:
            own = {
                "Content-Type": CONTENT_TYPE,
                "User-Agent": f"otpc-policy/{__version__}",
                "Connection": "close",
            }
            connection.request("POST", self._path, body, {**self._headers(), **own, **headers})
            response = connection.getresponse()
            response.read(_RESPONSE_BYTES)
            return Posted(response.status, _seconds(response.headers.get("Retry-After", "")))
        except TimeoutError:
            raise NotDelivered(f"no answer within {self._timeout_s:g} s") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            if connection.is_over:
                raise NotDelivered(f"no answer within {self._timeout_s:g} s") from None
            raise NotDelivered(_in_words(error)) from None
        finally:
            timer.cancel()
            connection.close()

    def abandon(self) -> None:
        """End a post that is under way in another thread."""
        if self._connection is not None:
            self._connection.end()


class _Connection(http.client.HTTPConnection):
    """One that another thread can end, whatever it is doing but looking up the name.

    timeout_s: for all of it. tls: None for plain text.
    """

    def __init__(
        self, host: str, port: int, *, timeout_s: float, tls: ssl.SSLContext | None
    ) -> None:
        super().__init__(host, port, timeout=timeout_s)
        # Decides which port the header Host leaves out.
        self.default_port = http.client.HTTP_PORT if tls is None else http.client.HTTPS_PORT
        self._tls = tls
        self._ends_at = monotonic() + timeout_s
        self.is_over = False

    def connect(self) -> None:
        """Connect to the first address that answers, and verify who is there."""
        self._reach(socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is not None:
            # HTTPSConnection makes the handshake before anybody else knows of the socket.
            secure = self.sock = self._tls.wrap_socket(
                self.sock, server_hostname=self.host, do_handshake_on_connect=False
            )
            self._raise_if_over()
            secure.do_handshake()

    def end(self) -> None:
        """Have whoever uses it fail. Called from another thread."""
        self.is_over = True
        taken = self.sock
        if taken is not None:
            with suppress(OSError):
                # Not the one of TLS, which would wait for the other side.
                socket.socket.shutdown(taken, socket.SHUT_RDWR)

    def _reach(self, found: Sequence[Any]) -> None:
        """Connect to one of the addresses that were found. Raises OSError."""
        for at, (family, kind, protocol, _, address) in enumerate(found):
            # Known before it connects, so that it can be ended then.
            taken = self.sock = socket.socket(family, kind, protocol)
            self._raise_if_over()
            try:
                taken.settimeout(max(0.001, self._ends_at - monotonic()))
                taken.connect(address)
            except OSError:
                taken.close()
                if at + 1 == len(found):
                    raise
            else:
                break
        self._raise_if_over()

    def _raise_if_over(self) -> None:
        if self.is_over or monotonic() >= self._ends_at:
            raise TimeoutError


def _seconds(retry_after: str) -> float | None:
    is_number = retry_after.isascii() and retry_after.isdigit() and len(retry_after) <= 9
    return min(float(retry_after), _MOST_RETRY_AFTER_S) if is_number else None


def _in_words(error: Exception) -> str:
    """Return the kind of error. Its text may be whatever the server likes."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate cannot be verified"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
