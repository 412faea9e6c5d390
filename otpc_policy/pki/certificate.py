"""Decoding certificates: one value in which everything that is judged has been read.

Nothing here judges. What is not understood, or cannot be read, is kept as such wherever the rest
can do without: a key of an unknown kind, an odd type of string, an extension. Only bytes without
the structure of a certificate are malformed.
"""

import hashlib
import ipaddress
import sys
from functools import lru_cache

from otpc_policy.core.errors import MalformedCertificate
from otpc_policy.core.shown_text import MAX_ALGORITHM, MAX_SERIAL_NUMBER, shown
from otpc_policy.pki.budget import TooComplexError, Work, WorkBudget
from otpc_policy.pki.decoded_certificate import (
    VERSION_WITH_EXTENSIONS,
    DecodedCertificate,
    Outside,
    Skeleton,
)
from otpc_policy.pki.decoding_cost import COUNTING_SHARE, DecodingCost, decoding_cost
from otpc_policy.pki.der import DerError
from otpc_policy.pki.distinguished_name import COMMON_NAME, read_name
from otpc_policy.pki.extensions import (
    NAMES_OF_EXTENSIONS,
    NO_EXTENSIONS,
    list_extensions,
    read_extensions,
    without_names,
)
from otpc_policy.pki.general_names import NO_NAMES
from otpc_policy.pki.judgement import CertificateView
from otpc_policy.pki.public_key import read_public_key
from otpc_policy.pki.signature_algorithm import read_signature_algorithm
from otpc_policy.pki.signature_cost import key_units
from otpc_policy.pki.structure import read_structure, read_validity

# Certificates that may be kept beyond a judgement: those of public authorities are below 2 kB. What
# this holds at worst, 1,200 empty names, takes 200 kB of memory once it is read.
_MAX_KEPT_BYTES = 2_560
_OCTETS_OF_ADDRESSES = (4, 16)


def view_certificate(der: bytes) -> CertificateView:
    """Return everything that a certificate says, as plain values.

    Raises MalformedCertificate, by the fault of whoever made the bytes.
    """
    return decode_certificate(der).view


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
        subject_alt_names=(*map(shown, names.dns), *map(str, addresses)),
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


def _read_outside(der: bytes) -> Outside:
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
    key = read_public_key(structure)
    fields = {
        "der": der,
        "sha256": hashlib.sha256(der).hexdigest(),
        "spki_sha256": hashlib.sha256(structure.octets(structure.key)).hexdigest(),
        "subject": shown(subject.text),
        "issuer": shown(issuer.text),
        "serial_number": shown(f"{structure.serial_number:x}", MAX_SERIAL_NUMBER),
        "not_before": not_before,
        "not_after": not_after,
        "common_names": tuple(map(shown, subject.values_of(COMMON_NAME))),
        "key_type": key.kind,
        "key_bits": key.bits,
        "key_name": shown(key.name, MAX_ALGORITHM),
        "signature_algorithm": shown(signature_algorithm.name, MAX_ALGORITHM),
        "signature_hash": signature_algorithm.hash_name,
        # By octets, though names are compared otherwise elsewhere: self-issued certificates do not
        # count towards a pathLen, and no trick with equal names is to make a path longer.
        "is_self_issued": structure.octets(structure.subject) == structure.octets(structure.issuer),
        "key_flaw": key.flaw,
    }
    return Outside(
        structure=structure,
        subject=subject,
        issuer=issuer,
        algorithm=signature_algorithm,
        key=key.usable,
        has_usual_dates=has_usual_dates,
        key_units=key_units(key.usable.key),
        fields=fields,
    )


# Few issuers stand above many leaves. What cannot be decoded raises each time, and is not kept.
_kept = lru_cache(maxsize=256)(decode_certificate)


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
