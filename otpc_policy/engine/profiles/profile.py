"""What a client's hello consists of, as values; its bytes are made elsewhere (hello.py)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from otpc_policy.core.facts import TlsVersion

# RFC 5746 and RFC 7507: signalling values in the list of suites; nobody can choose them.
_SIGNALS = frozenset({0x00FF, 0x5600})
SERVER_NAME = 0


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
    groups, schemes, certificate_schemes, share_groups: contents of supported_groups,
    signature_algorithms, signature_algorithms_cert and key_share, in order.
    record_version: of the record layer.
    has_session_id: 32 random bytes, as TLS 1.3 clients send for middleboxes (RFC 8446 D.4).
    padded_to: bytes of the whole hello, reached by the padding extension.
    is_ssl2_format: RFC 5246 E.2; it has no extensions.
    """

    name: str
    highest: TlsVersion
    lowest: TlsVersion
    listed_suites: tuple[int, ...]
    extensions: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()
    schemes: tuple[int, ...] = ()
    certificate_schemes: tuple[int, ...] = ()
    share_groups: tuple[int, ...] = ()
    record_version: int = 0x0301
    has_session_id: bool = False
    padded_to: int = 0
    is_ssl2_format: bool = False

    @property
    def cipher_suites(self) -> tuple[int, ...]:
        """Suites that a server may choose, in order."""
        return tuple(
            suite for suite in self.listed_suites if suite not in _SIGNALS and not _is_grease(suite)
        )

    @property
    def sends_name(self) -> bool:
        """The hello has room for a server name."""
        return SERVER_NAME in self.extensions

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


def _is_grease(value: int) -> bool:
    return value & 0x0F0F == 0x0A0A and value >> 8 == value & 0xFF
