"""Whether certificates may stand where they stand on a path: leaf, authority, anchor.

What RFC 5280 section 6.1 asks of each certificate by itself, and of all together but for names,
signatures and dates, which are looked at elsewhere. Where the rules for public authorities (CA/B
Forum Baseline Requirements, BR) ask for more than RFC 5280, they hold below Mozilla's roots alone.

Each function returns why not, for people, or "".

Stricter than OpenSSL and Go, everywhere:

* an extension that this package acts on must be readable, and an extension must not stand there
  twice, be it critical or not (RFC 5280 4.2);
* a leaf is no authority, has no name constraints, has a DNS name or an address, and may sign
  handshakes (BR 7.1.2.7; RFC 8446 4.4.2.2);
* anyExtendedKeyUsage does not make a leaf one for servers (BR 7.1.2.7.10);
* RSA keys of authorities have 2048 bits, curves 256; signatures use SHA-256 or better;
* constraints of an anchor hold, and so do its dates (RFC 5937).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.x509.oid import ExtendedKeyUsageOID

from otpc_policy.core.facts import KeyType
from otpc_policy.core.shown_text import shortened
from otpc_policy.pki.decoded_certificate import VERSION_WITH_EXTENSIONS, DecodedCertificate
from otpc_policy.pki.extensions import (
    AUTHORITY_KEY_IDENTIFIER,
    BASIC_CONSTRAINTS,
    EXTENDED_KEY_USAGE,
    KEY_USAGE,
    NAME_CONSTRAINTS,
    NAMES_OF_EXTENSIONS,
    POLICIES,
    SUBJECT_ALT_NAME,
    TLS_FEATURE,
)
from otpc_policy.pki.signature_algorithm import RSA_ENCRYPTION

SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH.dotted_string
_ANY_PURPOSE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE.dotted_string
# BR 6.1.5.
_MIN_RSA_BITS = 2048
_MIN_EC_BITS = 256
_PUBLIC_CURVES = frozenset({"EC secp256r1", "EC secp384r1", "EC secp521r1"})
_MAX_SHOWN_OID = 60
_SIGNING_KEYS = frozenset({KeyType.RSA, KeyType.ECDSA, KeyType.EDDSA})
# BR 7.1.3.2; "" is EdDSA.
_PUBLIC_HASHES = frozenset({"sha256", "sha384", "sha512"})
_HASHES = _PUBLIC_HASHES | {"", "sha3-256", "sha3-384", "sha3-512"}


@dataclass(frozen=True, slots=True)
class Profile:
    """What is asked of a path beyond RFC 5280: is_public if the rules for Mozilla's roots hold."""

    is_public: bool


def flaw_of_leaf(
    leaf: DecodedCertificate, profile: Profile, *, by_common_name: bool = False
) -> str:
    """Say why the certificate cannot be the leaf of a path. Names are judged elsewhere.

    by_common_name: its common name stands for the subjectAltName that it does not have.
    """
    extensions = leaf.extensions
    if flaw := _flaw_of_any(leaf, profile):
        return flaw
    if leaf.is_ca:
        return "the leaf is a CA certificate; a server certificate (CA:FALSE) required"
    if not (by_common_name or leaf.dns_names or leaf.ip_addresses):
        return "the leaf has no DNS name and no address; a subjectAltName with one required"
    if NAME_CONSTRAINTS in extensions.present:
        return (
            "the leaf has name constraints, which are for authorities (RFC 5280 4.2.1.10);"
            " a leaf without them required"
        )
    if not leaf.may_sign_handshakes:
        return (
            "the leaf's key usage does not include digitalSignature, without which its key cannot"
            " sign a handshake; it is required (RFC 8446 4.4.2.2)"
        )
    if extensions.key_usage is not None and leaf.may_sign_certificates:
        return (
            "the leaf's key usage includes keyCertSign, which is for authorities;"
            " a leaf without it required"
        )
    if leaf.purposes is not None and SERVER_AUTH not in leaf.purposes:
        return "the leaf's extended key usage does not include serverAuth, which is required"
    return _public_flaw_of_leaf(leaf) if profile.is_public else ""


def flaw_of_authority(authority: DecodedCertificate, profile: Profile) -> str:
    """Say why the certificate cannot stand between leaf and anchor."""
    if flaw := _flaw_of_any(authority, profile) or _flaw_of_issuer(authority):
        return flaw
    if profile.is_public:
        if not has_public_kind_of_key(authority):
            return _PUBLIC_KEYS.format("its key", authority.view.key_name)
        if BASIC_CONSTRAINTS not in authority.extensions.critical:
            return "its basicConstraints is not critical, as is required (RFC 5280 4.2.1.9)"
        if KEY_USAGE not in authority.extensions.present:
            return "it has no keyUsage, which is required (RFC 5280 4.2.1.3)"
    return ""


def flaw_of_anchor(anchor: DecodedCertificate, profile: Profile) -> str:
    """Say why nothing may be issued in this anchor's name.

    An anchor is a name and a key (RFC 5280 6.1.1 (d)). How its certificate is written is no matter,
    nor who signed it. What it says against itself is heard.
    """
    if flaw := flaw_of_form(anchor) or _flaw_of_issuer(anchor):
        return flaw
    if profile.is_public and not has_public_kind_of_key(anchor):
        return _PUBLIC_KEYS.format("its key", anchor.view.key_name)
    return ""


def flaw_of_lengths(path: Sequence[DecodedCertificate]) -> str:
    """Say which certificate has more below it than it allows.

    path: leaf first, the anchor last. Self-issued certificates do not count (RFC 5280 6.1.4 (l)).
    """
    between = 0
    for authority in path[1:]:
        if authority.path_length is not None and between > authority.path_length:
            return (
                f"{authority.title} allows {authority.path_length} authorities below it"
                f" (pathLen), and {between} stand there, self-issued ones not counted"
                " (RFC 5280 6.1.4); no more than it allows required"
            )
        between += not authority.view.is_self_issued
    return ""


