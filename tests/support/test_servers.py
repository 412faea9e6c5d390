"""Every kind of server starts, offers what it is configured for, and is gone afterwards.

The client here is `openssl s_client`, independent of the code under test.
"""

import socket
import ssl
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from tlslite.api import HandshakeSettings, TLSConnection

from tests.support.certificates import CertificateAuthority, Issued
from tests.support.loopback import Listener, own_listener
from tests.support.requirements import require
from tests.support.servers import (
    LegacyOffer,
    TlsOffer,
    apache,
    caddy,
    echo,
    gnutls_serv,
    grpc_server,
    haproxy,
    legacy_server,
    nginx,
    plain_nginx,
    s_server,
    stunnel,
    tls_server,
)
from tests.support.servers.envoy import envoy
from tests.support.servers.legacy import SSL_3_0
from tests.support.servers.lighttpd import lighttpd
from tests.support.servers.nss import selfserv

AUTHORITY = CertificateAuthority.create()
OFFER = TlsOffer(certificates=(AUTHORITY.issue(key="rsa2048"), AUTHORITY.issue(key="ec256")))
SINGLE = TlsOffer(certificates=(AUTHORITY.issue(key="rsa2048"),))

Serve = Callable[[Listener, TlsOffer], AbstractContextManager[Listener]]
DUAL_SERVERS: list[Serve] = [nginx, apache, haproxy, s_server, gnutls_serv, caddy]


def s_client(
    server: Listener,
    *arguments: str,
    request: str = "GET / HTTP/1.1\r\nHost: partner.test\r\nConnection: close\r\n\r\n",
) -> str:
    """Return what `openssl s_client` prints about one connection."""
    command = [
        require("openssl"),
        "s_client",
        "-connect",
        str(server),
        "-servername",
        "partner.test",
        "-ign_eof",
        *arguments,
    ]
    done = subprocess.run(
        command, input=request.encode(), capture_output=True, timeout=20, check=False
    )
    return (done.stdout + done.stderr).decode(errors="replace")


