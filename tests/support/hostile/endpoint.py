"""A TLS server that can be made to misbehave.

OpenSSL completes a handshake if the hello is acceptable; any behaviour may answer other hellos.
What is acceptable is a table, so that a test knows the truth. Suites that current OpenSSL does not
implement are chosen by a ServerHello of our own, with nothing after it.
"""

import ssl
import warnings
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from otpc_policy.core.facts import TlsVersion
from tests.support.certificates import Issued
from tests.support.hostile.behaviours import HANDSHAKE_FAILURE, alert, finish_at_once
from tests.support.hostile.hello import (
    Choice,
    SeenHello,
    hello_length,
    read_client_hello,
    server_hello_bytes,
)
from tests.support.tcp import Behaviour, Connection

Accepted = Mapping[TlsVersion, frozenset[int]]
# How bytes are sent: whole, in pieces, late.
Send = Callable[[Connection, bytes], Awaitable[None]]

SIX = frozenset({0xC02B, 0xC02F, 0xCCA9, 0xCCA8, 0xC023, 0xC027})
TLS13 = frozenset({0x1301, 0x1302, 0x1303})
STRICT: Accepted = {TlsVersion.TLS_1_2: SIX, TlsVersion.TLS_1_3: TLS13}
_REFUSAL = alert(HANDSHAKE_FAILURE)
# A HelloRetryRequest is shorter, and so is an alert; a flight with a certificate is longer.
_RETRY_REQUEST = 300
_RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


async def whole(connection: Connection, content: bytes) -> None:
    """Send the content unchanged."""
    await connection.send(content)


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A behaviour: accept what is in the table, refuse the rest.

    accepts: suites that OpenSSL serves, by version. scripted: further suites, chosen only if
    none of the others can be.
    refuse: what happens to every other hello. after_choice: what follows a scripted choice.
    reads_first: how many suites of a hello are read. send: how the bytes of real handshakes are
    sent.
    """

    context: ssl.SSLContext
    accepts: Accepted
    scripted: Accepted = field(default_factory=dict)
    refuse: Behaviour = _REFUSAL
    after_choice: Behaviour = finish_at_once
    reads_first: int = 1 << 16
    send: Send = whole

    @cached_property
    def truth(self) -> Accepted:
        """Return everything that the server accepts."""
        return {
            version: self.accepts.get(version, frozenset())
            | self.scripted.get(version, frozenset())
            for version in {*self.accepts, *self.scripted}
        }

    def choice(self, hello: SeenHello) -> Choice | None:
        """Return the version and a suite that the server accepts from a hello.

        As servers do: the highest common version first, then a suite for it.
        """
        truth = self.truth
        common = hello.versions & truth.keys()
        if not common:
            return None
        version = max(common)
        read = hello.cipher_suites[: self.reads_first]
        for table in (self.accepts, self.scripted):
            suites = [suite for suite in read if suite in table.get(version, ())]
            if suites:
                return Choice(version, suites[0])
        return None

    async def __call__(self, connection: Connection) -> None:
        """Serve one connection."""
        received = await read_hello(connection)
        hello = read_client_hello(received)
        choice = None if hello is None else self.choice(hello)
        connection.unread(received)
        if choice is None:
            await self.refuse(connection)
        elif choice.cipher_suite in self.accepts.get(TlsVersion(choice.version), ()):
            await converse(connection, self.context, self.send)
        else:
            await connection.read()
            await connection.send(server_hello_bytes(choice.version, choice.cipher_suite))
            await self.after_choice(connection)


def serving(context: ssl.SSLContext, send: Send = whole) -> Behaviour:
    """Return a server that leaves every decision to OpenSSL."""

    async def behave(connection: Connection) -> None:
        await converse(connection, context, send)

    return behave


async def read_hello(connection: Connection) -> bytes:
    """Return the first hello, or the part received before the client left."""
    received = b""
    while len(received) < hello_length(received):
        more = await connection.read()
        if not more:
            break
        received += more
    return received


async def converse(connection: Connection, context: ssl.SSLContext, send: Send = whole) -> None:
    """Speak TLS and answer one HTTP request."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    request = b""
    while b"\r\n\r\n" not in request:
        try:
            if not connection.transcript.handshake_completed:
                tls.do_handshake()
                connection.transcript.handshake_completed = True
            request += tls.read(4096) or b"\r\n\r\n"
        except ssl.SSLWantReadError:
            await _flush(connection, outgoing, send)
            more = await connection.read()
            if not more:
                return
            incoming.write(more)
        except ssl.SSLError:
            await _flush(connection, outgoing, send)
            return
    tls.write(_RESPONSE)
    await _flush(connection, outgoing, send)


async def _flush(connection: Connection, outgoing: ssl.MemoryBIO, send: Send) -> None:
    if content := outgoing.read():
        await send(connection, content)
        connection.transcript.flight_sent |= len(content) > _RETRY_REQUEST


def server_context(
    *certificates: Issued,
    ciphers: str,
    oldest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    client_order: bool = False,
    curve: str = "",
) -> ssl.SSLContext:
    """Return a context with one certificate for each key type.

    client_order: follow the client's order of suites. curve: the only curve, if given.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # old versions are what some servers are here to show
        context.minimum_version, context.maximum_version = oldest, newest
    if client_order:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0
    if curve:
        context.set_ecdh_curve(curve)
    with TemporaryDirectory(prefix="otpc-server-") as directory:
        for number, issued in enumerate(certificates):
            context.load_cert_chain(*issued.write(Path(directory), str(number)))
    return context
