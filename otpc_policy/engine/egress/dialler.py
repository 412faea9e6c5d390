"""Opens TCP connections to partners, and is the only module that does.

It takes a VettedAddress and nothing else, so that no text can be dialled by mistake, and looks at
the peer of every connection before anybody uses it. With a route all of that goes through a proxy,
which is asked for the vetted address: then the peer is the proxy, and a connection is not made
before its tunnel is open.
"""

import asyncio
import errno
import os
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address

from otpc_policy.core.addresses import VettedAddress
from otpc_policy.engine.egress.hindrance import CannotDial
from otpc_policy.engine.egress.proxy import ProxyFault, ProxyRoute


class WrongPeer(OSError):
    """The connection leads to another address than the one that was vetted."""


# What socket(2) and connect(2) report at once and of this side alone. EAGAIN: no free port, or no
# memory for a route. EACCES, EPERM: a rule of this machine; over the network EACCES may come from
# a router (ICMPv6, administratively prohibited), but then later, as the error of the socket.
_OF_THIS_SIDE = frozenset(
    (
        *(errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL),
        *(errno.EAGAIN, errno.EACCES, errno.EPERM, errno.EAFNOSUPPORT),
    )
)


def begin_connecting(
    address: VettedAddress, port: int, route: ProxyRoute | None = None
) -> socket.socket:
    """Return a socket that becomes ready for writing when it is connected, or failed to be.

    Give it to finish_connecting then. route: None for the direct way. Raises OSError, CannotDial,
    or TypeError where the address is not vetted.
    """
    connection = _new_socket(address, route)
    peer = (address.text, port) if route is None else (route.proxy.address, route.proxy.port)
    try:
        connection.setblocking(False)
        code = connection.connect_ex(peer)
        if code in _OF_THIS_SIDE:
            raise CannotDial(os.strerror(code))
        if code not in (0, errno.EINPROGRESS, errno.EINTR):
            raise _failed(code, route)
    except (OSError, CannotDial):
        connection.close()
        raise
    return connection


def finish_connecting(
    connection: socket.socket, address: VettedAddress, route: ProxyRoute | None = None
) -> None:
    """Confirm that a connection was made, and to that address; where there is a route, to its
    proxy, and a tunnel has to be opened on it.

    connection: from begin_connecting, and ready for writing. Raises OSError, ProxyFault.
    """
    if code := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise _failed(code, route)
    if route is None:
        _check_peer(connection, address.text)
        return
    try:
        _check_peer(connection, route.proxy.address)
    except OSError as error:
        raise _proxy_fault(error.strerror or str(error)) from None


def connect(
    address: VettedAddress, port: int, *, timeout_s: float, route: ProxyRoute | None = None
) -> socket.socket:
    """Return a connected socket that blocks, and wait for it.

    Raises OSError, TimeoutError at the timeout, CannotDial, or TypeError where the address is not
    vetted.
    """
    until_s = time.monotonic() + timeout_s
    connection = begin_connecting(address, port, route)
    try:
        _wait(connection, select.POLLOUT, until_s)
        finish_connecting(connection, address, route)
        tunnel = None if route is None else route.tunnel(address, port)
        while tunnel is not None and (event := tunnel.go_on(connection)) is not None:
            _wait(connection, event, until_s)
        connection.settimeout(timeout_s)
    except BaseException:
        connection.close()
        raise
    return connection


async def connect_soon(
    address: VettedAddress, port: int, route: ProxyRoute | None = None
) -> socket.socket:
    """Return a connected, non-blocking socket; the event loop goes on meanwhile.

    Raises OSError, CannotDial, or TypeError where the address is not vetted.
    """
    connection = begin_connecting(address, port, route)
    try:
        await _ready(connection, select.EPOLLOUT)
        finish_connecting(connection, address, route)
        tunnel = None if route is None else route.tunnel(address, port)
        while tunnel is not None and (event := tunnel.go_on(connection)) is not None:
            await _ready(connection, event)
    except BaseException:
        connection.close()
        raise
    return connection


def _wait(connection: socket.socket, event: int, until_s: float) -> None:
    """Wait for an event of poll(2). Raises TimeoutError."""
    poll = select.poll()
    poll.register(connection, event)
    if not poll.poll(max(0.0, until_s - time.monotonic()) * 1000):
        raise TimeoutError("timed out")


async def _ready(connection: socket.socket, event: int) -> None:
    loop = asyncio.get_running_loop()
    happened: asyncio.Future[None] = loop.create_future()

    def ready() -> None:
        if not happened.done():
            happened.set_result(None)

    remove: Callable[[socket.socket], bool]
    if event == select.EPOLLIN:
        loop.add_reader(connection, ready)
        remove = loop.remove_reader
    else:
        loop.add_writer(connection, ready)
        remove = loop.remove_writer
    try:
        await happened
    finally:
        remove(connection)


def _failed(code: int, route: ProxyRoute | None) -> OSError | CannotDial:
    if route is not None:
        return _proxy_fault(os.strerror(code))
    return OSError(code, os.strerror(code))


def _proxy_fault(reason: str) -> ProxyFault:
    return ProxyFault(f"the egress proxy cannot be reached: {reason}")


def _new_socket(address: VettedAddress, route: ProxyRoute | None) -> socket.socket:
    if type(address) is not VettedAddress:
        raise TypeError(f"only a VettedAddress is dialled, not {type(address).__name__}")
    family = socket.AF_INET6 if address.family == "IPv6" else socket.AF_INET
    if route is not None:
        family = route.proxy.family
    try:
        connection = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise CannotDial.because_of(error) from None
    with suppress(OSError):  # without it a connection is slower, and nothing else
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _check_peer(connection: socket.socket, address: str) -> None:
    try:
        peer = str(connection.getpeername()[0])
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise
        # A reset came in the meantime, and with it the peer is gone.
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)) from None
    # The texts of one IPv6 address differ between libraries; equal texts are the usual case.
    if peer != address and ip_address(peer.partition("%")[0]) != ip_address(address):
        raise WrongPeer(f"connected to {peer} in place of {address}")
