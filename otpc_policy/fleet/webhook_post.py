"""One POST to the operator's server, bounded in time and bytes. Blocks: for a thread."""

import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
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
        self._host, self._port = parts.hostname or "", parts.port
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._tls = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None
        self._timeout_s, self._headers = timeout_s, headers
        self._connection: http.client.HTTPConnection | None = None

    def post(self, body: bytes, headers: Mapping[str, str]) -> Posted:
        """Return the answer. Raises NotDelivered."""
        connection = self._connection = self._new_connection()
        # The socket's own timeout starts anew with every byte of an answer that drips.
        timer = threading.Timer(self._timeout_s, _shut, (connection,))
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
            if not timer.is_alive():
                raise NotDelivered(f"no answer within {self._timeout_s:g} s") from None
            raise NotDelivered(_in_words(error)) from None
        finally:
            timer.cancel()
            connection.close()

    def abandon(self) -> None:
        """End a post that is under way in another thread."""
        if self._connection is not None:
            _shut(self._connection)

    def _new_connection(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        return _TlsConnection(self._host, self._port, timeout_s=self._timeout_s, tls=self._tls)


class _TlsConnection(http.client.HTTPConnection):
    """As HTTPSConnection, whose handshake no other thread could end."""

    default_port = http.client.HTTPS_PORT

    def __init__(
        self, host: str, port: int | None, *, timeout_s: float, tls: ssl.SSLContext
    ) -> None:
        super().__init__(host, port, timeout=timeout_s)
        self._tls = tls

    def connect(self) -> None:
        """Connect, and verify who is there."""
        super().connect()
        secure = self.sock = self._tls.wrap_socket(
            self.sock, server_hostname=self.host, do_handshake_on_connect=False
        )
        secure.do_handshake()


def _shut(connection: http.client.HTTPConnection) -> None:
    taken = connection.sock
    if taken is not None:
        with suppress(OSError):
            # Not the one of TLS, which would wait for the other side.
            socket.socket.shutdown(taken, socket.SHUT_RDWR)


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
