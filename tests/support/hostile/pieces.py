"""How the bytes of an answer leave: in fragments, late, behind a warning, or only in part."""

import asyncio

from tests.support.hostile.behaviours import stall
from tests.support.hostile.endpoint import Send
from tests.support.hostile.hello import record_bytes
from tests.support.tcp import Behaviour, Connection

# The ServerHello, and a little of what follows it.
_FIRST = 200
_HANDSHAKE = b"\x16"


async def byte_by_byte(connection: Connection, content: bytes) -> None:
    """Send the first bytes each in a segment of its own, and the rest whole."""
    head = _FIRST if not connection.transcript.sent else 0
    for byte in content[:head]:
        await connection.send(bytes([byte]))
        await asyncio.sleep(0)
    await connection.send(content[head:])


async def in_tiny_records(connection: Connection, content: bytes) -> None:
    """Split the first record, if it holds the ServerHello, into records of one byte each.

    RFC 8446 5.1 allows it; alerts are never split.
    """
    if connection.transcript.sent or content[:1] != _HANDSHAKE:
        await connection.send(content)
        return
    end = 5 + int.from_bytes(content[3:5], "big")
    tiny = b"".join(
        record_bytes(content[place : place + 1], kind=content[0]) for place in range(5, end)
    )
    await connection.send(tiny + content[end:])


async def signed_wrongly(connection: Connection, content: bytes) -> None:
    """Send a first flight with a wrong signature (TLS 1.2), or that does not decrypt (TLS 1.3)."""
    if connection.transcript.sent:
        await connection.send(content)
        return
    # The signature comes last before the ServerHelloDone (RFC 5246 7.4.3, 7.4.5), a nine-byte
    # record.
    place = len(content) - 10
    await connection.send(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])


def late(delay_s: float) -> Send:
    """Send everything after a while."""

    async def send(connection: Connection, content: bytes) -> None:
        await asyncio.sleep(delay_s)
        await connection.send(content)

    return send


def in_segments(size: int, gap_s: float) -> Send:
    """Send pieces of at most so many bytes, with a pause between them.

    A gateway that forwards segments as they come in does so: 1,448 bytes fit into one of Ethernet.
    """

    async def send(connection: Connection, content: bytes) -> None:
        for start in range(0, len(content), size):
            if start:
                await asyncio.sleep(gap_s)
            await connection.send(content[start : start + size])

    return send


def behind(prefix: bytes) -> Send:
    """Send something else first, once."""

    async def send(connection: Connection, content: bytes) -> None:
        await connection.send(content if connection.transcript.sent else prefix + content)

    return send


class _Cut(OSError):
    """The answer ends here."""


def only_first(number: int) -> Send:
    """Send so many bytes of the first answer and nothing more; see cut_short."""

    async def send(connection: Connection, content: bytes) -> None:
        await connection.send(content[:number])
        raise _Cut

    return send


async def only_first_record(connection: Connection, content: bytes) -> None:
    """Send the ServerHello, if it has a record of its own, and nothing more; see cut_short."""
    await connection.send(content[: 5 + int.from_bytes(content[3:5], "big")])
    raise _Cut


def cut_short(serve: Behaviour, then: Behaviour = stall) -> Behaviour:
    """Behave in another way where a server that sends only the first bytes has sent them."""

    async def behave(connection: Connection) -> None:
        try:
            await serve(connection)
        except _Cut:
            await then(connection)

    return behave
