"""A server that says what no server would, and whoever writes to the store without the key."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from otpc_policy.check import StoreUnavailable
from tests.fleet.conftest import MakeReplica
from tests.fleet.world import KEY, Replica, facts

HELLO = b"%1\r\n$5\r\nproto\r\n:3\r\n"
ANSWERS = {
    "nothing": b"",
    "no protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "no number": b":x\r\n",
    "no length": b"$x\r\nabc\r\n",
    "negative length": b"*-7\r\n",
    "endless line": b"+" + b"x" * 200_000,
    "nested": b"*1\r\n" * 5_000 + b":1\r\n",
    "unhashable": b"%1\r\n*1\r\n:1\r\n:1\r\n",
    "huge number": b":" + b"9" * 4_000 + b"\r\n",
    "longer than any memory": b"$99999999999999999999\r\nabc\r\n",
    "more than any memory": b"*99999999999999999999\r\n:1\r\n",
    "nil": b"_\r\n",
    "nil list": b"*-1\r\n",
    "empty list": b"*0\r\n",
    "list of nil": b"*1\r\n_\r\n",
    "list of a number": b"*1\r\n:1000000000\r\n",
    "list of a list": b"*1\r\n*1\r\n:1\r\n",
    "number": b":1000000000\r\n",
    "text": b"+OK\r\n",
    "not UTF-8": b"$2\r\n\xff\xfe\r\n",
    "true": b"#t\r\n",
    "not a number": b",nan\r\n",
    "a lease of texts": b"*3\r\n:1\r\n$1\r\nx\r\n$1\r\ny\r\n",
    "a lease of numbers": b"*3\r\n:1\r\n:1\r\n:-5\r\n",
    "facts that are a number": b"*2\r\n:2\r\n:2000000000\r\n",
    "an error": b"-WRONGTYPE no\r\n",
    "a long error": b"!70000\r\n" + b"x" * 70_000 + b"\r\n",
    "push": b">2\r\n$3\r\nx\xff\x00\r\n:1\r\n",
}


@asynccontextmanager
async def server_that_says(answer: bytes) -> AsyncIterator[str]:
    """Open connections as a server does, then answer everything alike."""
    accepted: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)
        while asked := await reader.read(65_536):
            for word, said in ((b"HELLO", HELLO), (b"SETINFO", b"+OK\r\n")):
                writer.write(said * asked.count(b"\r\n" + word + b"\r\n"))
            if b"HELLO" not in asked and b"SETINFO" not in asked:
                # As often as a poll asks.
                writer.write(answer * 17)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        for writer in accepted:
            writer.close()


async def use(one: Replica) -> None:
    """Do all that a replica does with the store, each as though it were available."""
    with suppress(StoreUnavailable):
        assert await one.shared.get_many([KEY]) == [None]
    one.observed.at += 10
    with pytest.raises(StoreUnavailable):
        await one.leases.acquire(KEY, new_enough_s=1)
    one.observed.at += 10
    with pytest.raises(StoreUnavailable):
        await one.notices.follow()


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_whatever_a_server_answers_the_store_is_unavailable_and_no_more(
    replica: MakeReplica, answer: bytes
) -> None:
    async with server_that_says(answer) as url:
        one = replica(url, deadline_s=0.2)
        await use(one)
        one.observed.at += 10
        await one.store.put(KEY, facts())
        assert await one.store.get_many([KEY]) == [facts()]
        one.observed.at += 10
        with suppress(StoreUnavailable):
            assert isinstance(await one.store.discard_endpoint(KEY.host, 0), int)
        assert await one.memory.get_many([KEY]) == [None]
        assert not one.client.connection_pool._in_use_connections


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_whatever_a_server_says_of_a_cluster_the_store_is_unavailable_and_no_more(
    replica: MakeReplica, answer: bytes
) -> None:
    async with server_that_says(answer) as url:
        one = replica(url, deadline_s=0.2, is_cluster=True)
        with pytest.raises(StoreUnavailable):
            await one.shared.get_many([KEY])
        with pytest.raises(StoreUnavailable):
            await one.notices.follow()
        await one.store.put(KEY, facts())
        assert await one.store.get_many([KEY]) == [facts()]


REDIRECTS = {
    "to itself": b"-MOVED 1 127.0.0.1:%d\r\n",
    "to another machine": b"-MOVED 1 127.0.0.9:%d\r\n",
    "to no port": b"-MOVED 1 127.0.0.1:0\r\n",
    "to no host": b"-MOVED 1 a b:%d\r\n",
    "without an address": b"-MOVED 1\r\n",
    "that ask": b"-ASK 1 127.0.0.1:%d\r\n",
    "later": b"-TRYAGAIN no\r\n",
    "for ever": b"-CLUSTERDOWN no\r\n",
}


@pytest.mark.parametrize("redirect", REDIRECTS.values(), ids=REDIRECTS)
async def test_redirects_are_followed_once_and_only_where_they_may_lead(
    replica: MakeReplica, redirect: bytes
) -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("sockname")[1]
        says = redirect.replace(b"%d", b"%d" % port)
        slots = b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:%d\r\n" % port
        while words := await _command(reader):
            asked.append(words[0])
            known = {b"HELLO": HELLO, b"CLIENT": b"+OK\r\n", b"CLUSTER": slots}
            writer.write(known.get(words[0], says))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        one = replica(
            url, deadline_s=0.5, is_cluster=True, is_permitted=lambda host: host == "127.0.0.1"
        )
        with pytest.raises(StoreUnavailable):
            await one.shared.get_many([KEY])
        with pytest.raises(StoreUnavailable):
            await one.notices.follow()
        await one.connection.close()
    # Twice each for one key, and once or twice for the notices of all shards.
    assert asked.count(b"EVALSHA") <= 2 + 2 * 16


async def _command(reader: asyncio.StreamReader) -> list[bytes]:
    """Read one command."""
    try:
        count = int((await reader.readline())[1:])
        words = []
        for _ in range(count):
            length = int((await reader.readline())[1:])
            words.append((await reader.readexactly(length + 2))[:-2])
    except (ValueError, OSError, asyncio.IncompleteReadError):
        return []
    return words
