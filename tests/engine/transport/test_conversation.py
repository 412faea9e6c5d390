"""Conversations with real and handmade servers in this process, byte by byte and at once."""

import os
import ssl
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otpc_policy.core.facts import TlsVersion
from otpc_policy.engine.profiles.clients import SSL2_FORMAT, ClientProfile, ProfileHello
from otpc_policy.engine.profiles.recorded_clients import recorded_clients
from otpc_policy.engine.transport.conversation import Conversation
from otpc_policy.engine.transport.key_proof import proves_key, public_key
from otpc_policy.tls.answer import Alert, Garbage, Incomplete, ServerHello
from otpc_policy.tls.client_hello import ClientHello
from otpc_policy.tls.flight import ServerFlight
from tests.engine.profiles.known_clients import (
    BARE_TLS_1_1,
    BROWSER,
    JAVA_17_WITH_RSA,
    OPENSSL_3,
    OPENSSL_102_AT_TLS_1_1,
    OPENSSL_102_WITH_RSA,
    SMALL,
)
from tests.engine.transport.handmade_tls13 import (
    MIDDLEBOX_SIGNAL,
    X25519,
    Handmade,
    extension,
    message,
    signature_of,
    vector,
    zstd_compress,
)
from tests.support.certificates import CertificateAuthority, Issued
from tests.tls.hostile_answers import SUPPORTED_VERSIONS_13, fragmented, hello, record
from tests.tls.sent_hello import Kind, read_hello

SSL2, SSL3, TLS10, TLS11, TLS12, TLS13 = TlsVersion
OPENSSL_TLS_1_2, OPENSSL_TLS_1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
NAME = "partner.test"
INTERMEDIATE = CertificateAuthority.create().intermediate()
KEYS = ("rsa2048", "ec256", "ec384", "ec521", "ed25519", "ed448")
LEAVES = {key: INTERMEDIATE.issue(key=key) for key in KEYS}
EC = LEAVES["ec256"]
CHROME, FIREFOX, RUSTLS = (
    recorded_clients()[name].profile for name in ("chrome", "firefox", "rustls")
)
WARNING = record(b"\x01\x70", 0x15)
FATAL = record(b"\x02\x2f", 0x15)
UNDECRYPTABLE = "a record that cannot be decrypted"


def client(
    profile: ClientProfile = OPENSSL_3,
    random_bytes: Callable[[int], bytes] = os.urandom,
) -> Conversation:
    name = NAME if profile.sends_name else None
    return Conversation(ProfileHello(profile=profile, server_name=name), random_bytes)


def surveyor(version: TlsVersion, *suites: int) -> Conversation:
    """The hello of the survey of suites."""
    offer = ClientHello(version=version, lowest=version, cipher_suites=suites, server_name=NAME)
    return Conversation(offer, bytes)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("leaves")


class OpenSsl:
    """One connection of the standard library's server, without a socket."""

    def __init__(
        self,
        directory: Path,
        leaf: Issued,
        *,
        curve: str | None = None,
        highest: ssl.TLSVersion = OPENSSL_TLS_1_3,
        asks_for_certificate: bool = False,
        ciphers: str | None = None,
    ) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*leaf.write(directory, leaf.sha256))
        context.maximum_version = highest
        if curve is not None:
            context.set_ecdh_curve(curve)
        if ciphers is not None:
            context.set_ciphers(ciphers)
        if asks_for_certificate:
            context.verify_mode = ssl.CERT_OPTIONAL
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def answer(self, sent: bytes) -> bytes:
        self._incoming.write(sent)
        with suppress(ssl.SSLError):
            self._tls.do_handshake()
        return self._outgoing.read()


def talk(one: Conversation, server: OpenSsl, size: int = 2**14) -> int:
    """Carry bytes in pieces until nobody has more to say; return how many hellos were sent."""
    hellos, unsent = 0, one.opening
    while unsent:
        hellos += 1
        answer, unsent = server.answer(unsent), b""
        for place in range(0, len(answer), size):
            unsent += one.receive(answer[place : place + size])
    return hellos


def read(one: Conversation) -> ServerFlight:
    assert one.flight is not None
    return one.flight


def is_proven(one: Conversation) -> bool:
    return proves_key(read(one))


# Real flights.


class Shown(NamedTuple):
    """A client and a server, and the scheme that it signs with then."""

    key: str
    profile: ClientProfile
    version: ssl.TLSVersion
    scheme: int

    def label(self) -> str:
        return f"{self.key}, {self.profile.name}, {self.version.name}"


