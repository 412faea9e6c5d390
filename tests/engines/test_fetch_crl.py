"""FetchCrl from end to end: bytes come back whole or not at all, and a lie is noticed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from otpc_policy.core.errors import Overloaded
from otpc_policy.core.fetching import Fetched, FetchOutcome, HttpUrl
from otpc_policy.engine.egress.hindrance import CannotDial
from otpc_policy.engine.service import servicer
from otpc_policy.engines.client import EngineClient, channel_options
from otpc_policy.engines.errors import EngineFailed, EngineHindered, EngineLost
from otpc_policy.engines.fake import FakeEngine, FakeFleet
from otpc_policy.engines.pool import EnginePool
from otpc_policy.measurement.engine_lied import EngineLied
from otpc_policy.measurement.v1 import measurement_pb2 as pb
from tests.engine.serving import LOOPBACK, VETTING, World, served, vetted
from tests.engines.lies import progress
from tests.engines.lying import lying_engine
from tests.support.facts import NOW
from tests.support.http_files import endless, http_files, ok, silent

_NOWHERE = HttpUrl.parse("http://crl.example/a.crl")


@asynccontextmanager
async def client_of(world: World, folder: Path) -> AsyncIterator[EngineClient]:
    async with served(world, folder), channel_to(f"unix:{folder}/engine") as client:
        yield client


@asynccontextmanager
async def channel_to(address: str) -> AsyncIterator[EngineClient]:
    async with grpc.aio.insecure_channel(address, options=channel_options()) as channel:
        yield EngineClient(channel, vetting=VETTING, now=lambda: NOW)


def resolving_to(root: str) -> World:
    """Return a world that resolves every host to the server at the root."""
    address = root.removeprefix("http://").rpartition(":")[0]
    return World(resolved=replace(LOOPBACK, addresses=(vetted(address),)))


@pytest.mark.parametrize("size", [0, 1, 65_536, 1_500_000])
async def test_a_crl_comes_back_whole(tmp_path: Path, size: int) -> None:
    body = bytes(range(251)) * (size // 251) + bytes(size % 251)
    async with http_files() as files, client_of(resolving_to(files.root), tmp_path) as client:
        files.files["/a.crl"] = ok(body)
        url = HttpUrl.parse(files.url("/a.crl"))
        found = await client.fetch_crl(url, max_bytes=2_000_000, deadline_s=20)
    assert found == Fetched(FetchOutcome.FETCHED, body)


async def test_of_one_that_is_too_long_nothing_is_left(tmp_path: Path) -> None:
    async with http_files() as files, client_of(resolving_to(files.root), tmp_path) as client:
        files.files["/a.crl"] = b"HTTP/1.1 200 OK\r\n\r\n" + bytes(300_000)
        url = HttpUrl.parse(files.url("/a.crl"))
        found = await client.fetch_crl(url, max_bytes=200_000, deadline_s=20)
    assert found == Fetched(FetchOutcome.TOO_LARGE)


async def test_a_front_that_reads_late_is_told_of_the_deadline(tmp_path: Path) -> None:
    """The deadline cuts off a write that waits for the front; gRPC takes the next one after it."""
    async with http_files() as files, served(resolving_to(files.root), tmp_path) as service:
        files.files["/a.crl"] = endless(b"HTTP/1.1 200 OK\r\n\r\n", piece=bytes(65_536))
        message = pb.FetchCrlRequest(url=files.url("/a.crl"), max_bytes=16 << 20)
        message.deadline.FromMilliseconds(500)
        call = service.stub.FetchCrl(message)
        await asyncio.sleep(1.0)
        messages = [response async for response in call]
    assert messages[-1].end.outcome == pb.FETCH_OUTCOME_TIMEOUT
    assert all(response.chunk for response in messages[:-1])


@pytest.mark.parametrize(
    "request_",
    [
        {"url": "https://crl.example/"},
        {"url": "gopher://crl.example/"},
        {"url": ""},
        {"max_bytes": 0},
        {"max_bytes": 1 << 30},
        {"deadline": 0},
        {"deadline": 100_000},
    ],
)
async def test_an_engine_holds_the_bounds_of_the_contract(
    tmp_path: Path, request_: dict[str, Any]
) -> None:
    fields = {"url": "http://crl.example/", "max_bytes": 1000, "deadline": 10, **request_}
    message = pb.FetchCrlRequest(url=fields["url"], max_bytes=fields["max_bytes"])
    message.deadline.FromSeconds(fields["deadline"])
    async with served(World(), tmp_path) as service:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            async for _ in service.stub.FetchCrl(message):
                pass
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_engine_of_an_older_release_cannot(tmp_path: Path) -> None:
    async with lying_engine(tmp_path, progress()) as at, channel_to(at) as client:
        with pytest.raises(EngineFailed, match="does not know the method"):
            await client.fetch_crl(_NOWHERE, max_bytes=100, deadline_s=5)


def chunk(size: int) -> bytes:
    return pb.FetchCrlResponse(chunk=bytes(size)).SerializeToString()


def end(outcome: Any = pb.FETCH_OUTCOME_FETCHED) -> bytes:
    return pb.FetchCrlResponse(end=pb.FetchCrlEnd(outcome=outcome)).SerializeToString()


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [chunk(10)],
        [chunk(0), end()],
        [chunk(60), chunk(60), end()],
        [end(), end()],
        [end(), chunk(1)],
        [chunk(1), end(0)],
        [chunk(1), end(99)],
        [b"\xff\xff\xff"],
        [b""],
    ],
    ids=lambda messages: f"{len(messages)} messages",
)
async def test_a_lie_is_noticed(tmp_path: Path, messages: Sequence[bytes]) -> None:
    async with lying_engine(tmp_path, progress(), fetches=messages) as at, channel_to(at) as client:
        with pytest.raises(EngineLied):
            await client.fetch_crl(_NOWHERE, max_bytes=100, deadline_s=5)


async def test_chunks_beyond_the_bound_of_one_are_a_lie(tmp_path: Path) -> None:
    messages = [chunk(300_000), end()]
    async with lying_engine(tmp_path, progress(), fetches=messages) as at, channel_to(at) as client:
        with pytest.raises(EngineLied):
            await client.fetch_crl(_NOWHERE, max_bytes=1_000_000, deadline_s=5)


async def test_a_failed_fetch_has_no_body_whatever_was_sent(tmp_path: Path) -> None:
    messages = [chunk(50), end(pb.FETCH_OUTCOME_BROKEN)]
    async with lying_engine(tmp_path, progress(), fetches=messages) as at, channel_to(at) as client:
        found = await client.fetch_crl(_NOWHERE, max_bytes=100, deadline_s=5)
    assert found == Fetched(FetchOutcome.BROKEN)


async def test_a_machine_that_cannot_connect_says_nothing_of_the_url(tmp_path: Path) -> None:
    async with client_of(World(error=CannotDial("no ports")), tmp_path) as client:
        with pytest.raises(EngineHindered):
            await client.fetch_crl(_NOWHERE, max_bytes=100, deadline_s=5)


async def test_nobody_there_is_lost(tmp_path: Path) -> None:
    async with channel_to(f"unix:{tmp_path}/engine") as client:
        with pytest.raises(EngineLost):
            await client.fetch_crl(_NOWHERE, max_bytes=100, deadline_s=5)


async def test_too_many_at_once_are_refused_and_a_cancelled_one_leaves_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servicer, "_MAX_FETCHES", 1)
    async with http_files() as files, client_of(resolving_to(files.root), tmp_path) as client:
        files.files |= {"/slow.crl": silent, "/a.crl": ok(b"body")}
        slow, url = HttpUrl.parse(files.url("/slow.crl")), HttpUrl.parse(files.url("/a.crl"))
        fetching = asyncio.create_task(client.fetch_crl(slow, max_bytes=100, deadline_s=60))
        async with asyncio.timeout(10):
            while not files.requests:  # noqa: ASYNC110  # another task of this loop answers
                await asyncio.sleep(0.01)
        with pytest.raises(Overloaded):
            await client.fetch_crl(url, max_bytes=100, deadline_s=5)
        fetching.cancel()
        async with asyncio.timeout(10):
            while True:
                try:
                    found = await client.fetch_crl(url, max_bytes=100, deadline_s=5)
                    break
                except Overloaded:
                    await asyncio.sleep(0.01)
    assert found == Fetched(FetchOutcome.FETCHED, b"body")


def pool_of(*engines: FakeEngine) -> EnginePool:
    return EnginePool(
        FakeFleet(engines), queue_limit=1, scan_deadline_s=1, deep_deadline_s=1, dns_timeout_s=1
    )


def engine(name: str, crls: dict[str, Fetched | Exception]) -> FakeEngine:
    def unasked(*_: Any) -> Any:
        raise NotImplementedError

    return FakeEngine(name=name, answer=unasked, crls=crls)


async def test_a_pool_asks_the_same_engine_about_one_host() -> None:
    fetched = Fetched(FetchOutcome.FETCHED, b"body")
    urls = [HttpUrl.parse(f"http://crl.example/{number}.crl") for number in range(5)]
    crls: dict[str, Fetched | Exception] = {url.text: fetched for url in urls}
    engines = [engine(f"engine-{number}", crls) for number in range(4)]
    pool = pool_of(*engines)
    for url in urls:
        assert await pool.fetch_crl(url, max_bytes=100, deadline_s=5) == fetched
    assert sorted(len(each.asked) for each in engines) == [0, 0, 0, 5]


@pytest.mark.parametrize("error", [EngineLied("chunk"), EngineLost("gone"), EngineFailed("no")])
async def test_a_pool_condemns_the_engine_that_lied_and_no_other(error: Exception) -> None:
    asked = engine("engine", {_NOWHERE.text: error})
    with pytest.raises(type(error)):
        await pool_of(asked).fetch_crl(_NOWHERE, max_bytes=100, deadline_s=5)
    assert bool(asked.condemned) is isinstance(error, EngineLied)
