"""Opens connections as judged: blocking, and for asyncio. Names are not resolved here.

The addresses are tried one after the other, each with its share of the time that is left. Only an
address that gives no connection (OSError, ssl.SSLError and TimeoutError among them) is followed by
the next; a connection that is not as judged ends the attempt.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

from otpc_policy_client.clock import elapsed_s
from otpc_policy_client.judged import JudgedEndpoint
from otpc_policy_client.keeping_terms import MakeContext, accept, restrict, stands
from otpc_policy_client.v1 import policy_pb2 as pb

# What answers an asyncio transport: of asyncio's streams, or of somebody's HTTP client.
P = TypeVar("P", bound=asyncio.Protocol)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What is known of a connection. judged: what it was held to.

    address: where it leads. leaf_sha256: of the leaf that it met, one of those in the answer.
    """

    address: str
    leaf_sha256: bytes
    judged: JudgedEndpoint

    @property
    def answer(self) -> pb.CheckEndpointResponse:
        """The answer that covers the connection."""
        return self.judged.answer

    @property
    def stands(self) -> bool:
        """Whether the answer still permits traffic. Where it does not, send no further request."""
        return stands(self.judged)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedSocket(Judged):
    """A connection that the answer covers. Nothing has been sent over it.

    Close it, or use it in a with statement. When the answer expires, open no further one from it.
    """

    socket: ssl.SSLSocket

    def close(self) -> None:
        """End the connection."""
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedProtocol(Judged, Generic[P]):
    """A connection that the answer covers, for asyncio, with a protocol of the caller's."""

    transport: asyncio.Transport
    protocol: P


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedStreams(Judged):
    """A connection that the answer covers, for asyncio. Otherwise as JudgedSocket."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def close(self) -> None:
        """End the connection; writer.wait_closed waits for its end."""
        self.writer.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def remaining_s(deadline: float) -> float:
    """Return the seconds until an instant of clock.elapsed_s. Raises TimeoutError after it."""
    left_s = deadline - elapsed_s()
    if left_s <= 0:
        raise TimeoutError("no connection as judged could be opened in time")
    return left_s


def open_socket(
    judged: JudgedEndpoint, make_context: MakeContext, *, deadline: float
) -> JudgedSocket:
    """Return a connection as judged. deadline: an instant of clock.elapsed_s.

    Raises NotAsJudged, TrafficNotPermitted, OSError if no address gives a connection.
    """
    failures: list[OSError] = []
    for address, share in _in_turn(judged):
        try:
            return _open_socket(
                judged, make_context, address, elapsed_s() + remaining_s(deadline) / share
            )
        except OSError as error:
            failures.append(error)
    raise _failure(failures)


async def open_streams(
    judged: JudgedEndpoint, make_context: MakeContext, *, deadline: float
) -> JudgedStreams:
    """Return a connection as judged. Arguments and errors as of open_socket."""
    # As asyncio.open_connection makes them.
    loop = asyncio.get_running_loop()

    def new_protocol() -> "_StreamProtocol":
        return _StreamProtocol(asyncio.StreamReader(loop=loop), loop)

    opened = await open_protocol(judged, make_context, new_protocol, deadline=deadline)
    reader = opened.protocol.reader
    return JudgedStreams(
        reader=reader,
        writer=asyncio.StreamWriter(opened.transport, opened.protocol, reader, loop),
        address=opened.address,
        leaf_sha256=opened.leaf_sha256,
        judged=judged,
    )


class _StreamProtocol(asyncio.StreamReaderProtocol):
    def __init__(self, reader: asyncio.StreamReader, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(reader, loop=loop)
        self.reader = reader


async def open_protocol(
    judged: JudgedEndpoint,
    make_context: MakeContext,
    new_protocol: Callable[[], P],
    *,
    deadline: float,
) -> JudgedProtocol[P]:
    """Return a connection as judged that a protocol of the caller's has, one for each address.

    Other arguments and errors as of open_socket. A protocol of an address that gave no connection
    as judged may have had connection_made and connection_lost.
    """
    failures: list[OSError] = []
    for address, share in _in_turn(judged):
        try:
            async with asyncio.timeout(remaining_s(deadline) / share):
                return await _open_protocol(judged, make_context, new_protocol, address)
        except OSError as error:
            failures.append(error)
    raise _failure(failures)


def _open_socket(
    judged: JudgedEndpoint, make_context: MakeContext, address: str, deadline: float
) -> JudgedSocket:
    context = make_context()
    restrict(context, judged)
    plain = socket.socket(_family(address), socket.SOCK_STREAM)
    try:
        plain.settimeout(remaining_s(deadline))
        plain.connect((address, judged.port))
        # The time-out bounds a handshake as a whole.
        plain.settimeout(remaining_s(deadline))
        secured = context.wrap_socket(plain, server_hostname=judged.server_name)
    except BaseException:
        plain.close()
        raise
    try:
        leaf_sha256 = accept(secured, judged, address)
    except BaseException:
        secured.close()
        raise
    return JudgedSocket(socket=secured, address=address, leaf_sha256=leaf_sha256, judged=judged)


async def _open_protocol(
    judged: JudgedEndpoint,
    make_context: MakeContext,
    new_protocol: Callable[[], P],
    address: str,
) -> JudgedProtocol[P]:
    context = make_context()
    restrict(context, judged)
    loop = asyncio.get_running_loop()
    plain = socket.socket(_family(address), socket.SOCK_STREAM)
    try:
        plain.setblocking(False)
        await loop.sock_connect(plain, (address, judged.port))
    except BaseException:
        plain.close()
        raise
    # It owns the socket from here on, whatever happens.
    transport, protocol = await loop.create_connection(
        new_protocol, sock=plain, ssl=context, server_hostname=judged.server_name
    )
    try:
        leaf_sha256 = accept(transport.get_extra_info("ssl_object"), judged, address)
    except BaseException:
        transport.abort()
        raise
    return JudgedProtocol(
        transport=transport,
        protocol=protocol,
        address=address,
        leaf_sha256=leaf_sha256,
        judged=judged,
    )


def _in_turn(judged: JudgedEndpoint) -> Iterator[tuple[str, int]]:
    """Yield each address with the number of those that are left, itself included."""
    count = len(judged.addresses)
    return zip(judged.addresses, range(count, 0, -1), strict=True)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _failure(failures: list[OSError]) -> OSError:
    """Return the first failure with the others as notes. failures: not empty."""
    first, *others = failures
    for other in others:
        first.add_note(f"another address: {other}")
    return first