FLIGHTS = [
    Shown("rsa2048", OPENSSL_3, OPENSSL_TLS_1_3, 0x0804),
    Shown("rsa2048", BROWSER, OPENSSL_TLS_1_3, 0x0804),
    Shown("rsa2048", JAVA_17_WITH_RSA, OPENSSL_TLS_1_3, 0x0804),
    Shown("ec256", OPENSSL_3, OPENSSL_TLS_1_3, 0x0403),
    Shown("ec256", BROWSER, OPENSSL_TLS_1_3, 0x0403),
    Shown("ec256", SMALL, OPENSSL_TLS_1_3, 0x0403),
    Shown("ec384", OPENSSL_3, OPENSSL_TLS_1_3, 0x0503),
    Shown("ec521", OPENSSL_3, OPENSSL_TLS_1_3, 0x0603),
    Shown("ed25519", OPENSSL_3, OPENSSL_TLS_1_3, 0x0807),
    Shown("ed448", OPENSSL_3, OPENSSL_TLS_1_3, 0x0808),
    Shown("rsa2048", OPENSSL_3, OPENSSL_TLS_1_2, 0x0804),
    Shown("rsa2048", OPENSSL_102_WITH_RSA, OPENSSL_TLS_1_2, 0x0401),
    Shown("ec256", OPENSSL_3.at_tls12(), OPENSSL_TLS_1_2, 0x0403),
    Shown("ec256", BROWSER, OPENSSL_TLS_1_2, 0x0403),
    Shown("ed25519", OPENSSL_3.at_tls12(), OPENSSL_TLS_1_2, 0x0807),
    Shown("ed448", OPENSSL_3.at_tls12(), OPENSSL_TLS_1_2, 0x0808),
]


@pytest.mark.parametrize("shown", FLIGHTS, ids=Shown.label)
@pytest.mark.parametrize("size", [2**14, 1])
def test_a_flight_shows_the_chain_and_proves_its_key_however_it_is_cut(
    directory: Path,
    shown: Shown,
    size: int,
) -> None:
    one, leaf = client(shown.profile), LEAVES[shown.key]
    assert talk(one, OpenSsl(directory, leaf, highest=shown.version), size) == 1
    flight = read(one)
    assert flight.chain == leaf.chain_der
    assert flight.signature is not None
    assert flight.signature.scheme == shown.scheme
    assert (flight.is_whole, flight.is_certificate_requested) == (True, False)
    assert proves_key(flight)
    assert one.is_over
    answer = one.answer_at_end()
    assert isinstance(answer, ServerHello)
    assert answer.version == shown.version.value


@pytest.mark.parametrize("version", [OPENSSL_TLS_1_2, OPENSSL_TLS_1_3])
def test_a_request_for_a_client_certificate_is_seen(
    directory: Path,
    version: ssl.TLSVersion,
) -> None:
    one = client()
    talk(one, OpenSsl(directory, EC, highest=version, asks_for_certificate=True))
    assert read(one).is_certificate_requested
    assert is_proven(one)


@pytest.mark.parametrize("suite", [0x1301, 0x1302, 0x1303])
def test_openssl_is_understood_in_each_of_its_suites(directory: Path, suite: int) -> None:
    one = client(replace(OPENSSL_3, listed_suites=(suite,)))
    talk(one, OpenSsl(directory, EC))
    assert is_proven(one)


@pytest.mark.parametrize("suite", [0x1301, 0x1302, 0x1303, 0x1304, 0x1305])
def test_every_suite_of_rfc_8446_is_decrypted(suite: int) -> None:
    one = client(replace(OPENSSL_3, listed_suites=(suite,)))
    one.receive(handmade(suite=suite).flight(one.opening))
    assert read(one).chain == EC.chain_der
    assert is_proven(one)


@pytest.mark.parametrize("ciphers", ["ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"])
def test_a_survey_hello_of_tls_1_2_shows_the_chain_too(directory: Path, ciphers: str) -> None:
    one = surveyor(TLS12, 0xC02B, 0xC023, 0xCCA9)
    server = OpenSsl(directory, EC, highest=OPENSSL_TLS_1_2, ciphers=ciphers)
    assert talk(one, server) == 1
    assert read(one).chain == EC.chain_der
    assert is_proven(one)


def test_a_static_key_exchange_signs_nothing_and_proves_nothing(directory: Path) -> None:
    one = surveyor(TLS12, 0x009C)
    leaf = LEAVES["rsa2048"]
    talk(one, OpenSsl(directory, leaf, highest=OPENSSL_TLS_1_2, ciphers="AES128-GCM-SHA256"))
    assert read(one) == ServerFlight(chain=leaf.chain_der, is_whole=True)
    assert not is_proven(one)


