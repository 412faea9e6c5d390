"""Behaviours of hostile servers. None of them proves anything about a partner's TLS."""

import asyncio
from itertools import count

from tests.support.loopback import Listener
from tests.support.tcp import Behaviour, Connection

HANDSHAKE_FAILURE = 40
INTERNAL_ERROR = 80
# Not TLS, and not HTTP either.
_GARBAGE = bytes(range(255, -1, -1)) * 4
# The header of a 16 KiB handshake record that never ends.
_ENDLESS_RECORD = bytes.fromhex("16030340000200003f")


async def reset(connection: Connection) -> None:
    """Read the hello, then RST."""
    await connection.read()
    connection.reset()


async def finish(connection: Connection) -> None:
    """Read the hello, then FIN."""
    await connection.read()


async def stall(connection: Connection) -> None:
    """Accept, and never send a byte."""
    while await connection.read():
        pass


async def garbage(connection: Connection) -> None:
    """Answer with meaningless bytes."""
    await connection.read()
    await connection.send(_GARBAGE)


async def reset_at_once(connection: Connection) -> None:
    """RST, without waiting for anything more."""
    connection.reset()


async def finish_at_once(connection: Connection) -> None:
    """FIN, without waiting for anything more."""


async def deaf(connection: Connection) -> None:
    """Accept, and never read."""
    connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.Event().wait()


def alert(description: int, level: int = 2) -> Behaviour:
    """Answer every hello with an alert, as a limiter that speaks TLS does."""
    return says(bytes([0x15, 3, 3, 0, 2, level, description]))


def says(answer: bytes) -> Behaviour:
    """Answer every hello with the same bytes, then FIN."""

    async def behave(connection: Connection) -> None:
        await connection.read()
        await connection.send(answer)

    return behave


def says_and_waits(answer: bytes) -> Behaviour:
    """Answer every hello with the same bytes, and wait for the client."""

    async def behave(connection: Connection) -> None:
        await connection.read()
        await connection.send(answer)
        await stall(connection)

    return behave


def greets(banner: bytes) -> Behaviour:
    """Speak first, as SSH and SMTP do."""

    async def behave(connection: Connection) -> None:
        await connection.send(banner)
        await stall(connection)

    return behave


def drip(interval_s: float = 1.0) -> Behaviour:
    """Send a record that is well-formed so far, byte by byte, forever.

    No single wait for a byte is ever long.
    """

    async def behave(connection: Connection) -> None:
        await connection.read()
        for position in count():
            await connection.send(_ENDLESS_RECORD[position : position + 1] or b"\0")
            await asyncio.sleep(interval_s)

    return behave


def first_bytes_of(target: Listener, number: int) -> Behaviour:
    """Relay only so many bytes of a good server's answer, then stall inside the handshake."""

    async def behave(connection: Connection) -> None:
        reader, writer = await asyncio.open_connection(target.address, target.port)
        try:
            writer.write(await connection.read())
            await connection.send(await reader.readexactly(number))
            await stall(connection)
        finally:
            writer.close()

    return behave
