"""What the TLS of a partner must and must not offer."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from tests.end_to_end.case import ANCHOR, STRICT, UNLISTED, Case, Serve, codes, on_nginx
from tests.end_to_end.world import World
from tests.support.loopback import Listener
from tests.support.servers import (
    OTPC_CIPHERS,
    LegacyOffer,
    TlsOffer,
    apache,
    caddy,
    echo,
    gnutls_serv,
    grpc_server,
    haproxy,
    http_server,
    legacy_server,
    nginx,
    plain_nginx,
    s_server,
    say_nothing,
    stunnel,
    tls_server,
)
from tests.support.servers.legacy import SSL_3_0, TLS_1_0, TLS_1_2

BELOW, NONE_REQUIRED, INSECURE = (
    "TLS_VERSION_BELOW_MINIMUM",
    "CIPHER_SUITE_NONE_REQUIRED",
    "CIPHER_SUITE_INSECURE",
)

# No current library speaks these protocols, so HTTP cannot be requested over them.
HTTP_UNKNOWN = codes("MEASUREMENT_INCOMPLETE")

# Every program that can serve a compliant endpoint, with an RSA and an ECDSA certificate.
COMPLIANT_SERVERS: dict[str, Callable[[Listener, TlsOffer], AbstractContextManager[Listener]]] = {
    "nginx": nginx,
    "Apache httpd": apache,
    "HAProxy": haproxy,
    "openssl s_server": s_server,
    "gnutls-serv": gnutls_serv,
    "Caddy": caddy,
}


def offering(**how: Any) -> Callable[[World, str], TlsOffer]:
    """Return an offer with both certificates. how: as for TlsOffer."""
    return lambda world, name: TlsOffer(certificates=world.pair(name), **how)


def _compliant(serve: Callable[[Listener, TlsOffer], AbstractContextManager[Listener]]) -> Serve:
    return lambda world, at, name: serve(at, TlsOffer(certificates=world.pair(name)))


def _demanding_a_certificate(
    serve: Callable[[Listener, TlsOffer], AbstractContextManager[Listener]],
) -> Serve:
    return lambda world, at, name: serve(
        at, TlsOffer(certificates=world.pair(name), client_ca=world.root.pem)
    )


def _legacy(key: str = "rsa2048", **options: Any) -> Serve:
    return lambda world, at, name: legacy_server(
        at, LegacyOffer(certificate=world.leaf(name, key=key), **options)
    )


def _copied(key: str, another: str) -> Serve:
    """Serve the chain of a leaf, and sign with a key of the same kind that is not the leaf's."""
    return lambda world, at, name: legacy_server(
        at,
        LegacyOffer(
            certificate=world.leaf(name, key=key),
            signer=world.stranger.issue(key=another),
            key_exchanges=("ecdhe_rsa", "ecdhe_ecdsa"),
        ),
    )


def _anonymous(_world: World, at: Listener, _name: str) -> AbstractContextManager[Listener]:
    return legacy_server(
        at, LegacyOffer(certificate=None, key_exchanges=("dh_anon", "ecdh_anon"), anonymous=True)
    )