@pytest.mark.parametrize("serve", DUAL_SERVERS)
def test_a_server_with_two_certificates_shows_both_and_answers_http(serve: Serve) -> None:
    with serve(own_listener(), OFFER) as server:
        rsa = s_client(server, "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256")
        ecdsa = s_client(server, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256")
        modern = s_client(server, "-tls1_3")
        old = s_client(server, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
        unlisted = s_client(server, "-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384")
    assert "Cipher is ECDHE-RSA-AES128-GCM-SHA256" in rsa
    assert "Cipher is ECDHE-ECDSA-AES128-GCM-SHA256" in ecdsa
    assert "New, TLSv1.3" in modern
    assert "HTTP/1." in modern or "HTTP/1." in rsa
    assert "Cipher is (NONE)" in old
    assert "Cipher is (NONE)" in unlisted


@pytest.mark.parametrize("serve", [nginx, apache, haproxy, s_server])
def test_weak_versions_and_keys_can_be_served(serve: Serve) -> None:
    weak = TlsOffer(
        certificates=(
            CertificateAuthority.create(key="rsa2048").issue(key="rsa1024", hash_name="sha1"),
        ),
        versions=("1.0", "1.1"),
        ciphers="ALL:@SECLEVEL=0",
    )
    with serve(own_listener(), weak) as server:
        shown = s_client(server, "-tls1", "-cipher", "ALL:@SECLEVEL=0")
    assert "New, TLSv1.0" in shown or "Protocol  : TLSv1\n" in shown
    assert "Server public key is 1024 bit" in shown


@pytest.mark.parametrize("library", ["BoringSSL", "NSS", "mbedTLS", "wolfSSL"])
def test_other_libraries_serve_the_suite_they_are_told_to(library: str) -> None:
    openssl_name = "ECDHE-RSA-AES128-GCM-SHA256"
    told = TlsOffer(certificates=SINGLE.certificates, versions=("1.2",), ciphers=openssl_name)
    in_iana = TlsOffer(
        certificates=SINGLE.certificates,
        versions=("1.2",),
        ciphers="TLS-ECDHE-RSA-WITH-AES-128-GCM-SHA256",
    )
    serve = {
        "BoringSSL": lambda: envoy(own_listener(), told),
        "NSS": lambda: selfserv(own_listener(), told, suites=(0xC02F,)),
        "mbedTLS": lambda: lighttpd(own_listener(), in_iana, "mbedtls"),
        "wolfSSL": lambda: lighttpd(own_listener(), told, "wolfssl"),
    }
    with serve[library]() as server:
        offered = s_client(server, "-tls1_2", "-cipher", openssl_name)
        unlisted = s_client(server, "-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384")
    assert f"Cipher is {openssl_name}" in offered
    assert "Cipher is (NONE)" in unlisted


def test_stunnel_serves_one_certificate_in_front_of_http() -> None:
    with stunnel(own_listener(), SINGLE) as server:
        shown = s_client(server, "-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA256")
    assert "Cipher is ECDHE-RSA-AES128-SHA256" in shown
    assert "200 OK" in shown


@pytest.mark.parametrize("serve", [nginx, haproxy, s_server])
def test_a_staple_is_served(serve: Serve) -> None:
    # HAProxy staples only if it finds the issuer in the chain.
    issuer = AUTHORITY.intermediate()
    leaf = issuer.issue()
    stapled = TlsOffer(
        certificates=(leaf,), staple=issuer.ocsp_response(leaf.certificate, status="revoked")
    )
    with serve(own_listener(), stapled) as server:
        shown = s_client(server, "-tls1_2", "-status")
    assert "Cert Status: revoked" in shown


@pytest.mark.parametrize("serve", [apache, haproxy, s_server, gnutls_serv, caddy])
def test_a_client_certificate_can_be_demanded_in_the_handshake(serve: Serve) -> None:
    with serve(
        own_listener(), TlsOffer(certificates=OFFER.certificates, client_ca=AUTHORITY.pem)
    ) as server:
        shown = s_client(server, "-tls1_2")
    assert "alert" in shown
    assert (
        "Client Certificate Types" in shown
        or "certificate required" in shown
        or "handshake failure" in shown
    )


def test_nginx_answers_in_http_that_it_misses_the_client_certificate() -> None:
    with nginx(
        own_listener(), TlsOffer(certificates=OFFER.certificates, client_ca=AUTHORITY.pem)
    ) as server:
        assert "400 No required SSL certificate was sent" in s_client(server, "-tls1_2")


def test_a_grpc_server_takes_h2_alone() -> None:
    with grpc_server(own_listener(), SINGLE) as server:
        assert (
            tls_answer(server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", alpn="h2")[
                3:4
            ]
            == b"\4"
        )  # SETTINGS
        assert not tls_answer(server, b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.")


def test_an_echo_is_not_http() -> None:
    with tls_server(own_listener(), SINGLE, echo) as server:
        assert tls_answer(server, b"GET / HTTP/1.1\r\n\r\n") == b"GET / HTTP/1.1\r\n\r\n"


def tls_answer(server: Listener, request: bytes, *, alpn: str = "") -> bytes:
    """Return the first bytes that answer a request inside TLS; none if the server closes."""
    context = ssl._create_unverified_context()
    if alpn:
        context.set_alpn_protocols([alpn])
    with (
        socket.create_connection((server.address, server.port), timeout=5) as raw,
        context.wrap_socket(raw, server_hostname="partner.test") as client,
    ):
        client.sendall(request)
        try:
            return client.recv(65536)
        except ConnectionResetError:
            return b""


def test_plain_http_is_no_tls() -> None:
    with plain_nginx(own_listener()) as server:
        assert "wrong version number" in s_client(server)


@pytest.mark.parametrize(
    ("offer", "client"),
    [
        (
            LegacyOffer(
                certificate=SINGLE.certificates[0], ciphers=("null",), key_exchanges=("rsa",)
            ),
            "NULL-SHA256",
        ),
        (
            LegacyOffer(certificate=None, key_exchanges=("dh_anon",), anonymous=True),
            "ADH-AES128-GCM-SHA256",
        ),
        (LegacyOffer(certificate=AUTHORITY.issue(key="ec256")), "ECDHE-ECDSA-AES128-GCM-SHA256"),
    ],
    ids=["NULL", "anonymous", "ECDSA"],
)
def test_tlslite_serves_what_openssl_still_understands(offer: LegacyOffer, client: str) -> None:
    with legacy_server(own_listener(), offer) as server:
        assert f"Cipher is {client}" in s_client(
            server, "-tls1_2", "-cipher", f"{client}:@SECLEVEL=0"
        )


@pytest.mark.parametrize("cipher", ["rc4", "3des"])
def test_tlslite_serves_ssl_3(cipher: str) -> None:
    offer = LegacyOffer(
        certificate=SINGLE.certificates[0],
        versions=(SSL_3_0, SSL_3_0),
        ciphers=(cipher,),
        macs=("sha",),
        key_exchanges=("rsa",),
    )
    settings = HandshakeSettings()
    settings.minVersion = settings.maxVersion = SSL_3_0
    settings.versions, settings.cipherNames = [SSL_3_0], [cipher]
    with (
        legacy_server(own_listener(), offer) as server,
        socket.create_connection((server.address, server.port)) as raw,
    ):
        client = TLSConnection(raw)
        client.handshakeClientCert(settings=settings)
        assert (client.version, client.getCipherName()) == (SSL_3_0, cipher)
        client.close()


@pytest.mark.parametrize("key", ["rsa2048", "ec256"])
def test_a_copied_certificate_is_shown_and_its_key_not_proven(key: str) -> None:
    theirs = AUTHORITY.issue(key=key)
    ours = CertificateAuthority.create("Another", key="ec256").issue(
        key="rsa3072" if key == "rsa2048" else key
    )
    with legacy_server(own_listener(), LegacyOffer(certificate=theirs, signer=ours)) as server:
        shown = s_client(server, "-tls1_2")
    assert _base64_of(theirs) in shown
    assert "bad signature" in shown


def _base64_of(issued: Issued) -> str:
    return issued.chain_pem.decode().splitlines()[1]
