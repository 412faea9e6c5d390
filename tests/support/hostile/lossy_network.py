"""A network within this process, whose connections are lost as a test says, on a clock of its own.

The engine's prober, its HTTP question and a client in place of its workers are led over socket
pairs to one scripted server (a Behaviour). Time passes only while everybody waits, so what takes
seconds on a busy machine takes none here, and a measurement with the same seed and the same losses
is the same measurement.
"""

import asyncio
import selectors
import socket
import ssl
import warnings
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

import pytest

from otpc_policy.core.addresses import VettedAddress
from otpc_policy.core.facts import TlsVersion
from otpc_policy.core.registries.suites import suite_by_code_point
from otpc_policy.engine import scanner
from otpc_policy.engine.egress.proxy import ProxyRoute
from otpc_policy.engine.limits import ScanLimits
from otpc_policy.engine.probes import http_probe
from otpc_policy.engine.transport import exchange, prober
from otpc_policy.engine.workers.handshake import (
    REPLY_BYTES,
    HandshakeEnding,
    HandshakeOffer,
    HandshakeOutcome,
    Hello,
)
from tests.support.tcp import Behaviour, Connection, Transcript

_Result = TypeVar("_Result")
# A ServerHello is shorter, and the certificate that follows it does not fit.
_BEGINNING_BYTES = 200
_READ_BYTES = 65_536
_VERSIONS: Mapping[TlsVersion, ssl.TLSVersion] = {
    TlsVersion.TLS_1_0: ssl.TLSVersion.TLSv1,
    TlsVersion.TLS_1_1: ssl.TLSVersion.TLSv1_1,
    TlsVersion.TLS_1_2: ssl.TLSVersion.TLSv1_2,
    TlsVersion.TLS_1_3: ssl.TLSVersion.TLSv1_3,
}


class Loss(Enum):
    """What becomes of one connection.

    REFUSED: TCP is refused. UNCONNECTED: TCP never connects. HELLO: the server never sees the
    hello, so nothing comes. ANSWER: the server answers, and nothing of it arrives. REST: only the
    beginning of its answer arrives, without a certificate. CLOSED: somebody ends the connection,
    and the server never sees it. LATE: the server reads the hello when nobody waits any more.
    STARVED: the machine stands still as soon as the answer has arrived, for longer than anybody
    waits.
    """

    REFUSED = "TCP is refused"
    UNCONNECTED = "TCP never connects"
    HELLO = "the hello is lost"
    ANSWER = "the answer is lost"
    REST = "the answer is cut"
    CLOSED = "the connection is closed"
    LATE = "the hello is read too late"
    STARVED = "the machine stands still"


# Of these the engine sees nothing, or no more than a beginning.
SILENT_LOSSES = (
    *(Loss.REFUSED, Loss.UNCONNECTED, Loss.HELLO, Loss.ANSWER, Loss.REST),
    *(Loss.LATE, Loss.STARVED),
)


# None for a connection that is carried as it should be. number: from 0, in order of opening.
Losses = Callable[[int], Loss | None]
# Seconds, by the same number.
Delays = Callable[[int], float]


class _Selector(selectors.DefaultSelector):
    """Looks at sockets without waiting, and lets time pass where nothing is ready."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everybody waits, and nothing will ever happen"
            self.now_s += max(0.0, timeout)
        return ready


class _Loop(asyncio.SelectorEventLoop):
    """An event loop by that selector's clock."""

    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now_s

    def stand_still(self, for_s: float) -> None:
        """Let time pass without doing anything."""
        self._clock.now_s += for_s


def run_at_once(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run it in a loop whose time passes only while everybody waits."""
    loop = _Loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


@dataclass(slots=True)
class Network:
    """Connections to one server.

    losses: what becomes of each. delays: seconds from opening until the server is reached.
    late_s: after how long the server reads a hello that is late, and how long the machine stands
    still.
    transcripts: in order of opening, of those that brought the client what the server sent, or its
    beginning: what is lost was not shown.
    """

    behaviour: Behaviour
    losses: Losses = lambda number: None
    delays: Delays = lambda number: 0.0
    late_s: float = 5.0
    opened: int = 0
    transcripts: list[Transcript] = field(default_factory=list)
    _open: list[socket.socket] = field(default_factory=list)
    _lost: dict[int, Loss] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def open(self) -> socket.socket:
        """Return a new connection. Raises ConnectionRefusedError if that is its loss."""
        number, self.opened = self.opened, self.opened + 1
        loss = self.losses(number)
        if loss is Loss.REFUSED:
            raise ConnectionRefusedError("refused")
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        if loss is Loss.UNCONNECTED:
            self._lost[ours.fileno()] = loss
        else:
            self._lost.pop(ours.fileno(), None)
        self._open = [*(one for one in self._open if one.fileno() >= 0), ours]
        transcript = Transcript(concurrent=len(self._open))
        if loss in (None, Loss.REST, Loss.STARVED):
            self.transcripts.append(transcript)
        task = asyncio.create_task(self._serve(theirs, number, loss, transcript))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return ours

    def confirm(self, connection: socket.socket) -> None:
        """Raise TimeoutError for a connection that is never made."""
        if connection.fileno() in self._lost:
            raise TimeoutError("timed out")

    async def end(self) -> None:
        """End what the server still does."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(
        self, theirs: socket.socket, number: int, loss: Loss | None, transcript: Transcript
    ) -> None:
        reader, writer = await asyncio.open_connection(sock=theirs)
        try:
            await asyncio.sleep(self.delays(number))
            if loss is Loss.LATE:
                await asyncio.sleep(self.late_s)
            if loss is Loss.CLOSED:
                await reader.read(_READ_BYTES)
                return
            if loss not in (Loss.HELLO, Loss.UNCONNECTED):
                kept = {Loss.ANSWER: 0, Loss.REST: _BEGINNING_BYTES}.get(loss) if loss else None
                passed: Any = writer if kept is None else _Cut(writer, kept)
                if loss is Loss.STARVED:
                    passed = _Starving(writer, self.late_s)
                connection = Connection(number, reader, passed, transcript=transcript)
                with suppress(OSError):
                    await self.behaviour(connection)
                connection.ends()
                if kept is None:
                    return
            # What is lost does not end either, until the client leaves.
            while await reader.read(_READ_BYTES):
                pass
        except OSError:
            return
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


