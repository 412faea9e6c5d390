"""Hostile servers and relays do what they promise, and count."""

import socket
import time
from collections.abc import Iterator

import pytest

from tests.support.hostile import (
    HANDSHAKE_FAILURE,
    after,
    alert,
    drip,
    finish,
    first_bytes_of,
    garbage,
    reset,
    stall,
)
from tests.support.loopback import Listener, own_listener
from tests.support.relay import relay, relay_to
from tests.support.servers import echo, threaded_server
from tests.support.tcp import Behaviour, Connection, Counts, counting_server
from tests.support.waiting import wait_until


@pytest.fixture
def echo_server() -> Iterator[Listener]:
    with threaded_server(own_listener(), echo) as running:
        yield running


def connected(listener: Listener) -> socket.socket:
    return socket.create_connection((listener.address, listener.port), timeout=5)


def answer(listener: Listener, sent: bytes = b"hello") -> bytes:
    """Return what comes until the server closes. Raises ConnectionResetError."""
    with connected(listener) as client:
        client.sendall(sent)
        received = b""
        while more := client.recv(65536):
            received += more
        return received


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (finish, b""),
        (alert(HANDSHAKE_FAILURE), bytes.fromhex("15030300020228")),
        (garbage, bytes(range(255, -1, -1)) * 4),
    ],
)
def test_an_answer_ends_with_fin(behaviour: Behaviour, expected: bytes) -> None:
    listener = own_listener()
    with counting_server(listener, behaviour):
        assert answer(listener) == expected


def test_a_reset_is_a_reset() -> None:
    listener = own_listener()
    with counting_server(listener, reset), pytest.raises(ConnectionResetError):
        answer(listener)


def test_an_answer_to_a_client_that_has_left_is_too_late() -> None:
    async def answer_late(connection: Connection) -> None:
        while await connection.read():
            pass
        await connection.send(b"late")

    listener = own_listener()
    for behaviour, is_too_late in ((answer_late, True), (garbage, False)):
        with counting_server(listener, behaviour) as counts:
            with connected(listener) as client:
                client.sendall(b"hello")
                if not is_too_late:
                    assert client.recv(1)
            wait_until(lambda: _is_answered(counts))
        assert counts.transcripts[0].is_too_late is is_too_late


def _is_answered(counts: Counts) -> bool:
    return any(one.answered_at is not None for one in counts.transcripts)


def test_a_stall_stays_silent_and_connections_are_counted() -> None:
    listener = own_listener()
    with counting_server(listener, stall) as counts:
        with connected(listener) as first, connected(listener):
            first.settimeout(0.2)
            with pytest.raises(TimeoutError):
                first.recv(1)
            assert (counts.connections, counts.most_open) == (2, 2)
        with connected(listener) as third:
            third.settimeout(0.2)
            with pytest.raises(TimeoutError):
                third.recv(1)
        assert (counts.connections, counts.most_open) == (3, 2)


def test_a_drip_comes_byte_by_byte() -> None:
    listener = own_listener()
    with counting_server(listener, drip(0.05)), connected(listener) as client:
        client.sendall(b"hello")
        assert [client.recv(100) for _ in range(4)] == [b"\x16", b"\x03", b"\x03", b"\x40"]


def test_a_relay_goes_bad_after_some_connections(echo_server: Listener) -> None:
    listener = own_listener()
    with counting_server(listener, after(1, relay_to(echo_server), reset)) as counts:
        with connected(listener) as client:
            client.sendall(b"good")
            assert client.recv(100) == b"good"
        with pytest.raises(ConnectionResetError):
            answer(listener)
    assert counts.connections == 2


def test_a_good_answer_can_stop_in_the_middle(echo_server: Listener) -> None:
    listener = own_listener()
    with counting_server(listener, first_bytes_of(echo_server, 3)), connected(listener) as client:
        client.sendall(b"hello")
        assert client.recv(100) == b"hel"
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(1)


def test_a_relay_costs_one_round_trip_to_connect_and_one_for_each_answer(
    echo_server: Listener,
) -> None:
    listener = own_listener()
    with relay(listener, echo_server, round_trip_s=0.4) as counts:
        # The relay may have taken the connection before connect returns.
        moments = [time.monotonic()]
        with connected(listener) as client:
            for _ in range(2):
                client.sendall(b"ping")
                assert client.recv(100) == b"ping"
                moments.append(time.monotonic())
    assert 0.8 <= moments[1] - moments[0] < 1.2
    assert 0.4 <= moments[2] - moments[1] < 0.8
    assert counts.connections == 1


def test_a_relay_passes_on_a_close_and_a_reset() -> None:
    closing, resetting = own_listener(), own_listener()
    listeners = own_listener(), own_listener()
    with (
        counting_server(closing, finish),
        counting_server(resetting, reset),
        relay(listeners[0], closing),
        relay(listeners[1], resetting),
    ):
        assert answer(listeners[0]) == b""
        with pytest.raises(ConnectionResetError):
            answer(listeners[1])


def test_a_relay_to_nobody_resets() -> None:
    listener = own_listener()
    with relay(listener, own_listener()), pytest.raises(ConnectionResetError):
        answer(listener)