CASES = [
    *(
        Case(rule=f"{name} that is set up as the policy wants is allowed", serve=_compliant(serve))
        for name, serve in COMPLIANT_SERVERS.items()
    ),
    Case(
        rule="stunnel in front of plain HTTP is allowed",
        serve=lambda world, at, name: stunnel(
            at, TlsOffer(certificates=(world.leaf(name, key="rsa2048"),))
        ),
    ),
    Case(
        rule="a gRPC server serves HTTP, by h2",
        serve=lambda world, at, name: grpc_server(at, TlsOffer(certificates=(world.leaf(name),))),
        advises=codes(ANCHOR, UNLISTED),
    ),
    Case(
        rule="TLS 1.0 and 1.1 are denied next to TLS 1.2 and 1.3",
        serve=on_nginx(
            offering(
                versions=("1.0", "1.1", "1.2", "1.3"),
                ciphers=f"{OTPC_CIPHERS}:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0",
            )
        ),
        denies=codes(BELOW),
        advises=codes(ANCHOR, UNLISTED),
        says="TLS 1.0",
    ),
    Case(
        rule="TLS 1.2 with AES-256 alone is denied",
        serve=on_nginx(
            offering(ciphers="ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES256-GCM-SHA384")
        ),
        denies=codes(NONE_REQUIRED),
        advises=codes(ANCHOR, UNLISTED),
    ),
    Case(
        rule="a single unlisted suite is allowed with advice",
        serve=on_nginx(offering(ciphers=f"{OTPC_CIPHERS}:ECDHE-RSA-AES256-GCM-SHA384")),
        advises=codes(ANCHOR, UNLISTED),
        says="TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    ),
    Case(
        rule="a single unlisted suite is denied by the strict policy",
        serve=on_nginx(offering(ciphers=f"{OTPC_CIPHERS}:ECDHE-RSA-AES256-GCM-SHA384")),
        policy=STRICT,
        denies=codes(ANCHOR, UNLISTED),
        advises=codes(),
    ),
    Case(rule="TLS 1.2 alone is allowed", serve=on_nginx(offering(versions=("1.2",)))),
    Case(
        rule="a single required suite is enough",
        serve=on_nginx(offering(versions=("1.2",), ciphers="ECDHE-ECDSA-AES128-SHA256")),
    ),
    Case(
        rule="TLS 1.3 alone is denied, for none of the six suites exists there",
        serve=on_nginx(offering(versions=("1.3",))),
        denies=codes(NONE_REQUIRED),
        says="TLS 1.3",
    ),
    Case(
        rule="plain HTTP on nginx is no TLS",
        serve=lambda _world, at, _name: plain_nginx(at),
        denies=codes("TLS_NOT_SERVED"),
        advises=codes(),
    ),
    Case(
        rule="plain HTTP on another server is no TLS",
        serve=lambda _world, at, _name: http_server(at),
        denies=codes("TLS_NOT_SERVED"),
        advises=codes(),
    ),
    Case(
        rule="TLS around something that is not HTTP is denied",
        serve=lambda world, at, name: tls_server(at, TlsOffer(certificates=world.pair(name)), echo),
        denies=codes("HTTPS_NOT_SERVED"),
    ),
    Case(
        rule="TLS around silence is not judged",
        serve=lambda world, at, name: tls_server(
            at, TlsOffer(certificates=world.pair(name)), say_nothing
        ),
        leaves_unknown=codes("MEASUREMENT_INCOMPLETE"),
    ),
    *(
        Case(
            rule=f"{name} that demands a client certificate in the handshake is allowed",
            serve=_demanding_a_certificate(serve),
            advises=codes(ANCHOR, "HTTP_NOT_OBSERVABLE"),
        )
        for name, serve in COMPLIANT_SERVERS.items()
        if name != "nginx"
    ),
    Case(
        rule="nginx that demands a client certificate says so in HTTP, and is allowed",
        serve=_demanding_a_certificate(nginx),
    ),
    Case(
        rule="a NULL suite next to good suites is denied",
        serve=on_nginx(
            offering(versions=("1.2",), ciphers=f"{OTPC_CIPHERS}:ECDHE-RSA-NULL-SHA:@SECLEVEL=0")
        ),
        denies=codes(INSECURE),
        advises=codes(ANCHOR, UNLISTED),
        says="TLS_ECDHE_RSA_WITH_NULL_SHA",
    ),
    Case(
        rule="an anonymous suite next to good suites is denied",
        serve=on_nginx(
            offering(versions=("1.2",), ciphers=f"{OTPC_CIPHERS}:AECDH-AES128-SHA:@SECLEVEL=0")
        ),
        denies=codes(INSECURE),
        advises=codes(ANCHOR, UNLISTED),
        says="TLS_ECDH_anon_WITH_AES_128_CBC_SHA",
    ),
    Case(
        rule="RC4 over SSL 3 is denied",
        serve=_legacy(
            versions=(SSL_3_0, SSL_3_0), ciphers=("rc4",), macs=("sha",), key_exchanges=("rsa",)
        ),
        denies=codes(BELOW, NONE_REQUIRED),
        advises=codes(ANCHOR, UNLISTED),
        leaves_unknown=HTTP_UNKNOWN,
        says="SSL 3",
    ),
    Case(
        rule="3DES over TLS 1.0 to 1.2 is denied",
        serve=_legacy(versions=(TLS_1_0, TLS_1_2), ciphers=("3des",), macs=("sha",)),
        denies=codes(BELOW, NONE_REQUIRED),
        advises=codes(ANCHOR, UNLISTED),
        leaves_unknown=HTTP_UNKNOWN,
    ),
    Case(
        rule="NULL suites alone are denied",
        serve=_legacy(ciphers=("null",), macs=("sha", "sha256"), key_exchanges=("rsa",)),
        denies=codes(INSECURE, NONE_REQUIRED),
        advises=codes(ANCHOR, UNLISTED),
        leaves_unknown=HTTP_UNKNOWN,
    ),
]

# Partners that need only never be allowed: the rule, and how it is broken.
NEVER_ALLOWED = {
    "a copied RSA certificate without its key": _copied("rsa2048", "rsa3072"),
    "a copied ECDSA certificate without its key": _copied("ec256", "ec256"),
    "anonymous suites alone": _anonymous,
}
