"""Downloads over plain HTTP: what counts as whole, the bounds, and which addresses are dialled."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network

import pytest

from otpc_policy.core.addresses import AddressVetting, Resolution
from otpc_policy.core.facts import ForbiddenAddress, ResolutionStatus
from otpc_policy.core.fetching import FetchOutcome, HttpUrl
from otpc_policy.engine.egress.http_body import read_body
from otpc_policy.engine.egress.http_download import download
from tests.support.http_files import HttpFiles, Script, endless, http_files, ok, redirect, silent
from tests.support.loopback import own_address

_VETTING = AddressVetting([ip_network("127.0.0.0/8")])


def resolution(*addresses: str) -> Resolution:
    vetted = tuple(_VETTING.vet(address) for address in addresses)
    forbidden = tuple(each for each in vetted if isinstance(each, ForbiddenAddress))
    if forbidden:
        return Resolution(status=ResolutionStatus.FORBIDDEN, forbidden=forbidden)
    return Resolution(
        status=ResolutionStatus.RESOLVED,
        addresses=tuple(each for each in vetted if not isinstance(each, ForbiddenAddress)),
        ttl=timedelta(seconds=30),
    )


async def of_literal(host: str) -> Resolution:
    return resolution(host)


async def downloaded(
    url: str,
    *,
    max_bytes: int = 100_000,
    deadline_s: float = 10.0,
    is_own_listener: Callable[[str, int], bool] = lambda _address, _port: False,
) -> tuple[FetchOutcome, bytes]:
    pieces: list[bytes] = []

    async def take(piece: bytes) -> None:
        pieces.append(piece)

    outcome = await download(
        HttpUrl.parse(url),
        resolve=of_literal,
        is_own_listener=is_own_listener,
        max_bytes=max_bytes,
        deadline_s=deadline_s,
        take=take,
    )
    return outcome, b"".join(pieces)


_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "response",
    [
        ok(b"body"),
        ok(b"body", "Content-Type: application/pkix-crl", "content-length: 4"),
        b"HTTP/1.0 200 OK\r\n\r\nbody",
        b"HTTP/1.1 200\r\n\r\nbody",
        _CHUNKED + b"2\r\nbo\r\n2;x=y\r\ndy\r\n0\r\n\r\n",
        ok(b"body and more than was announced", length=4),
    ],
)
async def test_a_whole_body_is_fetched(response: bytes) -> None:
    async with http_files() as files:
        files.files["/a.crl?b"] = response
        assert await downloaded(files.url("/a.crl?b")) == (FetchOutcome.FETCHED, b"body")
    (head,) = files.requests
    authority = files.root.removeprefix("http://").encode()
    assert head.startswith(b"GET /a.crl?b HTTP/1.1\r\nHost: " + authority + b"\r\n")


@pytest.mark.parametrize(
    ("response", "outcome"),
    [
        (b"", FetchOutcome.BROKEN),
        (b"HTTP/1.1 200 OK\r\n", FetchOutcome.BROKEN),
        (b"SSH-2.0-OpenSSH\r\n\r\n", FetchOutcome.BROKEN),
        (b"HTTP/2 200 OK\r\n\r\nbody", FetchOutcome.BROKEN),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", FetchOutcome.BROKEN),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", FetchOutcome.BROKEN),
        (ok(b"bod", length=4), FetchOutcome.BROKEN),
        (ok(b"body", "Content-Length: 3"), FetchOutcome.BROKEN),
        (ok(b"body", "Content-Encoding: gzip"), FetchOutcome.BROKEN),
        (ok(b"body", "Transfer-Encoding: gzip"), FetchOutcome.BROKEN),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\nbody", FetchOutcome.BROKEN),
        (_CHUNKED + b"4\r\nbody\r\n", FetchOutcome.BROKEN),
        (_CHUNKED + b"4\r\nbodyXX0\r\n\r\n", FetchOutcome.BROKEN),
        (_CHUNKED + b"-4\r\nbody\r\n0\r\n\r\n", FetchOutcome.BROKEN),
        (_CHUNKED + b"FFFFFF\r\n", FetchOutcome.TOO_LARGE),
        (ok(b"", length=100_001), FetchOutcome.TOO_LARGE),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_001, FetchOutcome.TOO_LARGE),
        (b"HTTP/1.1 404 Not Found\r\n\r\nbody", FetchOutcome.REFUSED),
        (b"HTTP/1.1 206 Partial Content\r\n\r\nbody", FetchOutcome.REFUSED),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", FetchOutcome.REFUSED),
        (redirect("https://127.0.0.1/"), FetchOutcome.REDIRECTED),
        (redirect("ftp://127.0.0.1/"), FetchOutcome.REDIRECTED),
        (redirect("/a.crl"), FetchOutcome.REDIRECTED),
        (redirect("http://10.0.0.1/"), FetchOutcome.FORBIDDEN),
        (redirect("http://169.254.169.254/latest/meta-data"), FetchOutcome.FORBIDDEN),
        (redirect("http://[::1]/"), FetchOutcome.FORBIDDEN),
    ],
)
async def test_anything_else_is_no_body(response: bytes, outcome: FetchOutcome) -> None:
    async with http_files() as files:
        files.files["/a.crl"] = response
        assert (await downloaded(files.url("/a.crl")))[0] is outcome


async def test_two_redirects_are_followed_and_no_third() -> None:
    async with http_files() as files:
        files.files |= {
            "/0": redirect("/1", 301),
            "/1": redirect(files.url("/2"), 307),
            "/2": redirect("/3", 308),
            "/3": ok(b"body"),
        }
        assert await downloaded(files.url("/1")) == (FetchOutcome.FETCHED, b"body")
        assert await downloaded(files.url("/0")) == (FetchOutcome.REDIRECTED, b"")


@pytest.mark.parametrize(
    "script",
    [
        silent,
        endless(b"", piece=b"H", pause_s=0.01),
        endless(b"HTTP/1.1 200 OK\r\n\r\n", piece=b"x", pause_s=0.01),
        endless(_CHUNKED, piece=b"1\r\nx\r\n", pause_s=0.01),
    ],
    ids=["silent", "head", "body", "chunks"],
)
async def test_a_server_that_drips_is_left_at_the_deadline(script: Script) -> None:
    async with http_files() as files:
        files.files["/a.crl"] = script
        async with asyncio.timeout(5.0):
            outcome, _ = await downloaded(files.url("/a.crl"), deadline_s=0.3)
        assert outcome is FetchOutcome.TIMEOUT


async def test_an_endless_body_ends_at_the_bound() -> None:
    async with http_files() as files:
        files.files["/a.crl"] = endless(b"HTTP/1.1 200 OK\r\n\r\n", piece=b"x" * 65_536)
        outcome, body = await downloaded(files.url("/a.crl"), max_bytes=300_000)
        assert outcome is FetchOutcome.TOO_LARGE
        assert len(body) <= 300_000


async def test_chunks_of_a_byte_end_when_their_framing_is_out_of_proportion() -> None:
    """4 MiB of them held an engine's loop for seconds, and were a message each."""
    async with http_files() as files:
        files.files["/a.crl"] = endless(_CHUNKED, piece=b"1\r\nx\r\n" * 10_000)
        outcome, body = await downloaded(files.url("/a.crl"), max_bytes=4 << 20)
    assert (outcome, body) == (FetchOutcome.BROKEN, b"")