def test_the_randomness_of_a_hello_is_what_it_was_given() -> None:
    drawn: list[int] = []

    def random_bytes(count: int) -> bytes:
        drawn.append(count)
        return bytes([len(drawn)]) * count

    sent = read_hello(client(OPENSSL_3, random_bytes).opening)
    assert (sent.random, sent.session_id) == (b"\1" * 32, b"\2" * 32)
    assert drawn == [32, 32]
    shares = [read_hello(client(OPENSSL_3, bytes).opening).key_shares for _ in range(2)]
    assert shares[0] != shares[1]


# HelloRetryRequest.

# Asked for X25519, whose share it did not send.
WITHOUT_ITS_SHARE = replace(SMALL, groups=(23, X25519))
CURVES = {"prime256v1": 23, "secp384r1": 24, "secp521r1": 25, "X448": 30}
RETRIES = [
    *((OPENSSL_3, curve) for curve in CURVES),
    *((JAVA_17_WITH_RSA, curve) for curve in ("secp384r1", "secp521r1", "X448")),
    (BROWSER, "prime256v1"),
    (SMALL, "secp384r1"),
    (WITHOUT_ITS_SHARE, "X25519"),
]


@pytest.mark.parametrize(("profile", "curve"), RETRIES)
@pytest.mark.parametrize("size", [2**14, 1])
def test_a_retry_request_is_answered_and_its_flight_proven(
    directory: Path,
    profile: ClientProfile,
    curve: str,
    size: int,
) -> None:
    one = client(profile)
    assert talk(one, OpenSsl(directory, LEAVES["rsa2048"], curve=curve), size) == 2
    assert read(one).chain == LEAVES["rsa2048"].chain_der
    assert is_proven(one)


@pytest.mark.parametrize("profile", [CHROME, RUSTLS, FIREFOX, BROWSER], ids=lambda one: one.name)
def test_what_a_client_drew_is_the_same_in_its_second_hello(
    directory: Path, profile: ClientProfile
) -> None:
    """RFC 8446 4.1.2, RFC 9849 6.2: GREASE, the order, and a made-up encrypted_client_hello."""
    profile = replace(profile, groups=(*(group for group in profile.groups if group != 25), 25))
    one = client(profile)
    first = read_hello(one.opening)
    assert talk(one, OpenSsl(directory, LEAVES["rsa2048"], curve="secp521r1")) == 2
    second = read_hello(one.opening)
    assert [group for group, _ in second.key_shares] == [25]
    changed = {Kind.KEY_SHARE, Kind.PADDING}
    kept = [
        [each for each in hello.extensions if each[0] not in changed] for hello in (first, second)
    ]
    assert kept[0] == kept[1]
    unchanged = replace(second, record_version=first.record_version, size=first.size)
    assert replace(unchanged, extensions=first.extensions) == first
    assert is_proven(one)


def handmade(**changed: object) -> Handmade:
    defaults = {"chain": EC.chain_der, "key": EC.private_key}
    return Handmade(**(defaults | changed))  # type: ignore[arg-type]


def retried(
    one: Conversation,
    server: Handmade,
    *,
    group: int | None = X25519,
    cookie: bytes = b"",
    between: bytes = MIDDLEBOX_SIGNAL,
    size: int = 2**14,
) -> None:
    """Ask for another hello, and answer that one. between: what is sent after the request."""
    request = record(server.retry(one.opening, group=group, cookie=cookie))
    second = fed(one, request, size)
    assert second
    assert second == one.opening
    assert fed(one, between + server.flight(second), size) == b""


def fed(one: Conversation, content: bytes, size: int = 2**14) -> bytes:
    parts = (content[place : place + size] for place in range(0, len(content), size))
    return b"".join(map(one.receive, parts))


@pytest.mark.parametrize("size", [1, 5, 7, 2**14])
@pytest.mark.parametrize("signals", [0, 1, 3])
def test_signals_for_middleboxes_behind_a_retry_request_are_dropped(
    size: int,
    signals: int,
) -> None:
    """RFC 8446 5: any number, wherever they are cut."""
    one = client(WITHOUT_ITS_SHARE)
    retried(one, handmade(), between=MIDDLEBOX_SIGNAL * signals, size=size)
    assert is_proven(one)


@pytest.mark.parametrize("cut", range(len(MIDDLEBOX_SIGNAL) + 1))
def test_a_signal_may_begin_in_the_chunk_of_the_retry_request(cut: int) -> None:
    one, server = client(WITHOUT_ITS_SHARE), handmade()
    request = record(server.retry(one.opening, group=X25519))
    second = one.receive(request + MIDDLEBOX_SIGNAL[:cut])
    assert one.receive(MIDDLEBOX_SIGNAL[cut:] + server.flight(second)) == b""
    assert is_proven(one)


