"""Decoding certificates: everything that is parsed lazily is read here, inside one guard.

Nothing here judges. A certificate that leaves this module can be read everywhere without any
exception.
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
from typing import Any, TypeVar

from cryptography import x509
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.x509.oid import NameOID

from otpc_policy.core.errors import MalformedCertificate
from otpc_policy.core.facts import KeyType
from otpc_policy.pki.budget import TooComplexError, Work, WorkBudget
from otpc_policy.pki.decoding_cost import COUNTING_SHARE, DecodingCost, decoding_cost
from otpc_policy.pki.judgement import CertificateView
from otpc_policy.pki.signature_cost import key_units

Extension = TypeVar("Extension", bound=x509.ExtensionType)
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
# id-ecPublicKey, and then an OID: the only form that RFC 5480 2.1.1 permits in certificates.
# cryptography 47 and later read the parameters of a curve that they know, too.
_NAMED_CURVE = bytes.fromhex("06072a8648ce3d020106")
# signature_hash of an algorithm that cryptography does not know, MD2 among them: never "", which
# would say that none is needed.
UNKNOWN_HASH = "unknown"
# The extensions that this package acts on, or that demand nothing of who validates. Others that
# cryptography can read are not understood by that: the poison of a precertificate, or constraints
# on policies, for which nothing here looks.
_UNDERSTOOD = (
    x509.BasicConstraints,
    x509.KeyUsage,
    x509.ExtendedKeyUsage,
    x509.SubjectAlternativeName,
    x509.NameConstraints,
    x509.CertificatePolicies,
    x509.SubjectKeyIdentifier,
    x509.AuthorityKeyIdentifier,
    x509.TLSFeature,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Skeleton:
    """A certificate without its extensions: names, dates, key and signature.

    Enough to see who signed whom; who may sign, and for which names, stands in the extensions. So
    nothing is ever trusted on its account. view: as if there were no extensions.
    key_units: what its key costs whoever verifies a signature with it. cost: of reading it, all of
    it; the work of other readers is in proportion.
    """

    view: CertificateView
    certificate: x509.Certificate
    key_units: int
    cost: DecodingCost


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecodedCertificate:
    """A certificate whose every part has been read.

    has_subject_alt_name: the extension is there, even if it holds no name that could match.
    alternative_names: all of its names. may_sign_certificates: keyCertSign is set, or keyUsage is
    absent; may_sign_handshakes: the same for digitalSignature. purposes: extended key usages,
    dotted; None without the extension. has_unknown_critical: an extension that must be understood
    is not understood here (RFC 5280 4.2). key_units, cost: as those of a Skeleton.
    """

    view: CertificateView
    certificate: x509.Certificate
    subject: x509.Name
    has_subject_alt_name: bool
    alternative_names: tuple[x509.GeneralName, ...]
    dns_names: tuple[str, ...]
    ip_addresses: tuple[IpAddress, ...]
    is_ca: bool
    may_sign_certificates: bool
    may_sign_handshakes: bool
    purposes: frozenset[str] | None
    name_constraints: x509.NameConstraints | None
    has_unknown_critical: bool
    key_units: int
    cost: DecodingCost

    def is_valid_at(self, at: datetime) -> bool:
        """The instant lies in the validity, both ends included.

        Source: RFC 5280 4.1.2.5, which knows whole seconds.
        """
        return self.view.not_before <= at.replace(microsecond=0) <= self.view.not_after


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
    with decoding_leniently():
        outside = _read_outside(der)
    return Skeleton(
        view=CertificateView(**outside.fields, subject_alt_names=(), must_staple=False),
        certificate=outside.certificate,
        key_units=outside.key_units,
        cost=cost,
    )


def decode_certificate(der: bytes, cost: DecodingCost | None = None) -> DecodedCertificate:
    """Return the certificate with every part read, however long that takes: see read_certificate.

    cost: None where nobody has counted yet.
    Raises MalformedCertificate whose text may be shown to anybody: it never holds text of the
    library.
    """
    cost = decoding_cost(der, sys.maxsize) if cost is None else cost
    try:
        with decoding_leniently():
            outside = _read_outside(der)
            extensions = outside.certificate.extensions
            # By type once: looking for each in turn, past all others, costs as much as reading
            # them.
            by_kind = {type(extension.value): extension.value for extension in extensions}
            names = _extension(by_kind, x509.SubjectAlternativeName)
            dns_names = tuple(names.get_values_for_type(x509.DNSName)) if names else ()
            ip_addresses = _addresses(names) if names else ()
            constraints = _extension(by_kind, x509.BasicConstraints)
            key_usage = _extension(by_kind, x509.KeyUsage)
            purposes = _extension(by_kind, x509.ExtendedKeyUsage)
            features = _extension(by_kind, x509.TLSFeature)
            name_constraints = _extension(by_kind, x509.NameConstraints)
    except DECODING_ERRORS as error:
        raise MalformedCertificate("its extensions cannot be decoded") from error
    purposes_of_key = (
        None if purposes is None else frozenset(purpose.dotted_string for purpose in purposes)
    )
    view = CertificateView(
        **outside.fields,
        subject_alt_names=(*map(_printable, dns_names), *map(str, ip_addresses)),
        must_staple=features is not None and x509.TLSFeatureType.status_request in features,
        key_usage=_usage_bits(key_usage),
        purposes=purposes_of_key,
    )
    return DecodedCertificate(
        view=view,
        certificate=outside.certificate,
        subject=outside.subject,
        has_subject_alt_name=names is not None,
        alternative_names=tuple(names) if names else (),
        dns_names=dns_names,
        ip_addresses=ip_addresses,
        is_ca=constraints is not None and constraints.ca,
        may_sign_certificates=key_usage is None or key_usage.key_cert_sign,
        may_sign_handshakes=key_usage is None or key_usage.digital_signature,
        purposes=purposes_of_key,
        name_constraints=name_constraints,
        has_unknown_critical=any(
            extension.critical and not isinstance(extension.value, _UNDERSTOOD)
            for extension in extensions
        ),
        key_units=outside.key_units,
        cost=cost,
    )


def _usage_bits(extension: x509.KeyUsage | None) -> frozenset[str] | None:
    """Return the names of the bits that are set. Source: RFC 5280 4.2.1.3."""
    if extension is None:
        return None
    bits = {
        "digitalSignature": extension.digital_signature,
        "nonRepudiation": extension.content_commitment,
        "keyEncipherment": extension.key_encipherment,
        "dataEncipherment": extension.data_encipherment,
        "keyAgreement": extension.key_agreement,
        "keyCertSign": extension.key_cert_sign,
        "cRLSign": extension.crl_sign,
    }
    return frozenset(name for name, is_set in bits.items() if is_set)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Outside:
    """What stands outside the extensions. fields: of a view, all but those that extensions fill."""

    certificate: x509.Certificate
    subject: x509.Name
    key_units: int
    fields: Mapping[str, Any]


def _read_outside(der: bytes) -> _Outside:
    """Call it within decoding_leniently."""
    part = "structure"
    try:
        certificate = x509.load_der_x509_certificate(der)
        # Read here, since it is this look that warns.
        serial_number = f"{certificate.serial_number:x}"
        part = "names"
        # Kept: every look at a name reads it anew, and warns anew.
        subject, issuer = certificate.subject, certificate.issuer
        subject_text = _printable(subject.rfc4514_string())
        issuer_text = _printable(issuer.rfc4514_string())
        common_names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        is_self_issued = subject == issuer
        part = "validity"
        not_before = certificate.not_valid_before_utc
        not_after = certificate.not_valid_after_utc
        part = "public key"
        key = _public_key(certificate)
        key_type, key_bits, key_name, key_flaw = _describe_key(key, certificate)
        spki = _subject_public_key_info(der)
        if isinstance(key, ec.EllipticCurvePublicKey) and _NAMED_CURVE not in spki[:32]:
            raise ValueError("the curve is given by its parameters")
        part = "signature algorithm"
        signature_algorithm, signature_hash = _describe_signature(certificate)
    except DECODING_ERRORS as error:
        raise MalformedCertificate(f"its {part} cannot be decoded") from error
    fields = {
        "der": der,
        "sha256": hashlib.sha256(der).hexdigest(),
        "spki_sha256": hashlib.sha256(spki).hexdigest(),
        "subject": subject_text,
        "issuer": issuer_text,
        "serial_number": serial_number,
        "not_before": not_before,
        "not_after": not_after,
        "common_names": tuple(str(attribute.value) for attribute in common_names),
        "key_type": key_type,
        "key_bits": key_bits,
        "key_name": key_name,
        "signature_algorithm": signature_algorithm,
        "signature_hash": signature_hash,
        "is_self_issued": is_self_issued,
        "key_flaw": key_flaw,
    }
    return _Outside(
        certificate=certificate, subject=subject, key_units=key_units(key), fields=fields
    )


# Few issuers stand above many leaves. What cannot be decoded raises each time, and is not kept.
_kept = lru_cache(maxsize=256)(decode_certificate)


def _extension(
    by_kind: Mapping[type[x509.ExtensionType], x509.ExtensionType], kind: type[Extension]
) -> Extension | None:
    found = by_kind.get(kind)
    return found if isinstance(found, kind) else None


def _addresses(names: x509.SubjectAlternativeName) -> tuple[IpAddress, ...]:
    """A name is one address; cryptography also reads networks, which belong in name constraints."""
    return tuple(
        value
        for value in names.get_values_for_type(x509.IPAddress)
        if isinstance(value, ipaddress.IPv4Address | ipaddress.IPv6Address)
    )


def _printable(text: str) -> str:
    """Control characters in a name would act on the terminals and logs of whoever reads it."""
    return (
        text
        if text.isprintable()
        else "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    )


def _public_key(certificate: x509.Certificate) -> object:
    """Return the key, None if it is of a kind that cryptography does not know."""
    try:
        return certificate.public_key()
    except UnsupportedAlgorithm:
        return None


def _describe_key(key: object, certificate: x509.Certificate) -> tuple[KeyType, int, str, str]:
    """Return type, bits, name and flaw of the key."""
    match key:
        case rsa.RSAPublicKey():
            return KeyType.RSA, key.key_size, f"RSA {key.key_size}", _rsa_flaw(key.public_numbers())
        case ec.EllipticCurvePublicKey():
            return KeyType.ECDSA, key.curve.key_size, f"EC {key.curve.name}", ""
        case ed25519.Ed25519PublicKey():
            return KeyType.EDDSA, 0, "Ed25519", ""
        case ed448.Ed448PublicKey():
            return KeyType.EDDSA, 0, "Ed448", ""
        case dsa.DSAPublicKey():
            return KeyType.DSA, key.key_size, f"DSA {key.key_size}", ""
        case _:
            return KeyType.OTHER, 0, _oid_name(certificate.public_key_algorithm_oid), ""


def _rsa_flaw(numbers: rsa.RSAPublicNumbers) -> str:
    """Say why the key gives no security, or "".

    With exponent 1 a signature is its own message, and anybody can make one; an even exponent or
    modulus belongs to no key pair. Source: Baseline Requirements 6.1.6. cryptography and OpenSSL
    load such keys.
    """
    if numbers.e < 3 or numbers.e % 2 == 0:
        return f"its RSA exponent is {numbers.e}; an odd one of at least 3 required"
    return "its RSA modulus is even; an odd one required" if numbers.n % 2 == 0 else ""


def _describe_signature(certificate: x509.Certificate) -> tuple[str, str]:
    name = _oid_name(certificate.signature_algorithm_oid)
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return name, UNKNOWN_HASH
    return name, algorithm.name.lower() if algorithm else ""


def _oid_name(oid: x509.ObjectIdentifier) -> str:
    name: str = oid._name
    return oid.dotted_string if name == "Unknown OID" else name


def spki_sha256(der: bytes) -> bytes | None:
    """Return the SHA-256 of a certificate's key; None if the certificate cannot be decoded.

    der: from anywhere. Takes time in proportion to its length.
    """
    try:
        with decoding_leniently():
            x509.load_der_x509_certificate(der)
            return hashlib.sha256(_subject_public_key_info(der)).digest()
    except DECODING_ERRORS:
        return None


def _subject_public_key_info(der: bytes) -> bytes:
    """Return the key as it stands in the certificate.

    To encode it again would change compressed points and parameters, and so the pin.
    der: Certificate that has been decoded before. Source: RFC 5280 4.1.
    """
    tbs, _ = _content(der, 0)
    start, _ = _content(der, tbs)
    # version is tagged [0] and may be absent; then serialNumber, signature, issuer, validity,
    # subject.
    skipped = 6 if der[start] == 0xA0 else 5
    for _ in range(skipped):
        start = sum(_content(der, start))
    content, length = _content(der, start)
    return der[start : content + length]


def _content(der: bytes, at: int) -> tuple[int, int]:
    """Return where the content of the element starts, and its length."""
    length = der[at + 1]
    if length < 0x80:
        return at + 2, length
    octets = length & 0x7F
    return at + 2 + octets, int.from_bytes(der[at + 2 : at + 2 + octets], "big")
