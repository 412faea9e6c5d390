"""Our reading beside cryptography's: wherever both read a certificate, both read the same."""

import ipaddress
from collections.abc import Iterator
from typing import TypeVar

import pytest
from cryptography import x509
from cryptography.x509 import ExtensionNotFound

from otpc_policy.core.errors import MalformedCertificate
from otpc_policy.pki.certificate import decode_certificate
from otpc_policy.pki.decoded_certificate import DecodedCertificate
from otpc_policy.pki.der import DerError, dotted, elements
from otpc_policy.pki.extensions import ANY_POLICY
from otpc_policy.pki.lenient_decoding import DECODING_ERRORS, decoding_leniently
from otpc_policy.pki.roots import mozilla_roots
from otpc_policy.pki.signature_algorithm import UNKNOWN_HASH
from tests.chains.cases import all_cases
from tests.pki.test_certificate import certificates_in, x509_files

Kind = TypeVar("Kind", bound=x509.ExtensionType)
_IP = (ipaddress.IPv4Address, ipaddress.IPv6Address)


def corpus() -> Iterator[bytes]:
    yield from mozilla_roots()
    for case in all_cases():
        yield from case.chain
    for path in x509_files():
        yield from certificates_in(path)


def test_both_read_the_same() -> None:
    compared, ours_alone, theirs_alone = 0, 0, []
    for der in dict.fromkeys(corpus()):
        with decoding_leniently():
            theirs = _theirs(der)
            try:
                ours = decode_certificate(der)
            except MalformedCertificate:
                if theirs is not None:
                    theirs_alone.append(der)
                continue
            if theirs is None:
                ours_alone += 1
                continue
            compared += 1
            _compare(ours, theirs)
    assert compared > 1_200
    assert ours_alone > 50
    assert theirs_alone == []


def _theirs(der: bytes) -> x509.Certificate | None:
    try:
        certificate = x509.load_der_x509_certificate(der)
        certificate.subject.rfc4514_string()
        certificate.issuer.rfc4514_string()
        assert certificate.extensions is not None
        assert certificate.public_key() is not None
        assert certificate.not_valid_after_utc
    except DECODING_ERRORS:
        return None
    return certificate


def _compare(ours: DecodedCertificate, theirs: x509.Certificate) -> None:
    view = ours.view
    assert view.serial_number == f"{theirs.serial_number:x}"
    assert view.not_before == theirs.not_valid_before_utc
    assert view.not_after == theirs.not_valid_after_utc
    _compare_names(ours.subject.text, theirs.subject)
    _compare_names(ours.issuer.text, theirs.issuer)
    structure = ours.outside.structure
    # Where the two differ, ours is the signed one; no signature is good then.
    if structure.octets(structure.outer_algorithm) == ours.signature_algorithm.octets:
        assert ours.signature_algorithm.oid == theirs.signature_algorithm_oid.dotted_string
        _compare_hashes(view.signature_hash, theirs)
    extensions = {found.oid.dotted_string: found for found in theirs.extensions}
    assert ours.extensions.present == extensions.keys()
    assert ours.extensions.critical == {oid for oid, found in extensions.items() if found.critical}
    # What cryptography reads, we read.
    if ours.version == 3:
        assert ours.extensions.unread == frozenset()
        _compare_extensions(ours, theirs)


def _compare_names(ours: str, theirs: x509.Name) -> None:
    """Of values that are no text, cryptography writes the content alone (RFC 4514 2.4)."""
    if "#" not in theirs.rfc4514_string():
        assert ours == theirs.rfc4514_string()


def _compare_hashes(ours: str, theirs: x509.Certificate) -> None:
    try:
        algorithm = theirs.signature_hash_algorithm
    except DECODING_ERRORS:
        assert ours == UNKNOWN_HASH or ours.startswith("sha")
    else:
        assert ours == (algorithm.name.lower() if algorithm else "")


