"""What our own hellos offer, and that a real server understands them."""

import ssl
from contextlib import suppress
from pathlib import Path

import pytest

from otpc_policy.core.facts import TlsVersion
from otpc_policy.tls.answer import Alert, Answer, ServerHello, parse_answer
from otpc_policy.tls.client_hello import (
    ENTROPY_BYTES,
    PLAIN,
    ClientHello,
    HelloStyle,
    HelloVariant,
    encode_client_hello,
    offered_cipher_suites,
)
from tests.support.certificates import CertificateAuthority
from tests.tls.sent_hello import read_hello

MODERN = (0x1301, 0xC02F, 0xC02B)


def test_suites_are_read_off_a_real_hello_in_order() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA256")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="partner.test")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        sent = outgoing.read()
    assert offered_cipher_suites(sent) == (0xC02F, 0xC023)
    assert offered_cipher_suites(sent[:30]) == ()


def test_suites_are_read_off_an_ssl_2_hello() -> None:
    sent = bytes.fromhex("801c 01 0002 0006 0000 000d") + bytes.fromhex("010080 0700c0") + b"c" * 13
    assert offered_cipher_suites(sent) == (0x010080, 0x0700C0)
    assert offered_cipher_suites(b"") == ()


@pytest.fixture(scope="module")
def server_context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    chain, key = (
        CertificateAuthority.create()
        .issue(key="rsa2048")
        .write(tmp_path_factory.mktemp("hello"), "server")
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(chain), Path(key))
    return context


def answer_to(hello: bytes, context: ssl.SSLContext, names: list[str | None]) -> Answer:
    """What OpenSSL in this process says first; the server name that it read is added to names."""
    context.sni_callback = lambda _connection, name, _context: names.append(name)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = context.wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(hello)
    with suppress(ssl.SSLError):
        connection.do_handshake()
    return parse_answer(outgoing.read())


def hello_for(
    version: TlsVersion,
    suites: tuple[int, ...],
    *,
    lowest: TlsVersion | None = None,
    server_name: str | None = "partner.test",
) -> bytes:
    hello = ClientHello(
        version=version, lowest=lowest or version, cipher_suites=suites, server_name=server_name
    )
    return encode_client_hello(hello, bytes(range(ENTROPY_BYTES)))


@pytest.mark.parametrize("style", HelloStyle)
@pytest.mark.parametrize("variant", [PLAIN, HelloVariant(grease=0x8A8A)])
def test_what_is_said_to_be_listed_is_what_is_sent(
    style: HelloStyle, variant: HelloVariant
) -> None:
    """Where a server stops to read, suites that are none count too."""
    hello = ClientHello(
        version=TlsVersion.TLS_1_2,
        lowest=TlsVersion.TLS_1_2,
        cipher_suites=MODERN,
        server_name="partner.test",
        style=style,
        variant=variant,
    )
    sent = read_hello(encode_client_hello(hello, bytes(ENTROPY_BYTES))).cipher_suites
    assert (hello.listed_suites, hello.listed_count) == (sent, len(sent))


@pytest.mark.parametrize(
    ("version", "lowest", "chosen"),
    [
        (TlsVersion.TLS_1_3, TlsVersion.TLS_1_2, (TlsVersion.TLS_1_3, 0x1301)),
        (TlsVersion.TLS_1_3, TlsVersion.TLS_1_3, (TlsVersion.TLS_1_3, 0x1301)),
        (TlsVersion.TLS_1_2, TlsVersion.TLS_1_2, (TlsVersion.TLS_1_2, 0xC02F)),
    ],
)
def test_openssl_chooses_from_our_hello(
    server_context: ssl.SSLContext,
    version: TlsVersion,
    lowest: TlsVersion,
    chosen: tuple[TlsVersion, int],
) -> None:
    names: list[str | None] = []
    hello = hello_for(version, MODERN, lowest=lowest)
    answer = answer_to(hello, server_context, names)
    assert isinstance(answer, ServerHello)
    assert (answer.version, answer.cipher_suite) == chosen
    assert names == ["partner.test"]
    assert offered_cipher_suites(hello) == MODERN


def test_openssl_refuses_what_it_lacks_with_an_alert(server_context: ssl.SSLContext) -> None:
    answer = answer_to(
        hello_for(TlsVersion.TLS_1_3, (0xC0B4, 0xC0B5), server_name=None), server_context, []
    )
    assert isinstance(answer, Alert)
    assert answer.description == 40


@pytest.mark.parametrize("version", [TlsVersion.TLS_1_0, TlsVersion.TLS_1_1])
def test_an_old_version_is_offered_alone(
    server_context: ssl.SSLContext, version: TlsVersion
) -> None:
    answer = answer_to(hello_for(version, (0x002F,)), server_context, [])
    assert isinstance(answer, Alert)
    assert answer.description == 70
