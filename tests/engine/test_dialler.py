"""Nothing but a vetted address is dialled, by nobody but the dialler, and the peer is looked at."""

import ast
import asyncio
import errno
import os
import select
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import otpc_policy
from otpc_policy.core.addresses import AddressVetting, VettedAddress, vet_again
from otpc_policy.engine.egress.dialler import (
    WrongPeer,
    begin_connecting,
    connect,
    connect_soon,
    finish_connecting,
)
from otpc_policy.engine.egress.hindrance import CannotDial
from tests.support.loopback import own_listener, vetted
from tests.support.open_files import open_files_left

PACKAGE = Path(otpc_policy.__file__).parent
DIALS = {"connect", "connect_ex", "create_connection", "open_connection", "sock_connect"}
# Nothing leaves the machine there: it connects a UDP socket to ask for a route.
ASKS_FOR_A_ROUTE = "engine/egress/selection.py"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    at = own_listener()
    with socket.create_server((at.address, at.port)) as listening:
        yield listening


def in_one_go(address: Any, port: int) -> socket.socket:
    return connect(address, port, timeout_s=2)


def step_by_step(address: Any, port: int) -> socket.socket:
    connection = begin_connecting(address, port)
    select.select([], [connection], [], 2)
    try:
        finish_connecting(connection, address)
    except OSError:
        connection.close()
        raise
    return connection


def on_a_loop(address: Any, port: int) -> socket.socket:
    return asyncio.run(connect_soon(address, port))


WAYS = pytest.mark.parametrize("way", [in_one_go, step_by_step, on_a_loop])
Way = Callable[[Any, int], socket.socket]


@WAYS
def test_a_vetted_address_is_connected_to(way: Way, listener: socket.socket) -> None:
    address, port = listener.getsockname()
    with way(vetted(address), port) as connection:
        assert connection.getpeername() == (address, port)


@WAYS
def test_an_ipv6_address_is_connected_to(way: Way) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listening:
        port = listening.getsockname()[1]
        with way(vetted("::1"), port) as connection:
            assert connection.getpeername()[:2] == ("::1", port)


@WAYS
@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", b"127.0.0.1", None])
def test_whatever_is_not_vetted_is_refused(way: Way, address: object) -> None:
    with pytest.raises(TypeError, match="only a VettedAddress is dialled"):
        way(address, 1)


@WAYS
def test_what_only_looks_like_a_vetted_address_is_refused(way: Way) -> None:
    class Forged(VettedAddress):
        def __init__(self) -> None:
            pass

        text, family = "127.0.0.1", "IPv4"

    with pytest.raises(TypeError, match="only a VettedAddress is dialled"):
        way(Forged(), 1)


@WAYS
def test_a_refused_connection_is_an_error(way: Way) -> None:
    at = own_listener()
    with pytest.raises(OSError, match="refused"):
        way(vetted(at.address), at.port)