@pytest.mark.parametrize("head", [_CHUNKED, b"HTTP/1.1 200 OK\r\n\r\n"], ids=["chunks", "closed"])
async def test_pieces_are_collected_before_they_are_handed_on(head: bytes) -> None:
    body = bytes(range(256)) * 1_000
    cut = [body[start : start + 100] for start in range(0, len(body), 100)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in cut) + b"0\r\n\r\n"
    taken: list[bytes] = []

    async def take(piece: bytes) -> None:
        taken.append(piece)

    async def dripping(writer: asyncio.StreamWriter) -> None:
        wire = head + (chunks if head == _CHUNKED else body)
        for start in range(0, len(wire), 7_001):
            writer.write(wire[start : start + 7_001])
            await writer.drain()
            await asyncio.sleep(0)

    async with http_files() as files:
        files.files["/a.crl"] = dripping
        url = HttpUrl.parse(files.url("/a.crl"))
        outcome = await download(
            url, resolve=of_literal, max_bytes=300_000, deadline_s=10.0, take=take
        )
    assert (outcome, b"".join(taken)) == (FetchOutcome.FETCHED, body)
    assert [len(piece) for piece in taken] == [65_536, 65_536, 65_536, 256_000 - 3 * 65_536]


async def test_a_download_leaves_the_loop_to_others() -> None:
    """Whatever is at hand already: reads that need not wait give way too."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    reader = asyncio.StreamReader()
    reader.feed_data((b"1\r\nx\r\n" * 10_000) + b"0\r\n\r\n")
    reader.feed_eof()
    task = asyncio.create_task(others())
    body = [piece async for piece in read_body(reader, {"transfer-encoding": "chunked"}, 10_000)]
    task.cancel()
    assert body == [b"x" * 10_000]
    assert turns >= 60_000 // (16 * 1024)


async def fetched_by(files: HttpFiles, answer: Resolution) -> FetchOutcome:
    """Fetch from a name that resolves to the answer, on the port of the server."""
    files.files["/a.crl"] = ok(b"body")
    port = files.root.rpartition(":")[2]

    async def resolve(host: str) -> Resolution:
        assert host == "crl.example"
        return answer

    async def take(_piece: bytes) -> None:
        pass

    return await download(
        HttpUrl.parse(f"http://crl.example:{port}/a.crl"),
        resolve=resolve,
        max_bytes=100,
        deadline_s=10.0,
        take=take,
    )


async def test_only_vetted_addresses_of_the_name_are_dialled() -> None:
    async with http_files() as files:
        address = files.root.removeprefix("http://").rpartition(":")[0]
        good = resolution(address)
        assert await fetched_by(files, good) is FetchOutcome.FETCHED
        assert await fetched_by(files, resolution(own_address(), address)) is FetchOutcome.FETCHED
        assert await fetched_by(files, resolution(own_address())) is FetchOutcome.UNREACHABLE
        assert len(files.requests) == 2
        assert await fetched_by(files, replace(good, is_stale=True)) is FetchOutcome.UNRESOLVED
        nothing = Resolution(status=ResolutionStatus.FAILED)
        assert await fetched_by(files, nothing) is FetchOutcome.UNRESOLVED
        assert await fetched_by(files, resolution(address, "10.0.0.1")) is FetchOutcome.FORBIDDEN
        assert len(files.requests) == 2


async def test_a_port_where_the_service_itself_listens_is_not_connected_to() -> None:
    async with http_files() as own, http_files() as other:
        own.files["/a.crl"] = ok(b"body")
        other.files["/a.crl"] = redirect(own.url("/a.crl"))
        port = int(own.root.rpartition(":")[2])

        def is_own(_address: str, asked: int) -> bool:
            return asked == port

        for site in (own, other):
            outcome = await downloaded(site.url("/a.crl"), is_own_listener=is_own)
            assert outcome == (FetchOutcome.FORBIDDEN, b"")
    assert not own.requests
