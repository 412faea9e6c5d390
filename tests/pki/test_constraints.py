"""Name constraints: what lies within, compared with a reader that compares each with each, and what
that costs.
"""

import ipaddress
import random
from collections.abc import Sequence
from contextlib import suppress

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from otpc_policy.core.errors import MalformedCertificate
from otpc_policy.pki.budget import TooComplexError, Work, WorkBudget
from otpc_policy.pki.certificate import decode_certificate
from otpc_policy.pki.constraints import ConstraintChecks
from otpc_policy.pki.decoded_certificate import DecodedCertificate
from otpc_policy.pki.extensions import (
    NAME_CONSTRAINTS,
    Extension,
    NameConstraints,
    read_extensions,
)
from otpc_policy.pki.lenient_decoding import DECODING_ERRORS, decoding_leniently
from otpc_policy.pki.subtrees import Fence, Names
from tests.pki.constraint_oracle import permits
from tests.pki.test_certificate import X509_VECTORS, certificates_in
from tests.support.forging import (
    ROOT,
    alternative_names,
    authority,
    decoded,
    leaf,
    name_constraints,
    organization,
)
from tests.support.signing import der_element


def read(constraints: x509.NameConstraints) -> NameConstraints:
    der = constraints.public_bytes()
    alone = Extension(oid=NAME_CONSTRAINTS, is_critical=True, content=(0, len(der)))
    found = read_extensions(der, [alone]).name_constraints
    assert found is not None
    return found


def is_permitted(constraints: x509.NameConstraints, one: DecodedCertificate) -> bool:
    return Fence.of(read(constraints)).permits(Names.of(one))


def names(*rdns: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in rdns])


@pytest.mark.parametrize(
    ("permitted", "excluded", "name", "expected"),
    [
        # RFC 5280 4.2.1.10: labels added on the left; a wildcard stands for everything below, so
        # all of it must be permitted.
        ((".partner.test",), (), "partner.test", False),
        ((".partner.test",), (), "api.partner.test", True),
        ((".partner.test",), (), "*.partner.test", True),
        ((), (".partner.test",), "partner.test", True),
        ((), (".partner.test",), "api.partner.test", False),
        ((), (".partner.test",), "*.partner.test", False),
        ((), (".api.partner.test",), "*.partner.test", True),
        ((), (".mil",), "partner.test", True),
        ((), (".",), "partner.test", False),
        ((".",), (), "partner.test", False),
        (("partner.test.",), (), "partner.test", False),
        ((), ("partner.test.",), "partner.test", False),
        (("partner.test",), (), "a_b.partner.test", True),
        ((), ("a_b.partner.test",), "a_b.partner.test", False),
        (("partner.test",), (), "partner.test.", False),
        ((), ("other.test",), "partner.test.", False),
        (("api.partner.test",), (), "*.partner.test", False),
        (("partner.test",), (), "*.partner.test", True),
        (("test",), (), "*.partner.test", True),
        ((), ("api.partner.test",), "*.partner.test", False),
        ((), ("a.api.partner.test",), "*.partner.test", True),
        ((), ("other.test",), "*.partner.test", True),
        ((), ("partner.test",), "*.partner.test", False),
        ((), ("",), "partner.test", False),
        (("",), (), "partner.test", True),
        (("192.0.2.0/24",), (), "partner.test", True),
    ],
)
def test_dns_names(
    permitted: Sequence[str], excluded: Sequence[str], name: str, expected: bool
) -> None:
    assert (
        is_permitted(name_constraints(permitted, excluded), decoded(leaf(ROOT, dns=(name,))))
        is expected
    )


