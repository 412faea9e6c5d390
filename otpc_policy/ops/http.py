"""The operations port: metrics, probes and pages for people over HTTP/1.1.

Shows no secrets, changes nothing.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType, TracebackType
from typing import Final, Self
from urllib.parse import parse_qs

from prometheus_client import CollectorRegistry

from otpc_policy.ops.components import Components, verbose_page
from otpc_policy.ops.exposition import exposition

# A probe says "" when all is well, else why not, for people.
Probe = Callable[[], str]


@dataclass(frozen=True, slots=True)
class Page:
    """What is answered with."""

    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    content_type: str = "text/plain; charset=utf-8"


# Makes a page from the parameters of the query, each with its last value.
PageMaker = Callable[[Mapping[str, str]], Awaitable[Page]]

# A scraper's request has well under 1 KiB; h11 and nginx stop at 16 KiB and 8 KiB of header.
_REQUEST_BYTES = 8192
# Scrapers and probes sit close by, and Prometheus gives up after 10 s.
_EXCHANGE_DEADLINE_S = 5.0
# One scraper and three probes need four; the rest is for people.
_CONNECTIONS = 32
_TEXT = "text/plain; charset=utf-8"
_VERBOSE: Final = "verbose"
# With a port or without. Names that end in a digit are no names (WHATWG URL, "ends in a number").
_ADDRESS: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[0-9.]+|localhost)(?::[0-9]+)?")
_NONE: Final[Mapping[str, PageMaker]] = MappingProxyType({})


class OperationsServer:
    """Serves /metrics, one page for each probe, and others.

    probes, pages: by path, such as "/readyz". components: of the process, by the path of the probe
    that shows them where the query says "verbose". Pages are shown only to who asks by address, or
    as localhost: a name may be made to point here by whoever owns it, and a browser on this machine
    would then hand the page to that stranger's script.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        probes: Mapping[str, Probe],
        *,
        components: Mapping[str, Components] | None = None,
        pages: Mapping[str, PageMaker] = _NONE,
        exchange_deadline_s: float = _EXCHANGE_DEADLINE_S,
    ) -> None:
        self._registry = registry
        self._probes = dict(probes)
        self._components = dict(components or {})
        self._pages = dict(pages)
        self._exchange_deadline_s = exchange_deadline_s
        self._server: asyncio.Server | None = None
        self._exchanges: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port. Raises OSError."""
        self._server = await asyncio.start_server(self._accept, host, port, limit=_REQUEST_BYTES)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close the listener and every connection."""
        if self._server is None:
            return
        self._server.close()
        for exchange in self._exchanges:
            exchange.cancel()
        await asyncio.gather(*self._exchanges, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A connection taken before the listener closed may be announced after that.
        stopped = self._server is None or not self._server.is_serving()
        if stopped or len(self._exchanges) >= _CONNECTIONS:
            writer.transport.abort()
            return
        exchange = asyncio.create_task(self._exchange(reader, writer))
        self._exchanges.add(exchange)
        exchange.add_done_callback(lambda ended: self._ended(ended, writer))

    def _ended(self, exchange: "asyncio.Task[None]", writer: asyncio.StreamWriter) -> None:
        self._exchanges.discard(exchange)
        # Nothing to lose: all was sent, or the peer misbehaved, or the stop came before the
        # exchange.
        writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a request and close. The deadline covers reading and writing."""
        try:
            async with asyncio.timeout(self._exchange_deadline_s):
                writer.write(await self._answer(reader))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, OSError):
            pass

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return _response(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        except asyncio.IncompleteReadError:
            return _response(HTTPStatus.BAD_REQUEST)
        words = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
        if len(words) != 3 or not words[1].startswith("/") or not words[2].startswith("HTTP/"):
            return _response(HTTPStatus.BAD_REQUEST)
        method, target, version = words
        if not version.startswith("HTTP/1."):
            return _response(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
        path, _, query = target.partition("?")
        if path in self._pages and not _is_asked_by_address(head):
            text = b"ask by address, or as localhost: a name may be anybody's\n"
            return _response(HTTPStatus.FORBIDDEN, text, with_body=method != "HEAD")
        return await self._page(method, path, query, _accepted(head))

    async def _page(self, method: str, path: str, query: str, accept: str) -> bytes:
        make, probe = self._pages.get(path), self._probes.get(path)
        if make is None and probe is None and path != "/metrics":
            return _response(HTTPStatus.NOT_FOUND, with_body=method != "HEAD")
        if method not in {"GET", "HEAD"}:
            return _response(HTTPStatus.METHOD_NOT_ALLOWED, extra="Allow: GET, HEAD\r\n")
        extra = ""
        if make is not None:
            page = await make(_parameters(query))
        elif probe is not None:
            page = self._probed(path, probe, query)
        else:
            body, content_type = await exposition(self._registry, accept)
            page, extra = Page(body, content_type=content_type), "Vary: Accept\r\n"
        return _response(
            page.status,
            page.body,
            content_type=page.content_type,
            extra=extra,
            with_body=method == "GET",
        )

    def _probed(self, path: str, probe: Probe, query: str) -> Page:
        complaint = probe()
        status = HTTPStatus.SERVICE_UNAVAILABLE if complaint else HTTPStatus.OK
        components = self._components.get(path)
        if components is None or _VERBOSE not in _parameters(query):
            return Page(f"{complaint or 'ok'}\n".encode(), status)
        return Page(verbose_page(path.strip("/"), complaint, components()).encode(), status)


def _is_asked_by_address(head: bytes) -> bool:
    """Tell whether every Host of a request is an IP address or localhost; none is fine as well."""
    lines = head.decode("latin-1").split("\r\n")[1:]
    fields = (line.partition(":") for line in lines)
    hosts = [value.strip() for name, _, value in fields if name.strip().lower() == "host"]
    return all(_ADDRESS.fullmatch(host) for host in hosts)


def _parameters(query: str) -> Mapping[str, str]:
    try:
        found = parse_qs(query, keep_blank_values=True, max_num_fields=16)
    except ValueError:
        return {}
    return {name: values[-1] for name, values in found.items()}


def _accepted(head: bytes) -> str:
    """Return the Accept fields of a request, joined as RFC 9110 5.3 permits."""
    fields = (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:])
    return ",".join(value for name, _, value in fields if name.lower() == "accept")


def _response(
    status: HTTPStatus,
    body: bytes | None = None,
    *,
    content_type: str = _TEXT,
    extra: str = "",
    with_body: bool = True,
) -> bytes:
    payload = f"{status.phrase}\n".encode() if body is None else body
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(payload)}\r\n"
        f"Cache-Control: no-store\r\nConnection: close\r\n{extra}\r\n"
    )
    return head.encode("ascii") + (payload if with_body else b"")
