"""Faults that a verdict must not pass, and the TLS stacks that have them.

The stacks are real: a client completes its handshake with each of them.
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from otpc_policy.core.facts import TlsVersion
from otpc_policy.pki.trust import Trust, TrustEntry
from tests.hostile.claims import Exchange
from tests.hostile.properties import P256, POINT_FORMATS, SERVER_NAME, SUPPORTED_GROUPS, X25519
from tests.hostile.surveying import HOST
from tests.support.certificates import CertificateAuthority, Issued
from tests.support.hostile.endpoint import SIX, server_context
from tests.support.hostile.made_hello import MadeHello, numbers, server_name
from tests.support.hostile.turns import Claim
from tests.support.servers.offer import OTPC_CIPHERS
from tests.support.signing import now

_SIGNATURE_ALGORITHMS = 13
_OLD_CIPHERS = "ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:AES128-SHA:AES256-SHA"
_NULL_CIPHERS = "ECDHE-ECDSA-NULL-SHA:ECDHE-RSA-NULL-SHA:NULL-SHA256:NULL-SHA"
NULL_SUITES = frozenset({0xC006, 0xC010, 0x003B, 0x0002})
ECDSA_SIX = frozenset({0xC02B, 0xCCA9, 0xC023})
_OLD_SUITES = (0xC009, 0xC013, 0x002F, 0x0035)
_OLD_VERSIONS = (TlsVersion.TLS_1_0, TlsVersion.TLS_1_1)
# Of a plain hello for TLS 1.2 or older.
EXTENSIONS = (
    (SERVER_NAME, server_name(HOST)),
    (SUPPORTED_GROUPS, numbers(X25519, P256)),
    (POINT_FORMATS, b"\1\0"),
    # ecdsa_secp256r1_sha256, rsa_pss_rsae_sha256, rsa_pkcs1_sha256, rsa_pkcs1_sha1.
    (_SIGNATURE_ALGORITHMS, numbers(0x0403, 0x0804, 0x0401, 0x0201)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stacks:
    """OpenSSL with certificates for partner.test.

    good, other: compliant, with the same certificates; the one chooses suites in its own order,
    the other in the client's. old: TLS 1.0 and 1.1 only. null: as good, and accepts suites
    without encryption after the good ones. expired: as good, but for the dates. expired_ecdsa: the
    same for one of two leaves, the one that most clients prefer; follows the client's order, as
    nginx does by default. other_name: as good, but for another host.
    faulty_leaves: those that are expired or for another host.
    """

    authority: CertificateAuthority
    good: ssl.SSLContext
    other: ssl.SSLContext
    old: ssl.SSLContext
    null: ssl.SSLContext
    expired: ssl.SSLContext
    expired_ecdsa: ssl.SSLContext
    other_name: ssl.SSLContext
    faulty_leaves: tuple[Issued, ...]

    @property
    def trust(self) -> Trust:
        """The authority is an anchor for partner.test, and nothing else is trusted."""
        entry = TrustEntry(hosts=(HOST,), anchors=(self.authority.der,))
        return Trust(mozilla_roots=(), entries=(entry,))

    def serve_faulty_leaf(self, received: bytes) -> bool:
        """An expired leaf, or that of another host, is in what a client received, in clear."""
        return any(leaf.der in received for leaf in self.faulty_leaves)


def expired_leaf(authority: CertificateAuthority, key: str) -> Issued:
    """Return a leaf for partner.test that expired two days ago."""
    began, ended = now() - timedelta(days=90), now() - timedelta(days=2)
    return authority.issue(key=key, not_before=began, not_after=ended)


def make_stacks() -> Stacks:
    """Return them with fresh certificates."""
    authority = CertificateAuthority.create("Discriminating Root")
    good = authority.issue(key="rsa2048"), authority.issue(key="ec256")
    expired = expired_leaf(authority, "rsa2048"), expired_leaf(authority, "ec256")
    others = tuple(
        authority.issue(key=key, dns=("other-partner.test",)) for key in ("rsa2048", "ec256")
    )
    oldest, newest = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    return Stacks(
        authority=authority,
        good=server_context(*good, ciphers=OTPC_CIPHERS),
        other=server_context(*good, ciphers=OTPC_CIPHERS, client_order=True),
        old=server_context(*good, ciphers=_OLD_CIPHERS, oldest=oldest, newest=newest),
        null=server_context(*good, ciphers=f"{OTPC_CIPHERS}:{_NULL_CIPHERS}"),
        expired=server_context(*expired, ciphers=OTPC_CIPHERS),
        expired_ecdsa=server_context(good[0], expired[1], ciphers=OTPC_CIPHERS, client_order=True),
        other_name=server_context(*others, ciphers=OTPC_CIPHERS),
        faulty_leaves=(*expired, *others),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that must not pass.

    code: of the finding. hello: a plain one that asks for it. stack: serves it.
    concerns: other hellos are served by the compliant stack, whatever they look like.
    is_shown: a client got it on this connection.
    """

    name: str
    code: str
    hello: MadeHello
    stack: Callable[[Stacks], ssl.SSLContext]
    concerns: Claim
    is_shown: Callable[[Exchange], bool]


def _shows_old_version(seen: Exchange) -> bool:
    return seen.proves is not None and seen.proves[0] in _OLD_VERSIONS


def _shows_null(seen: Exchange) -> bool:
    return seen.proves is not None and seen.proves[1] in NULL_SUITES


def _shows_certificate(seen: Exchange) -> bool:
    return seen.proves is not None and seen.key_proven


TLS10 = Fault(
    name="tls10",
    code="TLS_VERSION_BELOW_MINIMUM",
    hello=MadeHello(version=0x0301, cipher_suites=_OLD_SUITES, extensions=EXTENSIONS),
    stack=lambda stacks: stacks.old,
    concerns=lambda hello: hello.highest in _OLD_VERSIONS,
    is_shown=_shows_old_version,
)
NULL = Fault(
    name="null",
    code="CIPHER_SUITE_INSECURE",
    hello=MadeHello(
        version=0x0303,
        cipher_suites=(0xC010, 0x003B, 0x0002),
        extensions=EXTENSIONS,
    ),
    stack=lambda stacks: stacks.null,
    concerns=lambda hello: True,
    is_shown=_shows_null,
)
EXPIRED = Fault(
    name="expired",
    code="CERTIFICATE_EXPIRED",
    hello=MadeHello(
        version=0x0303,
        cipher_suites=tuple(sorted(SIX)),
        extensions=EXTENSIONS,
    ),
    stack=lambda stacks: stacks.expired,
    concerns=lambda hello: True,
    is_shown=_shows_certificate,
)
EXPIRED_ECDSA = Fault(
    name="expired-ecdsa",
    code="CERTIFICATE_EXPIRED",
    hello=MadeHello(version=0x0303, cipher_suites=tuple(sorted(ECDSA_SIX)), extensions=EXTENSIONS),
    stack=lambda stacks: stacks.expired_ecdsa,
    concerns=lambda hello: True,
    is_shown=_shows_certificate,
)
OTHER_NAME = Fault(
    name="other-name",
    code="CERTIFICATE_NAME_MISMATCH",
    hello=EXPIRED.hello,
    stack=lambda stacks: stacks.other_name,
    concerns=lambda hello: True,
    is_shown=_shows_certificate,
)
# Those that show no more than a certificate.
OF_CERTIFICATES = (EXPIRED, EXPIRED_ECDSA, OTHER_NAME)
FAULTS = (TLS10, NULL, *OF_CERTIFICATES)