class _Starving:
    """A writer after whose first bytes the machine stands still."""

    def __init__(self, writer: asyncio.StreamWriter, for_s: float) -> None:
        self._writer, self._for_s = writer, for_s

    def write(self, content: bytes) -> None:
        self._writer.write(content)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, _Loop)
        loop.stand_still(self._for_s)
        self._for_s = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)


class _Cut:
    """A writer of which only so many bytes arrive, and no end."""

    def __init__(self, writer: asyncio.StreamWriter, kept: int) -> None:
        self._writer, self._kept = writer, kept

    def write(self, content: bytes) -> None:
        passed, self._kept = content[: self._kept], max(0, self._kept - len(content))
        if passed:
            self._writer.write(passed)

    async def drain(self) -> None:
        await self._writer.drain()

    def close(self) -> None:
        return

    def is_closing(self) -> bool:
        return self._writer.is_closing()

    def get_extra_info(self, name: str) -> object:
        return self._writer.get_extra_info(name)

    @property
    def transport(self) -> "_Endless":
        return _Endless()


class _Endless:
    def abort(self) -> None:
        return


@contextmanager
def led_over(network: Network) -> Iterator[None]:
    """Lead whatever the engine opens in this context over the network."""

    def begin_connecting(
        address: VettedAddress, port: int, route: ProxyRoute | None = None
    ) -> socket.socket:
        return network.open()

    def finish_connecting(
        connection: socket.socket, address: VettedAddress, route: ProxyRoute | None = None
    ) -> None:
        network.confirm(connection)

    async def connect_soon(
        address: VettedAddress, port: int, route: ProxyRoute | None = None
    ) -> socket.socket:
        connection = network.open()
        network.confirm(connection)
        return connection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prober, "begin_connecting", begin_connecting)
        patch.setattr(exchange, "finish_connecting", finish_connecting)
        patch.setattr(http_probe, "connect_soon", connect_soon)
        patch.setattr(scanner, "WorkerPool", lambda limits: _Pool(limits, network))
        yield


@dataclass(frozen=True, slots=True)
class _Pool:
    """In place of the worker processes: handshakes by Python's own TLS."""

    limits: ScanLimits
    network: Network
    workers_alive: int = 1

    async def start(self) -> None:
        return

    async def stop(self) -> None:
        return

    def lease(self, route: ProxyRoute | None = None) -> "_Lease":
        return _Lease(self.network)


@dataclass(frozen=True, slots=True)
class _Lease:
    network: Network

    async def handshake(self, offer: HandshakeOffer) -> HandshakeOutcome:
        hello = offer.hello
        context = _client_context(hello)
        if context is None:
            return HandshakeOutcome(ending=HandshakeEnding.NOTHING_TO_OFFER)
        try:
            async with asyncio.timeout(hello.deadline_s):
                return await _shake(self.network, context, hello)
        except TimeoutError:
            return HandshakeOutcome(ending=HandshakeEnding.TIMED_OUT)
        except OSError as error:
            # TLS has failed, or the connection.
            return HandshakeOutcome(ending=HandshakeEnding.FAILED, detail=str(error))

    def raise_if_lied(self) -> None:
        return

    def end(self) -> None:
        return


def _client_context(hello: Hello) -> ssl.SSLContext | None:
    """Return what offers no more than the hello; None if this OpenSSL implements nothing of it."""
    version = _VERSIONS.get(hello.version or TlsVersion.TLS_1_2)
    known = (suite_by_code_point(one) for one in hello.cipher_suites)
    names = [one.openssl_name for one in known if one is not None and one.openssl_name]
    if version is None or not names:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        context.set_ciphers(f"{':'.join(names)}:@SECLEVEL=0")
    except ssl.SSLError:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # old versions are asked for, too
        context.minimum_version = context.maximum_version = version
    return context


async def _shake(network: Network, context: ssl.SSLContext, hello: Hello) -> HandshakeOutcome:
    """Complete a handshake and send the request. Raises OSError."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=hello.server_name)
    loop, first_bytes, reply = asyncio.get_running_loop(), b"", b""
    connection, is_asked = network.open(), False
    try:
        network.confirm(connection)
        while True:
            try:
                tls.do_handshake()
                if hello.request and not is_asked:
                    tls.write(hello.request)
                    is_asked = True
                reply = tls.read(REPLY_BYTES) if hello.request else b""
                break
            except ssl.SSLWantReadError:
                await loop.sock_sendall(connection, outgoing.read())
                content = await loop.sock_recv(connection, _READ_BYTES)
                first_bytes = first_bytes or content
                incoming.write(content) if content else incoming.write_eof()
        leaf = tls.getpeercert(binary_form=True)
        return HandshakeOutcome(
            ending=HandshakeEnding.COMPLETED,
            connected=True,
            offered=hello.cipher_suites,
            first_bytes=first_bytes,
            key_proven=True,
            chain=() if leaf is None else (leaf,),
            reply=reply,
        )
    finally:
        connection.close()
