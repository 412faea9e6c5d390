"""TCP servers in a thread with its own event loop, which count and record connections.

Hostile servers and relays are built on them.
"""

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

# More than any hello, and any response to it up to the end of its ServerHello.
_REMEMBERED = 4096


@dataclass
class Transcript:
    """A record of one connection from the server's side: the first bytes of each direction.

    concurrent: connections open when it arrived, as the client sees it, this connection included.
    answered_at: when the server sent its first byte, or ended the connection without one;
    monotonic. client_left: the client ended it first. is_too_late: it had left when the server
    began to answer, so nobody was shown what was sent.
    flight_sent: the server's whole first TLS flight was sent, certificates included.
    handshake_completed: the client's response to that flight arrived.
    """

    concurrent: int = 0
    received: bytes = b""
    sent: bytes = b""
    answered_at: float | None = None
    client_left: bool = False
    is_too_late: bool = False
    flight_sent: bool = False
    handshake_completed: bool = False

    @property
    def closed_silently(self) -> bool:
        """Whether the server closed or reset it without sending a byte."""
        return self.answered_at is not None and not self.sent and not self.client_left


@dataclass
class Counts:
    """The connections so far at a listener.

    most_open: the most connections that were open at once, as the client sees it.
    """

    listener: Listener
    connections: int = 0
    most_open: int = 0
    transcripts: list[Transcript] = field(default_factory=list)


@dataclass
class Connection:
    """An accepted connection. number: from 0, in order of arrival."""

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
        """Push back bytes that were read, for the next reader."""
        self._unread = content + self._unread

    async def send(self, content: bytes) -> None:
        """Send, and wait until the kernel has the bytes."""
        if self.transcript.answered_at is None:
            self.transcript.answered_at = time.monotonic()
            self.transcript.is_too_late = not self.is_open()
        if len(self.transcript.sent) < _REMEMBERED:
            self.transcript.sent += content
        self.writer.write(content)
        await self.writer.drain()

    def reset(self) -> None:
        """End it with RST: lingering for zero seconds makes close() send that instead of FIN."""
        self.ends()
        with suppress(OSError):
            self.writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
        self.writer.transport.abort()

    def ends(self) -> None:
        """Record that the server ends it now."""
        if self.transcript.answered_at is None:
            self.transcript.answered_at = time.monotonic()

    def is_open(self) -> bool:
        """Whether neither side has ended it.

        The kernel is asked, because an end that arrived may not have been read yet.
        """
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
def counting_servers(
    behaviours: Mapping[Listener, Behaviour],
) -> Iterator[Mapping[Listener, Counts]]:
    """Serve all of them in one thread while the context lasts."""
    group = _ServerGroup(
        [_Server(listener, behaviour) for listener, behaviour in behaviours.items()]
    )
    thread = threading.Thread(target=group.run, name="tcp servers", daemon=True)
    thread.start()
    try:
        if not group.ready.wait(10) or group.loop is None:
            raise AssertionError(f"nothing listens on {', '.join(map(str, behaviours))}")
        yield {server.counts.listener: server.counts for server in group.servers}
    finally:
        if group.loop is not None:
            with suppress(RuntimeError):  # it ended already, because it could not listen
                group.loop.call_soon_threadsafe(group.stop.set)
        thread.join()


class _ServerGroup:
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
        for listener in listening:
            listener.close()
        for server in self.servers:
            await server.drop()
        for listener in listening:
            await listener.wait_closed()


class _Server:
    def __init__(self, listener: Listener, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self.counts = Counts(listener)
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: list[Connection] = []

    async def listen(self) -> asyncio.Server:
        listener = self.counts.listener
        return await asyncio.start_server(
            self._accept, listener.address, listener.port, backlog=256
        )

    async def drop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(self.counts.connections, reader, writer)
        candidates = (connection, *self._open)
        self._open = [candidate for candidate in candidates if candidate.is_open()]
        self.counts.connections += 1
        self.counts.transcripts.append(connection.transcript)
        connection.transcript.concurrent = len(self._open)
        self.counts.most_open = max(self.counts.most_open, len(self._open))
        task = asyncio.create_task(self._attend(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # A task that is cancelled before it starts never runs its own cleanup.
        task.add_done_callback(lambda _: writer.close())

    async def _attend(self, connection: Connection) -> None:
        try:
            # Clients that leave early are not an error.
            with suppress(OSError):
                await self._behaviour(connection)
            connection.ends()
        finally:
            connection.writer.close()
            with suppress(OSError):
                await connection.writer.wait_closed()
