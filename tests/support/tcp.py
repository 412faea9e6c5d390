"""A TCP server in a thread of its own, with its own event loop, that counts: the ground for hostile servers and relays."""

import asyncio
import select
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from tests.support.loopback import Listener


@dataclass
class Counts:
    """What arrived so far at a listener. most_open: the most connections that were open at once, as the client sees it."""

    listener: Listener
    connections: int = 0
    most_open: int = 0


@dataclass
class Connection:
    """One accepted connection. number: from 0, in order of arrival."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def read(self) -> bytes:
        """Return what the client sent, or b"" once it has left."""
        with suppress(OSError):
            return await self.reader.read(65536)
        return b""

    async def send(self, content: bytes) -> None:
        """Send, and wait until the system has it."""
        self.writer.write(content)
        await self.writer.drain()

    def reset(self) -> None:
        """End it with RST: lingering for zero seconds makes close() send that instead of FIN."""
        with suppress(OSError):
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

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
        self._open: list[Connection] = []

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
        connection = Connection(self.counts.connections, reader, writer)
        self._open = [connection, *(one for one in self._open if one.is_open())]
        self.counts.connections += 1
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
        finally:
            connection.writer.close()
            with suppress(OSError):
                await connection.writer.wait_closed()
