"""Name constraints between one authority and one certificate; the chains of them stand in tests/chains."""

import time
from collections.abc import Sequence
from contextlib import suppress

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from otpc_policy.core.errors import MalformedCertificate
from otpc_policy.pki.certificate import DecodedCertificate, decode_certificate
from otpc_policy.pki.constraints import constraints_permit, is_permitted
from tests.pki.test_certificate import X509_VECTORS, certificates_in
from tests.support.forging import Made, alternative_names, authority, leaf, name_constraints, organization

ROOT = authority("Root")


def decoded(made: Made) -> DecodedCertificate:
    return decode_certificate(made.der)


def names(*rdns: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in rdns])


@pytest.mark.parametrize(
    ("permitted", "excluded", "name", "expected"),
    [
        # RFC 5280 4.2.1.10: labels added on the left; a wildcard stands for everything below, so all of it must be permitted.
        ((".partner.test",), (), "partner.test", True),
        (("api.partner.test",), (), "*.partner.test", False),
        (("partner.test",), (), "*.partner.test", True),
        (("test",), (), "*.partner.test", True),
        ((), ("api.partner.test",), "*.partner.test", False),
        ((), ("a.api.partner.test",), "*.partner.test", False),
        ((), ("other.test",), "*.partner.test", True),
        ((), ("partner.test",), "*.partner.test", False),
        ((), ("",), "partner.test", False),
        (("",), (), "partner.test", True),
        (("192.0.2.0/24",), (), "partner.test", True),
    ],
)
def test_dns_names(permitted: Sequence[str], excluded: Sequence[str], name: str, expected: bool) -> None:
    assert is_permitted(name_constraints(permitted, excluded), decoded(leaf(ROOT, dns=(name,)))) is expected


@pytest.mark.parametrize(
    ("subtree", "subject", "expected"),
    [
        (names((NameOID.COUNTRY_NAME, "TR")), names((NameOID.COUNTRY_NAME, "TR"), (NameOID.ORGANIZATION_NAME, "Partner")), True),
        (names((NameOID.COUNTRY_NAME, "TR"), (NameOID.ORGANIZATION_NAME, "Partner")), names((NameOID.COUNTRY_NAME, "TR")), False),
        (names((NameOID.ORGANIZATION_NAME, "Partner")), names((NameOID.COUNTRY_NAME, "TR"), (NameOID.ORGANIZATION_NAME, "Partner")), False),
        (organization("partner  LTD"), organization("Partner Ltd"), True),
        (organization("Partner"), organization("Partner Ltd"), False),
        (names(), organization("Partner"), True),
    ],
)
def test_subjects(subtree: x509.Name, subject: x509.Name, expected: bool) -> None:
    """A subject lies within a name whose parts it begins with; excluding is the same the other way round."""
    server, limit = decoded(leaf(ROOT, subject=subject)), x509.DirectoryName(subtree)
    assert is_permitted(name_constraints(permitted=[limit]), server) is expected
    assert is_permitted(name_constraints(excluded=[limit]), server) is not expected


def test_kinds_that_are_not_understood_refuse_names_of_their_kind_and_no_others() -> None:
    uri = x509.UniformResourceIdentifier
    with_uri = decoded(leaf(ROOT, plus=[(alternative_names(("partner.test",), others=[uri("https://partner.test/")]), False)]))
    without = decoded(leaf(ROOT))
    for constraints in (name_constraints(permitted=[uri("partner.test")]), name_constraints(excluded=[uri("other.test")])):
        assert not is_permitted(constraints, with_uri)
        assert is_permitted(constraints, without)


def test_a_mail_address_in_the_subject_counts_without_a_subject_alternative_name() -> None:
    subject = names((NameOID.EMAIL_ADDRESS, "a@other.test"))
    constraints = name_constraints(permitted=[x509.RFC822Name("partner.test")])
    assert not is_permitted(constraints, decoded(leaf(ROOT, subject=subject, without=[x509.SubjectAlternativeName])))
    assert is_permitted(constraints, decoded(leaf(ROOT, subject=subject)))


def test_self_issued_authorities_need_no_permission() -> None:
    """RFC 5280 6.1.3 (b): unless it is the last of the path."""
    fence = [(name_constraints(permitted=[x509.DirectoryName(organization("Partner"))]), True)]
    root = authority("Fence", plus=fence)
    renewed = authority("Fence", by=root)
    server = decoded(leaf(renewed, subject=organization("Partner")))
    assert constraints_permit((server, decoded(renewed), decoded(root)))
    assert not constraints_permit((server, decoded(authority("Another", by=root)), decoded(root)))


def test_too_many_names_for_too_many_subtrees_are_refused_at_once() -> None:
    server = decoded(leaf(ROOT, dns=[f"a{number}.test" for number in range(1000)]))
    constraints = name_constraints(permitted=[f"b{number}.test" for number in range(999)] + ["test"])
    began = time.process_time()
    assert not is_permitted(constraints, server)
    assert time.process_time() - began < 0.1


def test_any_certificate_can_be_held_against_any_constraints() -> None:
    """Every readable file of the vectors: odd kinds of names on both sides, and an answer each time."""
    certificates = []
    for path in sorted(X509_VECTORS.rglob("*")):
        if path.suffix in (".crt", ".der", ".pem") and path.is_file():
            with suppress(MalformedCertificate, ValueError):
                certificates += [decode_certificate(der) for der in certificates_in(path)]
    constraints = [one.name_constraints for one in certificates if one.name_constraints is not None]
    assert len(certificates) > 400
    assert len(constraints) > 20
    answers = [is_permitted(limit, one) for limit in constraints for one in certificates]
    assert {True, False} == set(answers)