@pytest.mark.parametrize(
    ("profile", "group"),
    [(WITHOUT_ITS_SHARE, X25519), (OPENSSL_3, None)],
)
def test_a_cookie_is_given_back(profile: ClientProfile, group: int | None) -> None:
    """RFC 8446 4.2.2; where no group is asked for, the key shares stay as they were."""
    one = client(profile)
    shares = read_hello(one.opening).key_shares
    retried(one, handmade(), group=group, cookie=b"cookie")
    second = read_hello(one.opening)
    assert second.extension(Kind.COOKIE) == vector(2, b"cookie")
    assert (second.key_shares == shares) is (group is None)
    assert is_proven(one)


def test_a_retry_request_may_be_cut_into_records_and_follow_a_warning() -> None:
    one, server = client(WITHOUT_ITS_SHARE), handmade()
    request = server.retry(one.opening, group=X25519)
    second = fed(one, WARNING + fragmented(request, 20), 9)
    fed(one, server.flight(second))
    assert is_proven(one)


UNANSWERED = {
    "a group that the hello does not name": (SMALL, 25, b""),
    "a group whose share was sent": (SMALL, 23, b""),
    "a group of which no share can be made": (OPENSSL_3, 256, b""),
    "a group that nobody knows": (OPENSSL_3, 0xFEFE, b""),
    "GREASE": (BROWSER, 0x8A8A, b""),
    "nothing": (OPENSSL_3, None, b""),
    "a client of TLS 1.2": (OPENSSL_102_WITH_RSA, 23, b"cookie"),
    "a client in the format of SSL 2": (SSL2_FORMAT, 23, b""),
}


@pytest.mark.parametrize(("profile", "group", "cookie"), UNANSWERED.values(), ids=UNANSWERED)
def test_a_retry_request_that_cannot_be_granted_ends_the_conversation(
    profile: ClientProfile,
    group: int | None,
    cookie: bytes,
) -> None:
    """It is the answer all the same, and shows no certificate."""
    one = client(profile)
    request = record(handmade().retry(one.opening, group=group, cookie=cookie))
    assert one.receive(request) == b""
    assert one.is_over
    assert one.flight is None
    answer = one.answer_at_end()
    assert isinstance(answer, ServerHello)
    assert answer.is_retry_request


def test_a_survey_hello_is_not_sent_twice() -> None:
    one = surveyor(TLS13, 0x1301)
    assert one.receive(record(handmade().retry(one.opening, group=23))) == b""
    assert one.is_over


AFTER_A_RETRY = {
    "nothing": b"",
    "half a signal": MIDDLEBOX_SIGNAL[:3],
    "an alert": FATAL,
    "a signal and an alert": MIDDLEBOX_SIGNAL + FATAL,
    "garbage": b"\x16\xfe\xff" + bytes(20),
    "half a ServerHello": record(hello())[:30],
    "HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n",
}


@pytest.mark.parametrize("size", [1, 2**14])
@pytest.mark.parametrize("following", AFTER_A_RETRY.values(), ids=AFTER_A_RETRY)
def test_a_retry_request_stays_the_answer_if_no_server_hello_follows(
    following: bytes,
    size: int,
) -> None:
    """The server chose and showed no certificate, which is not to turn a client away."""
    one = client(WITHOUT_ITS_SHARE)
    fed(one, record(handmade().retry(one.opening, group=X25519)))
    assert one.is_answered
    fed(one, following, size)
    answer = one.answer_at_end()
    assert isinstance(answer, ServerHello)
    assert answer.is_retry_request
    assert one.flight is None


@pytest.mark.parametrize("is_at_once", [True, False])
def test_a_second_retry_request_ends_the_conversation(is_at_once: bool) -> None:
    """RFC 8446 4.1.4."""
    one, server = client(WITHOUT_ITS_SHARE), handmade()
    request = record(server.retry(one.opening, group=X25519))
    if is_at_once:
        one.receive(request + request)
    else:
        assert one.receive(request)
        assert one.receive(request) == b""
    assert one.is_over
    assert one.flight is None
    assert isinstance(one.answer_at_end(), ServerHello)


# Staples, and what may come before.


def test_a_staple_is_read_in_tls_1_3() -> None:
    response = INTERMEDIATE.ocsp_response(EC.certificate)
    one = client()
    one.receive(handmade(staple=response).flight(one.opening))
    assert read(one).stapled_ocsp_response == response
    assert is_proven(one)


COMPRESSED = {
    "zlib": (FIREFOX, 1, zlib.compress),
    "brotli": (CHROME, 2, brotli.compress),
    "zstd": (FIREFOX, 3, zstd_compress),
}


