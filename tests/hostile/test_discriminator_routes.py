"""The servers of rows.py show their fault to the clients that are to meet it only.

Hellos made by hand reach every row, so that no row is about nothing. What ordinary clients are
given, handshake completed, is in test_discriminator_clients.py.
"""

import socket
from collections.abc import Callable, Mapping
from contextlib import ExitStack

import pytest

from otpc_policy.core.facts import TlsVersion
from tests.hostile.faults import NULL, OF_CERTIFICATES, TLS10, Stacks
from tests.hostile.rows import EXPLAINED, ROWS, Row
from tests.support.hostile.hello import SeenHello, read_alert, read_choice, read_client_hello
from tests.support.hostile.made_hello import MadeHello
from tests.support.loopback import Listener
from tests.support.raw_client import answer_to
from tests.support.tcp import counting_server

pytestmark = pytest.mark.asyncio(loop_scope="package")

_AT_ONCE = 24
_ROWS: Mapping[str, Row] = {str(row): row for row in ROWS}
_HELD = [name for name in _ROWS if name not in EXPLAINED]
_OLD = [name for name in _HELD if _ROWS[name].fault is TLS10]
_SOME = [name for name in _HELD if name.startswith(("alpn", "aes256"))]
# A ServerHelloDone (RFC 5246 7.4.5).
_END_OF_FLIGHT = b"\x0e\0\0\0"


def read(sent: bytes) -> SeenHello:
    hello = read_client_hello(sent)
    assert hello is not None
    return hello


def shows(row: Row, received: bytes, stacks: Stacks) -> bool:
    """The answer, in clear, has the row's fault; otherwise it is what a compliant server says."""
    choice = read_choice(received)
    if choice is None:
        # OpenSSL completes no handshake of the six suites with a client that names no groups.
        assert row.fault not in OF_CERTIFICATES or row.property.name == "no-groups"
        refusal = read_alert(received)
        assert refusal is not None
        assert refusal.description in (40, 70)
        return False
    if row.fault is TLS10:
        return choice.version in (TlsVersion.TLS_1_0, TlsVersion.TLS_1_1)
    assert choice.version == TlsVersion.TLS_1_2
    if row.fault is NULL:
        return choice.cipher_suite in NULL.hello.cipher_suites
    return stacks.serve_faulty_leaf(received)


def hold(
    row: Row, server: Listener, stacks: Stacks, *, sent_as: Callable[[MadeHello], bytes]
) -> None:
    """Assert that the row's hello meets its fault and that the opposite hello does not."""
    with counting_server(server, row.server(stacks)):
        for met in (True, False):
            sent = sent_as(row.hello(met=met))
            assert row.is_met_by(read(sent)) is met
            assert shows(row, answer_to(server, sent), stacks) is met


@pytest.mark.parametrize("name", _HELD)
async def test_a_hello_made_by_hand_meets_the_fault_and_its_opposite_does_not(
    name: str,
    stacks: Stacks,
    new_listener: Callable[[], Listener],
) -> None:
    hold(_ROWS[name], new_listener(), stacks, sent_as=bytes)


@pytest.mark.parametrize("name", _OLD)
async def test_a_hello_in_the_format_of_ssl_2_meets_what_needs_no_extension(
    name: str,
    stacks: Stacks,
    new_listener: Callable[[], Listener],
) -> None:
    """Java 6 sends them for TLS 1.0; their suites and their length are all that they have."""
    row, server = _ROWS[name], new_listener()
    with counting_server(server, row.server(stacks)):
        for met in (True, False):
            sent = row.hello(met=met).in_ssl2_format()
            assert read(sent).highest is TlsVersion.TLS_1_0
            assert shows(row, answer_to(server, sent), stacks) is row.is_met_by(read(sent))


@pytest.mark.parametrize("name", _SOME)
async def test_a_hello_in_many_records_is_read_whole(
    name: str,
    stacks: Stacks,
    new_listener: Callable[[], Listener],
) -> None:
    hold(_ROWS[name], new_listener(), stacks, sent_as=lambda hello: hello.in_records_of(20))


async def test_many_hellos_at_once_are_answered(
    stacks: Stacks,
    new_listener: Callable[[], Listener],
) -> None:
    row, server = _ROWS["alpn-with-expired"], new_listener()
    with counting_server(server, row.server(stacks)), ExitStack() as opened:
        address = server.address, server.port
        clients = [socket.create_connection(address, timeout=5) for _ in range(_AT_ONCE)]
        for client in clients:
            opened.enter_context(client)
        for number, client in enumerate(clients):
            client.sendall(bytes(row.hello(met=number % 2 == 0)))
        for number, client in enumerate(clients):
            received = b""
            while not received.endswith(_END_OF_FLIGHT):
                more = client.recv(65536)
                assert more
                received += more
            assert stacks.serve_faulty_leaf(received) is (number % 2 == 0)