@pytest.mark.parametrize(
    ("subtree", "subject", "expected"),
    [
        (
            names((NameOID.COUNTRY_NAME, "TR")),
            names((NameOID.COUNTRY_NAME, "TR"), (NameOID.ORGANIZATION_NAME, "Partner")),
            True,
        ),
        (
            names((NameOID.COUNTRY_NAME, "TR"), (NameOID.ORGANIZATION_NAME, "Partner")),
            names((NameOID.COUNTRY_NAME, "TR")),
            False,
        ),
        (
            names((NameOID.ORGANIZATION_NAME, "Partner")),
            names((NameOID.COUNTRY_NAME, "TR"), (NameOID.ORGANIZATION_NAME, "Partner")),
            False,
        ),
        (organization("partner  LTD"), organization("Partner Ltd"), True),
        (organization("Partner"), organization("Partner Ltd"), False),
        (names(), organization("Partner"), True),
    ],
)
def test_subjects(subtree: x509.Name, subject: x509.Name, expected: bool) -> None:
    """A subject lies within a name whose parts it begins with; excluding is the same the other way
    round.
    """
    server, limit = decoded(leaf(ROOT, subject=subject)), x509.DirectoryName(subtree)
    assert is_permitted(name_constraints(permitted=[limit]), server) is expected
    assert is_permitted(name_constraints(excluded=[limit]), server) is not expected


@pytest.mark.parametrize(
    ("excluded", "subject"),
    [
        ("Evil", "\uff25\uff56\uff49\uff4c"),
        ("\uff25\uff56\uff49\uff4c", "evil"),
        ("\u00c9vil", "E\u0301vil"),
        ("E\u0301vil", "\u00e9VIL"),
        *(
            ("Evil", f"Ev{nothing}il")
            for nothing in "\u00ad\u034f\u180e\u200b\u200d\u2060\u3164\ufe0f\ufeff\U000e0041"
        ),
        ("Evil Ltd", "Evil\u00a0\u200b\u3000Ltd"),
        ("\u00c5ngstr\u00f6m", "\u212bngstro\u0308m"),
        ("Evil", "Evil" + "\u0301" * 200),
    ],
)
def test_no_subject_escapes_exclusion_by_how_it_is_written(excluded: str, subject: str) -> None:
    """Permitted are only names that RFC 5280 7.1 calls equal without doubt. Source: RFC 4518 2."""
    server = decoded(leaf(ROOT, subject=_unchecked_organization(subject)))
    limit = x509.DirectoryName(_unchecked_organization(excluded))
    assert not is_permitted(name_constraints(excluded=[limit]), server)
    assert not is_permitted(name_constraints(permitted=[limit]), server)


@pytest.mark.parametrize("subject", ["\u0415vil", "Evi\u0142", "\u00c9vil"])
def test_letters_that_only_look_alike_are_others(subject: str) -> None:
    server = decoded(leaf(ROOT, subject=organization(subject)))
    limit = x509.DirectoryName(organization("Evil"))
    assert is_permitted(name_constraints(excluded=[limit]), server)


def test_an_excluded_subtree_that_is_too_long_to_be_prepared_excludes_all() -> None:
    server = decoded(leaf(ROOT, subject=organization("Partner")))
    limit = x509.DirectoryName(_unchecked_organization("\u00e9" * 129))
    assert not is_permitted(name_constraints(excluded=[limit]), server)


def _unchecked_organization(name: str) -> x509.Name:
    """Return a name without the bounds of RFC 5280 A.1."""
    oid = NameOID.ORGANIZATION_NAME
    return x509.Name([x509.NameAttribute(oid, name, _validate=False)])


MAIL, URI = x509.RFC822Name, x509.UniformResourceIdentifier


