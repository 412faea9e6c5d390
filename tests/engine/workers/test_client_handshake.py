"""One handshake at a time against real servers: proof, hints, and how hostile servers end it."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tlslite.api import HandshakeSettings, TLSConnection, X509CertChain, parsePEMKey

from otpc_policy.core.facts import TlsVersion
from otpc_policy.engine.workers.handshake import HandshakeEnding, HandshakeOutcome
from otpc_policy.tls.answer import ServerHello, parse_answer
from tests.engine.partners import (
    SIX,
    Handler,
    close,
    drip,
    handshake,
    offer,
    openssl_server,
    reset,
    says,
    server,
    stall,
    tls_server,
)
from tests.support.certificates import CertificateAuthority
from tests.support.loopback import vetted

TLS13 = (0x1301, 0x1302, 0x1303, 0x1304, 0x1305)


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return CertificateAuthority.create().intermediate()


def test_a_completed_handshake_yields_the_served_chain(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    leaf = authority.issue(key="rsa2048")
    with openssl_server(tmp_path, leaf) as port:
        outcome = handshake(offer(port))
    assert (outcome.ending, outcome.key_proven) == (HandshakeEnding.COMPLETED, True)
    assert outcome.chain == leaf.chain_der
    assert outcome.offered == SIX
    assert outcome.stapled_ocsp_response is None


@pytest.mark.parametrize(
    ("version", "suites", "proven"),
    [
        (TlsVersion.TLS_1_2, (0xC02F,), True),
        (TlsVersion.TLS_1_2, (0x009E,), True),
        (TlsVersion.TLS_1_2, (0x002F,), False),
        (TlsVersion.TLS_1_3, TLS13, True),
    ],
)
def test_a_demanded_client_certificate_hides_nothing_that_was_proven_before(
    authority: CertificateAuthority,
    tmp_path: Path,
    version: TlsVersion,
    suites: tuple[int, ...],
    proven: bool,
) -> None:
    """The signature precedes the request; static RSA proves nothing before the Finished."""
    leaf = authority.issue(key="rsa2048")
    with openssl_server(
        tmp_path, leaf, arguments=("-Verify", "2", "-cipher", "ALL:@SECLEVEL=0")
    ) as port:
        outcome = handshake(offer(port, version=version, suites=suites))
    assert (outcome.ending, outcome.client_certificate_requested) == (
        HandshakeEnding.CLIENT_CERTIFICATE,
        True,
    )
    assert isinstance(parse_answer(outcome.first_bytes), ServerHello)
    assert (outcome.key_proven, bool(outcome.chain)) == (proven, proven)


@pytest.mark.parametrize("arguments", [(), ("-Verify", "2")])
@pytest.mark.parametrize(
    ("version", "suites"), [(TlsVersion.TLS_1_2, SIX), (TlsVersion.TLS_1_3, TLS13)]
)
def test_the_stapled_ocsp_response_comes_with_the_chain(
    tmp_path: Path, version: TlsVersion, suites: tuple[int, ...], arguments: tuple[str, ...]
) -> None:
    authority = CertificateAuthority.create()
    leaf = authority.issue()
    response = authority.ocsp_response(leaf.certificate)
    (tmp_path / "staple.der").write_bytes(response)
    with openssl_server(
        tmp_path, leaf, arguments=("-status_file", str(tmp_path / "staple.der"), *arguments)
    ) as port:
        outcome = handshake(offer(port, version=version, suites=suites))
    assert (outcome.stapled_ocsp_response, outcome.chain) == (response, leaf.chain_der)


def test_ipv6_addresses_are_dialled(authority: CertificateAuthority, tmp_path: Path) -> None:
    leaf = authority.issue()
    with openssl_server(tmp_path, leaf, arguments=("-6",), address="::1") as port:
        assert handshake(replace(offer(port), address=vetted("::1"))).chain == leaf.chain_der


@contextmanager
def tlslite_server(
    chain_pem: bytes, key_pem: bytes, *, client_certificate: bool = False
) -> Iterator[int]:
    """A server that signs with whatever key it has, and takes handshakes until it is closed."""
    certificates = X509CertChain()
    certificates.parsePemList(chain_pem.decode())
    settings = HandshakeSettings()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(2)
                try:
                    key = parsePEMKey(key_pem.decode(), private=True)
                    TLSConnection(connection).handshakeServer(
                        certChain=certificates,
                        privateKey=key,
                        settings=settings,
                        reqCert=client_certificate,
                    )
                except Exception:  # noqa: BLE001 - a client that leaves is no failure of the test
                    continue

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@pytest.mark.parametrize("client_certificate", [False, True])
@pytest.mark.parametrize(
    ("version", "suites", "legacy"),
    [
        (TlsVersion.TLS_1_3, TLS13, False),
        (TlsVersion.TLS_1_2, (0xC02F,), False),
        (TlsVersion.TLS_1_2, (0xC02F,), True),
        (TlsVersion.TLS_1_2, (0x002F,), False),
        (TlsVersion.TLS_1_1, (0xC013,), False),
    ],
)
def test_a_copied_certificate_served_without_its_key_never_counts(
    authority: CertificateAuthority,
    version: TlsVersion,
    suites: tuple[int, ...],
    legacy: bool,
    client_certificate: bool,
) -> None:
    genuine, thief = (
        authority.issue(key="rsa2048"),
        CertificateAuthority.create("Thief", key="rsa3072").issue(key="rsa3072"),
    )
    with tlslite_server(
        genuine.chain_pem, thief.key_pem, client_certificate=client_certificate
    ) as port:
        stolen = handshake(offer(port, version=version, suites=suites, legacy=legacy))
    assert isinstance(parse_answer(stolen.first_bytes), ServerHello)
    assert (stolen.key_proven, stolen.chain) == (False, ())
    with tlslite_server(thief.chain_pem, thief.key_pem) as port:
        honest = handshake(offer(port, version=version, suites=suites, legacy=legacy))
    assert (honest.ending, honest.chain) == (HandshakeEnding.COMPLETED, thief.chain_der)


def test_weak_keys_anonymous_and_null_suites_are_seen_not_refused_by_us(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    leaf = authority.issue(key="rsa1024")
    with openssl_server(
        tmp_path, leaf, arguments=("-cipher", "ALL:COMPLEMENTOFALL:@SECLEVEL=0", "-tls1_2")
    ) as port:
        weak, null, anonymous = (
            handshake(offer(port, suites=(suite,))) for suite in (0xC02F, 0x0002, 0x0034)
        )
    assert weak.chain == leaf.chain_der
    assert null.key_proven
    assert isinstance(parse_answer(anonymous.first_bytes), ServerHello)
    assert (anonymous.ending, anonymous.key_proven) == (HandshakeEnding.COMPLETED, False)


async def test_hostile_servers_end_within_the_deadline() -> None:
    async def ending(behaviour: object) -> HandshakeOutcome:
        async with server(behaviour) as port:  # type: ignore[arg-type]
            return await asyncio.to_thread(handshake, offer(port))

    endless = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03" + bytes(200_000)
    outcomes = await asyncio.gather(
        *(
            ending(behaviour)
            for behaviour in (
                reset,
                close,
                stall,
                drip,
                says(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
                says(endless),
            )
        )
    )
    assert [outcome.ending for outcome in outcomes[:4]] == [
        HandshakeEnding.RESET,
        HandshakeEnding.CLOSED,
        HandshakeEnding.TIMED_OUT,
        HandshakeEnding.TIMED_OUT,
    ]
    assert outcomes[4].first_bytes.startswith(b"HTTP/1.1 400")
    assert outcomes[5].ending in (HandshakeEnding.BYTE_LIMIT, HandshakeEnding.FAILED)
    assert all(outcome.duration_s < 2.5 and not outcome.key_proven for outcome in outcomes)
    assert all(len(outcome.first_bytes) <= 4096 for outcome in outcomes)


@pytest.mark.parametrize(
    ("handler", "reply"),
    [
        (says(b"HTTP/1.1 200 OK\r\n\r\n"), b"HTTP/1.1 200 OK\r"),
        (says(b"220 mail\r\n"), b"220 mail\r\n"),
        (close, b""),
        (reset, b""),
        (stall, b""),
    ],
    ids=["http", "mail", "close", "reset", "stall"],
)
@pytest.mark.parametrize(
    ("version", "suites"), [(TlsVersion.TLS_1_2, SIX), (TlsVersion.TLS_1_3, TLS13)]
)
async def test_what_comes_of_a_request_says_nothing_of_the_handshake_before_it(
    authority: CertificateAuthority,
    tmp_path: Path,
    *,
    version: TlsVersion,
    suites: tuple[int, ...],
    handler: Handler,
    reply: bytes,
) -> None:
    leaf = authority.issue(key="rsa2048")
    async with tls_server(tmp_path, leaf, handler) as port:
        asked = offer(
            port, version=version, suites=suites, request=b"GET / HTTP/1.1\r\n\r\n", deadline_s=1
        )
        outcome = await asyncio.to_thread(handshake, asked)
    assert (outcome.ending, outcome.key_proven, outcome.chain) == (
        HandshakeEnding.COMPLETED,
        True,
        leaf.chain_der,
    )
    assert outcome.reply[: len(reply) or None] == reply


def test_an_offer_that_the_library_lacks_is_told_apart_from_a_refusal(tmp_path: Path) -> None:
    with openssl_server(tmp_path, CertificateAuthority.create().issue()) as port:
        nothing = handshake(offer(port, version=TlsVersion.TLS_1_0, suites=(0xC02F,)))
    assert nothing.ending in (HandshakeEnding.FAILED, HandshakeEnding.NOTHING_TO_OFFER)
    assert not nothing.offered or not nothing.key_proven
