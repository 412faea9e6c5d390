"""What has been read of a certificate: a skeleton, or everything. Values, without any opinion."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from otpc_policy.core.shown_text import shown
from otpc_policy.pki.decoding_cost import DecodingCost
from otpc_policy.pki.distinguished_name import COMMON_NAME, DistinguishedName
from otpc_policy.pki.extensions import KEY_USAGE, SUBJECT_ALT_NAME, Extensions, NameConstraints
from otpc_policy.pki.general_names import GeneralNames
from otpc_policy.pki.judgement import CertificateView
from otpc_policy.pki.signature_algorithm import SignatureAlgorithm, VerifyingKey
from otpc_policy.pki.structure import Structure, key_octets

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# RFC 5280 4.1.2.1, 4.1.2.9: no other has extensions.
VERSION_WITH_EXTENSIONS = 3
_MAX_TITLE = 80
_DIGITAL_SIGNATURE, _KEY_CERT_SIGN = 0x8000, 0x0400


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outside:
    """What stands outside the extensions. fields: of a view, all but those that extensions fill."""

    structure: Structure
    subject: DistinguishedName
    issuer: DistinguishedName
    algorithm: SignatureAlgorithm
    key: VerifyingKey
    has_usual_dates: bool
    key_units: int
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Skeleton:
    """A certificate without its extensions: names, dates, key and signature.

    Enough to see who signed whom; who may sign, and for which names, stands in the extensions. So
    nothing is ever trusted on its account. view: as if there were no extensions. key: None if it is
    of a kind that cryptography does not know, or cannot be read. has_usual_dates: in the form that
    RFC 5280 4.1.2.5 demands. cost: of reading it, all of it; the work of other readers is in
    proportion.
    """

    view: CertificateView
    outside: Outside
    cost: DecodingCost

    @property
    def subject(self) -> DistinguishedName:
        """The name of the holder."""
        return self.outside.subject

    @property
    def issuer(self) -> DistinguishedName:
        """The name of who issued it."""
        return self.outside.issuer

    @property
    def title(self) -> str:
        """The subject for a sentence: a name may fill a page."""
        return shown(self.outside.subject.text, _MAX_TITLE) or "a certificate without a subject"

    @property
    def issuer_title(self) -> str:
        """The issuer for a sentence."""
        return shown(self.outside.issuer.text, _MAX_TITLE) or "an issuer without a name"

    @property
    def common_names(self) -> tuple[str, ...]:
        """Those in the subject, as written, in the order of the encoding."""
        return self.outside.subject.values_of(COMMON_NAME)

    @property
    def key(self) -> object:
        """The public key; None if cryptography cannot read it."""
        return self.outside.key.key

    @property
    def key_algorithm(self) -> str:
        """The OID of the kind of key."""
        return self.outside.key.algorithm

    @property
    def key_units(self) -> int:
        """What its key costs whoever verifies a signature with it."""
        return self.outside.key_units

    @property
    def serial_number(self) -> int:
        """As it stands: it may be negative."""
        return self.outside.structure.serial_number

    @property
    def version(self) -> int:
        """As people count: 1 to 3, or one that nobody has defined."""
        return self.outside.structure.version

    @property
    def has_usual_dates(self) -> bool:
        """The dates are in the form that RFC 5280 4.1.2.5 demands for their years."""
        return self.outside.has_usual_dates

    @property
    def signature_algorithm(self) -> SignatureAlgorithm:
        """The algorithm, as the signed part names it."""
        return self.outside.algorithm

    @property
    def verifying_key(self) -> VerifyingKey:
        """The public key, and what it may verify."""
        return self.outside.key

    @property
    def has_one_algorithm(self) -> bool:
        """Both parts name the same algorithm (RFC 5280 4.1.1.2)."""
        structure = self.outside.structure
        return structure.octets(structure.outer_algorithm) == self.outside.algorithm.octets

    def is_signed_by(self, key: VerifyingKey) -> bool:
        """The key made the signature, by the algorithm that both parts name (RFC 5280 4.1.1.2)."""
        structure = self.outside.structure
        return self.has_one_algorithm and self.outside.algorithm.verifies(
            key, structure.signature, structure.octets(structure.signed_part)
        )

    def is_valid_at(self, at: datetime) -> bool:
        """The instant lies in the validity, both ends included.

        Source: RFC 5280 4.1.2.5, which knows whole seconds.
        """
        return self.view.not_before <= at.replace(microsecond=0) <= self.view.not_after

    def issuer_octets(self) -> bytes:
        """Return the name of who issued it, in DER."""
        return self.outside.structure.octets(self.outside.structure.issuer)

    def issuer_hashes_input(self) -> tuple[bytes, bytes]:
        """Return what RFC 6960 4.1.1 hashes of an issuer: its name in DER, and its key's octets."""
        structure = self.outside.structure
        _, octets = key_octets(structure.der, structure.key)
        return structure.octets(structure.subject), octets


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecodedCertificate(Skeleton):
    """A certificate whose every part that matters has been read.

    names: of the subjectAltName, none where it is absent or cannot be read. ip_addresses: those of
    its addresses that are one.
    """

    extensions: Extensions
    names: GeneralNames
    ip_addresses: tuple[IpAddress, ...]

    @property
    def has_subject_alt_name(self) -> bool:
        """The extension is there, even if it holds no name that could match."""
        return SUBJECT_ALT_NAME in self.extensions.present

    @property
    def has_unread_names(self) -> bool:
        """There is a subjectAltName, and what it says is not known."""
        return SUBJECT_ALT_NAME in self.extensions.unread

    @property
    def dns_names(self) -> tuple[str, ...]:
        """The dNSNames, as written."""
        return self.names.dns

    @property
    def is_ca(self) -> bool:
        """It says CA:TRUE."""
        constraints = self.extensions.basic_constraints
        return constraints is not None and constraints.is_ca

    @property
    def path_length(self) -> int | None:
        """How many certificates may stand below, the last one not counted; None for any number."""
        constraints = self.extensions.basic_constraints
        return None if constraints is None else constraints.path_length

    @property
    def may_sign_certificates(self) -> bool:
        """The bit keyCertSign is set, or there is no keyUsage."""
        return self._may(_KEY_CERT_SIGN)

    @property
    def may_sign_handshakes(self) -> bool:
        """The bit digitalSignature is set, or there is no keyUsage."""
        return self._may(_DIGITAL_SIGNATURE)

    @property
    def purposes(self) -> frozenset[str] | None:
        """Extended key usages, dotted; None without the extension."""
        return self.extensions.purposes

    @property
    def name_constraints(self) -> NameConstraints | None:
        """The constraints on names below; None without the extension."""
        return self.extensions.name_constraints

    def _may(self, usage: int) -> bool:
        if KEY_USAGE in self.extensions.unread:
            return False
        return self.extensions.key_usage is None or bool(self.extensions.key_usage & usage)
