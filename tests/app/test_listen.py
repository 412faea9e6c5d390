"""The port of the gRPC server: never shared, with a clear error when it is unavailable."""

import pytest

from otpc_policy.app.listen import bind, build_server
from otpc_policy.app.settings import Settings
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.rpc.interceptors.guard import CallInterceptor
from tests.rpc.serving import FakeCounters


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


async def test_an_address_of_another_machine_is_refused_with_its_reason() -> None:
    server = build_server(Settings(), CallInterceptor(FakeCounters()))
    with pytest.raises(ConfigurationError, match="Cannot assign requested address"):
        bind(server, "192.0.2.1:0", None)
    await server.stop(None)
