"""Cipher suites by code point and by name, with the properties that rules and scanner ask about.

Properties are derived from the IANA name, so they cannot disagree with it. Whether a suite is
acceptable is not decided here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from otpc_policy.core.facts import KeyType, TlsVersion
from otpc_policy.core.registries.csv_files import assigned_names, number_of, read_columns

_REGISTERED = "iana/tls-parameters-4.csv"
_UNREGISTERED = ("ours/unregistered-cipher-suites.csv", "ours/ssl2-cipher-kinds.csv")
_OPENSSL_NAMES = "ours/openssl-cipher-names.csv"

# RFC 5746 3.3, RFC 7507 2: numbers in a list of suites by which a client signals something else.
_SIGNALLING = "_SCSV"
# RFC 9150: TLS 1.3 suites that authenticate records and encrypt nothing.
_INTEGRITY_ONLY = frozenset({0xC0B4, 0xC0B5})
# RFC 8998 (SM4), RFC 9367 (GOST) and NIST SP 800-232 (Ascon): TLS 1.3 outside its own range.
_TLS13_ELSEWHERE = frozenset(
    {0x006E, 0x006F, 0x0070, 0x0071, 0x00C6, 0x00C7, 0xC103, 0xC104, 0xC105, 0xC106}
)
# A key exchange that contains one of these needs a secret or a ticket that the client already has.
_SHARED_SECRETS = ("PSK", "SRP", "KRB5", "ECCPWD", "ECJPAKE")
# Of these, some also prove the server by its certificate (RFC 4279 4, RFC 5054 2.4).
_SHARED_SECRETS_WITH_CERTIFICATE: Mapping[str, KeyType] = {
    "TLS_RSA_PSK": KeyType.RSA,
    "TLS_SRP_SHA_RSA": KeyType.RSA,
    "TLS_SRP_SHA_DSS": KeyType.DSA,
}
# Record protection that came with TLS 1.2: AEAD (RFC 5246 6.2.3.3), and CTR_OMAC (RFC 9189 1).
_SINCE_TLS12 = ("_GCM_", "_CCM", "_POLY1305_", "_CTR_OMAC")
# RFC 9189: GOST of 2012, TLS 1.2 only. 28147_CNT_IMIT was in use before, under another number.
_GOST_OF_RFC_9189 = frozenset({0xC100, 0xC101, 0xC102})


@dataclass(frozen=True, slots=True, kw_only=True)
class CipherSuite:
    """A cipher suite.

    code_point: IANA number; the kinds of SSL 2 have three bytes.
    openssl_name: empty if no OpenSSL that we use implements it.
    authentication: the key type of the leaf that proves the server; None where the suite does not
    say (TLS 1.3) or no certificate does (anonymous, most of PSK and SRP, Kerberos, passwords).
    needs_shared_secret: a client that shares no secret or ticket with the server cannot complete a
    handshake.
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
        """The server's part of the key exchange is ephemeral.

        A server that signs with its certificate does so before it asks for the client's.
        """
        return self.is_tls13 or any(
            exchange in self.iana_name for exchange in ("_DHE_", "_ECDHE_", "_CECPQ1_")
        )

    @property
    def lowest_version(self) -> TlsVersion:
        """The lowest version over which an implementation may negotiate it.

        The specification may require a higher one. A name that ends in _SHA256 or _SHA384 proves
        nothing for a block cipher with a pre-shared key: it names the MAC only, and the suite works
        since TLS 1.0 (RFC 5487 3, RFC 5489 3.2; OpenSSL does so, GnuTLS does not). What is not
        bound to a higher version is taken to be possible over SSL 3, because an implementation
        that ignores the version negotiates it there.
        """
        if self.is_ssl2:
            return TlsVersion.SSL_2_0
        if self.is_tls13:
            return TlsVersion.TLS_1_3
        if (
            any(mode in self.iana_name for mode in _SINCE_TLS12)
            or self.code_point in _GOST_OF_RFC_9189
        ):
            return TlsVersion.TLS_1_2
        if self.iana_name.endswith(("_SHA256", "_SHA384")):
            return TlsVersion.TLS_1_0 if "PSK" in self.iana_name else TlsVersion.TLS_1_2
        return TlsVersion.TLS_1_0 if "TLS_GOSTR" in self.iana_name else TlsVersion.SSL_3_0


def suite_by_code_point(code_point: int) -> CipherSuite | None:
    """Return the suite with this number, or None if its name is not known."""
    return _by_code_point().get(code_point)


def suite_by_name(name: str) -> CipherSuite | None:
    """Return the suite that IANA or OpenSSL calls by this name, or None.

    A name that OpenSSL uses for SSL 2 and for later versions means the later suite.
    """
    return _by_name().get(name)


def all_suites() -> tuple[CipherSuite, ...]:
    """Return every suite with a known name, in order of code points; kinds of SSL 2 come last."""
    return tuple(_by_code_point().values())


def registered_names() -> dict[int, str]:
    """Return the suites that IANA registers, without signalling values: names by code point."""
    assigned = assigned_names(read_columns(_REGISTERED, "Value", "Description"))
    return {number: name for number, name in assigned.items() if not name.endswith(_SIGNALLING)}


def unregistered_names() -> dict[int, str]:
    """Return the kinds of SSL 2 and the suites that servers have spoken without registration."""
    rows = [row for file in _UNREGISTERED for row in read_columns(file, "Value", "Description")]
    return assigned_names(rows)


@cache
def openssl_names() -> Mapping[int, tuple[str, ...]]:
    """Return the names that OpenSSL has given to suites, by code point.

    The first of them is understood by every OpenSSL since 1.0.2 that implements the suite.
    """
    rows = read_columns(_OPENSSL_NAMES, "Value", "Name", "Other Names")
    return {number_of(value): (name, *others.split()) for value, name, others in rows}


@cache
def _by_code_point() -> Mapping[int, CipherSuite]:
    names = registered_names() | unregistered_names()
    in_openssl = openssl_names()
    return {
        code_point: _suite(code_point, names[code_point], in_openssl.get(code_point, ("",))[0])
        for code_point in sorted(names)
    }


@cache
def _by_name() -> Mapping[str, CipherSuite]:
    in_openssl = openssl_names()
    named: dict[str, CipherSuite] = {}
    for code_point, suite in _by_code_point().items():
        for name in (suite.iana_name, *in_openssl.get(code_point, ())):
            named.setdefault(name, suite)
    return named


def _suite(code_point: int, iana_name: str, openssl_name: str) -> CipherSuite:
    key_exchange = iana_name.partition("_WITH_")[0].removeprefix("OLD_")
    is_tls13 = code_point >> 8 == 0x13 or code_point in _INTEGRITY_ONLY | _TLS13_ELSEWHERE
    return CipherSuite(
        code_point=code_point,
        iana_name=iana_name,
        openssl_name=openssl_name,
        authentication=None if is_tls13 else _authentication(key_exchange),
        needs_shared_secret=_needs_shared_secret(key_exchange),
        is_null="_WITH_NULL_" in iana_name,
        is_anonymous=_is_anonymous(key_exchange),
        is_export="_EXPORT" in iana_name,
        is_tls13=is_tls13,
        is_integrity_only=code_point in _INTEGRITY_ONLY,
    )


def _is_anonymous(key_exchange: str) -> bool:
    # RFC 5246 A.5: TLS_NULL_WITH_NULL_NULL is the state before a handshake; it proves nobody.
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
