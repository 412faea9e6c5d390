"""ClientHellos as clients of today and of the past send them, as data; hello_bytes encodes them.

The survey's hellos (`client_hello`) are wide, so that one refusal covers hundreds of suites. A
server, or whatever stands in front of it, may treat such a hello differently from an ordinary one.
So what a server shows is also requested in ordinary shapes. For each kind of fault the profiles
form a cover: every property that software is known to route by (length, ALPN, server name, session
ticket, order of extensions and suites, number of suites, GREASE, extended_master_secret,
encrypt_then_mac, groups, record version) is present in one hello and absent from another
(`tests/engine/profiles/test_clients.py` holds this).

Sources: the default hellos of OpenSSL 3.0 and 1.0.2, JSSE 17 and GnuTLS 3 as they appear on the
wire; BoringSSL's shape from RFC 8701 and RFC 7685.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache

from otpc_policy.core.facts import TlsVersion
from otpc_policy.engine.profiles.extension_kinds import (
    ALPN,
    COMPRESS_CERTIFICATE,
    ENCRYPT_THEN_MAC,
    EXTENDED_MASTER_SECRET,
    GROUPS,
    HEARTBEAT,
    KEY_SHARE,
    POINT_FORMATS,
    PSK_MODES,
    RENEGOTIATION,
    SCHEMES,
    SCHEMES_CERT,
    SERVER_NAME,
    STATUS_REQUEST,
    TICKET,
    TIMESTAMPS,
    VERSIONS,
)

RANDOM_BYTES = 32
# RFC 5746 and RFC 7507: signalling values in the list of suites; nobody can choose them.
_SIGNALS = frozenset({0x00FF, 0x5600})
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


@lru_cache(maxsize=256)
def _choosable(listed_suites: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(
        suite for suite in listed_suites if suite not in _SIGNALS and not _is_grease(suite)
    )


def _is_grease(value: int) -> bool:
    return value & 0x0F0F == 0x0A0A and value >> 8 == value & 0xFF


_X25519, _P256, _P384, _P521, _X448 = 29, 23, 24, 25, 30
_HYBRID = 0x11EC  # X25519MLKEM768
# The default list of OpenSSL 3.0 (`openssl ciphers -v`, TLS 1.3 first), then the renegotiation
# signal.
_OPENSSL_3_SUITES = (
    *(
        0x1302,
        0x1303,
        0x1301,
        0xC02C,
        0xC030,
        0x009F,
        0xCCA9,
        0xCCA8,
        0xCCAA,
        0xC02B,
        0xC02F,
        0x009E,
        0xC024,
        0xC028,
        0x006B,
    ),
    *(
        0xC023,
        0xC027,
        0x0067,
        0xC00A,
        0xC014,
        0x0039,
        0xC009,
        0xC013,
        0x0033,
        0x009D,
        0x009C,
        0x003D,
        0x003C,
        0x0035,
        0x002F,
        0x00FF,
    ),
)
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

# It asks for a staple (curl --cert-status): single kinds of signature are requested in its shape,
# and a staple may show that a leaf is revoked.
OPENSSL_3 = ClientProfile(
    name="OpenSSL 3 with ALPN, as curl",
    highest=TlsVersion.TLS_1_3,
    lowest=TlsVersion.TLS_1_2,
    listed_suites=_OPENSSL_3_SUITES,
    extensions=(
        *(
            SERVER_NAME,
            POINT_FORMATS,
            GROUPS,
            TICKET,
            STATUS_REQUEST,
            ALPN,
            ENCRYPT_THEN_MAC,
            EXTENDED_MASTER_SECRET,
        ),
        *(SCHEMES, VERSIONS, PSK_MODES, KEY_SHARE),
    ),
    groups=(_X25519, _P256, _X448, _P521, _P384, 256, 257, 258, 259, 260),
    schemes=OPENSSL_3_SCHEMES,
    share_groups=(_X25519,),
    has_session_id=True,
)
# A browser's hello has exceeded one TCP segment since it carries a hybrid key share of 1,216 bytes.
BROWSER = ClientProfile(
    name="a browser, over one TCP segment",
    highest=TlsVersion.TLS_1_3,
    lowest=TlsVersion.TLS_1_2,
    listed_suites=(
        *(GREASE_SUITE, 0x1301, 0x1302, 0x1303, 0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8),
        *(0xC013, 0xC014, 0x009C, 0x009D, 0x002F, 0x0035),
    ),
    extensions=(
        *(
            GREASE_FIRST,
            SCHEMES,
            KEY_SHARE,
            TIMESTAMPS,
            EXTENDED_MASTER_SECRET,
            ALPN,
            POINT_FORMATS,
            VERSIONS,
        ),
        *(
            SERVER_NAME,
            GROUPS,
            STATUS_REQUEST,
            PSK_MODES,
            RENEGOTIATION,
            TICKET,
            GREASE_LAST,
        ),
    ),
    # As Envoy's: not all clients know P-384.
    groups=(GREASE_GROUP, _HYBRID, _X25519, _P256),
    schemes=(0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601),
    share_groups=(_HYBRID, _X25519),
    has_session_id=True,
    padded_to=1_900,
)
# The only profile without ALPN that prefers ECDSA, as most clients do.
SMALL = ClientProfile(
    name="a small client with few extensions",
    highest=TlsVersion.TLS_1_3,
    lowest=TlsVersion.TLS_1_2,
    listed_suites=(0xC02B, 0xCCA9, 0xC02F, 0x1303, 0x1301),
    extensions=(KEY_SHARE, VERSIONS, SCHEMES, GROUPS, SERVER_NAME),
    groups=(_P256, _P384),
    schemes=(0x0403, 0x0503, 0x0804, 0x0401),
    share_groups=(_P256,),
    record_version=0x0303,
)
JAVA_17_WITH_RSA = ClientProfile(
    name="JSSE 17",
    highest=TlsVersion.TLS_1_3,
    lowest=TlsVersion.TLS_1_2,
    listed_suites=(
        *(
            0x1302,
            0x1301,
            0x1303,
            0xC02C,
            0xC02B,
            0xCCA9,
            0xC030,
            0xCCA8,
            0xC02F,
            0x009F,
            0xCCAA,
            0x00A3,
            0x009E,
            0x00A2,
        ),
        *(
            0xC024,
            0xC028,
            0xC023,
            0xC027,
            0x006B,
            0x006A,
            0x0067,
            0x0040,
            0xC00A,
            0xC014,
            0x0039,
            0x0038,
            0xC009,
            0xC013,
        ),
        *(0x0033, 0x0032, 0x009D, 0x009C, 0x003D, 0x003C, 0x0035, 0x002F, 0x00FF),
    ),
    extensions=(
        *(
            SERVER_NAME,
            STATUS_REQUEST,
            GROUPS,
            POINT_FORMATS,
            SCHEMES,
            SCHEMES_CERT,
            EXTENDED_MASTER_SECRET,
        ),
        *(VERSIONS, PSK_MODES, KEY_SHARE),
    ),
    groups=(_X25519, _P256, _P384, _P521, _X448, 256, 257, 258, 259, 260),
    schemes=(0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601),
    share_groups=(_X25519, _P256),
    record_version=0x0303,
    has_session_id=True,
).signing_with((SignatureKind.RSA_PSS_RSAE, SignatureKind.RSA_PKCS1))
OPENSSL_102_WITH_RSA = ClientProfile(
    name="OpenSSL 1.0.2 with RSA suites",
    highest=TlsVersion.TLS_1_2,
    lowest=TlsVersion.SSL_3_0,
    listed_suites=(
        0x0035,
        0x002F,
        0xC030,
        0xC028,
        0xC014,
        0x009F,
        0x006B,
        0x0039,
        0xC02F,
        0xC027,
        0xC013,
        0x009E,
        0x0067,
        0x0033,
        0x00FF,
    ),
    compression=(1, 0),
    extensions=(SERVER_NAME, POINT_FORMATS, GROUPS, TICKET, SCHEMES, HEARTBEAT),
    groups=(_P256, _P521, 28, 27, _P384, 26, 22, 14, 13, 11, 12, 9, 10),
    schemes=(0x0601, 0x0602, 0x0501, 0x0502, 0x0401, 0x0402, 0x0301, 0x0302, 0x0201, 0x0202),
)
# Asked for RSASSA-PSS, Ed25519 and Ed448 alone; at TLS 1.2 by a hello that offers nothing else.
RARE_KINDS = (SignatureKind.RSA_PSS_PSS, SignatureKind.ED25519, SignatureKind.ED448)
# Static RSA is left out: a server that prefers it would choose it for every kind, and sign nothing.
_STATIC_RSA = (0x009D, 0x009C, 0x003D, 0x003C, 0x0035, 0x002F)
OPENSSL_3_AT_TLS_1_2 = replace(
    OPENSSL_3,
    name="OpenSSL 3 at TLS 1.2 without static RSA",
    highest=TlsVersion.TLS_1_2,
    listed_suites=tuple(suite for suite in _OPENSSL_3_SUITES[3:] if suite not in _STATIC_RSA),
    extensions=tuple(
        kind for kind in OPENSSL_3.extensions if kind not in (VERSIONS, PSK_MODES, KEY_SHARE)
    ),
    share_groups=(),
    has_session_id=False,
)

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
# The bare and the GnuTLS client offer TLS 1.1, and with it TLS 1.0: a stack may know either alone.
BARE_TLS_1_1 = ClientProfile(
    name="a client of TLS 1.1 without extensions",
    highest=TlsVersion.TLS_1_1,
    lowest=TlsVersion.SSL_3_0,
    listed_suites=(0x002F, 0x000A, 0x0005, 0x0035, 0x0033, 0x0016),
    record_version=0x0300,
)
OPENSSL_102_AT_TLS_1_1 = ClientProfile(
    name="OpenSSL 1.0.2 at TLS 1.1",
    highest=TlsVersion.TLS_1_1,
    lowest=TlsVersion.SSL_3_0,
    listed_suites=(
        *(
            0xC014,
            0xC00A,
            0x0039,
            0x0038,
            0x0088,
            0x0087,
            0xC00F,
            0xC005,
            0x0035,
            0x0084,
            0xC013,
            0xC009,
            0x0033,
            0x0032,
            0x0045,
        ),
        *(
            0x0044,
            0xC00E,
            0xC004,
            0x002F,
            0x0096,
            0x0041,
            0x0007,
            0xC011,
            0xC007,
            0xC00C,
            0xC002,
            0x0005,
            0x0004,
            0xC012,
            0xC008,
        ),
        *(0x0016, 0x0013, 0xC00D, 0xC003, 0x000A, 0x00FF),
    ),
    extensions=(SERVER_NAME, POINT_FORMATS, GROUPS, TICKET, HEARTBEAT),
    groups=(
        14,
        13,
        _P521,
        11,
        12,
        _P384,
        9,
        10,
        22,
        _P256,
        8,
        6,
        7,
        20,
        21,
        4,
        5,
        18,
        19,
        1,
        2,
        3,
        15,
        16,
        17,
    ),
)
GNUTLS_AT_TLS_1_1 = ClientProfile(
    name="GnuTLS 3 at TLS 1.1, with GREASE",
    highest=TlsVersion.TLS_1_1,
    lowest=TlsVersion.SSL_3_0,
    listed_suites=(
        GREASE_SUITE,
        0xC009,
        0xC00A,
        0xC013,
        0xC014,
        0x002F,
        0x0035,
        0x0033,
        0x0039,
        0x000A,
    ),
    extensions=(
        *(
            GREASE_FIRST,
            EXTENDED_MASTER_SECRET,
            ENCRYPT_THEN_MAC,
            STATUS_REQUEST,
            RENEGOTIATION,
            GROUPS,
            POINT_FORMATS,
        ),
        *(SERVER_NAME, ALPN),
    ),
    groups=(_P256, _P384, _P521),
)
OLD_CLIENTS = (SSL2_FORMAT, BARE_TLS_1_1, OPENSSL_102_AT_TLS_1_1, GNUTLS_AT_TLS_1_1)

# Suites without encryption or authentication, or of export strength, in ordinary shapes; the survey
# offers them in wide hellos.
_NULL_SUITES = (0xC006, 0xC010, 0x003B, 0x0002, 0x0001, 0xC015)
_ANONYMOUS_SUITES = (
    0x00A6,
    0x00A7,
    0x006C,
    0x006D,
    0x0034,
    0x003A,
    0x0018,
    0x001B,
    0xC018,
    0xC019,
    0xC017,
    0xC016,
)
_EXPORT_SUITES = (0x0003, 0x0006, 0x0008, 0x0014, 0x0011, 0x0019, 0x0017)
INSECURE_SUITES = ClientProfile(
    name="NULL, export and anonymous suites, few extensions",
    highest=TlsVersion.TLS_1_2,
    lowest=TlsVersion.SSL_3_0,
    listed_suites=(GREASE_SUITE, *_NULL_SUITES, *_EXPORT_SUITES, *_ANONYMOUS_SUITES),
    extensions=(GREASE_FIRST, SCHEMES, POINT_FORMATS, GROUPS, SERVER_NAME),
    groups=(GREASE_GROUP, _P256, _X25519),
    schemes=(0x0401, 0x0403, 0x0201, 0x0203),
    record_version=0x0303,
)
NULL_SUITES = ClientProfile(
    name="NULL suites, no extensions",
    highest=TlsVersion.TLS_1_2,
    lowest=TlsVersion.SSL_3_0,
    listed_suites=tuple(reversed(_NULL_SUITES)),
)
