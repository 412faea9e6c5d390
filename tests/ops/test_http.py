"""The operations port, spoken to over real sockets."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter

from otpc_policy.ops.components import Component
from otpc_policy.ops.http import OperationsServer, Page

# What they send.
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;"
    "q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


class Running:
    """The server under test, and what its readiness says."""

    def __init__(self, exchange_deadline_s: float = 30.0) -> None:
        self.complaint = ""
        registry = CollectorRegistry()
        Counter("asked_total", "For the test.", registry=registry).inc(7)
        self.server = OperationsServer(
            registry,
            {"/livez": lambda: "", "/readyz": lambda: self.complaint},
            components={"/readyz": lambda: [Component("engines", self.complaint)]},
            pages={"/echo": self.echo},
            exchange_deadline_s=exchange_deadline_s,
        )
        self.port = 0

    async def echo(self, query: Mapping[str, str]) -> Page:
        return Page(repr(dict(query)).encode(), HTTPStatus.ACCEPTED, "text/x-test")

    async def say(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            return await asyncio.wait_for(reader.read(), 5)
        finally:
            writer.close()

    async def ask(
        self, method: str, path: str, fields: str = ""
    ) -> tuple[int, dict[str, str], bytes]:
        request = f"{method} {path} HTTP/1.1\r\nHost: 127.1\r\n{fields}\r\n"
        answer = await self.say(request.encode())
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        return (
            int(first.split(" ")[1]),
            {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)},
            body,
        )


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    running = Running()
    async with running.server:
        running.port = await running.server.start("127.0.0.1", 0)
        yield running


async def test_metrics_are_exposed_with_the_content_type_of_the_format(running: Running) -> None:
    status, headers, body = await running.ask("GET", "/metrics")
    assert (status, headers["content-type"], headers["connection"]) == (
        200,
        "text/plain; version=0.0.4; charset=utf-8",
        "close",
    )
    assert b"\nasked_total 7.0\n" in body
    assert int(headers["content-length"]) == len(body)


@pytest.mark.parametrize(
    "accept",
    [
        PROMETHEUS_2,
        PROMETHEUS_3,
        "APPLICATION/OpenMetrics-Text",
        "text/html\r\naccept: application/openmetrics-text; version=1.0.0",
    ],
)
async def test_whoever_asks_for_openmetrics_gets_it(running: Running, accept: str) -> None:
    status, headers, body = await running.ask("GET", "/metrics", f"Accept: {accept}\r\n")
    assert (status, headers["content-type"], headers["vary"]) == (
        200,
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        "Accept",
    )
    assert body.startswith(b"# HELP asked For the test.\n# TYPE asked counter\nasked_total 7.0\n")
    assert body.endswith(b"# EOF\n")


@pytest.mark.parametrize(
    "accept",
    [
        "*/*",
        "text/plain",
        "application/openmetrics-text;version=2.0.0",
        "application/openmetrics-text;q=0",
        "application/openmetrics-text;q=x",
        "application/openmetrics-text;q=nan",
        "application/openmetrics-text;q=0.4,text/plain;q=0.5",
        ";;,=;q,application/",
    ],
)
async def test_everybody_else_gets_the_text_format(running: Running, accept: str) -> None:
    _, headers, body = await running.ask("GET", "/metrics", f"Accept: {accept}\r\n")
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b"EOF" not in body


async def test_head_answers_as_get_without_the_body(running: Running) -> None:
    _, with_body, _ = await running.ask("GET", "/metrics")
    status, headers, body = await running.ask("HEAD", "/metrics")
    assert (status, body) == (200, b"")
    assert headers == with_body
    del headers["vary"]
    assert await running.ask("HEAD", "/nowhere") == (
        404,
        {**headers, "content-type": "text/plain; charset=utf-8", "content-length": "10"},
        b"",
    )


async def test_a_probe_that_complains_is_503_and_says_why(running: Running) -> None:
    assert (await running.ask("GET", "/livez?verbose"))[::2] == (200, b"ok\n")
    running.complaint = "draining"
    assert (await running.ask("GET", "/readyz"))[::2] == (503, b"draining\n")
    assert (await running.ask("GET", "/livez"))[::2] == (200, b"ok\n")


async def test_verbose_shows_components_with_the_status_of_the_plain_page(
    running: Running,
) -> None:
    for path in ("/readyz?verbose", "/readyz?verbose=1", "/readyz?x=y&verbose"):
        page = b"[+]engines ok\nreadyz check passed\n"
        assert (await running.ask("GET", path))[::2] == (200, page)
    running.complaint = "draining"
    page = b"[-]engines failed: draining\nreadyz check failed: draining\n"
    assert (await running.ask("GET", "/readyz?verbose"))[::2] == (503, page)
    many = "&".join(f"{n}=1" for n in range(100))
    for path in ("/readyz", "/readyz?", "/readyz?quiet", f"/readyz?verbose&{many}"):
        assert (await running.ask("GET", path))[::2] == (503, b"draining\n")
    assert (await running.ask("HEAD", "/readyz?verbose"))[::2] == (503, b"")


async def test_a_page_gets_the_parameters_and_chooses_status_and_type(running: Running) -> None:
    status, headers, body = await running.ask("GET", "/echo?host=a%2eb&host=c&empty")
    assert (status, headers["content-type"]) == (202, "text/x-test")
    assert body == b"{'host': 'c', 'empty': ''}"
    assert (await running.ask("POST", "/echo"))[0] == 405
    assert (await running.ask("HEAD", "/echo"))[2] == b""


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 202),
        ("127.0.0.1:9464", 202),
        ("[::1]:9464", 202),
        ("localhost:9464", 202),
        ("rebound.example", 403),
        ("localhost.rebound.example:9464", 403),
        ("1.2.3.4.rebound.example", 403),
        ("", 403),
        ("127.0.0.1\r\nHost: rebound.example", 403),
    ],
)
async def test_a_page_is_shown_only_to_who_asks_by_address(
    running: Running, host: str, status: int
) -> None:
    for method in ("GET", "HEAD"):
        answer = await running.say(f"{method} /echo HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert int(answer.split(b" ")[1]) == status
    probe = await running.say(f"GET /livez HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert int(probe.split(b" ")[1]) == 200
    assert b" 202 " in await running.say(b"GET /echo HTTP/1.0\r\n\r\n")


@pytest.mark.parametrize("path", ["/", "/metrics/", "/nowhere", "/readyz/../metrics"])
async def test_an_unknown_path_is_404(running: Running, path: str) -> None:
    assert (await running.ask("GET", path))[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "get"])
async def test_another_method_is_405_and_names_the_allowed_ones(
    running: Running, method: str
) -> None:
    status, headers, _ = await running.ask(method, "/metrics")
    assert (status, headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\r\n\r\n", b"400"),
        (b"GET /metrics\r\n\r\n", b"400"),
        (b"GET  /metrics HTTP/1.1\r\n\r\n", b"400"),
        (b"GET http://x/metrics HTTP/1.1\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"400"),
        (b"PRI * HTTP/2.0\r\n\r\n", b"400"),
        (b"GET / HTTP/2.0\r\n\r\n", b"505"),
        (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000, b"431"),
    ],
)
async def test_what_is_not_a_small_request_is_refused(
    running: Running, request_bytes: bytes, status: bytes
) -> None:
    assert (await running.say(request_bytes)).split(b" ")[1] == status


async def test_a_silent_peer_is_dropped_at_the_deadline() -> None:
    impatient = Running(exchange_deadline_s=0.1)
    async with impatient.server:
        impatient.port = await impatient.server.start("127.0.0.1", 0)
        assert await impatient.say(b"GET /metrics HT") == b""


async def test_a_peer_beyond_the_bound_is_dropped_and_the_others_are_served(
    running: Running,
) -> None:
    held = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(32)]
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    writer.close()
    held[0][1].write(b"GET /livez HTTP/1.1\r\n\r\n")
    assert (await held[0][0].read()).startswith(b"HTTP/1.1 200 ")
    for _, other in held:
        other.close()


async def test_stopping_closes_open_connections(running: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(b"GET ")
    await writer.drain()
    await running.server.stop()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    writer.close()
    with pytest.raises(OSError):  # noqa: PT011
        await asyncio.open_connection("127.0.0.1", running.port)


async def test_stopping_ends_a_connection_whose_exchange_has_not_begun(running: Running) -> None:
    """A task that is cancelled before its first step never reaches its finally."""
    stops: list[asyncio.Task[None]] = []

    def stop_first(
        loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
    ) -> "asyncio.Task[Any]":
        if coroutine.__name__ == "_exchange":
            stops.append(asyncio.Task(running.server.stop(), loop=loop))
        return asyncio.Task(coroutine, loop=loop, **options)

    asyncio.get_running_loop().set_task_factory(stop_first)
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), 5)
    writer.close()
    await asyncio.gather(*stops)
    assert len(stops) == 1


async def test_a_connection_that_is_announced_after_the_stop_is_not_taken(running: Running) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        reader, writer = await asyncio.open_connection(sock=ours)
        await running.server.stop()
        running.server._accept(reader, writer)
        assert writer.is_closing()
