"""HTTP inside TLS: served, not served, not to be seen, not known."""

import asyncio
from pathlib import Path

import pytest

from otpc_policy.core.facts import TlsVersion
from otpc_policy.engine.probes.http_probe import HttpAnswer, HttpOutcome, ask_http
from tests.engine.partners import (
    Handler,
    openssl_server,
    says,
    server,
    stall,
    tls_server,
)
from tests.support.certificates import CertificateAuthority, Issued
from tests.support.loopback import free_port, vetted


@pytest.fixture(scope="module")
def leaf() -> Issued:
    return CertificateAuthority.create().issue()


async def ask(port: int, deadline_s: float = 2) -> HttpAnswer:
    return (await outcome(port, deadline_s)).answer


async def outcome(port: int, deadline_s: float = 2) -> HttpOutcome:
    return await ask_http(
        address=vetted(),
        port=port,
        server_name="partner.test",
        host_header="partner.test",
        deadline_s=deadline_s,
    )


async def disconnect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(4096)


SETTINGS = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x80"


@pytest.mark.parametrize(
    ("handler", "alpn", "answer"),
    [
        (says(b"HTTP/1.1 200 OK\r\n\r\n"), None, HttpAnswer.HTTP),
        (says(b"HTTP/1.0 501 What\r\n\r\n"), ["http/1.1"], HttpAnswer.HTTP),
        (says(SETTINGS), ["h2"], HttpAnswer.HTTP),
        (says(b"HTTP/1.1 200 OK\r\n\r\n"), ["h2"], HttpAnswer.NOT_HTTP),
        (says(b"220 mail ESMTP\r\n"), None, HttpAnswer.NOT_HTTP),
        (says(b"{"), None, HttpAnswer.NOT_HTTP),
        (disconnect, None, HttpAnswer.CLOSED),
    ],
)
async def test_the_first_bytes_decide(
    tmp_path: Path, leaf: Issued, handler: Handler, alpn: list[str] | None, answer: HttpAnswer
) -> None:
    async with tls_server(tmp_path, leaf, handler, alpn=alpn) as port:
        assert await outcome(port) == HttpOutcome(answer, (TlsVersion.TLS_1_3, leaf.chain_der[0]))


async def test_silence_is_unknown(tmp_path: Path, leaf: Issued) -> None:
    async with server(stall) as silent:
        assert await ask(silent, 0.2) is HttpAnswer.UNKNOWN
    assert await ask(free_port("127.0.0.1")) in (HttpAnswer.CLOSED, HttpAnswer.UNKNOWN)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_a_demanded_client_certificate_is_told_apart(
    tmp_path: Path, leaf: Issued, version: str
) -> None:
    with openssl_server(
        tmp_path, leaf, arguments=("-Verify", "2", "-verify_return_error", version)
    ) as port:
        assert await ask(port) is HttpAnswer.CERTIFICATE_ALERT


@pytest.mark.parametrize(
    "arguments",
    [("-tls1_2", "-cipher", "AES128-SHA"), ("-tls1", "-cipher", "ALL:@SECLEVEL=0"), ("-tls1_3",)],
)
async def test_weak_servers_are_asked_too(
    tmp_path: Path, leaf: Issued, arguments: tuple[str, ...]
) -> None:
    rsa = CertificateAuthority.create().issue(key="rsa1024" if "-tls1" in arguments else "rsa2048")
    with openssl_server(tmp_path, rsa, arguments=arguments) as port:
        assert await ask(port) is HttpAnswer.HTTP