@pytest.mark.parametrize(("profile", "algorithm", "compress"), COMPRESSED.values(), ids=COMPRESSED)
@pytest.mark.parametrize("size", [1, 2**14])
def test_a_compressed_certificate_is_read(
    profile: ClientProfile, algorithm: int, compress: Callable[[bytes], bytes], size: int
) -> None:
    one, response = client(profile), INTERMEDIATE.ocsp_response(EC.certificate)
    server = handmade(compressed=(algorithm, compress), staple=response)
    fed(one, server.flight(one.opening), size)
    assert read(one).chain == EC.chain_der
    assert read(one).stapled_ocsp_response == response
    assert is_proven(one)


def test_a_compression_that_was_not_offered_shows_no_certificate() -> None:
    for one in (client(CHROME), client(OPENSSL_3), surveyor(TLS13, 0x1301)):
        one.receive(handmade(compressed=(1, zlib.compress)).flight(one.opening))
        assert one.is_over
        assert read(one).flaw == "a certificate compressed in a way that was not offered"
        assert not read(one).chain


def test_a_delegated_credential_proves_nothing_and_says_why() -> None:
    """RFC 9345: even where CertificateVerify is by the leaf's own key, which no client accepts."""
    one = client(FIREFOX)
    one.receive(handmade(leaf_extensions=extension(34, b"credential")).flight(one.opening))
    assert read(one).is_whole
    assert read(one).chain == EC.chain_der
    assert not is_proven(one)
    assert read(one).flaw == "its key is proven by a delegated credential, which is not verified"


def clear_flight(one: Conversation, *, staple: bytes | None = None, signer: Issued = EC) -> bytes:
    """What a server of TLS 1.2 with ECDHE says, put together by hand; as messages."""
    client_random, server_random = read_hello(one.opening).random, b"r" * 32
    parameters = b"\3\0\x17" + vector(1, b"\4" + bytes(64))
    signature = signature_of(signer.private_key, 0x0403, client_random + server_random + parameters)
    chain = b"".join(vector(3, certificate) for certificate in EC.chain_der)
    said = [hello(suite=0xC02B, random=server_random), message(11, vector(3, chain))]
    if staple is not None:
        said.append(message(22, b"\1" + vector(3, staple)))
    said.append(message(12, parameters + b"\4\3" + vector(2, signature)))
    return b"".join((*said, message(14, b"")))


def test_a_staple_is_read_in_tls_1_2() -> None:
    one = client(OPENSSL_3.at_tls12())
    one.receive(record(clear_flight(one, staple=b"response")))
    assert read(one).stapled_ocsp_response == b"response"
    assert is_proven(one)


@pytest.mark.parametrize("size", [1, 2**14])
def test_warnings_before_the_server_hello_change_nothing(size: int) -> None:
    """Some servers say unrecognized_name (112) as a warning and go on."""
    in_clear = client(OPENSSL_3.at_tls12())
    fed(in_clear, WARNING * 2 + record(clear_flight(in_clear)), size)
    encrypted = client()
    fed(encrypted, WARNING * 2 + handmade().flight(encrypted.opening), size)
    assert is_proven(in_clear)
    assert is_proven(encrypted)


def test_an_alert_behind_the_server_hello_ends_the_flight() -> None:
    in_clear = client(OPENSSL_3.at_tls12())
    in_clear.receive(record(hello(suite=0xC02B)) + WARNING + record(clear_flight(in_clear)))
    encrypted, server = client(), handmade()
    encrypted.receive(record(server.server_hello(encrypted.opening)) + FATAL)
    sealed = client()
    server = handmade()
    answer = record(server.server_hello(sealed.opening))
    sealed.receive(answer + server.sealed(b"\2\x28", kind=0x15))
    for one in (in_clear, encrypted, sealed):
        assert one.is_over
        assert read(one).chain == ()
    assert read(sealed).alert == 40


@pytest.mark.parametrize("following", [message(8, b"\0\0"), b"\x08\0", b"\x08"])
@pytest.mark.parametrize("size", [1, 2**14])
def test_nothing_may_follow_the_server_hello_in_clear(following: bytes, size: int) -> None:
    """RFC 8446 5.1: the keys change there; a client ends the handshake."""
    one, server = client(), handmade()
    answer = server.server_hello(one.opening)
    server.transcript += following
    fed(one, record(answer + following) + server.sealed(b"".join(server.messages())), size)
    assert one.is_over
    assert not read(one).chain


@pytest.mark.parametrize("size", [1, 2**14])
def test_a_server_that_cannot_sign_shows_its_certificate_and_its_alert(size: int) -> None:
    """Go chooses first and finds out afterwards, over TLS 1.2, that it shares no scheme."""
    one = client(OPENSSL_3.at_tls12())
    chain = message(11, vector(3, vector(3, EC.der)))
    fed(one, record(hello(suite=0xC02B) + chain) + FATAL, size)
    assert one.is_over
    assert read(one) == ServerFlight(chain=(EC.der,), alert=47)