@pytest.mark.parametrize(
    ("name", "subtree", "is_inside"),
    [
        (MAIL("u@a.example"), MAIL("a.example"), True),
        (MAIL("u@A.Example"), MAIL("a.example"), True),
        (MAIL("u@x.a.example"), MAIL("a.example"), False),
        (MAIL("u@x.a.example"), MAIL(".a.example"), True),
        (MAIL("u@a.example"), MAIL(".a.example"), False),
        (MAIL("u@a.example"), MAIL("u@a.example"), True),
        (MAIL("u@A.EXAMPLE"), MAIL("u@a.example"), True),
        (MAIL("U@a.example"), MAIL("u@a.example"), False),
        (MAIL("v@a.example"), MAIL("u@a.example"), False),
        (URI("https://a.example/x"), URI("a.example"), True),
        (URI("https://A.EXAMPLE:8443"), URI("a.example"), True),
        (URI("https://x.a.example/"), URI("a.example"), False),
        (URI("https://x.a.example/"), URI(".a.example"), True),
        (URI("https://a.example?x=1"), URI("a.example"), True),
        (URI("ldap://b.example/a.example"), URI("a.example"), False),
    ],
)
def test_mail_addresses_and_uris(
    name: x509.GeneralName, subtree: x509.GeneralName, is_inside: bool
) -> None:
    """Inside is permitted, or excluded; outside the other way round."""
    server = decoded(
        leaf(ROOT, plus=[(alternative_names(("partner.test",), others=[name]), False)])
    )
    assert is_permitted(name_constraints(permitted=[subtree]), server) is is_inside
    assert is_permitted(name_constraints(excluded=[subtree]), server) is not is_inside