def _compare_extensions(ours: DecodedCertificate, theirs: x509.Certificate) -> None:
    constraints = _value(theirs, x509.BasicConstraints)
    assert ours.is_ca is (constraints is not None and constraints.ca)
    if constraints is not None:
        assert ours.path_length == constraints.path_length
    usage = _value(theirs, x509.KeyUsage)
    assert ours.may_sign_certificates is (usage is None or usage.key_cert_sign)
    assert ours.may_sign_handshakes is (usage is None or usage.digital_signature)
    assert ours.view.key_usage == (None if usage is None else _bits(usage))
    purposes = _value(theirs, x509.ExtendedKeyUsage)
    assert ours.purposes == (None if purposes is None else {one.dotted_string for one in purposes})
    names = _value(theirs, x509.SubjectAlternativeName)
    if names is not None:
        dns = [name for name in names.get_values_for_type(x509.DNSName) if name.isascii()]
        assert list(ours.dns_names) == dns
        addresses = [
            address
            for address in names.get_values_for_type(x509.IPAddress)
            if isinstance(address, _IP)
        ]
        assert list(ours.ip_addresses) == addresses
        assert ours.names.count == len(list(names))
        directories = names.get_values_for_type(x509.DirectoryName)
        texts = [name.rfc4514_string() for name in directories]
        assert [name.text for name in ours.names.directories] == texts
    limits = _value(theirs, x509.NameConstraints)
    assert (ours.name_constraints is None) is (limits is None)
    if limits is not None and ours.name_constraints is not None:
        assert ours.name_constraints.permitted.count == len(limits.permitted_subtrees or ())
        assert ours.name_constraints.excluded.count == len(limits.excluded_subtrees or ())
    policies = _value(theirs, x509.CertificatePolicies)
    found = ours.extensions.policy_rules.policies
    assert found == (
        None if policies is None else {one.policy_identifier.dotted_string for one in policies}
    )
    demands = _value(theirs, x509.PolicyConstraints)
    if demands is not None:
        rules = ours.extensions.policy_rules
        assert rules.require_explicit == demands.require_explicit_policy
        assert rules.inhibit_mapping == demands.inhibit_policy_mapping
    inhibit = _value(theirs, x509.InhibitAnyPolicy)
    assert ours.extensions.policy_rules.inhibit_any == (inhibit.skip_certs if inhibit else None)


def _bits(usage: x509.KeyUsage) -> set[str]:
    is_agreeing = usage.key_agreement
    bits = {
        "digitalSignature": usage.digital_signature,
        "nonRepudiation": usage.content_commitment,
        "keyEncipherment": usage.key_encipherment,
        "dataEncipherment": usage.data_encipherment,
        "keyAgreement": is_agreeing,
        "keyCertSign": usage.key_cert_sign,
        "cRLSign": usage.crl_sign,
        # cryptography raises where they are said to mean nothing.
        "encipherOnly": is_agreeing and usage.encipher_only,
        "decipherOnly": is_agreeing and usage.decipher_only,
    }
    return {name for name, is_set in bits.items() if is_set}


def _value(certificate: x509.Certificate, kind: type[Kind]) -> Kind | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except ExtensionNotFound:
        return None


@pytest.mark.parametrize(
    "der",
    [
        b"\x30",
        b"\x30\x81",
        b"\x30\x05\x00",
        b"\x30\x80\x00\x00",
        b"\x30\x81\x01\x00",
        b"\x30\x82\x00\x80" + bytes(128),
        b"\x30\x85\x00\x00\x00\x00\x01\x00",
        b"\x1f\x81\x01\x00",
        b"\x30\x00\x30",
    ],
)
def test_what_is_no_der_is_refused(der: bytes) -> None:
    with pytest.raises(DerError):
        elements(der, 0, len(der))


@pytest.mark.parametrize("content", [b"", b"\x80", b"\x2a\x80\x01", b"\x2a\x81", bytes(65)])
def test_what_is_no_object_identifier_is_refused(content: bytes) -> None:
    with pytest.raises(DerError):
        dotted(content)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("551d2000", ANY_POLICY),
        ("2a864886f70d010101", "1.2.840.113549.1.1.1"),
        ("00", "0.0"),
        ("27", "0.39"),
        ("4f", "1.39"),
        ("50", "2.0"),
        ("8837", "2.999"),
    ],
)
def test_object_identifiers_are_written_with_dots(content: str, text: str) -> None:
    assert dotted(bytes.fromhex(content)) == text