def has_public_kind_of_key(certificate: DecodedCertificate) -> bool:
    """The key is of a kind that public authorities may have and certify.

    Its length is judged elsewhere. Source: BR 6.1.1.3, 6.1.5, 7.1.3.1.1 (RSA: not for PSS alone).
    """
    if certificate.view.key_type is KeyType.RSA:
        return certificate.key_algorithm == RSA_ENCRYPTION
    return certificate.view.key_name in _PUBLIC_CURVES


_PUBLIC_KEYS = (
    "{}, {}, is of a kind that no public root may certify; RSA, or EC on P-256, P-384 or P-521,"
    " required (Baseline Requirements 6.1.5, 7.1.3.1)"
)


def _flaw_of_any(certificate: DecodedCertificate, profile: Profile) -> str:
    """What is asked of everything that an issuer signed."""
    extensions = certificate.extensions
    if flaw := flaw_of_form(certificate):
        return flaw
    if certificate.issuer.is_empty:
        return "its issuer has no name (RFC 5280 4.1.2.4); a named issuer required"
    if certificate.view.signature_hash not in (_PUBLIC_HASHES if profile.is_public else _HASHES):
        required = "RSA or ECDSA" if profile.is_public else "RSA, ECDSA or EdDSA"
        return (
            f"its signature uses {certificate.view.signature_algorithm};"
            f" {required} with SHA-256 or better required"
        )
    for kind in (AUTHORITY_KEY_IDENTIFIER, POLICIES) if profile.is_public else ():
        if kind in extensions.critical:
            name = NAMES_OF_EXTENSIONS.get(kind, "authorityKeyIdentifier")
            return f"its {name} is critical; one that is not critical required"
    return ""


def flaw_of_form(certificate: DecodedCertificate) -> str:
    """Say what in the certificate is not understood, wherever it stands.

    Policies that cannot be read are none, unless critical: a demand for one is then not met.
    A request to staple concerns the leaf alone; the names of an authority are asked about where
    they are constrained.
    """
    extensions = certificate.extensions
    if not 1 <= certificate.version <= VERSION_WITH_EXTENSIONS or (
        extensions.present and certificate.version != VERSION_WITH_EXTENSIONS
    ):
        return (
            f"its version is {certificate.version}, and extensions are for version 3;"
            " version 3 required"
        )
    if extensions.repeated:
        return (
            f"it has {_name(min(extensions.repeated))} twice; each extension at most once required"
        )
    unread = extensions.unread - {POLICIES}
    if certificate.is_ca:
        unread -= {TLS_FEATURE, SUBJECT_ALT_NAME}
    unread |= extensions.unread & extensions.critical
    if unread:
        return f"its {_name(min(unread))} cannot be read; one encoded as RFC 5280 4.2 says required"
    if extensions.not_understood:
        return (
            f"its critical extension {_name(min(extensions.not_understood))} is not understood;"
            " a certificate without it, or with it not critical, required"
        )
    return ""


def _name(oid: str) -> str:
    return NAMES_OF_EXTENSIONS.get(oid) or shortened(oid, _MAX_SHOWN_OID)


def _flaw_of_issuer(authority: DecodedCertificate) -> str:
    """What is asked of everything that issues."""
    if not authority.is_ca:
        return "it is not a CA certificate; basicConstraints with CA:TRUE required of an issuer"
    if not authority.may_sign_certificates:
        return "its key usage does not include keyCertSign, which is required of an issuer"
    if authority.purposes is not None and not {SERVER_AUTH, _ANY_PURPOSE} & authority.purposes:
        return (
            "its extended key usage does not include serverAuth;"
            " that, or no such extension, required"
        )
    if authority.subject.is_empty:
        return "it has no name (RFC 5280 4.1.2.6); a subject required of an issuer"
    return flaw_of_signing_key(authority)


def flaw_of_signing_key(certificate: DecodedCertificate) -> str:
    """Say why nothing that this key signs is accepted, as of an authority or a responder, or ""."""
    view = certificate.view
    minimum = _MIN_RSA_BITS if view.key_type is KeyType.RSA else _MIN_EC_BITS
    if view.key_flaw:
        return view.key_flaw
    if view.key_type not in _SIGNING_KEYS or 0 < view.key_bits < minimum:
        return (
            f"its key is {view.key_name}; RSA of at least {_MIN_RSA_BITS} bits, EC of at least"
            f" {_MIN_EC_BITS} bits, or EdDSA required"
        )
    return ""


def _public_flaw_of_leaf(leaf: DecodedCertificate) -> str:
    extensions = leaf.extensions
    if not has_public_kind_of_key(leaf):
        return _PUBLIC_KEYS.format("the leaf's key", leaf.view.key_name)
    if AUTHORITY_KEY_IDENTIFIER not in extensions.present:
        return "the leaf has no authorityKeyIdentifier, which is required (RFC 5280 4.2.1.1)"
    if EXTENDED_KEY_USAGE in extensions.critical:
        return (
            "the leaf's extended key usage is critical; one that is not critical required"
            " (Baseline Requirements 7.1.2.7.6)"
        )
    if (SUBJECT_ALT_NAME in extensions.critical) is not leaf.subject.is_empty:
        return (
            "the leaf's subjectAltName is to be critical exactly if there is no subject (RFC 5280"
            " 4.2.1.6, Baseline Requirements 7.1.2.7.12)"
        )
    return ""
