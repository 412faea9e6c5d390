"""Client profiles: the hello of one kind of client, as data; hello_bytes encodes it.

The survey's wide hellos (`client_hello`) ask about hundreds of suites at once. A server, or what
stands in front of it, may treat such a hello differently from an ordinary one. So what a server
shows is also requested in ordinary shapes: recorded ones (recorded_clients), and ones that are
made up for each measurement (made_up_clients).
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache, lru_cache

from otpc_policy.core.facts import TlsVersion
from otpc_policy.core.registries.suites import all_suites
from otpc_policy.engine.profiles.extension_kinds import (
    COMPRESS_CERTIFICATE,
    KEY_SHARE,
    POST_HANDSHAKE_AUTH,
    PRE_SHARED_KEY,
    PSK_MODES,
    SERVER_NAME,
    VERSIONS,
)

RANDOM_BYTES = 32
# RFC 5746 and RFC 7507: signalling values in the list of suites; nobody can choose them.
_SIGNALS = frozenset({0x00FF, 0x5600})
_ONLY_IN_TLS13 = frozenset({VERSIONS, KEY_SHARE, PSK_MODES, PRE_SHARED_KEY, POST_HANDSHAKE_AUTH})
# RFC 8701: values that a server must ignore, one each for suites, extensions, groups and versions.
# They stand for those that are drawn for each connection.
GREASE_SUITE, GREASE_GROUP, GREASE_VERSION, GREASE_FIRST, GREASE_LAST = (
    0x3A3A,
    0x8A8A,
    0x6A6A,
    0x2A2A,
    0xDADA,
)
GREASE_PLACEHOLDERS = (GREASE_SUITE, GREASE_GROUP, GREASE_VERSION, GREASE_FIRST, GREASE_LAST)


class SignatureKind(Enum):
    """Kinds of signature that a server may prove its key with (RFC 8446 4.2.3).

    Each may stand for another certificate.
    """

    RSA_PKCS1 = "RSA PKCS #1"
    RSA_PSS_RSAE = "RSA-PSS with an rsaEncryption key"
    RSA_PSS_PSS = "RSASSA-PSS"
    ECDSA = "ECDSA"
    ED25519 = "Ed25519"
    ED448 = "Ed448"


SCHEMES_OF_KIND: Mapping[SignatureKind, tuple[int, ...]] = {
    SignatureKind.RSA_PKCS1: (0x0401, 0x0501, 0x0601, 0x0301, 0x0201),
    SignatureKind.RSA_PSS_RSAE: (0x0804, 0x0805, 0x0806),
    SignatureKind.RSA_PSS_PSS: (0x0809, 0x080A, 0x080B),
    SignatureKind.ECDSA: (0x0403, 0x0503, 0x0603, 0x0303, 0x0203),
    SignatureKind.ED25519: (0x0807,),
    SignatureKind.ED448: (0x0808,),
}
_KIND_OF_SCHEME = {scheme: kind for kind, schemes in SCHEMES_OF_KIND.items() for scheme in schemes}


def kind_of_scheme(scheme: int) -> SignatureKind | None:
    """Return the kind of a signature scheme; None for others, such as DSA, GOST and Brainpool."""
    return _KIND_OF_SCHEME.get(scheme)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientProfile:
    """The hello of one kind of client.

    name: for people. highest, lowest: versions offered; below TLS 1.3 lowest follows from the
    protocol's own rule (RFC 5246 E.1). listed_suites: as on the wire, signalling and GREASE values
    included. extensions: kinds in their order.
    groups, schemes, share_groups: contents of the extensions of that name, in order.
    repeats_curve_keys: a hybrid key share holds the same X25519 key as the share of X25519.
    record_version: of the record layer.
    has_session_id: 32 random bytes, as TLS 1.3 clients send for middleboxes (RFC 8446 D.4).
    padded_to: bytes of the whole hello, reached by the padding extension. padded_from: shorter
    hellos are not padded (RFC 7685: clients pad only what some servers fail on).
    compression: methods, in order; null alone unless the client compresses.
    contents: of extensions that differ from what most clients send, by kind. drawn_contents: kinds
    of those whose content the client makes up for each connection, like the one that stands here.
    shuffles_extensions: for each connection; see hello_draw.
    is_ssl2_format: RFC 5246 E.2; it has no extensions.
    """

    name: str
    highest: TlsVersion
    lowest: TlsVersion
    listed_suites: tuple[int, ...]
    extensions: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()
    schemes: tuple[int, ...] = ()
    share_groups: tuple[int, ...] = ()
    repeats_curve_keys: bool = False
    record_version: int = 0x0301
    has_session_id: bool = False
    padded_to: int = 0
    padded_from: int = 0
    compression: tuple[int, ...] = (0,)
    contents: tuple[tuple[int, bytes], ...] = ()
    drawn_contents: tuple[int, ...] = ()
    shuffles_extensions: bool = False
    is_ssl2_format: bool = False

    @property
    def cipher_suites(self) -> tuple[int, ...]:
        """Suites that a server may choose, in order."""
        return _choosable(self.listed_suites)

    @property
    def sends_name(self) -> bool:
        """The hello has room for a server name."""
        return SERVER_NAME in self.extensions

    @property
    def certificate_compressions(self) -> tuple[int, ...]:
        """Algorithms by which a server may compress its certificates (RFC 8879), in order."""
        listed = dict(self.contents).get(COMPRESS_CERTIFICATE, b"\0")[1:]
        return struct.unpack(f">{len(listed) // 2}H", listed)

    def at_tls12(self) -> "ClientProfile":
        """Return the profile of the client with TLS 1.2 alone, and no suite that signs nothing.

        A server that prefers static RSA would choose it whatever kinds of signature are verified.
        """
        return replace(
            self,
            name=f"{self.name}, at TLS 1.2",
            highest=TlsVersion.TLS_1_2,
            lowest=TlsVersion.SSL_3_0,
            listed_suites=tuple(
                suite for suite in self.listed_suites if suite not in _not_signed_for()
            ),
            extensions=tuple(kind for kind in self.extensions if kind not in _ONLY_IN_TLS13),
            share_groups=(),
        )

    def signing_with(self, kinds: Sequence[SignatureKind]) -> "ClientProfile":
        """Return the profile of a client that verifies signatures of these kinds alone."""
        schemes = tuple(scheme for scheme in self.schemes if kind_of_scheme(scheme) in kinds)
        missing = (kind for kind in kinds if not set(SCHEMES_OF_KIND[kind]) & set(schemes))
        schemes += tuple(scheme for kind in missing for scheme in SCHEMES_OF_KIND[kind])
        return replace(
            self,
            name=f"{self.name}, {' and '.join(kind.value for kind in kinds)} alone",
            schemes=schemes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileHello:
    """One hello to send. server_name: an A-label name; None sends none."""

    profile: ClientProfile
    server_name: str | None

    @property
    def version(self) -> TlsVersion:
        """The highest version offered."""
        return self.profile.highest

    @property
    def cipher_suites(self) -> tuple[int, ...]:
        """Suites that a server may choose, in order."""
        return self.profile.cipher_suites

    @property
    def extensions(self) -> tuple[int, ...]:
        """Kinds of extension, GREASE included."""
        return self.profile.extensions


@lru_cache(maxsize=256)
def _choosable(listed_suites: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(
        suite for suite in listed_suites if suite not in _SIGNALS and not _is_grease(suite)
    )


def _is_grease(value: int) -> bool:
    return value & 0x0F0F == 0x0A0A and value >> 8 == value & 0xFF


@cache
def _not_signed_for() -> frozenset[int]:
    """Return the suites of TLS 1.3, and those whose key exchange the server does not sign."""
    return frozenset(
        suite.code_point
        for suite in all_suites()
        if suite.is_tls13 or not suite.is_forward_secret or suite.authentication is None
    )


# The schemes that OpenSSL 3.0 verifies by default, in its order.
OPENSSL_3_SCHEMES = (
    *(
        0x0403,
        0x0503,
        0x0603,
        0x0807,
        0x0808,
        0x0809,
        0x080A,
        0x080B,
        0x0804,
        0x0805,
        0x0806,
        0x0401,
        0x0501,
        0x0601,
    ),
    *(0x0303, 0x0301, 0x0302, 0x0402, 0x0502, 0x0602),
)

# Asked for RSASSA-PSS, Ed25519 and Ed448 alone; at TLS 1.2 by a hello that offers nothing else.
RARE_KINDS = (SignatureKind.RSA_PSS_PSS, SignatureKind.ED25519, SignatureKind.ED448)

# Hellos of old versions. What they are accepted for is proven; a refusal proves nothing.
SSL2_FORMAT = ClientProfile(
    name="Java 6, a hello of TLS 1.0 in the form of SSL 2",
    highest=TlsVersion.TLS_1_0,
    lowest=TlsVersion.SSL_3_0,
    listed_suites=(
        0x0004,
        0x0005,
        0x002F,
        0x0035,
        0x0033,
        0x0039,
        0x0032,
        0x0038,
        0x000A,
        0x0016,
        0x0013,
        0x0009,
        0x0003,
        0x00FF,
    ),
    is_ssl2_format=True,
)
