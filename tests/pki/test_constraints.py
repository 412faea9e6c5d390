"""Name constraints: what lies within, compared with a reader that compares each with each, and what
that costs.
"""

import ipaddress
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from otpc_policy.core.errors import MalformedCertificate
from otpc_policy.pki.budget import TooComplexError, Work, WorkBudget
from otpc_policy.pki.certificate import DecodedCertificate, decode_certificate
from otpc_policy.pki.constraints import ConstraintChecks
from otpc_policy.pki.subtrees import Fence, Names
from tests.pki.test_certificate import X509_VECTORS, certificates_in
from tests.support.forging import (
    Made,
    alternative_names,
    authority,
    leaf,
    name_constraints,
    organization,
)

ROOT = authority("Root")


def decoded(made: Made) -> DecodedCertificate:
    return decode_certificate(made.der)


def is_permitted(constraints: x509.NameConstraints, one: DecodedCertificate) -> bool:
    return Fence.of(constraints).permits(Names.of(one))


def names(*rdns: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in rdns])


@pytest.mark.parametrize(
    ("permitted", "excluded", "name", "expected"),
    [
        # RFC 5280 4.2.1.10: labels added on the left; a wildcard stands for everything below, so
        # all of it must be permitted.
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


def test_kinds_that_are_not_understood_refuse_names_of_their_kind_and_no_others() -> None:
    uri = x509.UniformResourceIdentifier
    with_uri = decoded(
        leaf(
            ROOT,
            plus=[
                (alternative_names(("partner.test",), others=[uri("https://partner.test/")]), False)
            ],
        )
    )
    without = decoded(leaf(ROOT))
    for constraints in (
        name_constraints(permitted=[uri("partner.test")]),
        name_constraints(excluded=[uri("other.test")]),
    ):
        assert not is_permitted(constraints, with_uri)
        assert is_permitted(constraints, without)


def test_a_mail_address_in_the_subject_counts_without_a_subject_alternative_name() -> None:
    subject = names((NameOID.EMAIL_ADDRESS, "a@other.test"))
    constraints = name_constraints(permitted=[x509.RFC822Name("partner.test")])
    assert not is_permitted(
        constraints, decoded(leaf(ROOT, subject=subject, without=[x509.SubjectAlternativeName]))
    )
    assert is_permitted(constraints, decoded(leaf(ROOT, subject=subject)))


@pytest.mark.parametrize("address", ["a@other.test", "Somebody <a@other.test>", "not an address"])
def test_whatever_is_written_as_a_mail_address_counts_as_one(address: str) -> None:
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


@pytest.mark.parametrize(("many_names", "many_subtrees"), [(1, 100), (100, 1), (100, 100)])
@pytest.mark.parametrize("kind", ["dns", "mail", "uri", "directory", "address"])
def test_the_verifier_is_paid_for_every_comparison_that_it_makes(
    kind: str, many_names: int, many_subtrees: int
) -> None:
    """It compares each name with each subtree, of whatever kinds: a tenth of a unit each, and more
    for what is long.
    """
    by_kind: dict[str, list[x509.GeneralName]] = {
        "dns": [x509.DNSName(f"a{number}.test") for number in range(100)],
        "mail": [x509.RFC822Name(f"a@{number}.test") for number in range(100)],
        "uri": [x509.UniformResourceIdentifier(f"https://{number}.test/") for number in range(100)],
        "directory": [
            x509.DirectoryName(organization(f"Partner {number}")) for number in range(100)
        ],
        "address": [x509.IPAddress(ipaddress.ip_address(number)) for number in range(100)],
    }
    made = by_kind[kind]
    excluded = [f"x{number}.test" for number in range(many_subtrees)]
    fence = decoded(authority("Fence", plus=[(name_constraints(excluded=excluded), True)]))
    server = decoded(
        leaf(
            ROOT,
            plus=[(alternative_names(("partner.test",), others=made[: many_names - 1]), False)],
        )
    )
    units = checks().verifier_units((server, fence))
    assert units >= many_names * many_subtrees // 10
    long = name_constraints(
        excluded=[f"{'x' * 60}.{'y' * 60}.{number}.test" for number in range(many_subtrees)]
    )
    assert (
        checks().verifier_units((server, decoded(authority("Fence", plus=[(long, True)])))) > units
    )


def test_the_verifier_is_paid_for_the_names_of_authorities_too() -> None:
    """It holds constraints against every certificate below, and against the names of the authority
    itself.
    """
    many = [(alternative_names([f"a{number}.test" for number in range(1000)]), False)]
    fence = name_constraints(excluded=["other.test"])
    server, root = decoded(leaf(ROOT)), decoded(authority("Fence", plus=[(fence, True)]))
    middle, own = (
        decoded(authority("Middle", plus=many)),
        decoded(authority("Fence", plus=[(fence, True), *many])),
    )
    few = checks().verifier_units((server, root))
    assert checks().verifier_units((server, middle, root)) > few + 100
    assert checks().verifier_units((server, own)) > few + 100
    assert checks().verifier_units((server, middle)) == 0


def _naively_permitted(constraints: x509.NameConstraints, one: DecodedCertificate) -> bool:
    """RFC 5280 4.2.1.10, each name held against each subtree."""
    permitted, excluded = constraints.permitted_subtrees or [], constraints.excluded_subtrees or []
    for name in _all_names(one):
        same = [subtree for subtree in permitted if type(subtree) is type(name)]
        if same and not any(_lies_within(name, subtree) for subtree in same):
            return False
        if any(_overlaps(name, subtree) for subtree in excluded if type(subtree) is type(name)):
            return False
    return True


def _all_names(one: DecodedCertificate) -> Iterator[x509.GeneralName]:
    yield from one.alternative_names
    if one.subject.rdns:
        yield x509.DirectoryName(one.subject)
    if not one.has_subject_alt_name:
        yield from (
            x509.RFC822Name("any@where")
            for name in one.subject
            if name.oid == NameOID.EMAIL_ADDRESS and str(name.value).isascii()
        )
        if not one.is_ca:
            yield from (x509.DNSName(name) for name in one.view.common_names if name.isascii())


def _lies_within(name: x509.GeneralName, subtree: x509.GeneralName) -> bool:
    match name, subtree:
        case x509.DNSName(), x509.DNSName():
            return _is_below(name.value.removeprefix("*."), subtree.value)
        case x509.IPAddress(), x509.IPAddress():
            address, network = name.value, subtree.value
            is_address = isinstance(address, ipaddress.IPv4Address | ipaddress.IPv6Address)
            return is_address and isinstance(network, Iterable) and address in network
        case x509.DirectoryName(), x509.DirectoryName():
            outer = _folded(subtree.value)
            return _folded(name.value)[: len(outer)] == outer
    return False


def _overlaps(name: x509.GeneralName, subtree: x509.GeneralName) -> bool:
    match name, subtree:
        case x509.DNSName(), x509.DNSName():
            is_above = name.value.startswith("*.") and _is_below(subtree.value, name.value[2:])
            return is_above or _lies_within(name, subtree)
        case (x509.IPAddress(), _) | (x509.DirectoryName(), _):
            return _lies_within(name, subtree)
    return True


def _is_below(name: str, base: str) -> bool:
    name, base = name.lower().removeprefix("."), base.lower().removeprefix(".")
    return not base or name == base or name.endswith("." + base)


def _folded(name: x509.Name) -> list[list[tuple[str, str]]]:
    return [
        sorted((one.oid.dotted_string, " ".join(str(one.value).casefold().split())) for one in rdn)
        for rdn in name.rdns
    ]


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
                    x509.UniformResourceIdentifier("https://a.test/"),
                    x509.RFC822Name("a@a.test"),
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
        one = decoded(leaf(ROOT, subject=subject, plus=[(alternative_names(others=others), False)]))
        for _ in range(20):
            sides = [
                [_some_name(dice, is_subtree=True) for _ in range(dice.randrange(4))]
                for _ in range(2)
            ]
            constraints = (
                name_constraints(*sides) if any(sides) else name_constraints([x509.DNSName("test")])
            )
            answer = is_permitted(constraints, one)
            assert answer is _naively_permitted(constraints, one), (constraints, others, subject)
            answers.add(answer)
    assert answers == {True, False}


def test_any_certificate_can_be_held_against_any_constraints() -> None:
    """Every readable file of the vectors: odd kinds of names on both sides, and the right answer
    each time.
    """
    certificates = []
    for path in sorted(X509_VECTORS.rglob("*")):
        if path.suffix in (".crt", ".der", ".pem") and path.is_file():
            with suppress(MalformedCertificate, ValueError):
                certificates += [decode_certificate(der) for der in certificates_in(path)]
    constraints = [
        certificate.name_constraints
        for certificate in certificates
        if certificate.name_constraints is not None
    ]
    assert len(certificates) > 400
    assert len(constraints) > 20
    answers = [
        is_permitted(limit, certificate) for limit in constraints for certificate in certificates
    ]
    assert answers == [
        _naively_permitted(limit, certificate)
        for limit in constraints
        for certificate in certificates
    ]
    assert {True, False} == set(answers)
