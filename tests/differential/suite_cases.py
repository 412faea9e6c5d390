"""The real servers of the test suite: each compliant, and with everything switched on."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

import grpc
from tlslite import __version__ as tlslite_version

from otpc_policy.core.facts import TlsVersion
from otpc_policy.core.registries.suites import suite_by_name
from tests.differential import gnutls_truth, openssl_truth
from tests.differential.case import Case, Offered
from tests.differential.generated import gnutls_version, openssl_version
from tests.differential.gnutls_truth import GnuTlsConfiguration
from tests.differential.openssl_truth import OpenSslConfiguration
from tests.support.certificates import CertificateAuthority
from tests.support.loopback import Listener, own_listener
from tests.support.servers import (
    OTPC_CIPHERS,
    LegacyOffer,
    TlsOffer,
    answer_http,
    apache,
    caddy,
    gnutls_serv,
    grpc_server,
    haproxy,
    legacy_server,
    nginx,
    s_server,
    stunnel,
    tls_server,
)
from tests.support.servers.caddy import OTPC_SUITES
from tests.support.servers.diffie_hellman import ffdhe2048
from tests.support.servers.legacy import SSL_3_0, TLS_1_0, TLS_1_2
from tests.support.servers.libraries import OTPC_PRIORITY

Server = Callable[[Listener, TlsOffer], AbstractContextManager[Listener]]
EVERYTHING = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"
# Strong suites for both key types, weak suites for RSA only.
RSA_ONLY_WEAK = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-SHA:AES128-SHA"
    ":AES256-GCM-SHA384"
)
ALL_VERSIONS = ("1.0", "1.1", "1.2", "1.3")
# Documented in gRPC's environment variables (GRPC_SSL_CIPHER_SUITES), and not changed here.
_GRPC_SUITES = (
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
)
_TLS13 = frozenset({0x1301, 0x1302, 0x1303})


def suite_cases(authority: CertificateAuthority) -> Iterator[Case]:
    """Yield all of them."""
    yield from _openssl_cases(authority)
    yield from _other_cases(authority)
    yield from _legacy_cases(authority)


def numbers(*names: str) -> frozenset[int]:
    """Return the code points of suites by IANA name."""
    suites = [suite_by_name(name) for name in names]
    assert None not in suites, names
    return frozenset(suite.code_point for suite in suites if suite)


def _openssl_cases(authority: CertificateAuthority) -> Iterator[Case]:
    dual, single, modern = ("rsa2048", "ec256"), ("rsa2048",), ("1.2", "1.3")

    def case(
        name: str,
        program: str,
        server: Server,
        keys: Sequence[str],
        *,
        ciphers: str = OTPC_CIPHERS,
        effective_ciphers: str = "",
        versions: Sequence[str] = modern,
        mutual: bool = False,
        finite_field: bool = True,
        with_testssl: bool = False,
    ) -> Case:
        certificates = tuple(authority.issue(key=key) for key in keys)
        offer = TlsOffer(
            certificates=certificates,
            versions=tuple(versions),
            ciphers=ciphers,
            client_ca=authority.pem if mutual else None,
        )
        configuration = OpenSslConfiguration(
            ciphers=effective_ciphers or ciphers,
            versions=versions,
            keys=keys,
            finite_field=finite_field,
            picks_by_signature_algorithms=program == "HAProxy",
        )
        return Case(
            name=name,
            stack=f"{program}, {openssl_version()}" if program else openssl_version(),
            serve=lambda: server(own_listener(), offer),
            allowed=openssl_truth.allowed_by(configuration),
            reasons=openssl_truth.reasons_of(configuration),
            with_testssl=with_testssl,
        )

    def nginx_with_parameters(
        listener: Listener, offer: TlsOffer
    ) -> AbstractContextManager[Listener]:
        return nginx(listener, offer, directives=[f"ssl_dhparam {ffdhe2048()};"])

    yield case("nginx", "nginx", nginx, dual)
    yield case(
        "nginx-everything",
        "nginx",
        nginx_with_parameters,
        dual,
        ciphers=EVERYTHING,
        versions=ALL_VERSIONS,
        with_testssl=True,
    )
    yield case("nginx-client-certificate", "nginx", nginx, dual, mutual=True)
    yield case("apache", "Apache httpd", apache, dual)
    # mod_ssl prepends these to every cipher string (documentation of SSLCipherSuite).
    apaches = f"!aNULL:!eNULL:!EXP:{EVERYTHING}"
    yield case(
        "apache-everything",
        "Apache httpd",
        apache,
        dual,
        ciphers=EVERYTHING,
        effective_ciphers=apaches,
        versions=ALL_VERSIONS,
    )
    yield case("haproxy", "HAProxy", haproxy, dual)
    # HAProxy has no DHE unless tune.ssl.default-dh-param or parameters are configured (its
    # documentation, since 2.6).
    yield case(
        "haproxy-everything",
        "HAProxy",
        haproxy,
        dual,
        ciphers=EVERYTHING,
        versions=ALL_VERSIONS,
        finite_field=False,
    )
    # HAProxy chooses the certificate before the suite: a hello with any ECDSA suite hides the
    # suites of its RSA certificate.
    yield case(
        "haproxy-rsa-only-weak", "HAProxy", haproxy, dual, ciphers=RSA_ONLY_WEAK, with_testssl=True
    )
    yield case("haproxy-client-certificate", "HAProxy", haproxy, dual, mutual=True)
    yield case("stunnel", "stunnel", stunnel, single)
    yield case(
        "stunnel-everything", "stunnel", stunnel, single, ciphers=EVERYTHING, versions=ALL_VERSIONS
    )
    yield case("s_server", "", s_server, dual)
    yield case("s_server-everything", "", s_server, dual, ciphers=EVERYTHING, versions=ALL_VERSIONS)
    yield case("s_server-client-certificate", "", s_server, dual, mutual=True)
    yield case(
        "s_server-anonymous", "", s_server, (), ciphers=EVERYTHING, versions=("1.0", "1.1", "1.2")
    )
    yield case(
        "python-ssl",
        "CPython",
        lambda listener, offer: tls_server(listener, offer, answer_http),
        dual,
        finite_field=False,
    )


def _other_cases(authority: CertificateAuthority) -> Iterator[Case]:
    dual = TlsOffer(certificates=(authority.issue(key="rsa2048"), authority.issue(key="ec256")))
    single = TlsOffer(certificates=(authority.issue(key="rsa2048"),))
    rsa_only = tuple(name for name in OTPC_SUITES if "_RSA_" in name)
    gnutls = GnuTlsConfiguration(priority=OTPC_PRIORITY, keys=("rsa2048", "ec256"))
    yield Case(
        name="gnutls-serv",
        stack=gnutls_version(),
        serve=lambda: gnutls_serv(own_listener(), dual),
        allowed=gnutls_truth.allowed_by(gnutls),
        reasons=gnutls_truth.reasons_of(gnutls),
        with_testssl=True,
    )
    yield _plain(
        "caddy",
        "Caddy, Go",
        lambda: caddy(own_listener(), dual),
        {TlsVersion.TLS_1_2: numbers(*OTPC_SUITES), TlsVersion.TLS_1_3: _TLS13},
        testssl=True,
    )
    yield _plain(
        "caddy-rsa",
        "Caddy, Go",
        lambda: caddy(own_listener(), single),
        {TlsVersion.TLS_1_2: numbers(*rsa_only), TlsVersion.TLS_1_3: _TLS13},
    )
    of_grpc = frozenset(numbers(*(name for name in _GRPC_SUITES if "_RSA_" in name)))
    yield _plain(
        "grpc",
        f"BoringSSL of gRPC {grpc.__version__}",
        lambda: grpc_server(own_listener(), single),
        {TlsVersion.TLS_1_2: of_grpc, TlsVersion.TLS_1_3: _TLS13},
    )


def _legacy_cases(authority: CertificateAuthority) -> Iterator[Case]:
    rsa = authority.issue(key="rsa2048")
    old = (TlsVersion.SSL_3_0, TlsVersion.TLS_1_0, TlsVersion.TLS_1_1, TlsVersion.TLS_1_2)

    def case(name: str, offer: LegacyOffer, allowed: Offered, testssl: bool = False) -> Case:
        return _plain(
            f"tlslite-{name}",
            f"tlslite-ng {tlslite_version}",
            lambda: legacy_server(own_listener(), offer),
            allowed,
            testssl=testssl,
        )

    yield case(
        "ssl-3",
        LegacyOffer(
            certificate=rsa,
            versions=(SSL_3_0, SSL_3_0),
            ciphers=("rc4", "3des", "aes128"),
            macs=("sha", "md5"),
            key_exchanges=("rsa",),
        ),
        {
            TlsVersion.SSL_3_0: numbers(
                "TLS_RSA_WITH_RC4_128_SHA",
                "TLS_RSA_WITH_RC4_128_MD5",
                "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
                "TLS_RSA_WITH_AES_128_CBC_SHA",
            )
        },
        testssl=True,
    )
    everywhere = numbers(
        "TLS_RSA_WITH_RC4_128_SHA",
        "TLS_DHE_RSA_WITH_AES_256_CBC_SHA",
        "TLS_RSA_WITH_AES_256_CBC_SHA",
    )
    yield case(
        "ssl-3-to-tls-1.2",
        LegacyOffer(
            certificate=rsa,
            versions=(SSL_3_0, TLS_1_2),
            ciphers=("rc4", "aes256"),
            macs=("sha",),
            key_exchanges=("rsa", "dhe_rsa"),
        ),
        dict.fromkeys(old, everywhere),
    )
    yield case(
        "null",
        LegacyOffer(certificate=rsa, ciphers=("null",), key_exchanges=("rsa",)),
        {TlsVersion.TLS_1_2: numbers("TLS_RSA_WITH_NULL_SHA", "TLS_RSA_WITH_NULL_SHA256")},
    )
    anonymous = numbers("TLS_DH_anon_WITH_AES_128_CBC_SHA")
    yield case(
        "anonymous",
        LegacyOffer(
            certificate=None,
            versions=(TLS_1_0, TLS_1_2),
            ciphers=("aes128",),
            macs=("sha",),
            key_exchanges=("dh_anon",),
            anonymous=True,
        ),
        dict.fromkeys(old[1:], anonymous),
    )
    yield case(
        "ecdsa-ccm",
        LegacyOffer(
            certificate=authority.issue(key="ec256"),
            ciphers=("aes128ccm", "aes128ccm_8", "chacha20-poly1305"),
            key_exchanges=("ecdhe_ecdsa",),
        ),
        {
            TlsVersion.TLS_1_2: numbers(
                "TLS_ECDHE_ECDSA_WITH_AES_128_CCM",
                "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8",
                "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            )
        },
    )


def _plain(
    name: str,
    stack: str,
    serve: Callable[[], AbstractContextManager[Listener]],
    allowed: Offered,
    *,
    testssl: bool = False,
) -> Case:
    return Case(name=name, stack=stack, serve=serve, allowed=allowed, with_testssl=testssl)
