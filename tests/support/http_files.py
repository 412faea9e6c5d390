"""A plain HTTP server on loopback, in the test's own loop, that serves what a test tells it to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.support.loopback import own_listener

Script = Callable[[asyncio.StreamWriter], Awaitable[None]]


def ok(body: bytes, *fields: str, length: int | None = None) -> bytes:
    """Return a whole response. length: what Content-Length says, if not the truth."""
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body) if length is None else length}"]
    return "\r\n".join([*lines, *fields, "", ""]).encode() + body


def redirect(location: str, status: int = 302) -> bytes:
    """Return a redirect without a body."""
    return f"HTTP/1.1 {status} Found\r\nLocation: {location}\r\n\r\n".encode()


def endless(first: bytes, *, piece: bytes, pause_s: float = 0.0) -> Script:
    """Return a script that sends first, and then piece after piece until the client leaves."""

    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return send


async def silent(_writer: asyncio.StreamWriter) -> None:
    """Send nothing until the client leaves."""
    await asyncio.Event().wait()


@dataclass
class HttpFiles:
    """root: URL of the server, without a slash at its end. files: by path; bytes are sent as they
    are, and then the connection is closed. requests: heads, in order of arrival.
    """

    root: str
    files: dict[str, bytes | Script] = field(default_factory=dict)
    requests: list[bytes] = field(default_factory=list)

    def url(self, path: str) -> str:
        return self.root + path

    def asked(self, path: str) -> int:
        """Return how often a path was asked for."""
        return sum(head.startswith(f"GET {path} HTTP/1.1\r\n".encode()) for head in self.requests)


@asynccontextmanager
async def http_files() -> AsyncIterator[HttpFiles]:
    """Serve while the context lasts."""
    listener = own_listener()
    files = HttpFiles(f"http://{listener}")
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = await reader.readuntil(b"\r\n\r\n")
            files.requests.append(head)
            content = files.files.get(head.split(b" ")[1].decode())
            if content is None:
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            elif isinstance(content, bytes):
                writer.write(content)
                await writer.drain()
            else:
                await content(writer)
        writer.close()
        tasks.discard(task)

    server = await asyncio.start_server(serve, listener.address, listener.port)
    try:
        yield files
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
