"""ClientHellos as clients of today and of the past send them (clients.toml).

The survey's hellos (`client_hello`) are wide, so that one refusal covers hundreds of suites. A
server, or whatever stands in front of it, may treat such a hello differently from an ordinary one.
So what a server shows is also requested in ordinary shapes. For each kind of fault the profiles
form a cover: every property that software is known to route by (length, ALPN, server name, session
ticket, order of extensions and suites, number of suites, GREASE, extended_master_secret,
encrypt_then_mac, groups, record version) is present in one hello and absent from another
(`tests/engine/profiles/test_clients.py` holds this).
"""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

from otpc_policy.core.facts import TlsVersion
from otpc_policy.engine.profiles.hello import EXTENSION_KINDS, GREASE_GROUP, GREASE_SUITE
from otpc_policy.engine.profiles.profile import ClientProfile, SignatureKind

_FILE: Final = "clients.toml"
_VERSIONS: Final = {version.label: version for version in TlsVersion}
_GROUPS: Final = {
    "x25519": 29,
    "x448": 30,
    "secp256r1": 23,
    "secp384r1": 24,
    "secp521r1": 25,
    "grease": GREASE_GROUP,
}


def _profiles() -> Mapping[str, ClientProfile]:
    """Return the profiles of the file by their names there."""
    text = files(__package__).joinpath(_FILE).read_text(encoding="utf-8")
    return {name: _profile(**table) for name, table in tomllib.loads(text).items()}


def _profile(
    *,
    name: str,
    highest: str,
    lowest: str,
    suites: str,
    extensions: str = "",
    groups: str = "",
    schemes: str = "",
    certificate_schemes: str = "",
    share_groups: str = "",
    **others: Any,
) -> ClientProfile:
    """Return the profile of a table; its lists are words."""
    return ClientProfile(
        name=name,
        highest=_VERSIONS[highest],
        lowest=_VERSIONS[lowest],
        listed_suites=_code_points(suites),
        extensions=tuple(EXTENSION_KINDS[word] for word in extensions.split()),
        groups=_group_numbers(groups),
        schemes=_code_points(schemes),
        certificate_schemes=_code_points(certificate_schemes),
        share_groups=_group_numbers(share_groups),
        **others,
    )


def _code_points(words: str) -> tuple[int, ...]:
    return tuple(GREASE_SUITE if word == "grease" else int(word, 16) for word in words.split())


def _group_numbers(words: str) -> tuple[int, ...]:
    return tuple(_GROUPS[word] if word in _GROUPS else int(word) for word in words.split())


_PROFILES: Final = _profiles()
OPENSSL_3 = _PROFILES["OPENSSL_3"]
BROWSER = _PROFILES["BROWSER"]
SMALL = _PROFILES["SMALL"]
JAVA_17_WITH_RSA = _PROFILES["JAVA_17"].signing_with(
    (SignatureKind.RSA_PSS_RSAE, SignatureKind.RSA_PKCS1)
)
OPENSSL_102_WITH_RSA = _PROFILES["OPENSSL_102_WITH_RSA"]
OPENSSL_3_AT_TLS_1_2 = _PROFILES["OPENSSL_3_AT_TLS_1_2"]
# Asked for RSASSA-PSS, Ed25519 and Ed448 alone; at TLS 1.2 by a hello that offers nothing else.
RARE_KINDS = (SignatureKind.RSA_PSS_PSS, SignatureKind.ED25519, SignatureKind.ED448)
SSL2_FORMAT = _PROFILES["SSL2_FORMAT"]
BARE_TLS_1_1 = _PROFILES["BARE_TLS_1_1"]
OPENSSL_102_AT_TLS_1_1 = _PROFILES["OPENSSL_102_AT_TLS_1_1"]
GNUTLS_AT_TLS_1_1 = _PROFILES["GNUTLS_AT_TLS_1_1"]
OLD_CLIENTS = (SSL2_FORMAT, BARE_TLS_1_1, OPENSSL_102_AT_TLS_1_1, GNUTLS_AT_TLS_1_1)
INSECURE_SUITES = _PROFILES["INSECURE_SUITES"]
NULL_SUITES = _PROFILES["NULL_SUITES"]