@WAYS
def test_a_peer_that_is_not_the_vetted_address_is_refused(
    way: Way,
    listener: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Redirected(socket.socket):
        def getpeername(self) -> Any:
            return ("127.0.0.99", 1)

    address, port = listener.getsockname()
    monkeypatch.setattr(socket, "socket", Redirected)
    with pytest.raises(WrongPeer, match=f"127.0.0.99 in place of {address}"):
        way(vetted(address), port)


def test_a_connection_that_was_reset_before_it_was_looked_at_is_an_error(
    listener: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Gone(socket.socket):
        def getpeername(self) -> Any:
            raise OSError(107, "Transport endpoint is not connected")

    address, port = listener.getsockname()
    monkeypatch.setattr(socket, "socket", Gone)
    with pytest.raises(ConnectionResetError):
        connect(vetted(address), port, timeout_s=2)


def test_a_silent_address_ends_at_the_timeout() -> None:
    at = own_listener()
    with (
        socket.create_server((at.address, at.port), backlog=0),
        # Linux queues one connection more than the backlog.
        connect(vetted(at.address), at.port, timeout_s=2),
        pytest.raises(TimeoutError),
    ):
        connect(vetted(at.address), at.port, timeout_s=0.2)


async def test_a_caller_that_goes_away_leaves_no_socket_behind() -> None:
    at = own_listener()
    with socket.create_server((at.address, at.port), backlog=0):
        tasks = [asyncio.create_task(connect_soon(vetted(at.address), at.port)) for _ in range(5)]
        await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, socket.socket):
                outcome.close()
    assert threading.active_count() < 50


def test_a_vetted_address_does_not_change_and_is_made_by_the_guard_alone() -> None:
    address = vetted()
    with pytest.raises(AttributeError):
        address.text = "10.0.0.1"
    with pytest.raises(TypeError):
        VettedAddress(address.text, seal=object())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "opened"),
    [
        ("8.8.8.8", []),
        ("10.1.2.3", ["10.0.0.0/8"]),
        ("64:ff9b::a01:203", ["64:ff9b::/96", "10.0.0.0/8"]),
    ],
)
def test_an_address_is_vetted_again_in_another_process(text: str, opened: list[str]) -> None:
    from ipaddress import ip_network

    everything = [ip_network(one) for one in ("10.0.0.0/8", "64:ff9b::/96", "192.168.0.0/16")]
    first = AddressVetting(everything).vet(text)
    assert isinstance(first, VettedAddress)
    assert list(first.opened) == opened
    assert vet_again(first.text, first.opened) == first


@pytest.mark.parametrize(
    ("text", "opened"),
    [
        ("10.1.2.3", []),
        ("10.1.2.3", ["192.168.0.0/16"]),
        ("169.254.169.254", ["0.0.0.0/0"]),
        ("64:ff9b::a01:203", ["64:ff9b::/96"]),
        ("partner.example", []),
    ],
)
def test_an_address_that_another_process_made_up_is_refused(text: str, opened: list[str]) -> None:
    with pytest.raises(ValueError, match=r"may not be dialled|does not appear to be"):
        vet_again(text, opened)


def test_nobody_else_connects_to_anything() -> None:
    found = {
        f"{file.relative_to(PACKAGE)}: {ast.unparse(node)}"
        for folder in ("engine", "scan", "check", "tls")
        for file in (PACKAGE / folder).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if _dials(node)
    }
    may = ("engine/egress/dialler.py", ASKS_FOR_A_ROUTE)
    others = [one for one in found if not one.startswith(may)]
    assert sorted(one.partition(":")[0] for one in others) == [
        "engine/listening.py",  # a Unix socket: whether another engine listens on it
        "engine/workers/deep_worker.py",  # sslyze's own connect, whose socket is one of ours
    ]


def _dials(node: ast.AST) -> bool:
    """Calls something that connects a socket; a connection that is there already is no dial."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    is_given = any(keyword.arg == "sock" for keyword in node.keywords)
    return node.func.attr in DIALS and not is_given


@pytest.mark.parametrize("begin", [in_one_go, begin_connecting])
def test_what_this_machine_lacks_is_not_taken_for_the_partner(
    begin: Way, listener: socket.socket
) -> None:
    address, port = listener.getsockname()
    with open_files_left(0), pytest.raises(CannotDial, match="Too many open files"):
        begin(vetted(address), port)


@pytest.mark.parametrize(
    "code", [errno.EADDRNOTAVAIL, errno.EAGAIN, errno.ENOBUFS, errno.EPERM, errno.EACCES]
)
def test_a_connection_that_this_machine_refuses_to_begin_is_closed(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refused(socket.socket):
        def connect_ex(self, _address: Any) -> int:
            return code

    refused = Refused(socket.AF_INET, socket.SOCK_STREAM)
    monkeypatch.setattr(socket, "socket", lambda *_: refused)
    with pytest.raises(CannotDial, match=os.strerror(code)):
        begin_connecting(vetted(), 443)
    assert refused.fileno() == -1
