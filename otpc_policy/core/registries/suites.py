"""Cipher suites by code point and by name, with the properties that rules and the scanner ask about.

Properties are derived from the IANA name, so they cannot disagree with it. Whether a suite is acceptable is not said here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from otpc_policy.core.facts import KeyType, TlsVersion
from otpc_policy.core.registries.suite_table import REGISTERED_SUITES
from otpc_policy.core.registries.unregistered_suites import UNREGISTERED_SUITES

# RFC 9150: TLS 1.3 suites that authenticate records and encrypt nothing.
_INTEGRITY_ONLY = frozenset({0xC0B4, 0xC0B5})
# RFC 8998 (SM4), RFC 9367 (GOST) and NIST SP 800-232 (Ascon): suites of TLS 1.3 outside its own range of numbers.
_TLS13_ELSEWHERE = frozenset({0x006E, 0x006F, 0x0070, 0x0071, 0x00C6, 0x00C7, 0xC103, 0xC104, 0xC105, 0xC106})
# The key exchange is one of these, or contains it, where the client needs a secret shared beforehand, or a ticket.
_SHARED_SECRETS = ("PSK", "SRP", "KRB5", "ECCPWD", "ECJPAKE")
# Of these, some prove the server by its certificate as well (RFC 4279 4, RFC 5054 2.4).
_SHARED_SECRETS_WITH_CERTIFICATE: Mapping[str, KeyType] = {"TLS_RSA_PSK": KeyType.RSA, "TLS_SRP_SHA_RSA": KeyType.RSA, "TLS_SRP_SHA_DSS": KeyType.DSA}
# Record protection that came with TLS 1.2: AEAD (RFC 5246 6.2.3.3), and CTR_OMAC (RFC 9189 1).
_SINCE_TLS12 = ("_GCM_", "_CCM", "_POLY1305_", "_CTR_OMAC")
# RFC 9189: GOST of 2012 for TLS 1.2 alone. 28147_CNT_IMIT was in use before, under another number.
_GOST_OF_RFC_9189 = frozenset({0xC100, 0xC101, 0xC102})


@dataclass(frozen=True, slots=True, kw_only=True)
class CipherSuite:
    """One cipher suite.

    code_point: IANA number; the kinds of SSL 2 have three bytes.
    openssl_name: empty if no OpenSSL that we use implements it.
    authentication: the key type of the leaf by which the server proves itself; None where the suite does not tell (TLS 1.3)
    or where no certificate does (anonymous, most of PSK and SRP, Kerberos, passwords).
    needs_shared_secret: a client without a secret or ticket that it shares with the server cannot complete a handshake.
    """

    code_point: int
    iana_name: str
    openssl_name: str
    authentication: KeyType | None
    needs_shared_secret: bool
    is_null: bool
    is_anonymous: bool
    is_export: bool
    is_tls13: bool
    is_integrity_only: bool

    @property
    def is_ssl2(self) -> bool:
        """It is a cipher kind of SSL 2."""
        return self.code_point > 0xFFFF

    @property
    def is_forward_secret(self) -> bool:
        """The server's part of the key exchange is ephemeral; if it signs with a certificate, it does so before it asks for the client's."""
        return self.is_tls13 or any(exchange in self.iana_name for exchange in ("_DHE_", "_ECDHE_", "_CECPQ1_"))

    @property
    def lowest_version(self) -> TlsVersion:
        """The lowest version over which an implementation may negotiate it; the specification may say a higher one.

        A name that ends in _SHA256 or _SHA384 does not tell: with a block cipher and a pre-shared key it names the MAC alone, and the
        suite works since TLS 1.0 (RFC 5487 3, RFC 5489 3.2; OpenSSL does so, GnuTLS does not). What is not bound to a higher version is taken
        to be possible over SSL 3: an implementation that does not look at the version negotiates it there.
        """
        if self.is_ssl2:
            return TlsVersion.SSL_2_0
        if self.is_tls13:
            return TlsVersion.TLS_1_3
        if any(mode in self.iana_name for mode in _SINCE_TLS12) or self.code_point in _GOST_OF_RFC_9189:
            return TlsVersion.TLS_1_2
        if self.iana_name.endswith(("_SHA256", "_SHA384")):
            return TlsVersion.TLS_1_0 if "PSK" in self.iana_name else TlsVersion.TLS_1_2
        return TlsVersion.TLS_1_0 if "TLS_GOSTR" in self.iana_name else TlsVersion.SSL_3_0


def suite_by_code_point(code_point: int) -> CipherSuite | None:
    """Return the suite with this number, or None if it is not known by name."""
    return _by_code_point().get(code_point)


def suite_by_name(name: str) -> CipherSuite | None:
    """Return the suite that IANA or OpenSSL calls by this name, or None.

    A name that OpenSSL uses for SSL 2 and for later versions means the later one.
    """
    return _by_name().get(name)


def all_suites() -> tuple[CipherSuite, ...]:
    """Return every suite that is known by name, in order of code points; kinds of SSL 2 come last."""
    return tuple(_by_code_point().values())


def _rows() -> Iterator[tuple[int, str, tuple[str, ...]]]:
    for line in sorted((REGISTERED_SUITES + UNREGISTERED_SUITES).split("\n"), key=lambda line: (len(line.partition(" ")[0]), line)):
        if line:
            code_point, iana_name, *openssl_names = line.split(" ")
            yield int(code_point, 16), iana_name, tuple(openssl_names[0].split(",")) if openssl_names else ()


@cache
def _by_code_point() -> Mapping[int, CipherSuite]:
    return {code_point: _suite(code_point, iana_name, openssl_names) for code_point, iana_name, openssl_names in _rows()}


@cache
def _by_name() -> Mapping[str, CipherSuite]:
    named: dict[str, CipherSuite] = {}
    for code_point, iana_name, openssl_names in _rows():
        for name in (iana_name, *openssl_names):
            named.setdefault(name, _by_code_point()[code_point])
    return named


def _suite(code_point: int, iana_name: str, openssl_names: tuple[str, ...]) -> CipherSuite:
    key_exchange = iana_name.partition("_WITH_")[0].removeprefix("OLD_")
    is_tls13 = code_point >> 8 == 0x13 or code_point in _INTEGRITY_ONLY | _TLS13_ELSEWHERE
    return CipherSuite(
        code_point=code_point,
        iana_name=iana_name,
        openssl_name=openssl_names[0] if openssl_names else "",
        authentication=None if is_tls13 else _authentication(key_exchange),
        needs_shared_secret=_needs_shared_secret(key_exchange),
        is_null="_WITH_NULL_" in iana_name,
        is_anonymous=_is_anonymous(key_exchange),
        is_export="_EXPORT" in iana_name,
        is_tls13=is_tls13,
        is_integrity_only=code_point in _INTEGRITY_ONLY,
    )


def _is_anonymous(key_exchange: str) -> bool:
    # RFC 5246 A.5: TLS_NULL_WITH_NULL_NULL is the state before the first handshake, which proves nobody.
    return "_anon" in key_exchange or key_exchange == "TLS_NULL"


def _needs_shared_secret(key_exchange: str) -> bool:
    return any(marker in key_exchange for marker in _SHARED_SECRETS)


def _authentication(key_exchange: str) -> KeyType | None:
    if _needs_shared_secret(key_exchange):
        return _SHARED_SECRETS_WITH_CERTIFICATE.get(key_exchange)
    if _is_anonymous(key_exchange):
        return None
    if key_exchange.startswith("TLS_ECDH_"):
        return KeyType.ECDSA  # the leaf holds an elliptic curve key, whoever signed it
    if key_exchange.startswith(("TLS_DH_", "TLS_GOSTR", "SSL_FORTEZZA")):
        return KeyType.OTHER
    if "_ECDSA" in key_exchange:
        return KeyType.ECDSA
    return KeyType.DSA if "_DSS" in key_exchange else KeyType.RSA
