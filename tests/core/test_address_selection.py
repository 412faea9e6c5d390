"""Which of a host's addresses are measured, and what is said of the others."""

from ipaddress import ip_network

import pytest

from otpc_policy.core.address_selection import AddressSelection, DialledFamilies
from otpc_policy.core.addresses import AddressVetting, Resolution
from otpc_policy.core.facts import ResolutionStatus


def select(
    *texts: str,
    families: DialledFamilies = "routed",
    routed: str = "IPv4 IPv6",
    unresolved: tuple[str, ...] = (),
    opened: tuple[str, ...] = ("127.0.0.0/8", "::1/128"),
) -> Resolution:
    selection = AddressSelection(
        AddressVetting(map(ip_network, opened)),
        families=families,
        has_route=lambda text: ("IPv6" if ":" in text else "IPv4") in routed,
    )
    return selection.resolution(texts, ttl_s=60, unresolved=unresolved)


def test_addresses_are_in_a_fixed_order_without_duplicates_and_mapped_forms() -> None:
    found = select("::1", "127.0.0.10", "127.0.0.9", "::ffff:127.0.0.9", "127.0.0.9")
    assert [one.text for one in found.addresses] == ["127.0.0.9", "127.0.0.10", "::1"]


def test_a_ninth_address_is_unknown() -> None:
    found = select(*(f"127.0.0.{number}" for number in range(1, 11)))
    assert len(found.addresses) == 8
    assert [one.address for one in found.left_out] == ["127.0.0.9", "127.0.0.10"]


@pytest.mark.parametrize(
    "choice",
    [{"routed": "IPv4"}, {"families": ("IPv4",)}],
    ids=["routed", "chosen"],
)
def test_a_family_that_is_not_dialled_is_named_and_left_out(choice: dict[str, str]) -> None:
    both = select("127.0.0.1", "::1", **choice)  # type: ignore[arg-type]
    assert [one.text for one in both.addresses] == ["127.0.0.1"]
    assert both.omitted_families == ("IPv6",)
    alone = select("::1", **choice)  # type: ignore[arg-type]
    assert (alone.addresses, [one.address for one in alone.left_out]) == ((), ["::1"])


def test_a_forbidden_address_of_a_family_that_is_not_dialled_forbids_all_the_same() -> None:
    found = select("127.0.0.1", "fd00::1", families=("IPv4",))
    assert found.status is ResolutionStatus.FORBIDDEN


@pytest.mark.parametrize(
    ("routed", "opened", "is_unknown"),
    [
        ("IPv4 IPv6", ("127.0.0.0/8",), True),
        ("IPv4", ("127.0.0.0/8",), False),
        ("IPv4", ("127.0.0.0/8", "fd00::/8"), True),
    ],
    ids=["routed", "not routed", "not routed but opened"],
)
def test_an_unresolved_family_counts_wherever_an_address_of_it_could_be_dialled(
    routed: str,
    opened: tuple[str, ...],
    is_unknown: bool,
) -> None:
    found = select("127.0.0.1", routed=routed, opened=opened, unresolved=("IPv6",))
    assert found.unresolved_families == (("IPv6",) if is_unknown else ())
    assert found.omitted_families == (() if is_unknown else ("IPv6",))