@pytest.mark.parametrize(
    ("name", "subtree"),
    [
        (URI("https://a@b.example/"), URI("b.example")),
        (URI("https://192.0.2.1/"), URI("b.example")),
        (URI("https://[2001:db8::1]/"), URI("b.example")),
        (URI("urn:b.example"), URI("b.example")),
        (URI("https://b.example./"), URI("b.example")),
        (x509.RegisteredID(NameOID.COMMON_NAME), x509.RegisteredID(NameOID.COUNTRY_NAME)),
        (
            x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x01a"),
            x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x01b"),
        ),
        (
            x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9"), b"\x0c\x05u@a.b"),
            MAIL("a.b"),
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_where_its_kind_is_constrained_and_nowhere_else(
    name: x509.GeneralName, subtree: x509.GeneralName
) -> None:
    with_name = alternative_names(("partner.test",), others=[name])
    server, without = decoded(leaf(ROOT, plus=[(with_name, False)])), decoded(leaf(ROOT))
    for constraints in (
        name_constraints(permitted=[subtree]),
        name_constraints(excluded=[subtree]),
    ):
        assert not is_permitted(constraints, server)
        assert is_permitted(constraints, without)
    assert is_permitted(name_constraints(permitted=["partner.test"]), server)


def test_other_names_of_another_type_are_not_constrained() -> None:
    """OpenSSL, too, tells otherNames apart by their type."""
    name = x509.OtherName(x509.ObjectIdentifier("1.2.3.4"), b"\x0c\x01a")
    subtree = x509.OtherName(x509.ObjectIdentifier("1.2.3.5"), b"\x0c\x01a")
    server = decoded(
        leaf(ROOT, plus=[(alternative_names(("partner.test",), others=[name]), False)])
    )
    assert is_permitted(name_constraints(excluded=[subtree]), server)


def test_a_mail_address_in_the_subject_counts_always() -> None:
    """As for OpenSSL. RFC 5280 4.2.1.10 demands it where there is no subjectAltName."""
    subject = names((NameOID.EMAIL_ADDRESS, "a@other.test"))
    for without in ([], [x509.SubjectAlternativeName]):
        server = decoded(leaf(ROOT, subject=subject, without=without))
        assert not is_permitted(name_constraints(permitted=[MAIL("partner.test")]), server)
        assert not is_permitted(name_constraints(excluded=[MAIL("other.test")]), server)
        assert is_permitted(name_constraints(permitted=[MAIL("other.test")]), server)


@pytest.mark.parametrize("address", ["Somebody <a@other.test>", "not an address", "@other.test"])
def test_what_is_no_mail_address_is_refused_where_they_are_constrained(address: str) -> None:
    """x509.RFC822Name takes no such text; a subject holds what it holds."""
    middle = decoded(authority("Middle", by=ROOT, edit=None, plus=()))
    subject = names((NameOID.EMAIL_ADDRESS, address))
    one = decoded(leaf(ROOT, subject=subject, without=[x509.SubjectAlternativeName]))
    assert not is_permitted(name_constraints(excluded=[x509.RFC822Name("partner.test")]), one)
    assert is_permitted(name_constraints(excluded=[x509.RFC822Name("partner.test")]), middle)


def checks(units: int = 40_000) -> ConstraintChecks:
    return ConstraintChecks(WorkBudget(units))


def test_self_issued_authorities_need_no_permission() -> None:
    """RFC 5280 6.1.3 (b): unless it is the last of the path."""
    fence = [(name_constraints(permitted=[x509.DirectoryName(organization("Partner"))]), True)]
    root = authority("Fence", plus=fence)
    renewed = authority("Fence", by=root)
    server = decoded(leaf(renewed, subject=organization("Partner")))
    assert checks().permit((server, decoded(renewed), decoded(root)))
    assert not checks().permit((server, decoded(authority("Another", by=root)), decoded(root)))


def test_each_pair_is_compared_once_and_each_certificate_is_folded_once() -> None:
    fence = [(name_constraints(permitted=["partner.test"]), True)]
    root = decoded(authority("Fence", plus=fence))
    twin = decoded(authority("Fence", plus=fence))
    server = decoded(leaf(ROOT, dns=[f"a{number}.partner.test" for number in range(1000)]))
    found = checks()
    assert found.permits(root, server)
    first = found.budget.spent[Work.COMPARISONS]
    assert found.permits(root, server)
    assert found.budget.spent[Work.COMPARISONS] == first
    assert found.permits(twin, server)
    second = found.budget.spent[Work.COMPARISONS] - first
    assert second < first - server.cost.whole // 2 + twin.cost.whole


@pytest.mark.parametrize(
    ("excluded", "dns", "expected"),
    [
        ("*.partner.test", "api.partner.test", False),
        ("*.partner.test", "partner.test", True),
        ("part ner.test", "partner.test", False),
        ("https://other.test/", "partner.test", False),
    ],
)
def test_an_excluded_subtree_of_no_meaning_excludes_what_it_may_have_meant(
    excluded: str, dns: str, expected: bool
) -> None:
    """cryptography writes no such subtree. Permitted, it permits nothing."""
    base = der_element(0x30, der_element(0x82, excluded.encode()))
    for tag, is_permitted_by_it in ((0xA1, expected), (0xA0, False)):
        value = der_element(0x30, der_element(tag, base))
        odd = x509.UnrecognizedExtension(x509.NameConstraints.oid, value)
        fence = decoded(authority("Odd", plus=[(odd, True)]))
        assert checks().permits(fence, decoded(leaf(ROOT, dns=(dns,)))) is is_permitted_by_it


def _cost_of(permitted: Sequence[str], dns: Sequence[str]) -> int:
    fence = decoded(authority("Fence", plus=[(name_constraints(permitted=permitted), True)]))
    found = checks()
    assert found.permits(fence, decoded(leaf(ROOT, dns=dns)))
    return found.budget.spent[Work.COMPARISONS]


def test_names_and_subtrees_add_and_do_not_multiply() -> None:
    """Ten times as many of both cost ten times as much, and not a hundred times."""
    small = _cost_of(
        [f"b{number}.test" for number in range(99)] + ["test"],
        [f"a{number}.test" for number in range(100)],
    )
    large = _cost_of(
        [f"b{number}.test" for number in range(999)] + ["test"],
        [f"a{number}.test" for number in range(1000)],
    )
    assert large < 12 * small


def test_what_cannot_be_paid_for_is_not_compared() -> None:
    """A unit less than the cost, and the result is unknown, neither permitted nor refused."""
    fence = decoded(authority("Fence", plus=[(name_constraints(permitted=["test"]), True)]))
    server = decoded(leaf(ROOT, dns=["a.test", "b.test"]))
    enough = checks()
    assert enough.permits(fence, server)
    cost = enough.budget.spent[Work.COMPARISONS]
    assert checks(cost).permits(fence, server)
    for units in range(cost):
        with pytest.raises(TooComplexError):
            checks(units).permits(fence, server)


def _domain(dice: random.Random) -> str:
    return ".".join(dice.choices(("", "a", "b", "ab", "A", "test"), k=dice.randint(1, 4)))


def _some_name(dice: random.Random, *, is_subtree: bool) -> x509.GeneralName:
    match dice.randrange(5):
        case 0 | 1:
            return x509.DNSName(
                _domain(dice) if is_subtree or dice.random() < 0.6 else "*." + _domain(dice)
            )
        case 2:
            address = (
                f"10.0.{dice.randrange(3)}.{dice.randrange(3)}"
                if dice.random() < 0.6
                else f"2001:db8::{dice.randrange(3)}"
            )
            if not is_subtree:
                return x509.IPAddress(ipaddress.ip_address(address))
            return x509.IPAddress(
                ipaddress.ip_network((address, dice.choice((0, 8, 24, 30, 32))), strict=False)
            )
        case 3:
            kinds = (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)
            return x509.DirectoryName(
                names(
                    *(
                        (dice.choice(kinds), dice.choice(("a", " A", "b")))
                        for _ in range(dice.randrange(3))
                    )
                )
            )
        case _:
            return dice.choice(
                (
                    URI(_domain(dice) if is_subtree else f"https://{_domain(dice)}/"),
                    MAIL(dice.choice(("a@a.test", "b@b.a.test"))),
                    MAIL._init_without_validation(_domain(dice) if is_subtree else "a@a.b.test"),
                    x509.RegisteredID(NameOID.COMMON_NAME),
                )
            )


@pytest.mark.parametrize("seed", range(20))
def test_tables_answer_as_a_comparison_of_each_with_each_does(seed: int) -> None:
    dice = random.Random(seed)
    answers = set()
    for _ in range(25):
        others = [_some_name(dice, is_subtree=False) for _ in range(dice.randrange(4))]
        subject = names(
            *(
                (NameOID.ORGANIZATION_NAME, dice.choice(("a", "b")))
                for _ in range(dice.randrange(3))
            )
        )
        made = leaf(ROOT, subject=subject, plus=[(alternative_names(others=others), False)])
        one, loaded = decoded(made), made.certificate
        for _ in range(20):
            sides = [
                [_some_name(dice, is_subtree=True) for _ in range(dice.randrange(4))]
                for _ in range(2)
            ]
            constraints = (
                name_constraints(*sides) if any(sides) else name_constraints([x509.DNSName("test")])
            )
            answer = is_permitted(constraints, one)
            expected = permits(constraints, loaded)
            assert answer is expected, (constraints, others, subject)
            answers.add(answer)
    assert answers == {True, False}


def test_any_certificate_can_be_held_against_any_constraints() -> None:
    """Every readable file of the vectors: odd kinds of names on both sides, and the right answer
    each time.
    """
    certificates = []
    for path in sorted(X509_VECTORS.rglob("*")):
        if path.suffix in (".crt", ".der", ".pem") and path.is_file():
            with (
                decoding_leniently(),
                suppress(MalformedCertificate, *DECODING_ERRORS),
            ):
                for der in certificates_in(path):
                    loaded = x509.load_der_x509_certificate(der)
                    # What cryptography cannot read has other tests.
                    if loaded.extensions is not None and loaded.subject is not None:
                        certificates.append((decode_certificate(der), loaded))
    constraints = [
        found.value
        for _, loaded in certificates
        for found in loaded.extensions
        if isinstance(found.value, x509.NameConstraints)
    ]
    assert len(certificates) > 400
    assert len(constraints) > 20
    fences = [Fence.of(read(limit)) for limit in constraints]
    held = [(Names.of(one), loaded) for one, loaded in certificates]
    answers = [fence.permits(found) for fence in fences for found, _ in held]
    with decoding_leniently():
        assert answers == [permits(limit, loaded) for limit in constraints for _, loaded in held]
    assert {True, False} == set(answers)
