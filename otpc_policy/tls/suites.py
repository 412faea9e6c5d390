"""Cipher suites by code point and by name, with the properties that rules and the scanner ask about.

Properties are derived from the IANA name, so they cannot disagree with it. Whether a suite is acceptable is not said here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from otpc_policy.facts import KeyType
from otpc_policy.tls.suite_table import SUITE_TABLE

# RFC 9150: TLS 1.3 suites that authenticate records and encrypt nothing.
_INTEGRITY_ONLY = frozenset({0xC0B4, 0xC0B5})
# RFC 8998 (SM4) and RFC 9367 (GOST): suites of TLS 1.3 outside its own range of numbers.
_TLS13_ELSEWHERE = frozenset({0x00C6, 0x00C7, 0xC103, 0xC104, 0xC105, 0xC106})
# The key exchange name begins with one of these or contains it where no certificate of the server signs or decrypts.
_WITHOUT_CERTIFICATE = ("anon", "PSK", "KRB5", "SRP", "ECCPWD")


@dataclass(frozen=True, slots=True, kw_only=True)
class CipherSuite:
    """One cipher suite.

    code_point: IANA number; the kinds of SSL 2 have three bytes.
    openssl_name: empty if no OpenSSL that we use implements it.
    authentication: the key type of the leaf by which the server proves itself; None where the suite does not tell (TLS 1.3)
    or where no certificate does (anonymous, PSK, SRP, Kerberos).
    """

    code_point: int
    iana_name: str
    openssl_name: str
    authentication: KeyType | None
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
        """The server signs its part of the key exchange, before it asks for a client certificate."""
        return self.is_tls13 or "_DHE_" in self.iana_name or "_ECDHE_" in self.iana_name


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


@cache
def _by_code_point() -> Mapping[int, CipherSuite]:
    suites = (_suite(line.split(" ")) for line in SUITE_TABLE.split("\n") if line)
    return {suite.code_point: suite for suite in suites}


@cache
def _by_name() -> Mapping[str, CipherSuite]:
    named: dict[str, CipherSuite] = {}
    for line in SUITE_TABLE.split("\n"):
        if line:
            code_point, iana_name, *openssl_names = line.split(" ")
            suite = _by_code_point()[int(code_point, 16)]
            for name in (iana_name, *(openssl_names[0].split(",") if openssl_names else ())):
                named.setdefault(name, suite)
    return named


def _suite(columns: list[str]) -> CipherSuite:
    code_point, iana_name = int(columns[0], 16), columns[1]
    key_exchange = iana_name.partition("_WITH_")[0]
    is_tls13 = code_point >> 8 == 0x13 or code_point in _INTEGRITY_ONLY | _TLS13_ELSEWHERE
    return CipherSuite(
        code_point=code_point,
        iana_name=iana_name,
        openssl_name=columns[2].partition(",")[0] if len(columns) > 2 else "",
        authentication=None if is_tls13 else _authentication(key_exchange, code_point),
        is_null="_WITH_NULL_" in iana_name,
        is_anonymous="_anon" in key_exchange,
        is_export="_EXPORT" in iana_name,
        is_tls13=is_tls13,
        is_integrity_only=code_point in _INTEGRITY_ONLY,
    )


def _authentication(key_exchange: str, code_point: int) -> KeyType | None:
    if code_point > 0xFFFF:
        return KeyType.RSA
    if any(marker in key_exchange for marker in _WITHOUT_CERTIFICATE):
        return None
    if key_exchange.startswith("TLS_ECDH_"):
        return KeyType.ECDSA  # the leaf holds an elliptic curve key, whoever signed it
    if key_exchange.startswith(("TLS_DH_", "TLS_GOSTR")):
        return KeyType.OTHER
    if "_ECDSA" in key_exchange:
        return KeyType.ECDSA
    return KeyType.DSA if "_DSS" in key_exchange else KeyType.RSA