# What shows nothing.


@pytest.mark.parametrize("profile", [BARE_TLS_1_1, SSL2_FORMAT])
def test_who_names_no_server_is_not_shown_its_certificate(profile: ClientProfile) -> None:
    """Such a client may be given another host's, which no client of this endpoint gets."""
    one = client(profile)
    one.receive(record(hello(version=0x0301, suite=0x002F) + clear_flight(client())[80:]))
    assert one.is_over
    assert one.flight is None


def test_a_client_that_names_a_server_is_shown_its_certificate_over_tls_1_0() -> None:
    one = client(OPENSSL_102_AT_TLS_1_1)
    chain = message(11, vector(3, vector(3, EC.der)))
    one.receive(record(hello(version=0x0301, suite=0x002F) + chain + message(14, b"")))
    assert read(one) == ServerFlight(chain=(EC.der,), is_whole=True)


@pytest.mark.parametrize("suite", [0x0018, 0x008C, 0xFBFB])
def test_suites_without_a_certificate_are_over_with_the_server_hello(suite: int) -> None:
    """Anonymous, with a pre-shared key, unknown."""
    one = surveyor(TLS12, suite)
    one.receive(record(hello(suite=suite)))
    assert one.is_over
    assert one.flight is None


def test_tls_1_3_without_a_share_of_ours_is_over_with_the_server_hello() -> None:
    offer = extension(51, b"\0\x1d" + vector(2, bytes(32)))
    answer = record(hello(suite=0x1301, extensions=SUPPORTED_VERSIONS_13 + offer))
    one = surveyor(TLS13, 0x1301)
    one.receive(answer)
    assert one.is_over
    assert one.flight is None


NOT_ON_THE_CURVE = b"\0\x17" + vector(2, b"\4" + b"p" * 64)
UNUSABLE = {
    "a share of zeros": (0x1301, extension(51, b"\0\x1d" + vector(2, bytes(32)))),
    "a share of the wrong length": (0x1301, extension(51, b"\0\x1d" + vector(2, bytes(31)))),
    "a share of another group": (0x1301, extension(51, b"\0\x17" + vector(2, b"\4" + bytes(64)))),
    "a point that is not on the curve": (0x1301, extension(51, NOT_ON_THE_CURVE)),
    "no share": (0x1301, b""),
    "a suite without encryption": (0xC0B4, extension(51, b"\0\x1d" + vector(2, b"k" * 32))),
}


@pytest.mark.parametrize(("suite", "share"), UNUSABLE.values(), ids=UNUSABLE)
@pytest.mark.parametrize("profile", [OPENSSL_3, SMALL])
def test_a_share_that_is_no_use_shows_nothing(
    profile: ClientProfile,
    suite: int,
    share: bytes,
) -> None:
    one = client(profile)
    one.receive(record(hello(suite=suite, extensions=SUPPORTED_VERSIONS_13 + share)))
    assert one.is_over
    assert one.flight is None


ENDS = {
    "an alert": (FATAL, Alert),
    "garbage": (b"\0" * 10, Garbage),
    "another message first": (record(message(11, b"")), Garbage),
}


@pytest.mark.parametrize(("content", "kind"), ENDS.values(), ids=ENDS)
def test_any_other_answer_ends_the_conversation(content: bytes, kind: type) -> None:
    one = client()
    assert one.receive(content) == b""
    assert one.is_over
    assert one.flight is None
    assert isinstance(one.answer_at_end(), kind)
    assert one.receive(record(hello())) == b""
    assert one.flight is None


def test_nothing_is_an_incomplete_answer() -> None:
    one = client()
    assert not one.is_answered
    assert one.answer_at_end() == Incomplete()


# Lies.


def test_a_key_that_is_not_the_leafs_proves_nothing() -> None:
    other = INTERMEDIATE.issue(key="ec256")
    encrypted = client()
    encrypted.receive(handmade(key=other.private_key).flight(encrypted.opening))
    in_clear = client(OPENSSL_3.at_tls12())
    in_clear.receive(record(clear_flight(in_clear, signer=other)))
    for one in (encrypted, in_clear):
        assert read(one).is_whole
        assert read(one).chain == EC.chain_der
        assert not is_proven(one)


