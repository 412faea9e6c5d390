"""What reading a certificate will cost: counted before, never less than it holds, whatever its
bytes are.
"""

import ipaddress
import sys
import time

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from otpc_policy.pki.certificate import decode_certificate
from otpc_policy.pki.decoding_cost import decoding_cost
from tests.pki.test_certificate import certificates_in, x509_files
from tests.support import forging
from tests.support.forging import alternative_names, leaf, name_constraints, organization
from tests.support.signing import der_element

_MANY = 500


def _leaf(**options: object) -> bytes:
    return leaf(None, **options).der  # type: ignore[arg-type]


def _cost(der: bytes) -> int:
    return decoding_cost(der, sys.maxsize).whole


PLAIN = _leaf()
_RDNS = x509.Name(
    [x509.NameAttribute(NameOID.ORGANIZATION_NAME, f"o{number}") for number in range(_MANY)]
)
_DIRECTORIES = [x509.DirectoryName(organization(f"o{number}")) for number in range(_MANY)]
_ADDRESSES = [x509.IPAddress(ipaddress.ip_address(number)) for number in range(_MANY)]
_NETWORKS = [x509.IPAddress(ipaddress.ip_network((number << 64, 64))) for number in range(_MANY)]


@pytest.mark.parametrize(
    ("der", "units"),
    [
        pytest.param(_leaf(dns=[f"a{number}.test" for number in range(_MANY)]), 1, id="DNS names"),
        pytest.param(_leaf(dns=[""] * _MANY), 1, id="empty names"),
        pytest.param(
            _leaf(plus=[(alternative_names(others=[x509.RFC822Name("a@b")] * _MANY), False)]),
            1,
            id="mail addresses",
        ),
        pytest.param(
            _leaf(plus=[(alternative_names(others=_ADDRESSES), False)]), 4, id="IPv4 addresses"
        ),
        pytest.param(
            _leaf(plus=[(alternative_names(others=_DIRECTORIES), False)]), 6, id="directory names"
        ),
        pytest.param(_leaf(subject=_RDNS), 7, id="relative names"),
        pytest.param(
            _leaf(plus=[(name_constraints(excluded=["a"] * _MANY), True)]), 2, id="subtrees"
        ),
        pytest.param(
            _leaf(plus=[(name_constraints(excluded=_NETWORKS), True)]), 18, id="IPv6 networks"
        ),
        pytest.param(
            _leaf(
                plus=[
                    (
                        x509.UnrecognizedExtension(
                            x509.ObjectIdentifier("1.2.3"), b"\x04" * 48 * _MANY
                        ),
                        False,
                    )
                ]
            ),
            1,
            id="bytes",
        ),
    ],
)
def test_every_name_costs_at_least_what_making_it_takes(der: bytes, units: int) -> None:
    """Units are microseconds; units: what one of the many was seen to take."""
    assert units * _MANY <= _cost(der) - _cost(PLAIN) <= 5 * units * _MANY + 300


def test_long_object_identifiers_cost_more() -> None:
    """Those of 64 octets take 9 to 15 microseconds each, by what is in them."""
    longest = [x509.ObjectIdentifier("1.2." + ".".join(["16383"] * 31)) for _ in range(_MANY)]
    short = [x509.ObjectIdentifier("1.2.3") for _ in range(_MANY)]
    costs = [
        _cost(_leaf(plus=[(x509.ExtendedKeyUsage(purposes), False)]))
        for purposes in (short, longest)
    ]
    assert costs[1] - costs[0] >= 15 * _MANY


def test_only_what_is_outside_extensions_counts_for_whoever_does_not_read_them() -> None:
    plain, many = (
        decoding_cost(PLAIN, sys.maxsize),
        decoding_cost(_leaf(dns=["a.test"] * _MANY), sys.maxsize),
    )
    assert many.outside == plain.outside
    assert (
        decoding_cost(_leaf(dns=["a.test"] * _MANY), sys.maxsize, inside=False).outside
        == plain.outside
    )
    assert decoding_cost(_leaf(subject=_RDNS), sys.maxsize).outside > 7 * _MANY


def test_counting_stops_above_what_may_be_spent() -> None:
    many = _leaf(dns=[""] * 20_000)
    for at_most in (0, 1, 100, 1000, 10_000):
        assert at_most < decoding_cost(many, at_most).whole <= at_most + 1_000
    exact = _cost(many)
    assert decoding_cost(many, exact).whole == exact
    assert decoding_cost(many, exact - 1).whole > exact - 1


@pytest.mark.parametrize("kind", ["sect571r1", "sect163k1"])
def test_a_key_on_a_curve_over_a_binary_field_is_dear(kind: str) -> None:
    """OpenSSL multiplies a point to see whether it is on the curve: more than a millisecond."""
    numbers = {"sect571r1": 39, "sect163k1": 1}
    spki = der_element(
        0x30,
        bytes.fromhex("301006072a8648ce3d020106052b810400")
        + bytes([numbers[kind]])
        + b"\x03\x02\x00\x04",
    )

    def edit(elements: list[bytes]) -> None:
        elements[forging.KEY] = spki

    assert _cost(_leaf(edit=edit)) > _cost(PLAIN) + 1_000


@pytest.mark.parametrize("key", ["ec256", "ec384", "ec521", "ec256k1", "rsa2048"])
def test_an_ordinary_certificate_costs_a_hundredth_of_what_may_be_spent(key: str) -> None:
    assert 100 < _cost(_leaf(key=key)) < 200


def test_a_length_that_lies_hides_nothing_that_follows() -> None:
    """A primitive element that claims to be longer than what holds it: the extension after it is
    counted all the same.
    """
    names = alternative_names([f"a{number}.test" for number in range(_MANY)])
    liar = x509.UnrecognizedExtension(
        x509.ObjectIdentifier("1.2.3.4"), bytes.fromhex("3006048400ffffff")
    )
    der = leaf(None, plus=[(liar, False), (names, False)]).der
    assert decode_certificate(der).has_subject_alt_name
    assert _cost(der) > _MANY
    # A tag of two bytes, of which the second is taken for a length.
    odd = x509.UnrecognizedExtension(
        x509.ObjectIdentifier("1.2.3.4"), bytes.fromhex("30051f8401027fff")
    )
    assert _cost(leaf(None, plus=[(odd, False), (names, False)]).der) > _MANY


def test_nesting_costs_no_stack() -> None:
    nested = b""
    for _ in range(20_000):
        nested = der_element(0x30, nested)
    assert _cost(nested) > 20_000


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"\x30",
        b"\x30\x84",
        b"junk" * 10_000,
        b"\x30\x03\x02\x01",
        b"\x30\x80\x00\x00",
        PLAIN + b"\0",
        PLAIN[:-1],
    ],
)
def test_what_is_no_certificate_is_refused_at_once_and_costs_as_much(der: bytes) -> None:
    assert _cost(der) < 100


def test_every_vector_can_be_counted_in_a_part_of_the_time_it_takes_to_read() -> None:
    ders = [der for path in x509_files() for der in certificates_in(path)]
    began = time.process_time()
    costs = [_cost(der) for der in ders]
    # About 10 microseconds each are seen.
    assert (time.process_time() - began) / len(ders) < 0.001
    assert min(costs) >= 60
