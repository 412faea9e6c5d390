"""TLS libraries that only these tests need: BoringSSL, JSSE, NSS, mbedTLS, wolfSSL."""

import subprocess
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

import pytest

from otpc_policy.core.facts import TlsVersion
from otpc_policy.core.registries.suites import suite_by_code_point
from tests.differential.case import Case, Offered
from tests.differential.openssl_truth import VERSIONS
from tests.differential.suite_cases import RSA_ONLY_WEAK, numbers
from tests.support.certificates import CertificateAuthority, Issued, self_signed
from tests.support.loopback import own_listener
from tests.support.requirements import require
from tests.support.servers import TlsOffer
from tests.support.servers.envoy import envoy
from tests.support.servers.jsse import jsse
from tests.support.servers.lighttpd import lighttpd
from tests.support.servers.nss import selfserv

_TLS13 = frozenset({0x1301, 0x1302, 0x1303})
# Suites that BoringSSL still has (ssl_cipher.cc), by OpenSSL name.
_BORINGSSL = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305"
    ":ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA:AES128-GCM-SHA256"
    ":AES256-GCM-SHA384:AES128-SHA:AES256-SHA:ECDHE-RSA-AES128-SHA256"
)
_JSSE = (
    *("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"),
    *(
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    ),
    *(
        "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    ),
    *(
        "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384",
        "TLS_DHE_RSA_WITH_AES_128_CBC_SHA",
        "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
        "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    ),
    *(
        "TLS_RSA_WITH_AES_256_GCM_SHA384",
        "TLS_RSA_WITH_AES_128_CBC_SHA256",
        "TLS_RSA_WITH_AES_128_CBC_SHA",
        "TLS_EMPTY_RENEGOTIATION_INFO_SCSV",
    ),
)
# Names of the JDK: suites of RFC 2246 and older begin with SSL.
_JSSE_ANCIENT = (
    "SSL_RSA_WITH_3DES_EDE_CBC_SHA",
    "SSL_RSA_WITH_RC4_128_MD5",
    "SSL_RSA_WITH_NULL_SHA",
    "SSL_DH_anon_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDH_anon_WITH_NULL_SHA",
)
_NSS = (
    *("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"),
    *(
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    ),
    *(
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
        "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    ),
    *(
        "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
        "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
        "TLS_DHE_RSA_WITH_AES_128_CBC_SHA",
        "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    ),
    *(
        "TLS_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_RSA_WITH_AES_256_CBC_SHA",
        "TLS_RSA_WITH_CAMELLIA_128_CBC_SHA",
        "TLS_RSA_WITH_RC4_128_MD5",
        "TLS_RSA_WITH_NULL_SHA",
    ),
)


def other_stacks(authority: CertificateAuthority) -> Iterator[Case]:
    """Yield all of them."""
    yield from _envoy_cases(authority)
    yield from _jsse_cases(authority)
    yield from _nss_cases(authority)
    yield from _lighttpd_cases(authority)


def _envoy_cases(authority: CertificateAuthority) -> Iterator[Case]:
    dual = (authority.issue(key="rsa2048"), authority.issue(key="ec256"))
    stack = "Envoy, BoringSSL"

    def case(name: str, offer: TlsOffer, groups: Sequence[str] = (), testssl: bool = False) -> Case:
        suites = numbers(*offer.ciphers.split(":"))
        return Case(
            name=name,
            stack=stack,
            serve=lambda: envoy(own_listener(), offer, groups=groups),
            allowed=_by_version(suites | _TLS13, offer.versions),
            with_testssl=testssl,
        )

    yield case(
        "envoy",
        TlsOffer(certificates=dual, ciphers=_BORINGSSL, versions=("1.0", "1.1", "1.2", "1.3")),
        testssl=True,
    )
    yield case("envoy-rsa-only-weak", TlsOffer(certificates=dual, ciphers=RSA_ONLY_WEAK))
    yield case(
        "envoy-p-384",
        TlsOffer(certificates=dual[:1], ciphers="ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-SHA"),
        groups=("P-384",),
    )


def _jsse_cases(authority: CertificateAuthority) -> Iterator[Case]:
    rsa, elliptic = authority.issue(key="rsa2048"), authority.issue(key="ec256")

    def case(
        name: str,
        suites: Sequence[str],
        offer: TlsOffer,
        keys: Sequence[str],
        testssl: bool = False,
    ) -> Case:
        named = numbers(
            *(name.replace("SSL_", "TLS_", 1) for name in suites if not name.endswith("_SCSV"))
        )
        allowed = _by_version(_with_keys(named, keys), offer.versions)
        return Case(
            name=name,
            stack=java_version(),
            serve=lambda: jsse(own_listener(), offer, suites=suites),
            allowed=allowed,
            with_testssl=testssl,
        )

    every = ("1.0", "1.1", "1.2", "1.3")
    yield case(
        "jsse",
        _JSSE,
        TlsOffer(certificates=(rsa, elliptic), versions=every),
        ("rsa", "ec"),
        testssl=True,
    )
    yield case("jsse-modern", _JSSE, TlsOffer(certificates=(elliptic,)), ("ec",))
    yield case(
        "jsse-ancient", _JSSE_ANCIENT, TlsOffer(certificates=(rsa,), versions=every[:3]), ("rsa",)
    )


def _nss_cases(authority: CertificateAuthority) -> Iterator[Case]:
    # NSS names certificates by subject, and requires the key usage for RSA key exchange; a
    # self-signed certificate has no key usage.
    rsa, elliptic = (
        self_signed(key="rsa2048", common_name="RSA", ca=True),
        authority.issue(key="ec256", common_name="EC"),
    )

    def case(
        name: str,
        certificates: tuple[Issued, ...],
        keys: Sequence[str],
        versions: tuple[str, ...],
        *,
        suites: Sequence[str] = _NSS,
        arguments: Sequence[str] = (),
        testssl: bool = False,
    ) -> Case:
        offer, listed = TlsOffer(certificates=certificates, versions=versions), numbers(*suites)
        allowed = _by_version(_with_keys(listed, keys), versions)
        return Case(
            name=name,
            stack="NSS",
            serve=lambda: selfserv(own_listener(), offer, suites=listed, arguments=arguments),
            allowed=allowed,
            with_testssl=testssl,
        )

    yield case("nss", (rsa, elliptic), ("rsa", "ec"), ("1.0", "1.1", "1.2", "1.3"))
    yield case("nss-ssl-3", (rsa,), ("rsa",), ("ssl3", "1.0", "1.1", "1.2"), testssl=True)
    # With -H 2 finite-field Diffie-Hellman is only for clients that name its groups (RFC 7919).
    finite_field = (
        "TLS_DHE_RSA_WITH_AES_128_CBC_SHA",
        "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    )
    yield case(
        "nss-named-groups", (rsa,), ("rsa",), ("1.2",), suites=finite_field, arguments=("-H", "2")
    )


def _lighttpd_cases(authority: CertificateAuthority) -> Iterator[Case]:
    rsa, elliptic = authority.issue(key="rsa2048"), authority.issue(key="ec256")
    for_rsa = (
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256",
        "TLS_ECDHE_RSA_WITH_CAMELLIA_128_CBC_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    )
    for_elliptic = (
        "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8",
        "TLS_ECDHE_ECDSA_WITH_AES_256_CCM",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    )
    yield _mbedtls("mbedtls-rsa", rsa, for_rsa)
    yield _mbedtls("mbedtls-ecdsa", elliptic, for_elliptic)
    wolf = (
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-RSA-AES128-SHA256",
    )
    offer = TlsOffer(certificates=(rsa,), ciphers=":".join(wolf))
    yield Case(
        name="wolfssl",
        stack="lighttpd, wolfSSL",
        serve=lambda: lighttpd(own_listener(), offer, "wolfssl"),
        # The cipher string governs TLS 1.2; for TLS 1.3 wolfSSL keeps the suites that it is built
        # with, which in Debian include this suite (InitSuites()).
        allowed={
            TlsVersion.TLS_1_2: numbers(*wolf),
            TlsVersion.TLS_1_3: _TLS13 | numbers("TLS_AES_128_CCM_SHA256"),
        },
    )


def _mbedtls(name: str, issued: Issued, suites: Sequence[str]) -> Case:
    offer = TlsOffer(
        certificates=(issued,),
        versions=("1.2",),
        ciphers=":".join(name.replace("_", "-") for name in suites),
    )
    allowed = {TlsVersion.TLS_1_2: numbers(*suites)}
    return Case(
        name=name,
        stack="lighttpd, mbedTLS",
        serve=lambda: lighttpd(own_listener(), offer, "mbedtls"),
        allowed=allowed,
    )


def _by_version(suites: Iterable[int], versions: Sequence[str]) -> Offered:
    """Group suites by the versions that define them.

    RFC 5246 introduced SHA-2 and authenticated encryption, RFC 8446 its own suites.
    """
    allowed: dict[TlsVersion, frozenset[int]] = {}
    for name in versions:
        version = TlsVersion.SSL_3_0 if name == "ssl3" else VERSIONS[name]
        allowed[version] = frozenset(suite for suite in suites if _exists_in(version, suite))
    return {version: suites_there for version, suites_there in allowed.items() if suites_there}


def _exists_in(version: TlsVersion, code_point: int) -> bool:
    suite = suite_by_code_point(code_point)
    assert suite is not None
    if suite.is_tls13 or version is TlsVersion.TLS_1_3:
        return suite.is_tls13 and version is TlsVersion.TLS_1_3
    if suite.iana_name.endswith(("_SHA256", "_SHA384", "_CCM", "_CCM_8")):
        return version is TlsVersion.TLS_1_2
    # RFC 8422 covers TLS 1.0 and later; NSS offers none of its suites with SSL 3.
    return version > TlsVersion.SSL_3_0 or "ECDH" not in suite.iana_name


def _with_keys(suites: Iterable[int], keys: Sequence[str]) -> frozenset[int]:
    """Keep the suites for which there is a key."""

    def fits(code_point: int) -> bool:
        suite = suite_by_code_point(code_point)
        assert suite is not None
        if suite.is_tls13 or suite.is_anonymous:
            return True
        return ("ec" if "ECDSA" in suite.iana_name else "rsa") in keys

    return frozenset(filter(fits, suites))


@cache
def java_version() -> str:
    """Return the version of the Java at hand."""
    try:
        shown = subprocess.run(
            [require("java"), "--version"], capture_output=True, text=True, check=True
        ).stdout
    except pytest.skip.Exception:
        return "JSSE"
    return f"JSSE of {' '.join(shown.split()[:2])}"
