"""Our hellos, read back by a strict reader of the tests and by other people's servers."""

import itertools
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from otpc_policy.core.facts import TlsVersion
from otpc_policy.engine.survey.offers import opening, second_opening, suites_at
from otpc_policy.tls.answer import Answer, Incomplete, ServerHello, parse_answer
from otpc_policy.tls.client_hello import (
    ENTROPY_BYTES,
    ClientHello,
    HelloStyle,
    encode_client_hello,
    offered_cipher_suites,
)
from tests.support.certificates import CertificateAuthority
from tests.support.loopback import Listener, own_listener
from tests.support.servers import LegacyOffer, TlsOffer, caddy, gnutls_serv, legacy_server, s_server
from tests.support.servers.legacy import SSL_3_0, TLS_1_2
from tests.tls.sent_hello import Kind, read_hello

SSL2, SSL3, TLS10, TLS11, TLS12, TLS13 = TlsVersion
NAME = "gateway.of.partner.tests"
ENTROPY = bytes(range(ENTROPY_BYTES))
WITH_EXTENSIONS = (TLS10, TLS11, TLS12, TLS13)
COMMON = {Kind.RENEGOTIATION_INFO, Kind.SUPPORTED_GROUPS, Kind.EC_POINT_FORMATS}
ONLY_FULL = {
    Kind.SESSION_TICKET,
    Kind.ENCRYPT_THEN_MAC,
    Kind.EXTENDED_MASTER_SECRET,
    Kind.STATUS_REQUEST,
    Kind.ALPN,
}
ONLY_13 = {Kind.SUPPORTED_VERSIONS, Kind.PSK_KEY_EXCHANGE_MODES, Kind.KEY_SHARE}


def sent(
    version: TlsVersion,
    *suites: int,
    lowest: TlsVersion | None = None,
    name: str | None = NAME,
    style: HelloStyle = HelloStyle.FULL,
) -> bytes:
    hello = ClientHello(
        version=version,
        lowest=lowest or version,
        cipher_suites=suites or suites_at(version),
        server_name=name,
        style=style,
    )
    return encode_client_hello(hello, ENTROPY)


def styles_of(version: TlsVersion) -> tuple[HelloStyle, ...]:
    return (HelloStyle.BARE,) if version <= SSL3 else (HelloStyle.FULL, HelloStyle.SHORT)


EVERY_SHAPE = [
    (version, style, name)
    for version in TlsVersion
    for style in styles_of(version)
    for name in (NAME, None)
]


@pytest.mark.parametrize(("version", "style", "name"), EVERY_SHAPE)
def test_every_suite_of_every_version_is_carried_in_order_and_nothing_else(
    version: TlsVersion, style: HelloStyle, name: str | None
) -> None:
    """Neither TLS_FALLBACK_SCSV (RFC 7507), which changes answers, nor GREASE (RFC 8701).

    The renegotiation signal only if no extension signals it.
    """
    raw = sent(version, name=name, style=style)
    hello = read_hello(raw)
    signal = (0x00FF,) if style is HelloStyle.BARE and version is SSL3 else ()
    assert hello.cipher_suites == (*suites_at(version), *signal)
    assert offered_cipher_suites(raw) == suites_at(version)
    assert 0x5600 not in hello.cipher_suites
    numbers = (
        *hello.cipher_suites,
        *(kind for kind, _ in hello.extensions),
        *(hello.groups or ()),
        *(hello.signature_schemes or ()),
    )
    assert not [
        number for number in numbers if number & 0x0F0F == 0x0A0A and number >> 8 == number & 0xFF
    ]
    assert hello.compression == b"\0"


def test_compression_is_offered_before_none() -> None:
    """RFC 3749 2, RFC 5246 7.4.1.2: the null method is always offered, too."""
    hello = ClientHello(
        version=TlsVersion.TLS_1_2,
        lowest=TlsVersion.TLS_1_2,
        cipher_suites=(0xC02F,),
        server_name=None,
        offers_compression=True,
    )
    assert read_hello(encode_client_hello(hello, bytes(ENTROPY_BYTES))).compression == b"\1\0"


