"""Decoding certificates: one value in which everything that is judged has been read.

Nothing here judges. What is not understood, or cannot be read, is kept as such wherever the rest
can do without: a key of an unknown kind, an odd type of string, an extension. Only bytes without
the structure of a certificate are malformed.
"""

import hashlib
import ipaddress
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from otpc_policy.core.errors import MalformedCertificate
from otpc_policy.core.facts import KeyType
from otpc_policy.pki.budget import TooComplexError, Work, WorkBudget
from otpc_policy.pki.decoding_cost import COUNTING_SHARE, DecodingCost, decoding_cost
from otpc_policy.pki.der import INTEGER, OBJECT_IDENTIFIER, DerError, dotted, inside
from otpc_policy.pki.distinguished_name import COMMON_NAME, DistinguishedName, read_name
from otpc_policy.pki.extensions import (
    KEY_USAGE,
    NAMES_OF_EXTENSIONS,
    NO_EXTENSIONS,
    SUBJECT_ALT_NAME,
    Extensions,
    NameConstraints,
    list_extensions,
    read_extensions,
    without_names,
)
from otpc_policy.pki.general_names import NO_NAMES, GeneralNames
from otpc_policy.pki.judgement import CertificateView
from otpc_policy.pki.signature_algorithm import (
    RSA_ENCRYPTION,
    SignatureAlgorithm,
    VerifyingKey,
    oid_name,
    read_signature_algorithm,
)
from otpc_policy.pki.signature_cost import key_units
from otpc_policy.pki.structure import (
    Structure,
    key_octets,
    read_algorithm,
    read_structure,
    read_validity,
)

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# What cryptography raises for bytes that it cannot read. KeyError: a name whose string type it does
# not know. InternalError: an error of OpenSSL that it did not expect. From there on plain
# Exceptions.
DECODING_ERRORS = (
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
    InternalError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
# Certificates that may be kept beyond a judgement: those of public authorities are below 2 kB. What
# this holds at worst, 1,200 empty names, takes 200 kB of memory once it is read.
_MAX_KEPT_BYTES = 2_560
# Re-entrant: whoever decodes a staple decodes certificates within.
_ONE_AT_A_TIME = threading.RLock()
_EC_PUBLIC_KEY = "1.2.840.10045.2.1"
# Kinds of keys that cryptography 46 does not know, and that people meet. Source: RFC 9881, RFC
# 9909, RFC 9215, GB/T 33560.
_NAMES_OF_KEYS: Mapping[str, str] = {
    RSA_ENCRYPTION: "RSA",
    "1.2.840.113549.1.1.10": "RSASSA-PSS",
    _EC_PUBLIC_KEY: "EC",
    "1.2.840.10040.4.1": "DSA",
    "2.16.840.1.101.3.4.3.17": "ML-DSA-44",
    "2.16.840.1.101.3.4.3.18": "ML-DSA-65",
    "2.16.840.1.101.3.4.3.19": "ML-DSA-87",
    "1.2.643.7.1.1.1.1": "GOST R 34.10-2012 (256 bits)",
    "1.2.643.7.1.1.1.2": "GOST R 34.10-2012 (512 bits)",
    "1.2.643.2.2.19": "GOST R 34.10-2001",
    "1.3.101.110": "X25519",
    "1.3.101.111": "X448",
}
_NAMES_OF_CURVES: Mapping[str, str] = {"1.2.156.10197.1.301": "SM2"}
# RFC 5280 4.1.2.1, 4.1.2.9: no other has extensions.
VERSION_WITH_EXTENSIONS = 3
_MAX_SHOWN_BITS = 64
_DIGITAL_SIGNATURE, _KEY_CERT_SIGN = 0x8000, 0x0400
_OCTETS_OF_ADDRESSES = (4, 16)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Outside:
    """What stands outside the extensions. fields: of a view, all but those that extensions fill."""

    structure: Structure
    subject: DistinguishedName
    issuer: DistinguishedName
    algorithm: SignatureAlgorithm
    key_algorithm: str
    key_parameters: bytes | None
    key: object
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
    outside: _Outside
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
    def key(self) -> object:
        """The public key; None if cryptography cannot read it."""
        return self.outside.key

    @property
    def key_algorithm(self) -> str:
        """The OID of the kind of key."""
        return self.outside.key_algorithm

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
        outside = self.outside
        return VerifyingKey(
            key=outside.key, algorithm=outside.key_algorithm, parameters=outside.key_parameters
        )

    def is_signed_by(self, key: VerifyingKey) -> bool:
        """The key made the signature, by the algorithm that both parts name (RFC 5280 4.1.1.2)."""
        structure = self.outside.structure
        return structure.octets(structure.outer_algorithm) == self.outside.algorithm.octets and (
            self.outside.algorithm.verifies(
                key, structure.signature, structure.octets(structure.signed_part)
            )
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

    @property
    def has_unknown_critical(self) -> bool:
        """An extension that must be understood is not understood here (RFC 5280 4.2)."""
        return bool(self.extensions.not_understood or self.extensions.unread)

    def _may(self, usage: int) -> bool:
        if KEY_USAGE in self.extensions.unread:
            return False
        return self.extensions.key_usage is None or bool(self.extensions.key_usage & usage)


def view_certificate(der: bytes) -> CertificateView:
    """Return everything that a certificate says, as plain values.

    Raises MalformedCertificate, by the fault of whoever made the bytes.
    """
    return decode_certificate(der).view


@contextmanager
def decoding_leniently() -> Iterator[None]:
    """Silence cryptography's warnings about oddities.

    Serial numbers that are not positive, NULL parameters, lengths of names. They are for
    programmers, and partners' certificates are full of them; without this, `python -W error` would
    reject such certificates. Warning filters belong to the process, so one thread at a time: a
    reload decodes on a thread of its own.
    """
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_certificate(
    der: bytes, budget: WorkBudget, what: str, *, on: Work = Work.DECODING, keep: bool = False
) -> DecodedCertificate:
    """Return the certificate with every part read, if the budget allows it.

    what: the certificate, for people. keep: it is likely to come again, in other chains.
    Raises TooComplexError, or MalformedCertificate as decode_certificate does.
    """
    left = budget.left_for(on)
    cost = decoding_cost(der, left)
    reason = f"{what} has too many names, extensions or bytes to be read"
    if cost.whole > left:
        budget.spend(left // COUNTING_SHARE, on, reason)
        raise TooComplexError(reason)
    budget.spend(cost.whole, on, reason)
    return _kept(der) if keep and len(der) <= _MAX_KEPT_BYTES else decode_certificate(der, cost)


def skeleton_or_none(der: bytes, budget: WorkBudget) -> Skeleton | None:
    """Return what can be had of a certificate that costs too much to be read whole.

    None if that costs too much as well. Raises MalformedCertificate as decode_certificate does.
    """
    left = budget.left_for(Work.SIGNATURES)
    cost = decoding_cost(der, left, inside=False)
    is_bearable = cost.outside <= left
    units = cost.outside if is_bearable else left // COUNTING_SHARE
    budget.spend(units, Work.SIGNATURES, "its signatures cannot be read")
    if not is_bearable:
        return None
    outside = _read_outside(der)
    return Skeleton(
        view=CertificateView(**outside.fields, subject_alt_names=(), must_staple=False),
        outside=outside,
        cost=cost,
    )


def decode_certificate(der: bytes, cost: DecodingCost | None = None) -> DecodedCertificate:
    """Return the certificate with every part read, however long that takes: see read_certificate.

    cost: None where nobody has counted yet.
    Raises MalformedCertificate whose text may be shown to anybody.
    """
    cost = decoding_cost(der, sys.maxsize) if cost is None else cost
    outside = _read_outside(der)
    extensions, part = NO_EXTENSIONS, outside.structure.extensions
    if part is not None:
        try:
            extensions = read_extensions(der, list_extensions(der, part.start, part.end))
        except DerError as error:
            raise MalformedCertificate("its extensions cannot be decoded") from error
        if outside.structure.version != VERSION_WITH_EXTENSIONS:
            # Readers differ: some look for names in any version, some in this one alone.
            extensions = without_names(extensions)
    names = extensions.names or NO_NAMES
    addresses = tuple(
        ipaddress.ip_address(octets)
        for octets in names.addresses
        if len(octets) in _OCTETS_OF_ADDRESSES
    )
    view = CertificateView(
        **outside.fields,
        subject_alt_names=(*map(_printable, names.dns), *map(str, addresses)),
        must_staple=extensions.must_staple,
        key_usage=extensions.usages,
        purposes=extensions.purposes,
        unread_extensions=frozenset(NAMES_OF_EXTENSIONS[oid] for oid in extensions.unread),
    )
    return DecodedCertificate(
        view=view,
        outside=outside,
        cost=cost,
        extensions=extensions,
        names=names,
        ip_addresses=addresses,
    )


def _read_outside(der: bytes) -> _Outside:
    part = "structure"
    try:
        structure = read_structure(der)
        part = "names"
        subject = read_name(der, structure.subject.start, structure.subject.end)
        issuer = read_name(der, structure.issuer.start, structure.issuer.end)
        part = "validity"
        not_before, not_after, has_usual_dates = read_validity(der, structure.validity)
    except DerError as error:
        raise MalformedCertificate(f"its {part} cannot be decoded") from error
    signature_algorithm = read_signature_algorithm(der, structure.signature_algorithm)
    key_algorithm, parameters, octets = _key_parts(structure)
    key = _public_key(structure, key_algorithm, parameters)
    key_type, key_bits, key_name, key_flaw = _describe_key(key, key_algorithm, parameters, octets)
    fields = {
        "der": der,
        "sha256": hashlib.sha256(der).hexdigest(),
        "spki_sha256": hashlib.sha256(structure.octets(structure.key)).hexdigest(),
        "subject": _printable(subject.text),
        "issuer": _printable(issuer.text),
        "serial_number": f"{structure.serial_number:x}",
        "not_before": not_before,
        "not_after": not_after,
        "common_names": subject.values_of(COMMON_NAME),
        "key_type": key_type,
        "key_bits": key_bits,
        "key_name": key_name,
        "signature_algorithm": signature_algorithm.name,
        "signature_hash": signature_algorithm.hash_name,
        # By octets, though names are compared otherwise elsewhere: self-issued certificates do not
        # count towards a pathLen, and no trick with equal names is to make a path longer.
        "is_self_issued": structure.octets(structure.subject) == structure.octets(structure.issuer),
        "key_flaw": key_flaw,
    }
    return _Outside(
        structure=structure,
        subject=subject,
        issuer=issuer,
        algorithm=signature_algorithm,
        key_algorithm=key_algorithm,
        key_parameters=parameters,
        key=key,
        has_usual_dates=has_usual_dates,
        key_units=key_units(key),
        fields=fields,
    )


# Few issuers stand above many leaves. What cannot be decoded raises each time, and is not kept.
_kept = lru_cache(maxsize=256)(decode_certificate)


def _printable(text: str) -> str:
    """Control characters in a name would act on the terminals and logs of whoever reads it."""
    return (
        text
        if text.isprintable()
        else "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    )


def _key_parts(structure: Structure) -> tuple[str, bytes | None, bytes]:
    """Return the OID of the kind of key, its parameters and the key's own octets.

    "" for what says of no kind.
    """
    try:
        algorithm, octets = key_octets(structure.der, structure.key)
        return *read_algorithm(structure.der, algorithm), octets
    except DerError:
        return "", None, b""


def _public_key(structure: Structure, oid: str, parameters: bytes | None) -> object:
    """Return the key; None if it is of a kind that cryptography does not know, or unreadable.

    A curve must be named: whoever may choose its parameters can choose a key that signs for others
    (RFC 5480 2.1.1, CVE-2020-0601). cryptography 47 and later read some such parameters.
    """
    is_named = parameters is not None and parameters[0] == OBJECT_IDENTIFIER
    if not oid or (oid == _EC_PUBLIC_KEY and not is_named):
        return None
    try:
        with decoding_leniently():
            return load_der_public_key(structure.octets(structure.key))
    except DECODING_ERRORS:
        return None


def _describe_key(
    key: object, oid: str, parameters: bytes | None, octets: bytes
) -> tuple[KeyType, int, str, str]:
    """Return type, bits, name and flaw of the key."""
    match key:
        case rsa.RSAPublicKey():
            numbers = key.public_numbers()
            return _describe_rsa(numbers.n, numbers.e)
        case ec.EllipticCurvePublicKey():
            return KeyType.ECDSA, key.curve.key_size, f"EC {key.curve.name}", ""
        case ed25519.Ed25519PublicKey():
            return KeyType.EDDSA, 0, "Ed25519", ""
        case ed448.Ed448PublicKey():
            return KeyType.EDDSA, 0, "Ed448", ""
        case dsa.DSAPublicKey():
            return KeyType.DSA, key.key_size, f"DSA {key.key_size}", ""
    if not oid:
        return KeyType.OTHER, 0, "a key that cannot be read", ""
    if oid == RSA_ENCRYPTION and (pair := _rsa_numbers(octets)):
        # cryptography 49 and later load no key with exponent 1.
        return _describe_rsa(*pair)
    name = _NAMES_OF_KEYS.get(oid) or oid_name(oid)
    if oid == _EC_PUBLIC_KEY:
        return KeyType.OTHER, 0, f"{name}, {_describe_curve(parameters)}", ""
    is_known_kind = oid in (RSA_ENCRYPTION, "1.2.840.113549.1.1.10", "1.2.840.10040.4.1")
    return KeyType.OTHER, 0, f"{name} that cannot be read" if is_known_kind else name, ""


def _describe_curve(parameters: bytes | None) -> str:
    if parameters is None or parameters[0] != OBJECT_IDENTIFIER:
        return "a curve without a name"
    try:
        curve = dotted(parameters[2:])
    except DerError:
        return "an unknown curve"
    return f"curve {_NAMES_OF_CURVES.get(curve) or oid_name(curve)}"


def _describe_rsa(modulus: int, exponent: int) -> tuple[KeyType, int, str, str]:
    bits = modulus.bit_length()
    return KeyType.RSA, bits, f"RSA {bits}", _rsa_flaw(modulus, exponent)


def _rsa_numbers(octets: bytes) -> tuple[int, int] | None:
    """Return modulus and exponent of an RSAPublicKey (RFC 8017 A.1.1), None for what is none."""
    try:
        parts = inside(octets, 0, len(octets))
    except DerError:
        return None
    if [part.tag for part in parts] != [INTEGER, INTEGER]:
        return None
    modulus, exponent = (
        int.from_bytes(octets[part.content : part.end], "big", signed=True) for part in parts
    )
    return (modulus, exponent) if modulus > 0 and exponent > 0 else None


def _rsa_flaw(modulus: int, exponent: int) -> str:
    """Say why the key gives no security, or "".

    With exponent 1 a signature is its own message, and anybody can make one; an even exponent or
    modulus belongs to no key pair. Source: Baseline Requirements 6.1.6. cryptography and OpenSSL
    load such keys.
    """
    if exponent < 3 or exponent % 2 == 0:
        # Python writes no number of thousands of digits.
        bits = exponent.bit_length()
        shown = str(exponent) if bits <= _MAX_SHOWN_BITS else f"even, of {bits} bits"
        return f"its RSA exponent is {shown}; an odd one of at least 3 required"
    return "its RSA modulus is even; an odd one required" if modulus % 2 == 0 else ""


def spki_sha256(der: bytes) -> bytes | None:
    """Return the SHA-256 of a certificate's key; None if the certificate cannot be decoded.

    der: from anywhere. Takes time in proportion to its length.
    """
    try:
        structure = read_structure(der)
    except DerError:
        return None
    # As it stands in the certificate: to encode it again would change compressed points and
    # parameters, and so the pin.
    return hashlib.sha256(structure.octets(structure.key)).digest()
