"""Does HTTP answer inside TLS?

One connection over the standard library's TLS, which can offer ALPN (nassl cannot). The peer is not
verified here: nothing it sends is believed beyond "this is HTTP".
"""

import asyncio
import ssl
import warnings
from enum import Enum
from functools import cache
from typing import NamedTuple

from otpc_policy.core.addresses import VettedAddress
from otpc_policy.core.facts import TlsVersion
from otpc_policy.engine.client_certificates import ClientCredentials
from otpc_policy.engine.egress.dialler import connect_soon
from otpc_policy.engine.egress.proxy import ProxyRoute

_USER_AGENT = "otpc-policy"
# RFC 9113 3.4: the client's preface and an empty SETTINGS frame.
_H2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04\x00" + bytes(4)
_H2_SETTINGS, _H2_GOAWAY = 4, 7
_H2_FRAME_HEADER = 9
_HTTP1_START = b"HTTP/"
# ssl.SSLError.reason of alerts that demand a certificate: 40, 42, 46, 48, 49, 116.
_CERTIFICATE_ALERTS = (
    "ALERT_HANDSHAKE_FAILURE",
    "ALERT_BAD_CERTIFICATE",
    "ALERT_CERTIFICATE_UNKNOWN",
    "ALERT_UNKNOWN_CA",
    "ALERT_ACCESS_DENIED",
    "ALERT_CERTIFICATE_REQUIRED",
)

# SSLObject.version().
_VERSIONS = {
    "TLSv1": TlsVersion.TLS_1_0,
    "TLSv1.1": TlsVersion.TLS_1_1,
    "TLSv1.2": TlsVersion.TLS_1_2,
    "TLSv1.3": TlsVersion.TLS_1_3,
}


class HttpAnswer(Enum):
    """What came back. CERTIFICATE_ALERT and CLOSED came instead of any answer."""

    HTTP = "HTTP"
    NOT_HTTP = "NOT_HTTP"
    CERTIFICATE_ALERT = "CERTIFICATE_ALERT"
    CLOSED = "CLOSED"
    UNKNOWN = "UNKNOWN"


class HttpOutcome(NamedTuple):
    """What came back, and the leaf that was presented.

    leaf: its version and DER; None if there was none. Its key was not verified.
    """

    answer: HttpAnswer
    leaf: tuple[TlsVersion, bytes] | None = None


async def ask_http(
    *,
    address: VettedAddress,
    port: int,
    server_name: str,
    host_header: str,
    deadline_s: float,
    alpn: bool = True,
    credentials: ClientCredentials | None = None,
    route: ProxyRoute | None = None,
) -> HttpOutcome:
    """Connect to one address and ask for HTTP; h2 where the server prefers it.

    server_name: a DNS name is sent as SNI, an IP literal is not. host_header: authority for Host.
    alpn: offer h2 and http/1.1; a few old servers close on the extension.
    credentials: presented if the server asks for a client certificate. route: through a proxy.
    Raises CannotDial.
    """
    writer: asyncio.StreamWriter | None = None
    leaf: tuple[TlsVersion, bytes] | None = None
    try:
        async with asyncio.timeout(deadline_s):
            connection = await connect_soon(address, port, route)
            reader, writer = await asyncio.open_connection(
                sock=connection,
                ssl=_any_tls(alpn) if credentials is None else _tls_as(credentials, alpn),
                server_hostname=server_name,
                limit=2**14,
            )
            tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
            leaf = _leaf(tls)
            speaks_h2 = tls.selected_alpn_protocol() == "h2"
            writer.write(_H2_HELLO if speaks_h2 else http1_request(host_header))
            start = await _read_start(reader, _H2_FRAME_HEADER if speaks_h2 else len(_HTTP1_START))
    except TimeoutError:
        return HttpOutcome(HttpAnswer.UNKNOWN, leaf)
    except ssl.SSLError as error:
        return HttpOutcome(_failed(error), leaf)
    except (ConnectionError, EOFError):
        return HttpOutcome(HttpAnswer.CLOSED, leaf)
    except OSError:
        return HttpOutcome(HttpAnswer.UNKNOWN, leaf)
    finally:
        if writer is not None:
            writer.transport.abort()
    return HttpOutcome(_judge(start, speaks_h2), leaf)


def _leaf(tls: ssl.SSLObject) -> tuple[TlsVersion, bytes] | None:
    der, version = tls.getpeercert(binary_form=True), _VERSIONS.get(tls.version() or "")
    return (version, der) if der and version is not None else None


def _judge(start: bytes, speaks_h2: bool) -> HttpAnswer:
    if not start:
        return HttpAnswer.CLOSED
    if speaks_h2:
        if len(start) < _H2_FRAME_HEADER:
            return HttpAnswer.UNKNOWN
        on_stream_0 = not int.from_bytes(start[5:9], "big") & 0x7FFFFFFF
        return (
            HttpAnswer.HTTP
            if start[3] in (_H2_SETTINGS, _H2_GOAWAY) and on_stream_0
            else HttpAnswer.NOT_HTTP
        )
    if is_http1(start):
        return HttpAnswer.HTTP
    return HttpAnswer.UNKNOWN if _HTTP1_START.startswith(start) else HttpAnswer.NOT_HTTP


def _failed(error: ssl.SSLError) -> HttpAnswer:
    reason = error.reason or ""
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return HttpAnswer.CLOSED
    return (
        HttpAnswer.CERTIFICATE_ALERT if reason.endswith(_CERTIFICATE_ALERTS) else HttpAnswer.UNKNOWN
    )


async def _read_start(reader: asyncio.StreamReader, wanted: int) -> bytes:
    start = b""
    while len(start) < wanted and not (
        start and wanted == len(_HTTP1_START) and not _HTTP1_START.startswith(start)
    ):
        more = await reader.read(wanted - len(start))
        if not more:
            break
        start += more
    return start


def is_http1(start: bytes) -> bool:
    """The received bytes start an HTTP/1 answer."""
    return start.startswith(_HTTP1_START)


def http1_request(host_header: str) -> bytes:
    """Return a request that every HTTP/1 server answers. host_header: authority for Host."""
    # GET, because small servers know nothing else; only the first bytes of the answer are read.
    lines = (
        "GET / HTTP/1.1",
        f"Host: {host_header}",
        f"User-Agent: {_USER_AGENT}",
        "Accept: */*",
        "Connection: close",
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("ascii")


@cache
def _any_tls(alpn: bool) -> ssl.SSLContext:
    return _new_tls(alpn)


def _tls_as(credentials: ClientCredentials, alpn: bool) -> ssl.SSLContext:
    context = _new_tls(alpn)
    credentials.load_into(context)
    return context


def _new_tls(alpn: bool) -> ssl.SSLContext:
    """A context that completes a handshake with any server; other rules judge weak suites."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    if alpn:
        context.set_alpn_protocols(["h2", "http/1.1"])
    # Servers without RFC 5746; the name came with Python 3.12.
    context.options |= getattr(ssl, "OP_LEGACY_SERVER_CONNECT", 0x4)
    with warnings.catch_warnings():
        # The warning describes the purpose here: to accept old versions.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
    return context
