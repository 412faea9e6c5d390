"""Servers for the scanner's tests: OpenSSL's, and a relay that turns hostile after a while."""

import asyncio
import os
import selectors
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization

from otpc_policy.core.endpoint import Endpoint, parse_endpoint
from otpc_policy.core.facts import TlsVersion
from otpc_policy.engine.egress.dialler import connect
from otpc_policy.engine.limits import ScanLimits
from otpc_policy.engine.scanner import SslyzeScanner
from otpc_policy.engine.workers.client_handshake import ClientHandshake
from otpc_policy.engine.workers.handshake import HandshakeOffer, HandshakeOutcome, Hello
from tests.support.certificates import Issued
from tests.support.loopback import Listener, free_port, vetted

SIX = (0xC02B, 0xC02F, 0xCCA9, 0xCCA8, 0xC023, 0xC027)
SIX_NAMES = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:"
    "ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256"
)
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def offer(
    port: int,
    *,
    version: TlsVersion | None = TlsVersion.TLS_1_2,
    suites: tuple[int, ...] = SIX,
    legacy: bool = False,
    request: bytes = b"",
    deadline_s: float = 2,
) -> HandshakeOffer:
    return HandshakeOffer(
        address=vetted(),
        port=port,
        hello=Hello(
            server_name="partner.test",
            version=version,
            cipher_suites=suites,
            legacy=legacy,
            request=request,
            deadline_s=deadline_s,
            byte_limit=100_000,
        ),
    )


def handshake(offer: HandshakeOffer) -> HandshakeOutcome:
    """Carry out one offer, waiting where the worker would."""
    connection = connect(offer.address, offer.port, timeout_s=offer.hello.deadline_s)
    connection.setblocking(False)
    one = ClientHandshake(offer.hello, connection)
    with selectors.DefaultSelector() as selector:
        while (outcome := one.go_on()) is None:
            selector.register(one, selectors.EVENT_READ)
            is_ready = selector.select(one.until_s - time.monotonic())
            selector.unregister(one)
            if not is_ready:
                return one.give_up()
    return outcome


def server_hello(suite: int, version: int = 0x0303) -> bytes:
    """A whole record with a ServerHello; an extension selects TLS 1.3 (RFC 8446 4.2.1)."""
    body = (
        min(version, 0x0303).to_bytes(2, "big")
        + bytes(32)
        + b"\0"
        + suite.to_bytes(2, "big")
        + b"\0"
    )
    body += b"\0\x06\0\x2b\0\2" + version.to_bytes(2, "big") if version > 0x0303 else b""
    message = b"\x02" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x03" + len(message).to_bytes(2, "big") + message


def endpoint(port: int) -> Endpoint:
    return parse_endpoint("partner.test", port)


@contextmanager
def openssl_server(
    directory: Path,
    *leaves: Issued,
    arguments: tuple[str, ...] = ("-cipher", SIX_NAMES),
    address: str = "127.0.0.1",
) -> Iterator[int]:
    """Run `openssl s_server` with one or two certificates; it answers HTTP. Yields the port."""
    port = free_port(address)
    certificates = []
    for option, leaf, name in zip(("cert", "dcert"), leaves, ("first", "second"), strict=False):
        chain, key = leaf.write(directory, f"{name}-{port}")
        certificates += [
            f"-{option}",
            str(chain),
            "-key" if option == "cert" else "-dkey",
            str(key),
        ]
        if len(leaf.chain) > 1:
            issuers = chain.with_suffix(".issuers")
            issuers.write_bytes(
                b"".join(one.public_bytes(serialization.Encoding.PEM) for one in leaf.chain[1:])
            )
            certificates += [f"-{option}_chain", str(issuers)]
    command = [
        "openssl",
        "s_server",
        "-accept",
        str(Listener(address, port)),
        "-www",
        *certificates,
        *arguments,
    ]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(b"ACCEPT"):
                break
        else:
            raise AssertionError(f"openssl s_server did not start: {command}")
        yield port
    finally:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@asynccontextmanager
async def tls_server(
    directory: Path, leaf: Issued, handler: Handler, *, alpn: list[str] | None = None
) -> AsyncIterator[int]:
    """Run a server whose handler reads and writes inside TLS. Yields the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*leaf.write(directory, "leaf"))
    if alpn:
        context.set_alpn_protocols(alpn)
    async with server(handler, tls=context) as port:
        yield port


@asynccontextmanager
async def server(handler: Handler, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Run a scripted server and yield its port; its connections are dropped at the end.

    tls: the handler reads and writes inside it.
    """
    writers: list[asyncio.StreamWriter] = []
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        task = asyncio.current_task()
        if task is not None:
            tasks.add(task)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listening.wait_closed()


def open_sockets(process: int | str = "self") -> int:
    """Sockets of a process: descriptors that the system calls by that name."""
    found = 0
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        try:
            found += os.readlink(descriptor).startswith("socket:")
        except FileNotFoundError:
            continue
    return found


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )


async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(4096)


async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a ServerHello one byte at a time, for ever."""
    hello = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03"
    while True:
        writer.write(hello[:1])
        hello = hello[1:] or b"\0"
        await writer.drain()
        await asyncio.sleep(0.1)


def says(answer: bytes) -> Handler:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(answer)
        await writer.drain()
        await reader.read(4096)

    return say


def turns_hostile(port: int, *, after: int, into: Handler) -> Handler:
    """Relay to a good server for so many connections, then behave differently."""
    seen = 0

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(65536):
                writer.write(chunk)
                await writer.drain()
            writer.write_eof()
        except (OSError, RuntimeError):
            writer.transport.abort()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen += 1
        if seen > after:
            await into(reader, writer)
            return
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(pump(reader, upstream_writer), pump(upstream_reader, writer))
        finally:
            upstream_writer.transport.abort()

    return relay


@asynccontextmanager
async def scanner(**limits: Any) -> AsyncIterator[SslyzeScanner]:
    bounds = ScanLimits(**{"workers": 1, **limits})
    one = SslyzeScanner(limits=bounds, now=lambda: datetime.now(UTC))
    await one.start()
    try:
        yield one
    finally:
        await one.stop()