def test_a_flight_for_another_client_proves_nothing() -> None:
    """The signature covers both randoms, and in TLS 1.3 all that was said."""
    flight = record(clear_flight(client(OPENSSL_3.at_tls12())))
    one = client(OPENSSL_3.at_tls12())
    one.receive(flight)
    assert read(one).is_whole
    assert not is_proven(one)
    one = client()
    one.receive(handmade().flight(client().opening))
    assert read(one) == ServerFlight(flaw=UNDECRYPTABLE)


def test_a_signature_over_another_transcript_proves_nothing() -> None:
    one, server = client(), handmade()
    answer = record(server.server_hello(one.opening))
    one.receive(answer + server.sealed(b"".join(server.messages(signed_hash=bytes(32)))))
    assert read(one).is_whole
    assert not is_proven(one)


def test_a_retry_request_that_was_not_sent_spoils_the_transcript() -> None:
    """RFC 8446 4.4.1: the first hello goes in as its hash, and only after a HelloRetryRequest."""
    one, server = client(), handmade()
    server.retry(one.opening, group=X25519)
    one.receive(server.flight(one.opening))
    assert read(one) == ServerFlight(flaw=UNDECRYPTABLE)


def test_what_follows_a_whole_flight_is_no_flaw() -> None:
    """Go sends the first data of HTTP/2 at once, under the next keys."""
    one, server = client(), handmade()
    flight = server.flight(one.opening)
    one.receive(flight + server.sealed(b"data", kind=23))
    assert read(one).is_whole
    assert read(one).flaw is None
    assert is_proven(one)


def test_the_certificate_that_is_signed_for_is_the_first() -> None:
    """A client ends the handshake at a second one; here it only spoils nothing."""
    other = INTERMEDIATE.issue(key="ec256")
    shown = message(11, b"\0" + vector(3, vector(3, other.der) + b"\0\0"))
    one = client()
    one.receive(handmade(before=[shown]).flight(one.opening))
    assert read(one).chain == (other.der,)
    assert not is_proven(one)


# Cut short, and changed.


@pytest.mark.parametrize("version", [OPENSSL_TLS_1_2, OPENSSL_TLS_1_3])
def test_a_flight_is_whole_with_its_last_byte_and_not_before(
    directory: Path,
    version: ssl.TLSVersion,
) -> None:
    one = client()
    answer = OpenSsl(directory, EC, highest=version, asks_for_certificate=True).answer(one.opening)
    states = []
    for place in range(len(answer)):
        one.receive(answer[place : place + 1])
        if (flight := one.flight) is not None:
            states.append((bool(flight.chain), flight.signature is not None, flight.is_whole))
            assert proves_key(flight) is (flight.signature is not None)
    assert states == sorted(states)
    assert states[-1] == (True, True, True)


RECORDED_HELLO = client(OPENSSL_3.at_tls12(), bytes)
RECORDED = record(clear_flight(RECORDED_HELLO, staple=b"response"))


def test_the_recorded_flight_is_good() -> None:
    one = client(OPENSSL_3.at_tls12(), bytes)
    one.receive(RECORDED)
    assert is_proven(one)


PLACES, SIZES = st.floats(0, 0.999), st.integers(1, 400)
CHANGES = st.binary(min_size=1, max_size=8)
# cryptography warns of serial numbers and encodings that it would rather refuse.
READS_ODD_CERTIFICATES = pytest.mark.filterwarnings("ignore::UserWarning")


def changed_at(content: bytes, where: float, change: bytes) -> bytes:
    place = int(where * len(content))
    return content[:place] + change + content[place + len(change) :]


@READS_ODD_CERTIFICATES
@given(PLACES, CHANGES, SIZES)
@settings(max_examples=200, deadline=None)
def test_changed_bytes_of_a_clear_flight_never_raise_and_never_prove_another_key(
    where: float,
    change: bytes,
    size: int,
) -> None:
    changed = changed_at(RECORDED, where, change)
    outcomes = []
    for cut in (2**14, size):
        one = client(OPENSSL_3.at_tls12(), bytes)
        assert fed(one, changed, cut) == b""
        outcomes.append((one.flight, one.answer_at_end(), one.is_over))
    assert outcomes[0] == outcomes[1]
    flight = outcomes[0][0]
    if flight is not None and proves_key(flight):
        assert public_key(flight.chain[0]) == EC.certificate.public_key()


@READS_ODD_CERTIFICATES
@given(PLACES, CHANGES, SIZES)
@settings(max_examples=100, deadline=None)
def test_changed_bytes_of_a_sealed_flight_never_raise(
    where: float,
    change: bytes,
    size: int,
) -> None:
    one, server = client(), handmade()
    answer = record(server.server_hello(one.opening))
    said = b"".join(server.messages())
    fed(one, changed_at(answer + server.sealed(said), where, change), size)
    if one.flight is not None:
        assert one.flight.chain in ((), EC.chain_der)


