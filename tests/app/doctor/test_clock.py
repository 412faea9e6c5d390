"""The clock is compared over real TLS, directly and through a proxy, within a bound of time."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from otpc_policy.app.doctor.clock import HttpsPeer, clock_against
from otpc_policy.app.doctor.result import Result, Status
from otpc_policy.app.settings import Settings
from tests.support.certificates import CertificateAuthority, Issued
from tests.support.connect_proxy import ConnectProxy, connect_proxy, status
from tests.support.waiting import wait_until

AUTHORITY = CertificateAuthority.create()
NOW = datetime(2026, 11, 29, 12, 0, 0, tzinfo=UTC)


def _dated(at: datetime) -> bytes:
    date = format_datetime(at, usegmt=True)
    return f"HTTP/1.1 405 No\r\nServer: x\r\nDATE: {date}\r\n\r\n".encode()


@asynccontextmanager
async def _server(folder: Path, answer: bytes, own: Issued) -> AsyncIterator[HttpsPeer]:
    """Serve one answer; a head that is not ended stays open."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*own.write(folder, "peer"))
    (folder / "ca.pem").write_bytes(AUTHORITY.pem)
    heads: list[bytes] = []

    serving: list[asyncio.Task[None]] = []

    async def answer_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
            await writer.drain()
            await reader.read()
        writer.close()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.create_task(answer_one(reader, writer)))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield HttpsPeer(host="localhost", port=port, ca_file=folder / "ca.pem")
    await asyncio.gather(*serving)
    assert all(head.startswith(b"HEAD / HTTP/1.1\r\nHost: localhost:") for head in heads)


async def _compared(peer: HttpsPeer, settings: Settings | None = None) -> Result:
    return await clock_against(peer, settings or Settings(), within_s=10, now=lambda: NOW)


@pytest.mark.parametrize(
    ("off", "expected"),
    [
        (timedelta(), Status.OK),
        (timedelta(seconds=30), Status.WARNING),
        (timedelta(minutes=5), Status.FAILED),
        (timedelta(minutes=-5), Status.FAILED),
    ],
)
async def test_the_difference_to_the_peers_date_is_judged(
    tmp_path: Path, off: timedelta, expected: Status
) -> None:
    async with _server(tmp_path, _dated(NOW - off), AUTHORITY.issue(dns=("localhost",))) as peer:
        assert (await _compared(peer)).status is expected


async def test_the_way_through_a_proxy_is_the_configured_one(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("hunter2\n")
    password.chmod(0o600)
    async with _server(tmp_path, _dated(NOW), AUTHORITY.issue(dns=("localhost",))) as peer:
        with connect_proxy(credentials="doctor:hunter2") as proxy:
            plain = Settings(egress_proxy=proxy.url)
            refused = await _compared(peer, plain)
            assert (refused.status, "opens no tunnel" in refused.message) == (Status.WARNING, True)
            settings = Settings(
                egress_proxy=proxy.url,
                egress_proxy_user="doctor",
                egress_proxy_password_file=password,
            )
            assert (await _compared(peer, settings)).status is Status.OK
            assert proxy.asked == [f"localhost:{peer.port}"] * 2
            await _let_go_by(proxy)
        with connect_proxy(status(503)) as proxy:
            found = await _compared(peer, Settings(egress_proxy=proxy.url))
            assert found.status is Status.WARNING
            await _let_go_by(proxy)


async def _let_go_by(proxy: ConnectProxy) -> None:
    """Wait until the proxy has closed what it opened: its loop ends with the test."""
    await asyncio.to_thread(wait_until, lambda: not proxy._tasks)


async def test_a_certificate_that_is_not_valid_at_this_time_speaks_of_the_clock(
    tmp_path: Path,
) -> None:
    ended = AUTHORITY.issue(
        dns=("localhost",),
        not_before=datetime(2020, 1, 1, tzinfo=UTC),
        not_after=datetime(2020, 2, 1, tzinfo=UTC),
    )
    async with _server(tmp_path, _dated(NOW), ended) as peer:
        found = await _compared(peer)
    assert (found.status, "synchronise the clock" in found.remedy) == (Status.FAILED, True)
    async with _server(tmp_path, _dated(NOW), AUTHORITY.issue(dns=("other.test",))) as peer:
        assert (await _compared(peer)).status is Status.WARNING


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", "has no Date"),
        (b"HTTP/1.1 200 OK\r\nDate: yesterday\r\n\r\n", "has no Date"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000, ""),
    ],
)
async def test_answers_that_say_nothing_of_the_time_are_warnings(
    tmp_path: Path, answer: bytes, words: str
) -> None:
    async with _server(tmp_path, answer, AUTHORITY.issue(dns=("localhost",))) as peer:
        found = await _compared(peer)
    assert (found.status, words in found.message) == (Status.WARNING, True)


async def test_a_peer_that_never_ends_its_answer_is_left_in_time(tmp_path: Path) -> None:
    own = AUTHORITY.issue(dns=("localhost",))
    async with _server(tmp_path, b"HTTP/1.1 200 OK\r\n", own) as peer:
        found = await clock_against(peer, Settings(), within_s=0.3, now=lambda: NOW)
    assert (found.status, "no answer within 0.3 s" in found.message) == (Status.WARNING, True)


async def test_a_peer_that_is_not_there_is_a_warning() -> None:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    found = await _compared(HttpsPeer(host="127.0.0.1", port=port))
    assert found.status is Status.WARNING
