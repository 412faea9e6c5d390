"""Opens TCP connections to partners, and is the only module that does.

It takes a VettedAddress and nothing else, so that no text can be dialled by mistake, and looks at
the peer of every connection before anybody uses it.
"""

import asyncio
import errno
import os
import socket
from contextlib import suppress
from ipaddress import ip_address
from typing import Self

from otpc_policy.core.addresses import VettedAddress
from otpc_policy.core.errors import OtpcPolicyError


class WrongPeer(OSError):
    """The connection leads to another address than the one that was vetted."""


class CannotDial(OtpcPolicyError):
    """This machine cannot open the connection, whoever is to be reached; says nothing about them.

    No OSError: whoever takes those for the partner's doing must not take this.
    """

    @classmethod
    def because_of(cls, error: OSError) -> Self:
        """Return it with the reason that the kernel gave."""
        return cls(error.strerror or str(error))


# What socket(2) and connect(2) report at once and of this side alone. EAGAIN: no free port, or no
# memory for a route. EACCES, EPERM: a rule of this machine; over the network EACCES may come from
# a router (ICMPv6, administratively prohibited), but then later, as the error of the socket.
_OF_THIS_SIDE = frozenset(
    (
        *(errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL),
        *(errno.EAGAIN, errno.EACCES, errno.EPERM, errno.EAFNOSUPPORT),
    )
)


def begin_connecting(address: VettedAddress, port: int) -> socket.socket:
    """Return a socket that becomes ready for writing when it is connected, or failed to be.

    Give it to finish_connecting then. Raises OSError, CannotDial, or TypeError where the address is
    not vetted.
    """
    connection = _new_socket(address)
    try:
        connection.setblocking(False)
        code = connection.connect_ex((address.text, port))
        if code in _OF_THIS_SIDE:
            raise CannotDial(os.strerror(code))
        if code not in (0, errno.EINPROGRESS, errno.EINTR):
            raise OSError(code, os.strerror(code))
    except (OSError, CannotDial):
        connection.close()
        raise
    return connection


def finish_connecting(connection: socket.socket, address: VettedAddress) -> None:
    """Confirm that a connection was made, and to that address.

    connection: from begin_connecting, and ready for writing. Raises OSError.
    """
    if code := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(code, os.strerror(code))
    _check_peer(connection, address)


def connect(address: VettedAddress, port: int, *, timeout_s: float) -> socket.socket:
    """Return a connected socket, and wait for it. Raises OSError, TimeoutError at the timeout,
    CannotDial, or TypeError where the address is not vetted.
    """
    connection = _new_socket(address)
    try:
        connection.settimeout(timeout_s)
        connection.connect((address.text, port))
        _check_peer(connection, address)
    except OSError as error:
        connection.close()
        # A local rule is not told apart from a router's here, where both come from one call.
        if error.errno in _OF_THIS_SIDE - {errno.EACCES}:
            raise CannotDial.because_of(error) from None
        raise
    return connection


async def connect_soon(address: VettedAddress, port: int) -> socket.socket:
    """Return a connected, non-blocking socket; the event loop goes on meanwhile.

    Raises OSError, CannotDial, or TypeError where the address is not vetted.
    """
    connection = begin_connecting(address, port)
    loop = asyncio.get_running_loop()
    is_writable: asyncio.Future[None] = loop.create_future()

    def ready() -> None:
        if not is_writable.done():
            is_writable.set_result(None)

    loop.add_writer(connection, ready)
    try:
        try:
            await is_writable
        finally:
            loop.remove_writer(connection)
        finish_connecting(connection, address)
    except BaseException:
        connection.close()
        raise
    return connection


def _new_socket(address: VettedAddress) -> socket.socket:
    if type(address) is not VettedAddress:
        raise TypeError(f"only a VettedAddress is dialled, not {type(address).__name__}")
    family = socket.AF_INET6 if address.family == "IPv6" else socket.AF_INET
    try:
        connection = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise CannotDial.because_of(error) from None
    with suppress(OSError):  # without it a connection is slower, and nothing else
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _check_peer(connection: socket.socket, address: VettedAddress) -> None:
    try:
        peer = str(connection.getpeername()[0])
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise
        # A reset came in the meantime, and with it the peer is gone.
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)) from None
    # The texts of one IPv6 address differ between libraries; equal texts are the usual case.
    if peer != address.text and ip_address(peer.partition("%")[0]) != ip_address(address.text):
        raise WrongPeer(f"connected to {peer} in place of {address.text}")
