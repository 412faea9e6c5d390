"""What a configuration of GnuTLS allows.

GnuTLS itself reads the priority string; suites that keys and groups make impossible are removed.
"""

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from otpc_policy.core.facts import TlsVersion
from tests.differential.case import Offered
from tests.support.requirements import require

_VERSIONS = {
    "TLS1.0": TlsVersion.TLS_1_0,
    "TLS1.1": TlsVersion.TLS_1_1,
    "TLS1.2": TlsVersion.TLS_1_2,
    "TLS1.3": TlsVersion.TLS_1_3,
}
_LINE = re.compile(r"^(TLS_\S+)\s+0x(\w\w), 0x(\w\w)\s+(\S+)$")
_CURVES = re.compile(r"GROUP-(SECP|X25519|X448)")


@dataclass(frozen=True, slots=True, kw_only=True)
class GnuTlsConfiguration:
    """Everything that decides what gnutls-serv offers.

    keys: kinds of private keys, by the names of the certificate factory. encipherment: whether the
    key usage of the RSA leaf includes keyEncipherment.
    """

    priority: str
    keys: Sequence[str]
    encipherment: bool = False


def allowed_by(configuration: GnuTlsConfiguration) -> Offered:
    """Return what the configuration allows, by version."""
    listing = _listing(configuration.priority)
    allowed: dict[TlsVersion, frozenset[int]] = {}
    for version in _enabled(listing):
        suites = frozenset(
            code
            for name, code, oldest in _suites(listing)
            if _fits(version, oldest) and not any(_against(name, version, configuration, listing))
        )
        if suites:
            allowed[version] = suites
    return allowed


def reasons_of(configuration: GnuTlsConfiguration) -> tuple[str, ...]:
    """Return why suites of the priority string are not allowed, each reason once."""
    listing = _listing(configuration.priority)
    found: set[str] = set()
    for version in _enabled(listing):
        for name, _code, oldest in _suites(listing):
            if _fits(version, oldest):
                found.update(_against(name, version, configuration, listing))
    return tuple(sorted(found))


def _against(
    name: str, version: TlsVersion, configuration: GnuTlsConfiguration, listing: str
) -> Iterator[str]:
    families = {key.rstrip("0123456789") for key in configuration.keys}
    curves = bool(_CURVES.search(listing))
    if name.startswith("TLS_RSA_") and "rsa" not in families:
        yield "no RSA key"
    elif name.startswith("TLS_RSA_") and not configuration.encipherment:
        # lib/auth/cert.c: a certificate is chosen for RSA key exchange only if its key usage has
        # keyEncipherment (RFC 5280 4.2.1.3); our leaves have digitalSignature only, as the web PKI
        # expects of new certificates.
        yield "the leaf's key usage forbids RSA key exchange"
    if ("_DHE_RSA_" in name or "_ECDHE_RSA_" in name) and "rsa" not in families:
        yield "no RSA key"
    if "_ECDHE_ECDSA_" in name and not (
        "ec" in families or ("ed" in families and version is TlsVersion.TLS_1_2)
    ):
        yield "no EC key (an Ed25519 key signs from TLS 1.2 on: RFC 8422 5.10)"
    if "_DHE_DSS_" in name:
        yield "no DSA key"
    if "PSK" in name:
        yield "no pre-shared key"
    if "SRP" in name:
        yield "no SRP verifiers"
    if ("_DHE_" in name or "_DH_ANON_" in name) and "GROUP-FFDHE" not in listing:
        # Since 3.6 the groups of the priority string are the only finite-field parameters, whether
        # the client names groups or not.
        yield "no finite field among the groups"
    if ("_ECDHE_" in name or "_ECDH_ANON_" in name) and not curves:
        yield "no elliptic curve among the groups"


def _enabled(listing: str) -> list[TlsVersion]:
    line = "".join(re.findall(r"^Protocols: (.*)$", listing, re.MULTILINE))
    return [
        _VERSIONS[name.removeprefix("VERS-")]
        for name in line.split(", ")
        if name.startswith("VERS-TLS")
    ]


def _suites(listing: str) -> Iterator[tuple[str, int, TlsVersion]]:
    for match in filter(None, map(_LINE.match, listing.splitlines())):
        yield match[1], int(match[2] + match[3], 16), _VERSIONS[match[4]]


def _fits(version: TlsVersion, oldest: TlsVersion) -> bool:
    return version is oldest if TlsVersion.TLS_1_3 in (version, oldest) else version >= oldest


@cache
def _listing(priority: str) -> str:
    done = subprocess.run(
        [require("gnutls-cli"), "--list", "--priority", priority],
        capture_output=True,
        text=True,
        check=False,
    )
    # GnuTLS fails if the priority string leaves no suite; any other error is our mistake.
    assert done.returncode == 0 or "No or insufficient priorities" in done.stdout + done.stderr, (
        done.stdout + done.stderr
    )
    return done.stdout
