"""TCP servers in a thread of their own, with their own event loop, that count and write down: the ground for hostile servers and relays."""

import asyncio
import select
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.support.loopback import Listener

# More than any hello, and any answer to one up to the end of its ServerHello.
_REMEMBERED = 4096


@dataclass
class Transcript:
    """What was said on one connection, from the server's side; the first bytes of each direction.

    beside: connections that were open when it came, as the client sees it; itself is one of them.
    answered_at: when the server sent its first byte, or ended the connection without one; monotonic. client_left: the client ended it first.
    flight_sent: a server's whole first flight of TLS has left, certificates included. handshake_completed: the client's answer to it has come.
    """

    beside: int = 0
    received: bytes = b""
    sent: bytes = b""
    answered_at: float | None = None
    client_left: bool = False
    flight_sent: bool = False
    handshake_completed: bool = False

    @property
    def closed_silently(self) -> bool:
        """The server closed or reset it without a byte."""
        return self.answered_at is not None and not self.sent and not self.client_left


@dataclass
class Counts:
    """What arrived so far at a listener. most_open: the most connections that were open at once, as the client sees it."""

    listener: Listener
    connections: int = 0
    most_open: int = 0
    transcripts: list[Transcript] = field(default_factory=list)


@dataclass
class Connection:
    """One accepted connection. number: from 0, in order of arrival."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    transcript: Transcript = field(default_factory=Transcript, kw_only=True)
    _unread: bytes = field(default=b"", kw_only=True)

    async def read(self) -> bytes:
        """Return what the client sent, or b"" once it has left."""
        if self._unread:
            content, self._unread = self._unread, b""
            return content
        content = b""
        with suppress(OSError):
            content = await self.reader.read(65536)
        if not content:
            self.transcript.client_left = True
        elif len(self.transcript.received) < _REMEMBERED:
            self.transcript.received += content
        return content

    def unread(self, content: bytes) -> None:
        """Give back what was read, for the next one to read."""
        self._unread = content + self._unread

    async def send(self, content: bytes) -> None:
        """Send, and wait until the system has it."""
        if self.transcript.answered_at is None:
            self.transcript.answered_at = time.monotonic()
        if len(self.transcript.sent) < _REMEMBERED:
            self.transcript.sent += content
        self.writer.write(content)
        await self.writer.drain()

    def reset(self) -> None:
        """End it with RST: lingering for zero seconds makes close() send that instead of FIN."""
        self.ends()
        with suppress(OSError):
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def ends(self) -> None:
        """Take down that the server ends it now."""
        if self.transcript.answered_at is None:
            self.transcript.answered_at = time.monotonic()

    def is_open(self) -> bool:
        """Neither side has ended it. Asked of the system: what has arrived may not have been read yet."""
        if self.writer.is_closing():
            return False
        hang_up = select.POLLRDHUP | select.POLLHUP | select.POLLERR
        poll = select.poll()
        poll.register(self.writer.get_extra_info("socket").fileno(), hang_up)
        return not poll.poll(0)


Behaviour = Callable[[Connection], Awaitable[None]]


@contextmanager
def counting_server(listener: Listener, behaviour: Behaviour) -> Iterator[Counts]:
    """Serve while the context lasts. A connection is closed when its behaviour returns."""
    with counting_servers({listener: behaviour}) as counts:
        yield counts[listener]


@contextmanager
def counting_servers(behaviours: Mapping[Listener, Behaviour]) -> Iterator[Mapping[Listener, Counts]]:
    """Serve all of them in one thread while the context lasts."""
    house = _House([_Server(listener, behaviour) for listener, behaviour in behaviours.items()])
    thread = threading.Thread(target=house.run, name="tcp servers", daemon=True)
    thread.start()
    try:
        if not house.ready.wait(10) or house.loop is None:
            raise AssertionError(f"nothing listens on {', '.join(map(str, behaviours))}")
        yield {server.counts.listener: server.counts for server in house.servers}
    finally:
        if house.loop is not None:
            with suppress(RuntimeError):  # it has ended by itself, because it could not listen
                house.loop.call_soon_threadsafe(house.stop.set)
        thread.join()


class _House:
    """Servers that share a thread."""

    def __init__(self, servers: Sequence["_Server"]) -> None:
        self.servers = servers
        self.ready = threading.Event()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.stop = asyncio.Event()

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        listening = [await server.listen() for server in self.servers]
        self.ready.set()
        await self.stop.wait()
        for one in listening:
            one.close()
        for server in self.servers:
            await server.drop()
        for one in listening:
            await one.wait_closed()


class _Server:
    def __init__(self, listener: Listener, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self.counts = Counts(listener)
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: list[Connection] = []

    async def listen(self) -> asyncio.Server:
        listener = self.counts.listener
        return await asyncio.start_server(self._accept, listener.address, listener.port, backlog=256)

    async def drop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(self.counts.connections, reader, writer)
        self._open = [one for one in (connection, *self._open) if one.is_open()]
        self.counts.connections += 1
        self.counts.transcripts.append(connection.transcript)
        connection.transcript.beside = len(self._open)
        self.counts.most_open = max(self.counts.most_open, len(self._open))
        task = asyncio.create_task(self._attend(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # A task that is cancelled before it begins never reaches its own end.
        task.add_done_callback(lambda _: writer.close())

    async def _attend(self, connection: Connection) -> None:
        try:
            # Callers that leave early are no error.
            with suppress(OSError):
                await self._behaviour(connection)
            connection.ends()
        finally:
            connection.writer.close()
            with suppress(OSError):
                await connection.writer.wait_closed()
