"""What a configuration of OpenSSL allows.

OpenSSL itself reads the cipher string; suites that keys, groups and parameters make impossible are
removed.
"""

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from otpc_policy.core.facts import TlsVersion
from tests.differential.case import Offered
from tests.support.requirements import require
from tests.support.servers.offer import openssl_configuration

VERSIONS = {
    "1.0": TlsVersion.TLS_1_0,
    "1.1": TlsVersion.TLS_1_1,
    "1.2": TlsVersion.TLS_1_2,
    "1.3": TlsVersion.TLS_1_3,
}
_OPTIONS = {
    TlsVersion.TLS_1_0: "-tls1",
    TlsVersion.TLS_1_1: "-tls1_1",
    TlsVersion.TLS_1_2: "-tls1_2",
}
_LINE = re.compile(r"^\s*0x(\w\w),0x(\w\w) - (\S+)\s+(\S+)\s+Kx=(\S+)\s+Au=(\S+)")
_LEVEL = re.compile(r"@SECLEVEL=(\d)")
TLS_1_3_DEFAULT = frozenset({0x1301, 0x1302, 0x1303})
# RFC 8446 4.2.7 names the groups of TLS 1.3; OpenSSL 3.0 excludes these from TLS 1.3, and those of
# finite fields from older versions (ssl/t1_lib.c, nid_list).
_NOT_IN_TLS_1_3 = frozenset(
    {"brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1", "secp224r1", "secp256k1", "sect283r1"}
)
_FINITE_FIELDS = frozenset({"ffdhe2048", "ffdhe3072"})


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSslConfiguration:
    """Everything that decides what an OpenSSL server offers.

    ciphers: with @SECLEVEL, if any; the environment of our servers sets level 0. versions: such as
    "1.2". keys: kinds of private keys, by the names of the certificate factory. groups: None for
    the defaults. finite_field: DHE parameters are configured. ciphersuites: of TLS 1.3.
    picks_by_signature_algorithms: the program picks a certificate before OpenSSL picks a suite.
    """

    ciphers: str
    versions: Sequence[str]
    keys: Sequence[str]
    groups: Sequence[str] | None = None
    finite_field: bool = True
    psk: bool = False
    picks_by_signature_algorithms: bool = False
    ciphersuites: frozenset[int] = TLS_1_3_DEFAULT


@dataclass(frozen=True, slots=True)
class _Listed:
    code_point: int
    key_exchange: str
    authentication: str


def allowed_by(configuration: OpenSslConfiguration) -> Offered:
    """Return what the configuration allows, by version."""
    allowed: dict[TlsVersion, frozenset[int]] = {}
    for version in (VERSIONS[name] for name in configuration.versions):
        if version is TlsVersion.TLS_1_3:
            suites = (
                frozenset() if any(_against_tls_1_3(configuration)) else configuration.ciphersuites
            )
        else:
            listed = _listed(configuration.ciphers, version)
            suites = frozenset(
                suite.code_point
                for suite in listed
                if not any(_against(suite, version, configuration))
            )
        if suites:
            allowed[version] = suites
    return allowed


def reasons_of(configuration: OpenSslConfiguration) -> tuple[str, ...]:
    """Return why suites of the cipher string are not allowed, each reason once."""
    found: set[str] = set()
    for version in (VERSIONS[name] for name in configuration.versions):
        if version is TlsVersion.TLS_1_3:
            found.update(_against_tls_1_3(configuration))
        else:
            for suite in _listed(configuration.ciphers, version):
                found.update(_against(suite, version, configuration))
    return tuple(sorted(found))


def _against(
    suite: _Listed, version: TlsVersion, configuration: OpenSslConfiguration
) -> Iterator[str]:
    """Yield the reasons that make a listed suite impossible.

    Source: OpenSSL 3.0, ssl_set_masks() and tls_choose_sigalg().
    """
    level = _LEVEL.search(configuration.ciphers)
    if version < TlsVersion.TLS_1_2 and level and level[1] != "0":
        yield "the security level forbids versions before TLS 1.2 (ssl_security_default_callback)"
    families = {_family(key) for key in configuration.keys}
    if (
        suite.authentication == "RSA" or suite.key_exchange in ("RSA", "RSAPSK")
    ) and "rsa" not in families:
        yield "no RSA key"
    if suite.authentication == "ECDSA" and not (
        "ec" in families or ("ed" in families and version is TlsVersion.TLS_1_2)
    ):
        yield "no EC key (an Ed25519 key signs from TLS 1.2 on: RFC 8422 5.10)"
    if (
        suite.authentication == "ECDSA"
        and "rsa" in families
        and configuration.picks_by_signature_algorithms
        and version < TlsVersion.TLS_1_2
    ):
        # HAProxy 2.6, ssl_sock_switchctx_cbk(): without the extension it assumes RSA.
        yield "the certificate is picked by signature_algorithms, which hellos have from TLS 1.2 on"
    if suite.authentication == "DSS" and "dsa" not in families:
        yield "no DSA key"
    if suite.authentication == "SRP" or suite.key_exchange == "SRP":
        yield "no SRP verifiers"
    if "PSK" in suite.key_exchange and not configuration.psk:
        yield "no pre-shared key"
    if suite.key_exchange in ("DH", "DHEPSK") and not configuration.finite_field:
        yield "no parameters for finite-field DHE"
    groups = configuration.groups
    if (
        suite.key_exchange in ("ECDH", "ECDHEPSK")
        and groups is not None
        and not set(groups) - _FINITE_FIELDS
    ):
        yield "no elliptic curve among the groups"


def _against_tls_1_3(configuration: OpenSslConfiguration) -> Iterator[str]:
    if not {_family(key) for key in configuration.keys} & {"rsa", "ec", "ed"}:
        yield (
            "TLS 1.3 has no signatures for these keys (RFC 8446 4.2.3), "
            "and none without a certificate"
        )
    if configuration.groups is not None and not set(configuration.groups) - _NOT_IN_TLS_1_3:
        yield "none of the groups exists in TLS 1.3"


def _family(key: str) -> str:
    return key.rstrip("0123456789")


@cache
def _listed(ciphers: str, version: TlsVersion) -> tuple[_Listed, ...]:
    command = [require("openssl"), "ciphers", "-s", "-V", _OPTIONS[version], "-psk", ciphers]
    with TemporaryDirectory() as name:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **openssl_configuration(Path(name))},
        )
    # OpenSSL fails with this message if no suite is left.
    assert done.returncode == 0 or "no cipher" in done.stderr.lower(), done.stderr
    found = [
        match
        for match in map(_LINE.match, done.stdout.splitlines())
        if match and match[4] != "TLSv1.3"
    ]
    return tuple(_Listed(int(match[1] + match[2], 16), match[5], match[6]) for match in found)
