"""A TCP server in a thread of its own, with its own event loop, that counts: the ground for hostile servers and relays."""

import asyncio
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.support.loopback import Listener


@dataclass
class Counts:
    """What arrived so far at a listener. open: connections that are open now, as the client sees it. most_open: the most that ever were."""

    listener: Listener
    connections: int = 0
    open: int = 0
    most_open: int = 0


@dataclass
class Connection:
    """One accepted connection. number: from 0, in order of arrival."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    counts: Counts = field(repr=False)
    _counted: bool = True

    async def read(self) -> bytes:
        """Return what the client sent, or b"" once it has left."""
        received = b""
        with suppress(OSError):
            received = await self.reader.read(65536)
        if not received:
            self.no_longer_open()
        return received

    async def send(self, content: bytes) -> None:
        """Send, and wait until the system has it."""
        self.writer.write(content)
        await self.writer.drain()

    def reset(self) -> None:
        """End it with RST: lingering for zero seconds makes close() send that instead of FIN."""
        with suppress(OSError):
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        self.no_longer_open()

    def no_longer_open(self) -> None:
        """Count it no more."""
        if self._counted:
            self._counted = False
            self.counts.open -= 1


Behaviour = Callable[[Connection], Awaitable[None]]


@contextmanager
def counting_server(listener: Listener, behaviour: Behaviour) -> Iterator[Counts]:
    """Serve while the context lasts. A connection is closed when its behaviour returns."""
    server = _Server(listener, behaviour)
    thread = threading.Thread(target=server.run, name=f"tcp {listener}", daemon=True)
    thread.start()
    if not server.ready.wait(10) or server.loop is None:
        raise AssertionError(f"nothing listens on {listener}")
    try:
        yield server.counts
    finally:
        server.loop.call_soon_threadsafe(server.stop.set)
        thread.join()


class _Server:
    def __init__(self, listener: Listener, behaviour: Behaviour) -> None:
        self.listener, self._behaviour = listener, behaviour
        self.counts = Counts(listener)
        self.ready = threading.Event()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        async with await asyncio.start_server(self._accept, self.listener.address, self.listener.port, backlog=256):
            self.ready.set()
            await self.stop.wait()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(self.counts.connections, reader, writer, self.counts)
        self.counts.connections += 1
        self.counts.open += 1
        self.counts.most_open = max(self.counts.most_open, self.counts.open)
        task = asyncio.create_task(self._attend(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _attend(self, connection: Connection) -> None:
        try:
            # Callers that leave early are no error.
            with suppress(OSError):
                await self._behaviour(connection)
        finally:
            connection.no_longer_open()
            connection.writer.close()
            with suppress(OSError):
                await connection.writer.wait_closed()
