"""The demo's partners are what they say they are, seen by a client of the standard library."""

import socket
import ssl
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from otpc_policy.cli.demo.cast import PARTS, Partner, running_cast
from otpc_policy.cli.demo.certificates import DemoAuthority
from otpc_policy.cli.demo.partners import OTPC_CIPHERS, ConnectionLimit

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def authority() -> DemoAuthority:
    return DemoAuthority(NOW)


@pytest.fixture(scope="module")
def cast(
    authority: DemoAuthority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Partner]]:
    with running_cast(authority, tmp_path_factory.mktemp("cast"), NOW) as partners:
        yield {partner.part.name: partner for partner in partners}


def client(
    authority: DemoAuthority,
    *,
    verify: bool = True,
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
    ciphers: str = OTPC_CIPHERS,
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority.pem.decode())
    context.set_ciphers(ciphers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = version
        context.maximum_version = version
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def exchange(partner: Partner, context: ssl.SSLContext) -> tuple[str, bytes]:
    """Return the cipher suite and the first bytes of the HTTP answer."""
    # Wrapped before it connects: of a connection that was reset already, Python 3.11 leaves the
    # wrapped socket open.
    with context.wrap_socket(socket.socket(), server_hostname=partner.part.host) as tls:
        tls.settimeout(5)
        tls.connect((partner.address, partner.port))
        cipher = tls.cipher()
        assert cipher is not None
        tls.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        return cipher[0], tls.recv(12)


@pytest.mark.parametrize("cipher", OTPC_CIPHERS.split(":"))
def test_the_compliant_partner_completes_each_of_the_six_suites_and_answers_http(
    cast: dict[str, Partner], authority: DemoAuthority, cipher: str
) -> None:
    assert exchange(cast["compliant"], client(authority, ciphers=cipher)) == (
        cipher,
        b"HTTP/1.1 200",
    )


def test_the_compliant_partner_serves_tls_1_3(
    cast: dict[str, Partner], authority: DemoAuthority
) -> None:
    assert (
        exchange(cast["compliant"], client(authority, version=ssl.TLSVersion.TLSv1_3))[1]
        == b"HTTP/1.1 200"
    )


@pytest.mark.parametrize(
    ("version", "ciphers"),
    [
        (ssl.TLSVersion.TLSv1_2, "AES256-SHA256"),
        (ssl.TLSVersion.TLSv1_1, "ALL@SECLEVEL=0"),
        (ssl.TLSVersion.TLSv1, "ALL@SECLEVEL=0"),
    ],
)
def test_the_compliant_partner_refuses_the_rest_with_an_alert(
    cast: dict[str, Partner], authority: DemoAuthority, version: ssl.TLSVersion, ciphers: str
) -> None:
    with pytest.raises(ssl.SSLError, match="ALERT"):
        exchange(cast["compliant"], client(authority, version=version, ciphers=ciphers))


def test_the_weak_partner_has_none_of_the_six_suites(
    cast: dict[str, Partner], authority: DemoAuthority
) -> None:
    with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
        exchange(cast["weak"], client(authority))


def test_the_weak_partner_serves_tls_1_0(
    cast: dict[str, Partner], authority: DemoAuthority
) -> None:
    cipher, answer = exchange(
        cast["weak"], client(authority, version=ssl.TLSVersion.TLSv1, ciphers="ALL@SECLEVEL=0")
    )
    assert (cipher, answer) == ("ECDHE-ECDSA-AES256-SHA", b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("self-signed-trusted", "self-signed"),
        ("self-signed-untrusted", "self-signed"),
        ("expired", "expired"),
        ("wrong-name", "Hostname mismatch"),
    ],
)
def test_a_strict_client_names_what_is_wrong_with_the_certificate(
    cast: dict[str, Partner], authority: DemoAuthority, name: str, problem: str
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=problem):
        exchange(cast[name], client(authority))
    assert exchange(cast[name], client(authority, verify=False))[1] == b"HTTP/1.1 200"


def test_the_plain_partner_answers_a_client_hello_with_http(cast: dict[str, Partner]) -> None:
    with socket.create_connection(
        (cast["plain-http"].address, cast["plain-http"].port), timeout=5
    ) as connection:
        connection.sendall(b"\x16\x03\x01\x00\x05hello")
        assert connection.recv(12) == b"HTTP/1.1 400"


def test_the_limited_partner_resets_what_exceeds_its_limit(
    cast: dict[str, Partner], authority: DemoAuthority
) -> None:
    outcomes = []
    for _ in range(12):
        try:
            outcomes.append(exchange(cast["rate-limited"], client(authority))[1])
        except ConnectionResetError:
            outcomes.append(b"reset")
    assert outcomes == [b"HTTP/1.1 200"] * 8 + [b"reset"] * 4


def test_a_connection_limit_admits_again_when_the_window_has_passed() -> None:
    now = [0.0]
    limit = ConnectionLimit(2, 10.0, lambda: now[0])
    first = [limit.admits() for _ in range(3)]
    now[0] = 10.0
    assert first == [True, True, False]
    assert limit.admits()


def test_only_the_pinned_partner_has_a_pin(cast: dict[str, Partner]) -> None:
    assert [partner.part.name for partner in cast.values() if partner.pin] == [
        "self-signed-trusted"
    ]
    assert len({part.name for part in PARTS}) == len(PARTS) == 8
