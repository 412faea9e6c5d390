"""Sentinels that many ask at once: none is lost, and none that answers nonsense is the last."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from redis.asyncio.sentinel import MasterNotFoundError

from otpc_policy.fleet.clients import Address, StoreClients
from tests.fleet.test_hostile_store import HELLO

_FIELDS = (
    *(b"name", b"main", b"ip", b"127.0.0.1", b"port", b"7", b"flags", b"master"),
    *(b"num-other-sentinels", b"2"),
)
KNOWS = b"*1\r\n%%%d\r\n" % (len(_FIELDS) // 2) + b"".join(
    b"$%d\r\n%s\r\n" % (len(each), each) for each in _FIELDS
)
REFUSES = b"-NOPERM no\r\n"
NONSENSE = b"*1\r\n:1\r\n"
DIES = b""


@asynccontextmanager
async def sentinel(answer: bytes) -> AsyncIterator[Address]:
    """A server that answers alike, a moment later."""
    accepted: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)
        while answer and (asked := await reader.read(65_536)):
            if b"HELLO" in asked or b"SETINFO" in asked:
                writer.write(HELLO * asked.count(b"\r\nHELLO\r\n"))
                writer.write(b"+OK\r\n" * asked.count(b"\r\nSETINFO\r\n"))
                continue
            await asyncio.sleep(0.005)
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Address("127.0.0.1", server.sockets[0].getsockname()[1])
        for each in accepted:
            each.close()


@asynccontextmanager
async def asking(answers: Sequence[bytes]) -> AsyncIterator[Any]:
    """A pool that asks sentinels with these answers."""
    async with AsyncExitStack() as stack:
        addresses = [await stack.enter_async_context(sentinel(each)) for each in answers]
        clients = StoreClients("redis://127.0.0.1:1/0", deadline_s=4.0)
        client = clients.of_primary("main", addresses)
        yield client.connection_pool.sentinel_manager  # type: ignore[attr-defined]
        await client.aclose(close_connection_pool=True)


async def test_none_is_lost_where_many_ask_at_once() -> None:
    async with asking((DIES, KNOWS, KNOWS)) as sentinels:
        before = set(map(id, sentinels.sentinels))
        for _ in range(3):
            found = await asyncio.gather(*(sentinels.discover_master("main") for _ in range(16)))
            assert set(found) == {("127.0.0.1", 7)}
        assert set(map(id, sentinels.sentinels)) == before
        # Whoever answers is asked first from then on.
        assert id(sentinels.sentinels[0]) in before


@pytest.mark.parametrize("answer", [DIES, REFUSES, NONSENSE], ids=["dies", "refuses", "nonsense"])
async def test_whatever_one_answers_the_next_is_asked(answer: bytes) -> None:
    async with asking((answer, KNOWS)) as sentinels:
        assert await sentinels.discover_master("main") == ("127.0.0.1", 7)
    async with asking((answer, answer)) as sentinels:
        with pytest.raises(MasterNotFoundError):
            await sentinels.discover_master("main")
