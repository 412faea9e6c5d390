"""A name server on loopback that answers by a table: well, late, never, in error, or with lies.

Names that are not in the table do not exist, so no name of a test is ever asked for elsewhere.
"""

import asyncio
import struct
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import ip_address
from typing import Any, Literal, TypeVar, cast

from tests.support.loopback import Listener, own_listener

T = TypeVar("T")

A, CNAME, AAAA = 1, 5, 28
_IN = 1
_RESPONSE, _TRUNCATED, _RECURSION = 0x8000, 0x0200, 0x0180
_KINDS: dict[int, Literal["A", "AAAA"]] = {A: "A", AAAA: "AAAA"}
_MAXIMUM_ALIASES = 20


class Says(Enum):
    """An answer without addresses; the value is the response code, silence has none."""

    SILENCE = -1
    SERVFAIL = 2
    NXDOMAIN = 3
    REFUSED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """The answers for a name.

    a, aaaa: addresses; an empty tuple is NODATA. cname: the name that it is an alias of; the
    records of that name follow. delay_s: before each answer. is_truncated: over UDP; TCP carries
    the whole answer. forged: an address sent in an answer with a wrong id, and for another name in
    an answer with the right id.
    """

    a: tuple[str, ...] | Says = ()
    aaaa: tuple[str, ...] | Says = ()
    cname: str = ""
    ttl_s: int = 300
    delay_s: float = 0.0
    is_truncated: bool = False
    forged: str = ""


def always(says: Says) -> Name:
    """Return a name with the same answer for both families."""
    return Name(a=says, aaaa=says)


NO_SUCH_NAME = always(Says.NXDOMAIN)


@dataclass(slots=True)
class DnsServer:
    """table: may change while it runs. asked, asked_over_tcp: every question, as name and kind."""

    listener: Listener
    table: dict[str, Name]
    asked: list[tuple[str, str]] = field(default_factory=list)
    asked_over_tcp: list[tuple[str, str]] = field(default_factory=list)

    @property
    def address(self) -> str:
        """The address in the form of the setting dns_servers."""
        return str(self.listener)

    def times_asked(self, name: str, kind: str = "A") -> int:
        """Return how often a name was queried."""
        return self.asked.count((name, kind))

    def named(self, question: "_Question") -> Name:
        """Return the entry in the table."""
        return self.table.get(question.name, NO_SUCH_NAME)

    def answers(self, question: "_Question", *, over_udp: bool) -> list[bytes]:
        """Return the messages that answer a question, none for silence."""
        named = self.named(question)
        says = _addresses(named, question.kind)
        if says is Says.SILENCE:
            return []
        if isinstance(says, Says):
            return [question.answer(code=says.value)]
        if over_udp and named.is_truncated:
            return [question.answer(flags=_TRUNCATED)]
        records = self._records(question.name, question.kind, named)
        if not named.forged:
            return [question.answer(records=records)]
        lie = _address_record(question.name, named.forged, named.ttl_s)
        other = _address_record("other." + question.name, named.forged, named.ttl_s)
        wrong_id = question.answer(records=[lie], id_offset=1)
        return [wrong_id, question.answer(records=[*records, other])]

    def _records(self, name: str, kind: int, named: Name) -> list[bytes]:
        records: list[bytes] = []
        for _ in range(_MAXIMUM_ALIASES):
            if not named.cname:
                break
            records.append(_record(name, CNAME, named.ttl_s, _name(named.cname)))
            name, named = named.cname, self.table.get(named.cname, NO_SUCH_NAME)
        says = _addresses(named, kind)
        addresses = () if isinstance(says, Says) else says
        return records + [_address_record(name, address, named.ttl_s) for address in addresses]


@dataclass(frozen=True, slots=True)
class _Question:
    number: int
    name: str
    kind: int
    section: bytes

    @classmethod
    def read(cls, message: bytes) -> "_Question":
        labels, at = [], 12
        while length := message[at]:
            labels.append(message[at + 1 : at + 1 + length].decode("ascii").lower())
            at += 1 + length
        number, kind = message[:2], message[at + 1 : at + 3]
        return cls(
            int.from_bytes(number, "big"),
            ".".join(labels),
            int.from_bytes(kind, "big"),
            message[12 : at + 5],
        )

    def answer(
        self,
        *,
        code: int = 0,
        flags: int = 0,
        records: list[bytes] | None = None,
        id_offset: int = 0,
    ) -> bytes:
        records = records or []
        number = (self.number + id_offset) & 0xFFFF
        head = (number, _RESPONSE | _RECURSION | flags | code, 1, len(records), 0, 0)
        return struct.pack("!HHHHHH", *head) + self.section + b"".join(records)


@asynccontextmanager
async def dns_server(table: Mapping[str, Name] | None = None) -> AsyncIterator[DnsServer]:
    """Run a name server on an address of its own, UDP and TCP, in the loop of the test."""
    listener = own_listener()
    server = DnsServer(listener, dict(table or {}))
    at = (listener.address, listener.port)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(server), local_addr=at)
    tcp = _Tcp(server)
    listening = await asyncio.start_server(tcp.serve, *at)
    try:
        yield server
    finally:
        transport.close()
        listening.close()
        for writer in tcp.writers:
            writer.transport.abort()
        await listening.wait_closed()


@contextmanager
def dns_server_in_a_thread(table: Mapping[str, Name] | None = None) -> Iterator[DnsServer]:
    """Run a name server for a test that has no loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="name server", daemon=True)
    thread.start()

    def run(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(10)

    running = dns_server(table)
    try:
        yield run(_entered(running))
        run(_left(running))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _entered(running: AbstractAsyncContextManager[T]) -> T:
    return await running.__aenter__()


async def _left(running: AbstractAsyncContextManager[object]) -> None:
    await running.__aexit__(None, None, None)


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        question = _Question.read(data)
        server = self._server
        server.asked.append((question.name, _KINDS[question.kind]))
        answers = server.answers(question, over_udp=True)
        loop = asyncio.get_running_loop()
        loop.call_later(server.named(question).delay_s, self._send, answers, addr)

    def _send(self, answers: list[bytes], addr: tuple[str, int]) -> None:
        assert self._transport is not None
        for answer in answers:
            if not self._transport.is_closing():
                self._transport.sendto(answer, addr)


class _Tcp:
    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while True:
                length = int.from_bytes(await reader.readexactly(2), "big")
                question = _Question.read(await reader.readexactly(length))
                self._server.asked_over_tcp.append((question.name, _KINDS[question.kind]))
                await asyncio.sleep(self._server.named(question).delay_s)
                for answer in self._server.answers(question, over_udp=False):
                    writer.write(len(answer).to_bytes(2, "big") + answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def _addresses(named: Name, kind: int) -> tuple[str, ...] | Says:
    return named.a if kind == A else named.aaaa


def _address_record(name: str, address: str, ttl_s: int) -> bytes:
    packed = ip_address(address).packed
    return _record(name, A if len(packed) == 4 else AAAA, ttl_s, packed)


def _record(name: str, kind: int, ttl_s: int, content: bytes) -> bytes:
    return _name(name) + struct.pack("!HHIH", kind, _IN, ttl_s, len(content)) + content


def _name(name: str) -> bytes:
    labels = name.encode("ascii").split(b".")
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