@pytest.mark.parametrize(("version", "style", "name"), EVERY_SHAPE)
def test_the_version_stands_where_servers_of_its_time_look(
    version: TlsVersion, style: HelloStyle, name: str | None
) -> None:
    hello = read_hello(sent(version, name=name, style=style))
    assert hello.version == min(version, TLS12)
    assert hello.record_version == {SSL2: 0, SSL3: 0x0300}.get(version, 0x0301)
    assert hello.offered_versions == ((0x0304,) if version is TLS13 else None)


def test_tls_1_3_may_be_offered_with_lower_versions() -> None:
    assert read_hello(sent(TLS13, lowest=TLS12)).offered_versions == (0x0304, 0x0303)
    assert read_hello(sent(TLS13, lowest=TLS10)).offered_versions == (
        0x0304,
        0x0303,
        0x0302,
        0x0301,
    )


@pytest.mark.parametrize("version", WITH_EXTENSIONS)
@pytest.mark.parametrize("style", [HelloStyle.FULL, HelloStyle.SHORT])
def test_the_extensions_are_those_of_the_style(version: TlsVersion, style: HelloStyle) -> None:
    hello = read_hello(sent(version, style=style))
    expected = COMMON | {Kind.SERVER_NAME} | (ONLY_FULL if style is HelloStyle.FULL else set())
    expected |= ({Kind.SIGNATURE_ALGORITHMS} if version >= TLS12 else set()) | (
        ONLY_13 if version is TLS13 else set()
    )
    assert {kind for kind, _ in hello.extensions} == expected
    assert hello.server_name == NAME
    assert hello.extension(Kind.RENEGOTIATION_INFO) == b"\0"
    assert hello.extension(Kind.EC_POINT_FORMATS) == b"\1\0"
    assert hello.groups is not None
    assert {29, 23, 24, 25} <= set(hello.groups)
    assert hello.alpn == ((b"h2", b"http/1.1") if style is HelloStyle.FULL else ())
    if style is HelloStyle.FULL:
        assert hello.extension(Kind.EXTENDED_MASTER_SECRET) == b""
        assert hello.extension(Kind.STATUS_REQUEST) == b"\1\0\0\0\0"
    if version is TLS13:
        assert hello.extension(Kind.PSK_KEY_EXCHANGE_MODES) == b"\1\1"
        assert hello.key_shares == ((29, ENTROPY[64:]),)
        assert 29 in hello.groups


@pytest.mark.parametrize("version", WITH_EXTENSIONS)
def test_without_a_name_none_is_sent(version: TlsVersion) -> None:
    assert read_hello(sent(version, name=None)).server_name is None


def test_a_full_hello_names_groups_and_schemes_once_each_and_old_ones_last() -> None:
    """No suite is hidden by its curve or hash: DSA, SHA-1, MD5 and Brainpool included."""
    hello = read_hello(sent(TLS12))
    assert hello.groups is not None
    assert hello.signature_schemes is not None
    for numbers in (hello.groups, hello.signature_schemes):
        assert len(set(numbers)) == len(numbers)
    assert {22, 19, 1, 26, 27, 28} <= set(hello.groups)
    assert {0x0201, 0x0203, 0x0202, 0x0101, 0x0402} <= set(hello.signature_schemes)
    assert hello.signature_schemes.index(0x0403) < hello.signature_schemes.index(0x0201)


def test_ssl_3_has_no_extension_but_the_name() -> None:
    named, nameless = (
        read_hello(sent(SSL3, name=name, style=HelloStyle.BARE)) for name in (NAME, None)
    )
    assert [kind for kind, _ in named.extensions] == [Kind.SERVER_NAME]
    assert nameless.extensions == ()
    assert (named.session_id, nameless.session_id) == (b"", b"")


