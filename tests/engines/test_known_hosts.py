"""Hosts that need no name server pass the same guard and the same choice of families."""

from ipaddress import ip_network

import pytest

from otpc_policy.core.address_selection import AddressSelection
from otpc_policy.core.addresses import AddressVetting
from otpc_policy.core.facts import ResolutionStatus
from otpc_policy.engines.known_hosts import KnownHosts

SELECTION = AddressSelection(
    AddressVetting([ip_network("127.0.0.0/8"), ip_network("::1/128")]),
    has_route=lambda text: ":" not in text,
)
HOSTS = {
    "both.test": ["::1", "127.0.0.2", "127.0.0.1"],
    "forbidden.test": ["127.0.0.1", "10.0.0.1"],
}
KNOWN = KnownHosts(HOSTS, SELECTION, ttl_s=30)


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("both.test", ["127.0.0.1", "127.0.0.2"]),
        ("127.0.0.1", ["127.0.0.1"]),
        ("::ffff:127.0.0.1", ["127.0.0.1"]),
        ("::1", []),
    ],
)
def test_static_hosts_and_literals_are_known(host: str, addresses: list[str]) -> None:
    found = KNOWN.resolution(host)
    assert found is not None
    assert found.status is ResolutionStatus.RESOLVED
    assert [one.text for one in found.addresses] == addresses
    assert found.ttl.total_seconds() == 30


@pytest.mark.parametrize("host", ["forbidden.test", "10.0.0.1", "169.254.169.254"])
def test_they_pass_the_guard(host: str) -> None:
    found = KNOWN.resolution(host)
    assert found is not None
    assert found.status is ResolutionStatus.FORBIDDEN


def test_a_name_is_not_known_here() -> None:
    assert KNOWN.resolution("partner.test") is None
