"""A TCP relay that adds round trips, as a distant server would, and counts connections."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, suppress

from tests.support.loopback import Listener
from tests.support.tcp import Behaviour, Connection, Counts, counting_server


def relay(
    listener: Listener, target: Listener, *, round_trip_s: float = 0.0
) -> AbstractContextManager[Counts]:
    """Serve as a relay to the target."""
    return counting_server(listener, relay_to(target, round_trip_s=round_trip_s))


def relay_to(target: Listener, *, round_trip_s: float = 0.0) -> Behaviour:
    """Return the behaviour of a relay.

    The kernel completes a connection to loopback at once. To a distant server it costs a round trip
    before the client's first byte. So bytes
    of the first round trip are held as if the client had sent them at its end.
    """

    async def behave(connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        connected_at = loop.time() + round_trip_s
        try:
            reader, writer = await asyncio.open_connection(target.address, target.port)
        except OSError:
            connection.reset()
            return

        async def received() -> bytes:
            return await reader.read(65536)

        async def forward(content: bytes) -> None:
            writer.write(content)
            await writer.drain()

        half_s = round_trip_s / 2
        to_client = asyncio.create_task(_pipe(received, connection.send, half_s, connected_at))
        to_target = asyncio.create_task(_pipe(connection.read, forward, half_s, connected_at))
        try:
            # A target that finishes ends the connection; a client may still wait for a response.
            await asyncio.wait([to_client, to_target], return_when=asyncio.FIRST_COMPLETED)
            if to_target.done() and not to_client.done():
                writer.write_eof()
            await to_client
        except OSError:
            connection.reset()
        finally:
            # First, because a second cancellation may end this here.
            writer.close()
            await _ended(to_client, to_target)
            with suppress(OSError):
                await writer.wait_closed()

    return behave


async def _pipe(
    read: Callable[[], Awaitable[bytes]],
    write: Callable[[bytes], Awaitable[None]],
    delay_s: float,
    not_before: float,
) -> None:
    """Carry bytes one way until the sender finishes.

    Each byte arrives delay_s after it was sent, however many are in transit.
    """
    loop = asyncio.get_running_loop()
    under_way: asyncio.Queue[tuple[float, bytes | OSError]] = asyncio.Queue()

    async def deliver() -> None:
        while True:
            due, content = await under_way.get()
            await asyncio.sleep(due - loop.time())
            if isinstance(content, OSError):
                raise content
            if not content:
                return
            await write(content)

    delivery = asyncio.create_task(deliver())
    try:
        content: bytes | OSError = b"."
        while content and not isinstance(content, OSError):
            try:
                content = await read()
            except OSError as error:
                content = error
            under_way.put_nowait((max(loop.time(), not_before) + delay_s, content))
        await delivery
    finally:
        delivery.cancel()


async def _ended(*tasks: "asyncio.Task[None]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
