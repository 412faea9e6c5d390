"""Downloads one document over plain HTTP from hosts that a certificate names.

Who has a certificate chooses the URL, and a server may redirect, so every host is resolved and
vetted like a partner's: one forbidden address, and none of its addresses is dialled. Time and bytes
are bounded over all redirects together. The body is handed on piece by piece and never held.

HTTP/1.1 as far as a GET needs it (RFC 9112); bodies are read in http_body. What was cut off is no
document.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from otpc_policy.core.addresses import Resolution, VettedAddress
from otpc_policy.core.facts import ResolutionStatus
from otpc_policy.core.fetching import FetchOutcome, HttpUrl
from otpc_policy.engine.egress.dialler import connect_soon
from otpc_policy.engine.egress.http_body import DownloadEnded, read_body
from otpc_policy.engine.egress.proxy import EgressProxy, ProxyRoute

# To a mirror, and there to another path: more would let a server keep an engine busy.
_MAX_REDIRECTS: Final = 2
# Heads of distribution points have about 500 bytes.
_MAX_HEAD_BYTES: Final = 16 * 1024
# One of several addresses must not use up the time for all of them.
_CONNECT_S: Final = 4.0
_STATUS_LINE: Final = re.compile(r"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?\Z")
_FIELD_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_OK: Final = 200

Resolve = Callable[[str], Awaitable[Resolution]]
"""From a canonical host to vetted addresses, as an engine's resolver."""


@dataclass(frozen=True, slots=True)
class _Head:
    status: int
    fields: Mapping[str, str]


async def download(
    url: HttpUrl,
    *,
    resolve: Resolve,
    is_own_listener: Callable[[str, int], bool] = lambda _address, _port: False,
    max_bytes: int,
    deadline_s: float,
    proxy: EgressProxy | None = None,
    take: Callable[[bytes], Awaitable[None]],
) -> FetchOutcome:
    """Download a document and return how that ended.

    is_own_listener: tells of an IP literal and port whether this service itself listens there.
    proxy: None for the direct way. max_bytes: of the body. deadline_s: for everything, and for take
    as well. take: gets the body in order, in pieces of 64 KiB; unless FETCHED is returned the
    pieces are of no use.
    Raises CannotDial, and what resolve raises.
    """
    try:
        async with asyncio.timeout(deadline_s):
            for _ in range(1 + _MAX_REDIRECTS):
                addresses = await _addresses(url, resolve)
                if any(is_own_listener(address.text, url.port) for address in addresses):
                    return FetchOutcome.FORBIDDEN
                location = await _request(url, addresses, max_bytes, proxy, take)
                if location is None:
                    return FetchOutcome.FETCHED
                url = _target_of(url, location)
    except TimeoutError:
        return FetchOutcome.TIMEOUT
    except DownloadEnded as ended:
        return ended.outcome
    return FetchOutcome.REDIRECTED


def _target_of(url: HttpUrl, location: str) -> HttpUrl:
    try:
        return url.redirected(location)
    except ValueError:
        raise DownloadEnded(FetchOutcome.REDIRECTED) from None


async def _request(
    url: HttpUrl,
    addresses: tuple[VettedAddress, ...],
    max_bytes: int,
    proxy: EgressProxy | None,
    take: Callable[[bytes], Awaitable[None]],
) -> str | None:
    """Make one request; return where it is redirected, or None once the body was taken."""
    async with _connected(url, addresses, proxy) as (reader, writer):
        try:
            writer.write(_request_bytes(url))
            head = await _read_head(reader)
            if head.status in _REDIRECTS:
                return head.fields.get("location", "")
            if head.status != _OK:
                raise DownloadEnded(FetchOutcome.REFUSED)
            if head.fields.get("content-encoding", "identity") != "identity":
                raise DownloadEnded(FetchOutcome.BROKEN)
            async for piece in read_body(reader, head.fields, max_bytes):
                await take(piece)
        except TimeoutError:  # an OSError
            raise
        except (OSError, EOFError, asyncio.LimitOverrunError):
            raise DownloadEnded(FetchOutcome.BROKEN) from None
    return None


async def _addresses(url: HttpUrl, resolve: Resolve) -> tuple[VettedAddress, ...]:
    found = await resolve(url.host)
    if found.status is ResolutionStatus.FORBIDDEN:
        raise DownloadEnded(FetchOutcome.FORBIDDEN)
    if found.is_stale or not found.addresses:
        raise DownloadEnded(FetchOutcome.UNRESOLVED)
    return found.addresses


@asynccontextmanager
async def _connected(
    url: HttpUrl, addresses: tuple[VettedAddress, ...], proxy: EgressProxy | None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect to the first address that accepts."""
    route = None if proxy is None else ProxyRoute(proxy)
    for address in addresses:
        try:
            async with asyncio.timeout(_CONNECT_S):
                connection = await connect_soon(address, url.port, route)
        except OSError:  # TimeoutError is one; the deadline of everything is another's
            continue
        reader, writer = await asyncio.open_connection(sock=connection, limit=_MAX_HEAD_BYTES)
        try:
            yield reader, writer
        finally:
            # Whatever is still on its way is of no interest.
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()
        return
    raise DownloadEnded(FetchOutcome.UNREACHABLE)


def _request_bytes(url: HttpUrl) -> bytes:
    lines = (
        f"GET {url.target} HTTP/1.1",
        f"Host: {url.authority}",
        "User-Agent: otpc-policy",
        "Accept: application/pkix-crl, */*;q=0.1",
        "Accept-Encoding: identity",
        "Connection: close",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


async def _read_head(reader: asyncio.StreamReader) -> _Head:
    """Read status line and fields. Of a field that comes twice, the first counts, except where
    the two would give the body different ends.
    """
    text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status_line, *lines = text[: -len("\r\n\r\n")].split("\r\n")
    status = _STATUS_LINE.match(status_line)
    if status is None:
        raise DownloadEnded(FetchOutcome.BROKEN)
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not _FIELD_NAME.match(name):
            raise DownloadEnded(FetchOutcome.BROKEN)
        name, value = name.lower(), value.strip(" \t")
        is_framing = name in ("content-length", "transfer-encoding")
        if fields.setdefault(name, value) != value and is_framing:
            raise DownloadEnded(FetchOutcome.BROKEN)
    return _Head(int(status[1]), fields)
