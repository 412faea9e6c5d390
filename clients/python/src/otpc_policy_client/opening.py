"""Opens connections as judged: blocking, and for asyncio. Names are not resolved here.

The addresses are tried one after the other, each with its share of the time that is left. Only an
address that gives no connection (OSError, ssl.SSLError and TimeoutError among them) is followed by
the next; a connection that is not as judged ends the attempt.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from otpc_policy_client.clock import elapsed_s
from otpc_policy_client.judged import JudgedEndpoint
from otpc_policy_client.keeping_terms import MakeContext, accept, restrict
from otpc_policy_client.v1 import policy_pb2 as pb


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedSocket:
    """A connection that the answer covers. Nothing has been sent over it.

    address: where it leads. leaf_sha256: of the leaf that it met, one of those in the answer.
    Close it, or use it in a with statement. When the answer expires, open no further one from it.
    """

    socket: ssl.SSLSocket
    address: str
    leaf_sha256: bytes
    answer: pb.CheckEndpointResponse

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
class JudgedStreams:
    """A connection that the answer covers, for asyncio. Fields otherwise as of JudgedSocket."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    address: str
    leaf_sha256: bytes
    answer: pb.CheckEndpointResponse

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
    failures: list[OSError] = []
    for address, share in _in_turn(judged):
        try:
            async with asyncio.timeout(remaining_s(deadline) / share):
                return await _open_streams(judged, make_context, address)
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
    return JudgedSocket(
        socket=secured, address=address, leaf_sha256=leaf_sha256, answer=judged.answer
    )


async def _open_streams(
    judged: JudgedEndpoint, make_context: MakeContext, address: str
) -> JudgedStreams:
    context = make_context()
    restrict(context, judged)
    plain = socket.socket(_family(address), socket.SOCK_STREAM)
    try:
        plain.setblocking(False)
        await asyncio.get_running_loop().sock_connect(plain, (address, judged.port))
    except BaseException:
        plain.close()
        raise
    # It owns the socket from here on, whatever happens.
    reader, writer = await asyncio.open_connection(
        sock=plain, ssl=context, server_hostname=judged.server_name
    )
    try:
        leaf_sha256 = accept(writer.get_extra_info("ssl_object"), judged, address)
    except BaseException:
        writer.transport.abort()
        raise
    return JudgedStreams(
        reader=reader,
        writer=writer,
        address=address,
        leaf_sha256=leaf_sha256,
        answer=judged.answer,
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
