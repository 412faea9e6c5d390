"""Random configurations of s_server, nginx and gnutls-serv, the same in every run.

They vary suites, versions, keys, groups and parameters.
"""

import random
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache

from tests.differential import gnutls_truth, openssl_truth
from tests.differential.case import Case
from tests.differential.gnutls_truth import GnuTlsConfiguration
from tests.differential.openssl_truth import OpenSslConfiguration
from tests.support.certificates import CertificateAuthority, Issued, self_signed
from tests.support.loopback import own_listener
from tests.support.requirements import require
from tests.support.servers import TlsOffer, gnutls_serv, nginx, s_server
from tests.support.servers.diffie_hellman import ffdhe2048

SEED = 20241203
COUNTS = {"s_server": 18, "nginx": 14, "gnutls-serv": 14}
_VERSIONS = ("1.0", "1.1", "1.2", "1.3")
_KEYS = (("rsa2048", "rsa3072"), ("ec256", "ec384", "ec521"))
_GROUPS = (
    "X25519",
    "P-256",
    "P-384",
    "P-521",
    "X448",
    "brainpoolP256r1",
    "brainpoolP512r1",
    "secp224r1",
    "ffdhe2048",
    "ffdhe3072",
)
_GNUTLS_KEY_EXCHANGES = ("ECDHE-ECDSA", "ECDHE-RSA", "RSA", "DHE-RSA", "ANON-DH", "ANON-ECDH")
_GNUTLS_CIPHERS = (
    *(
        "AES-128-GCM",
        "AES-256-GCM",
        "CHACHA20-POLY1305",
        "AES-128-CCM",
        "AES-256-CCM",
        "AES-128-CCM-8",
        "AES-256-CCM-8",
        "AES-128-CBC",
        "AES-256-CBC",
    ),
    *(
        "CAMELLIA-128-CBC",
        "CAMELLIA-256-CBC",
        "CAMELLIA-128-GCM",
        "CAMELLIA-256-GCM",
        "3DES-CBC",
        "ARCFOUR-128",
        "NULL",
    ),
)
_GNUTLS_MACS = ("AEAD", "SHA1", "SHA256", "SHA384", "MD5")
_GNUTLS_GROUPS = ("SECP256R1", "SECP384R1", "SECP521R1", "X25519", "X448", "FFDHE2048", "FFDHE3072")


def generated(authority: CertificateAuthority, seed: int = SEED) -> Iterator[Case]:
    """Yield all configurations of a seed. A configuration that allows nothing is drawn again."""
    makers = {"s_server": _s_server, "nginx": _nginx, "gnutls-serv": _gnutls_serv}
    for kind, make in makers.items():
        for number in range(COUNTS[kind]):
            name = f"{kind}-{number:02}"
            chance = random.Random(f"{seed} {name}")
            case = make(name, chance, authority)
            while not case.allowed:
                case = make(name, chance, authority)
            yield case


def _s_server(name: str, chance: random.Random, authority: CertificateAuthority) -> Case:
    versions = tuple(sorted(chance.sample(_VERSIONS, chance.randint(1, 4))))
    keys, groups = _drawn_keys(chance), _drawn_groups(chance)
    configuration = OpenSslConfiguration(
        # s_server takes a minimum and a maximum version.
        versions=_VERSIONS[_VERSIONS.index(versions[0]) : _VERSIONS.index(versions[-1]) + 1],
        ciphers=f"{_drawn_ciphers(chance)}:@SECLEVEL=0",
        keys=keys,
        groups=groups,
        psk=chance.random() < 0.3,
    )
    arguments = [
        *(["-groups", ":".join(groups)] if groups else []),
        *(["-psk", "0123456789abcdef"] if configuration.psk else []),
    ]
    offer = TlsOffer(
        certificates=_issued(authority, keys),
        versions=tuple(configuration.versions),
        ciphers=configuration.ciphers,
    )
    return Case(
        name=name,
        stack=openssl_version(),
        serve=lambda: s_server(own_listener(), offer, *arguments),
        allowed=openssl_truth.allowed_by(configuration),
        reasons=openssl_truth.reasons_of(configuration),
        with_testssl=name == "s_server-00",
    )


