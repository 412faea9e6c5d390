"""The way to an OpenTelemetry collector: OTLP over HTTP, with the standard library alone.

What is sent is for whoever sends it. One thread at a time.
"""

import http.client
import ssl
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from otpc_policy import __version__

_RESPONSE_BYTES: Final = 65_536
# OTLP specification, "Failures": these, and lost connections, are worth another attempt.
_WORTH_RETRYING: Final = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
_FIRST_PAUSE_S: Final = 0.25
_LONGEST_PAUSE_S: Final = 5.0


class OtlpHttp:
    """Posts to an endpoint such as https://collector:4318/v1/logs.

    default_path: of an endpoint that has none. timeout_s: how long the collector may be silent.
    attempts: for one body. ca_file: PEM CAs of the collector; None for those of the system.
    headers_file: "Name: value" lines, read for every request, so that a token may rotate. pause:
    sleeps.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        default_path: str,
        content_type: str,
        timeout_s: float,
        attempts: int,
        ca_file: Path | None = None,
        headers_file: Path | None = None,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        url = urlsplit(endpoint)
        self._host, self._port = url.hostname or "", url.port
        self._path = (url.path or default_path) + (f"?{url.query}" if url.query else "")
        self._is_tls, self._ca_file = url.scheme == "https", ca_file
        self._content_type, self._attempts = content_type, attempts
        self._headers_file, self._timeout_s, self._pause = headers_file, timeout_s, pause
        self._connection: http.client.HTTPConnection | None = None

    def post(self, body: bytes) -> bytes:
        """Send a body; return the start of the answer. Raises OSError if it was not taken."""
        pauses = _pauses(self._attempts)
        while True:
            wait_s: float | None = None
            try:
                status, retry_after, answer = self._exchange(body)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                failure: Exception = error
            else:
                if status < HTTPStatus.MULTIPLE_CHOICES:
                    return answer
                failure = OSError(f"the collector answers {status}")
                if status not in _WORTH_RETRYING:
                    raise failure
                wait_s = retry_after
            pause_s = next(pauses, None)
            if pause_s is None:
                raise OSError(str(failure)) from failure
            self._pause(min(wait_s if wait_s is not None else pause_s, _LONGEST_PAUSE_S))

    def close(self) -> None:
        """Close the connection; the next post opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(self, body: bytes) -> tuple[int, float | None, bytes]:
        connection = self._connection = self._connection or self._connect()
        connection.request("POST", self._path, body, self._headers())
        response = connection.getresponse()
        answer = response.read(_RESPONSE_BYTES)
        if response.read(1) or response.will_close:
            self.close()
        after = response.headers.get("Retry-After", "")
        return (
            response.status,
            float(after) if after.isascii() and after.isdigit() else None,
            answer,
        )

    def _connect(self) -> http.client.HTTPConnection:
        if not self._is_tls:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        context = ssl.create_default_context(cafile=self._ca_file)
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=self._timeout_s, context=context
        )

    def _headers(self) -> dict[str, str]:
        headers = {
            "Content-Type": self._content_type,
            "User-Agent": f"otpc-policy/{__version__}",
        }
        if self._headers_file is not None:
            headers |= read_headers(self._headers_file)
        return headers


def read_headers(path: Path) -> dict[str, str]:
    """Return the headers in a file, one "Name: value" a line. Raises OSError."""
    headers = {}
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        raise OSError(f"{path}: is not UTF-8") from None
    for number, line in enumerate(text.splitlines(), 1):
        name, colon, value = line.partition(":")
        if not line.strip():
            continue
        # ASCII: http.client raises UnicodeError for most else.
        is_header = line.isascii() and name.strip() and value.strip().isprintable()
        if not colon or not is_header:
            raise OSError(f'{path}:{number}: is not a header such as "Authorization: Bearer ..."')
        headers[name.strip()] = value.strip()
    return headers


def _pauses(attempts: int) -> Iterator[float]:
    for attempt in range(attempts - 1):
        yield _FIRST_PAUSE_S * 4**attempt