def test_randomness_is_used_once_each_and_only_where_it_belongs() -> None:
    full, short, old = (
        read_hello(sent(TLS13)),
        read_hello(sent(TLS13, style=HelloStyle.SHORT)),
        read_hello(sent(SSL2, style=HelloStyle.BARE)),
    )
    assert (full.random, full.session_id) == (ENTROPY[:32], ENTROPY[32:64])
    assert (short.random, short.session_id) == (ENTROPY[:32], b"")
    assert (old.random, old.session_id) == (ENTROPY[:16], b"")
    first, second = (
        sent(TLS12, 0xC02F),
        encode_client_hello(
            ClientHello(version=TLS12, lowest=TLS12, cipher_suites=(0xC02F,), server_name=NAME),
            bytes(reversed(ENTROPY)),
        ),
    )
    assert first != second
    assert read_hello(first).extensions == read_hello(second).extensions


@pytest.mark.parametrize("version", WITH_EXTENSIONS)
@pytest.mark.parametrize("lowest", [None, TLS12])
def test_short_hellos_stay_below_256_bytes(version: TlsVersion, lowest: TlsVersion | None) -> None:
    """With a short list and its control's suite (see suited_hellos), and a name of 24 bytes."""
    assert len(NAME) == 24
    suites = suites_at(TLS12)[:32]
    assert (
        len(
            sent(
                version,
                *suites,
                lowest=lowest if version is TLS13 else None,
                style=HelloStyle.SHORT,
            )
        )
        < 256
    )
    for probe in second_opening(NAME):
        assert len(encode_client_hello(probe.hello, ENTROPY)) < 256


def test_the_longest_hello_fits_in_one_record_and_one_segment_train() -> None:
    assert (
        max(
            len(encode_client_hello(probe.hello, ENTROPY))
            for probe in opening("a" * 63 + ".example")
        )
        < 1400
    )


AUTHORITY = CertificateAuthority.create()
OFFER = TlsOffer(certificates=(AUTHORITY.issue(key="rsa2048"), AUTHORITY.issue(key="ec256")))
# Version, lowest version, suites; what each stack below accepts of them is last, or nearly.
ACCEPTABLE = [
    (TLS12, TLS12, (*suites_at(TLS12)[:60], 0xC02F)),
    (TLS12, TLS12, (*suites_at(TLS12), 0xC02F)),
    (TLS13, TLS13, (0xC0B4, 0x1301)),
    (TLS13, TLS12, (0x1301, 0xC02F)),
]


def first_answer(server: Listener, raw: bytes) -> Answer:
    with socket.create_connection((server.address, server.port), timeout=5) as connection:
        connection.sendall(raw)
        received = b""
        while isinstance(answer := parse_answer(received), Incomplete) and (
            more := connection.recv(16_384)
        ):
            received += more
    return answer


@pytest.mark.parametrize("serve", [s_server, gnutls_serv, caddy], ids=["OpenSSL", "GnuTLS", "Go"])
def test_servers_of_other_people_choose_from_every_shape(
    serve: Callable[[Listener, TlsOffer], AbstractContextManager[Listener]],
) -> None:
    with serve(own_listener(), OFFER) as server:
        for version, lowest, suites in ACCEPTABLE:
            for style in (HelloStyle.FULL, HelloStyle.SHORT):
                answer = first_answer(
                    server, sent(version, *suites, lowest=lowest, name="partner.test", style=style)
                )
                assert isinstance(answer, ServerHello), (version, style, answer)
                assert answer.version == version
                assert answer.cipher_suite in suites


@pytest.mark.parametrize("version", [SSL3, TLS10, TLS11, TLS12])
def test_a_server_of_old_versions_understands_our_old_hellos(version: TlsVersion) -> None:
    offer = LegacyOffer(
        certificate=AUTHORITY.issue(key="rsa2048"),
        versions=(SSL_3_0, TLS_1_2),
        ciphers=("aes128",),
        macs=("sha",),
        key_exchanges=("rsa",),
    )
    with legacy_server(own_listener(), offer) as server:
        for name, style in itertools.product((None, "partner.test"), styles_of(version)):
            answer = first_answer(server, sent(version, 0x0033, 0x002F, name=name, style=style))
            assert isinstance(answer, ServerHello), (name, style, answer)
            assert (answer.version, answer.cipher_suite) == (version, 0x002F)