@READS_ODD_CERTIFICATES
@given(PLACES, CHANGES, SIZES)
@settings(max_examples=100, deadline=None)
def test_changed_messages_never_raise_and_are_never_proven(
    where: float,
    change: bytes,
    size: int,
) -> None:
    """What is sealed is changed, so that it is decrypted and read."""
    one, server = client(), handmade()
    answer = record(server.server_hello(one.opening))
    said = b"".join(server.messages())
    fed(one, answer + server.sealed(changed_at(said, where, change)), size)
    flight = one.flight
    if flight is not None and proves_key(flight):
        assert flight.chain == EC.chain_der


@given(st.lists(st.binary(max_size=40), max_size=8))
@settings(max_examples=100)
def test_arbitrary_bytes_never_raise(chunks: list[bytes]) -> None:
    for prefix in (b"", record(hello(suite=0xC02B))):
        one = client(OPENSSL_3.at_tls12())
        one.receive(prefix)
        for chunk in chunks:
            assert one.receive(chunk) == b""
        one.answer_at_end()


# Bounds.


@pytest.mark.parametrize(("record_bytes", "is_whole"), [(4, True), (1, False)])
def test_sealed_records_may_be_small_but_not_without_end(
    record_bytes: int,
    is_whole: bool,
) -> None:
    """Each costs a decryption."""
    one = client()
    server = handmade(chain=EC.chain_der * 2)
    one.receive(server.flight(one.opening, record_bytes=record_bytes))
    assert one.is_over
    assert read(one).is_whole is is_whole


def test_records_in_clear_may_hold_a_byte_each() -> None:
    in_clear = client(OPENSSL_3.at_tls12())
    in_clear.receive(fragmented(clear_flight(in_clear), 1))
    assert is_proven(in_clear)


EMPTY_MESSAGES = 64 * 1024
IN_CLEAR = record(hello(suite=0xC02B))
ENDLESS = message(11, bytes(100_000))
FLOODS_IN_CLEAR = {
    "empty messages": record(bytes(4 * 4096)) * (EMPTY_MESSAGES // 4096),
    "empty messages in records": record(bytes(4)) * EMPTY_MESSAGES,
    "a message in records of a byte": fragmented(ENDLESS[:50_000], 1),
}
SEALED_FLOODS: dict[str, Callable[[Handmade], bytes]] = {
    "empty messages": lambda server: server.sealed(bytes(4 * EMPTY_MESSAGES)),
    "signals": lambda _: MIDDLEBOX_SIGNAL * 40_000,
    "padded records of a byte": lambda server: server.sealed(
        ENDLESS[:1200],
        record_bytes=1,
        padding_bytes=180,
    ),
    "records of padding": lambda server: server.sealed(b"\0", padding_bytes=2**14 - 2) * 15,
    "records that are not sealed": lambda _: record(b"x" * 2**14, 0x17) * 15,
}


def assert_is_cheap(one: Conversation, flood: bytes) -> None:
    """A connection may bring 256 KiB. All of it takes some 50 ms, most of that by the byte."""
    started_s = time.thread_time()
    fed(one, flood)
    assert time.thread_time() - started_s < 0.2 + 4e-6 * len(flood)
    assert not read(one).is_whole
    assert not is_proven(one)


@pytest.mark.parametrize("flood", FLOODS_IN_CLEAR.values(), ids=FLOODS_IN_CLEAR)
def test_a_flood_in_clear_costs_no_more_than_its_bytes(flood: bytes) -> None:
    one = client(OPENSSL_3.at_tls12())
    assert_is_cheap(one, IN_CLEAR + flood)


@pytest.mark.parametrize("flood", SEALED_FLOODS.values(), ids=SEALED_FLOODS)
def test_a_sealed_flood_costs_no_more_than_its_bytes(flood: Callable[[Handmade], bytes]) -> None:
    one, server = client(), handmade()
    answer = record(server.server_hello(one.opening))
    assert_is_cheap(one, answer + flood(server))


def test_more_messages_than_any_flight_has_end_it() -> None:
    for flood in (record(bytes(4 * 64)), record(bytes(4)) * 64):
        one = client(OPENSSL_3.at_tls12())
        one.receive(IN_CLEAR + flood)
        assert one.is_over
    one, server = client(), handmade()
    answer = record(server.server_hello(one.opening))
    one.receive(answer + server.sealed(bytes(4 * 64)))
    assert one.is_over


def test_a_message_that_announces_too_much_ends_the_flight_at_its_header() -> None:
    one = client(OPENSSL_3.at_tls12())
    one.receive(IN_CLEAR + record(b"\x0b\xff\xff\xff"))
    assert one.is_over
