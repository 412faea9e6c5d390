"""The port of the gRPC server: never shared, with a clear error when it is unavailable."""

import asyncio
import resource
import socket
import struct

import pytest

from otpc_policy.app import listen
from otpc_policy.app.listen import _options, bind, build_server
from otpc_policy.app.settings import Settings
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.rpc.interceptors.guard import CallInterceptor
from tests.rpc.serving import FakeCounters
from tests.support.http2 import RawCaller
from tests.support.waiting import wait_until


@pytest.mark.parametrize(
    ("listen", "host"),
    [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "[::1]"), ("localhost:0", "localhost")],
)
async def test_port_zero_takes_a_free_port_and_reports_it(listen: str, host: str) -> None:
    server = build_server(Settings(listen=listen), CallInterceptor(FakeCounters()))
    address, _, port = bind(server, listen, None).rpartition(":")
    assert (address, int(port) > 0) == (host, True)
    await server.stop(None)


async def test_a_second_server_does_not_share_the_port() -> None:
    first = build_server(Settings(), CallInterceptor(FakeCounters()))
    second = build_server(Settings(), CallInterceptor(FakeCounters()))
    taken = bind(first, "127.0.0.1:0", None)
    await first.start()
    with pytest.raises(
        ConfigurationError, match=f"listen: cannot listen on {taken}: Address already in use"
    ):
        bind(second, taken, None)
    await first.stop(None)
    await second.stop(None)


def _connections(address: str, number: int) -> list[socket.socket]:
    host, _, port = address.rpartition(":")
    return [socket.create_connection((host, int(port)), timeout=5) for _ in range(number)]


def _is_closed(connection: socket.socket) -> bool:
    """Tell whether the server has closed a connection; what it says itself is passed over."""
    connection.setblocking(False)
    try:
        while connection.recv(4096):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        pass
    return True


async def test_connections_are_bounded_and_those_that_end_make_room() -> None:
    server = build_server(Settings(max_connections=3), CallInterceptor(FakeCounters()))
    address = bind(server, "127.0.0.1:0", None)
    await server.start()
    held = await asyncio.to_thread(_connections, address, 5)
    await asyncio.to_thread(wait_until, lambda: sum(map(_is_closed, held)) == 2)
    for connection in held:
        connection.close()

    async def is_served() -> bool:
        (another,) = await asyncio.to_thread(_connections, address, 1)
        with another:
            await asyncio.sleep(0.05)
            return not _is_closed(another)

    async with asyncio.timeout(5):
        while not await is_served():
            pass
    await server.stop(None)


async def test_a_connection_has_no_more_streams_than_calls_may_be_open() -> None:
    """Whoever does not read its socket keeps even refusals from leaving."""
    settings = Settings.model_validate({"shares": {"open_calls": 123}})
    server = build_server(settings, CallInterceptor(FakeCounters()))
    address = bind(server, "127.0.0.1:0", None)
    await server.start()
    with RawCaller(address) as caller:
        # Source: RFC 9113 6.5.2.
        most = struct.pack(">HI", 3, 123)
        await asyncio.to_thread(wait_until, lambda: most in caller.received())
    await server.stop(None)


def test_half_of_the_files_are_left_to_others_than_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (100, 100))
    assert ("grpc.max_allowed_incoming_connections", 50) in _options(Settings())


async def test_whoever_does_not_finish_its_handshake_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listen, "_HANDSHAKE_MS", 200)
    server = build_server(Settings(), CallInterceptor(FakeCounters()))
    address = bind(server, "127.0.0.1:0", None)
    await server.start()
    (silent,) = await asyncio.to_thread(_connections, address, 1)
    await asyncio.to_thread(wait_until, lambda: _is_closed(silent))
    silent.close()
    await server.stop(None)


async def test_an_address_of_another_machine_is_refused_with_its_reason() -> None:
    server = build_server(Settings(), CallInterceptor(FakeCounters()))
    with pytest.raises(ConfigurationError, match="Cannot assign requested address"):
        bind(server, "192.0.2.1:0", None)
    await server.stop(None)
