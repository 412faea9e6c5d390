"""What kind of address an IP address is: the registries, and what we add to them."""

from ipaddress import ip_address, ip_network

import pytest

from otpc_policy.core.registries.csv_files import read_columns
from otpc_policy.core.registries.networks import (
    AddressClass,
    classify,
    metadata_addresses,
    registered_networks,
    special_networks,
)
from tests.core.registries.digest import digest_of


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("0.0.0.0", AddressClass.THIS_NETWORK),
        ("10.255.255.255", AddressClass.PRIVATE),
        ("100.127.255.255", AddressClass.SHARED),
        ("192.0.0.9", AddressClass.PROTOCOL_ASSIGNMENT),
        ("192.0.0.171", AddressClass.PROTOCOL_ASSIGNMENT),
        ("192.88.99.1", AddressClass.TRANSLATION),
        ("255.255.255.255", AddressClass.RESERVED),
        ("::", AddressClass.THIS_NETWORK),
        ("::1", AddressClass.LOOPBACK),
        ("::2", AddressClass.TRANSLATION),
        ("64:ff9b::808:808", AddressClass.TRANSLATION),
        ("100::1", AddressClass.PROTOCOL_ASSIGNMENT),
        ("100:0:0:1::1", AddressClass.NOT_GLOBAL_UNICAST),
        ("2001::1", AddressClass.TRANSLATION),
        ("2001:2::1", AddressClass.BENCHMARKING),
        ("2001:20::1", AddressClass.PROTOCOL_ASSIGNMENT),
        ("2001:200::1", AddressClass.GLOBAL),
        ("2002:808:808::1", AddressClass.TRANSLATION),
        ("3fff:fff::1", AddressClass.DOCUMENTATION),
        ("5f00::1", AddressClass.NOT_GLOBAL_UNICAST),
        ("fdff::1", AddressClass.UNIQUE_LOCAL),
        ("febf::1", AddressClass.LINK_LOCAL),
        ("feff::1", AddressClass.SITE_LOCAL),
        ("ff02::1", AddressClass.MULTICAST),
        ("239.1.1.1", AddressClass.MULTICAST),
    ],
)
def test_the_longest_prefix_names_the_kind_of_an_address(address: str, kind: AddressClass) -> None:
    assert classify(ip_address(address)) is kind


def test_footnotes_and_cells_with_several_blocks_are_read_as_iana_publishes_them() -> None:
    rows = [
        ("192.0.0.0/24 [2]", "IETF Protocol Assignments"),
        ("192.0.0.170/32, 192.0.0.171/32", "NAT64/DNS64 Discovery"),
        ("fc00::/7", "Unique-Local"),
        ("2001:f00::/28", "A name that IANA has not used before"),
    ]
    assert list(registered_networks(rows)) == [
        (ip_network("192.0.0.0/24"), AddressClass.PROTOCOL_ASSIGNMENT),
        (ip_network("192.0.0.170/32"), AddressClass.PROTOCOL_ASSIGNMENT),
        (ip_network("192.0.0.171/32"), AddressClass.PROTOCOL_ASSIGNMENT),
        (ip_network("fc00::/7"), AddressClass.UNIQUE_LOCAL),
        (ip_network("2001:f00::/28"), AddressClass.PROTOCOL_ASSIGNMENT),
    ]


def test_no_network_changes_without_notice() -> None:
    networks = special_networks()
    assert [network.prefixlen for network, _ in networks] == sorted(
        (network.prefixlen for network, _ in networks), reverse=True
    )
    assert len(networks) == len({network for network, _ in networks}) == 54
    assert (
        digest_of(sorted(f"{network} {kind.name}" for network, kind in networks))
        == "e56d28da88e1d3957e495111ba7952047eb1a04fe6c07e90b9bb5443ce0c6e37"
    )


def test_kinds_change_only_where_the_table_in_code_had_them_change() -> None:
    """Both sides of every border; the table in code that the files replaced gave this digest."""
    borders = {ip_network("2000::/3"), *(network for network, _ in special_networks())}
    points = sorted(
        {
            (border.version, value + step)
            for border in borders
            for value in (int(border.network_address), int(border.broadcast_address))
            for step in (-1, 0, 1)
            if 0 <= value + step < 1 << border.max_prefixlen
        }
    )
    addresses = [
        ip_address(value.to_bytes(4 if version == 4 else 16, "big")) for version, value in points
    ]
    assert (
        digest_of(f"{address} {classify(address).name}" for address in addresses)
        == "7b8998eb79c66522b503ce88e598a89cfd6170f2e3e6feb80afe43f055130c1c"
    )


def test_every_metadata_address_is_special_and_every_row_of_ours_has_a_reason() -> None:
    assert len(metadata_addresses()) == 11
    assert (
        digest_of(sorted(map(str, metadata_addresses())))
        == "d713268dcb3baed6519b8a19e4941ba56b39124e298663bf5532ecbad4888379"
    )
    for address in metadata_addresses():
        assert classify(address) is AddressClass.METADATA
    reasons = [
        *read_columns("ours/forbidden-networks.csv", "Reason"),
        *read_columns("ours/cloud-metadata-addresses.csv", "Reason"),
    ]
    assert all(reason for (reason,) in reasons)
