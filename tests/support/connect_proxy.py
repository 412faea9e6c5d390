"""A small HTTP proxy that opens tunnels (CONNECT), or misbehaves, in a thread of its own."""

import asyncio
import threading
from base64 import b64decode
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.support.loopback import own_address, own_listener

_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\nProxy-Agent: test\r\n\r\n"

Mood = Callable[["Request", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Request:
    """host, port: that are to be connected to. source: the address to connect from."""

    host: str
    port: int
    source: str


@dataclass
class ConnectProxy:
    """address, port: where it listens. source: the address that it connects from.

    mood: what it does with the next requests. credentials: "user:password" that it demands.
    asked: "host:port" of each CONNECT. heads: of requests.
    """

    address: str
    port: int
    source: str
    mood: Mood
    credentials: str = ""
    asked: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    # The loop alone would let go of one that only waits.
    _tasks: set[object] = field(default_factory=set, repr=False)

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}"

    def may(self, head: str) -> bool:
        if not self.credentials:
            return True
        for line in head.split("\r\n"):
            name, _, value = line.partition(": ")
            if name.lower() == "proxy-authorization":
                return b64decode(value.removeprefix("Basic ")).decode() == self.credentials
        return False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        with suppress(OSError, EOFError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            asked = head.split(" ")[1]
            self.asked.append(asked)
            if self.may(head):
                host, _, port = asked.rpartition(":")
                request = Request(host.strip("[]"), int(port), self.source)
                await self.mood(request, reader, writer)
            else:
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
                await writer.drain()
        writer.close()
        self._tasks.discard(asyncio.current_task())


async def tunnel(
    request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Connect and relay."""
    await _relay(request, reader, writer, _ESTABLISHED)


async def dripping(
    request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Connect and relay; the head comes byte by byte."""
    for byte in _ESTABLISHED[:-1]:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0)
    await _relay(request, reader, writer, _ESTABLISHED[-1:])


async def silent(
    _request: Request, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter
) -> None:
    """Say nothing until the client leaves."""
    await reader.read()


async def cut(
    _request: Request, _reader: asyncio.StreamReader, _writer: asyncio.StreamWriter
) -> None:
    """Close without an answer."""


async def cut_tunnel(
    _request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Open a tunnel that leads nowhere: it is closed at the first bytes."""
    writer.write(_ESTABLISHED)
    await writer.drain()
    await reader.read(1)


async def reset_tunnel(
    _request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """The same, with a reset."""
    writer.write(_ESTABLISHED)
    await writer.drain()
    await reader.read(1)
    writer.transport.abort()


def says(content: bytes) -> Mood:
    """Return the mood to answer this and close."""

    async def say(
        _request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(content)
        await writer.drain()
        with suppress(TimeoutError):
            await asyncio.wait_for(reader.read(), 0.2)

    return say


def status(code: int) -> Mood:
    """Return the mood to answer with a status and a page."""
    page = b"<html>no</html>"
    return says(f"HTTP/1.1 {code} No\r\nContent-Length: {len(page)}\r\n\r\n".encode() + page)


async def endless(
    _request: Request, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Begin a head that never ends."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-More: more\r\n" * 64)
        await writer.drain()


def after(good: int, mood: Mood) -> Mood:
    """Return the mood to tunnel so many connections, and then to change for the worse."""
    seen = 0

    async def change(
        request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal seen
        seen += 1
        await (tunnel if seen <= good else mood)(request, reader, writer)

    return change


def every(number: int, mood: Mood) -> Mood:
    """Return the mood to change for the worse once in so many connections."""
    seen = 0

    async def change(
        request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal seen
        seen += 1
        await (mood if seen % number == 0 else tunnel)(request, reader, writer)

    return change


async def _relay(
    request: Request,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    established: bytes,
) -> None:
    source = None if ":" in request.host else (request.source, 0)
    try:
        upstream_reader, upstream = await asyncio.open_connection(
            request.host, request.port, local_addr=source
        )
    except OSError:
        await status(502)(request, reader, writer)
        return
    writer.write(established)

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await source.read(65536):
                sink.write(piece)
                await sink.drain()
        with suppress(OSError, RuntimeError):
            sink.write_eof()

    try:
        await asyncio.gather(pump(reader, upstream), pump(upstream_reader, writer))
    finally:
        upstream.transport.abort()


@contextmanager
def connect_proxy(mood: Mood = tunnel, *, credentials: str = "") -> Iterator[ConnectProxy]:
    """Run a proxy while the context lasts."""
    at = own_listener()
    proxy = ConnectProxy(at.address, at.port, own_address(), mood, credentials)
    loop = asyncio.new_event_loop()
    started = threading.Event()

    async def serve() -> None:
        server = await asyncio.start_server(proxy.serve, at.address, at.port, backlog=512)
        started.set()
        async with server:
            await server.serve_forever()

    task = loop.create_task(serve())

    async def end() -> None:
        # What was accepted last gets its task some turns of the loop later.
        quiet = 0
        while quiet < 5:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            quiet = 0 if others else quiet + 1
            for each in others:
                each.cancel()
            await asyncio.sleep(0.005)

    def run() -> None:
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        loop.run_until_complete(end())
        loop.close()

    thread = threading.Thread(target=run, name="proxy")
    thread.start()
    try:
        assert started.wait(10)
        yield proxy
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(10)
        assert not thread.is_alive()