def _nginx(name: str, chance: random.Random, authority: CertificateAuthority) -> Case:
    # nginx can serve versions with a gap between them, but no DSA key (its documentation names
    # RSA and ECDSA).
    versions = tuple(sorted(chance.sample(_VERSIONS, chance.randint(1, 4))))
    keys = [key for key in _drawn_keys(chance) if not key.startswith("dsa")] or ["rsa2048"]
    groups, parameters = _drawn_groups(chance), chance.random() < 0.6
    ciphers = f"{_drawn_ciphers(chance)}:@SECLEVEL={chance.choice((0, 0, 0, 1, 2))}"
    configuration = OpenSslConfiguration(
        ciphers=ciphers, versions=versions, keys=keys, groups=groups, finite_field=parameters
    )
    directives = [
        *([f"ssl_ecdh_curve {':'.join(groups)};"] if groups else []),
        *([f"ssl_dhparam {ffdhe2048()};"] if parameters else []),
    ]
    offer = TlsOffer(certificates=_issued(authority, keys), versions=versions, ciphers=ciphers)
    return Case(
        name=name,
        stack=f"nginx, {openssl_version()}",
        serve=lambda: nginx(own_listener(), offer, directives=directives),
        allowed=openssl_truth.allowed_by(configuration),
        reasons=openssl_truth.reasons_of(configuration),
    )


def _gnutls_serv(name: str, chance: random.Random, authority: CertificateAuthority) -> Case:
    keys = [key for key in _drawn_keys(chance) if not key.startswith("dsa")] or ["rsa2048"]
    encipherment = chance.random() < 0.5
    parts = ["NONE"] + [
        f"+VERS-TLS{version}"
        for version in sorted(chance.sample(_VERSIONS, chance.randint(1, 4)), reverse=True)
    ]
    for choices, fewest, most in (
        (_GNUTLS_KEY_EXCHANGES, 1, 6),
        (_GNUTLS_CIPHERS, 3, 16),
        (_GNUTLS_MACS, 3, 5),
    ):
        parts += [f"+{choice}" for choice in chance.sample(choices, chance.randint(fewest, most))]
    groups = (
        chance.sample(_GNUTLS_GROUPS, chance.randint(1, 4)) if chance.random() < 0.5 else ["ALL"]
    )
    parts += ["+SIGN-ALL", *(f"+GROUP-{group}" for group in groups), "+COMP-NULL", "+CTYPE-X509"]
    configuration = GnuTlsConfiguration(
        priority=":".join(parts), keys=keys, encipherment=encipherment
    )
    offer = TlsOffer(certificates=tuple(_leaf(authority, key, encipherment) for key in keys))
    return Case(
        name=name,
        stack=gnutls_version(),
        serve=lambda: gnutls_serv(own_listener(), offer, priority=configuration.priority),
        allowed=gnutls_truth.allowed_by(configuration),
        reasons=gnutls_truth.reasons_of(configuration),
        with_testssl=name == "gnutls-serv-00",
    )


def _drawn_keys(chance: random.Random) -> list[str]:
    kinds = chance.choice(
        (
            ("rsa",),
            ("rsa",),
            ("ec",),
            ("rsa", "ec"),
            ("rsa", "ec"),
            ("ed25519",),
            ("rsa", "dsa"),
            ("dsa",),
        )
    )
    named = {"rsa": _KEYS[0], "ec": _KEYS[1], "ed25519": ("ed25519",), "dsa": ("dsa2048",)}
    return [chance.choice(named[kind]) for kind in kinds]


def _drawn_groups(chance: random.Random) -> list[str] | None:
    return chance.sample(_GROUPS, chance.randint(1, 4)) if chance.random() < 0.5 else None


def _drawn_ciphers(chance: random.Random) -> str:
    suites = _openssl_suites()
    return ":".join(chance.sample(suites, chance.choice((2, 4, 8, 16, 32, 64, len(suites)))))


def _issued(authority: CertificateAuthority, keys: Sequence[str]) -> tuple[Issued, ...]:
    return tuple(_leaf(authority, key, False) for key in keys)


def _leaf(authority: CertificateAuthority, key: str, encipherment: bool) -> Issued:
    # A self-signed certificate has no key usage, so its key may do everything.
    return self_signed(key=key, ca=True) if encipherment else authority.issue(key=key)


@cache
def _openssl_suites() -> tuple[str, ...]:
    command = [
        require("openssl"),
        "ciphers",
        "-psk",
        "-s",
        "-tls1_2",
        "ALL:COMPLEMENTOFALL:@SECLEVEL=0",
    ]
    return tuple(
        sorted(
            subprocess.run(command, capture_output=True, text=True, check=True)
            .stdout.strip()
            .split(":")
        )
    )


@cache
def openssl_version() -> str:
    """Return the name and version of the OpenSSL that Debian's servers use."""
    return " ".join(
        subprocess.run(
            [require("openssl"), "version"], capture_output=True, text=True, check=True
        ).stdout.split()[:2]
    )


@cache
def gnutls_version() -> str:
    """Return the name and version of GnuTLS."""
    shown = subprocess.run(
        [require("gnutls-serv"), "--version"], capture_output=True, text=True, check=True
    ).stdout
    return f"GnuTLS {shown.split()[1]}"
