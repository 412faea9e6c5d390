"""Hosts that need no name server pass the same guard and the same choice of families."""

from ipaddress import ip_network

import pytest

from otpc_policy.core.address_selection import AddressSelection
from otpc_policy.core.addresses import AddressVetting
from otpc_policy.core.facts import ResolutionStatus
from otpc_policy.core.known_hosts import KnownHosts

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


def test_static_hosts_go_before_others_and_literals_before_both() -> None:
    asked: list[str] = []

    def others(host: str) -> list[str]:
        asked.append(host)
        return ["127.0.0.9"] if host == "other.test" else []

    known = KnownHosts(HOSTS, SELECTION, ttl_s=30, others=others)
    for host, address in (
        ("both.test", "127.0.0.1"),
        ("127.0.0.3", "127.0.0.3"),
        ("other.test", "127.0.0.9"),
    ):
        found = known.resolution(host)
        assert found is not None
        assert found.addresses[0].text == address
    assert known.resolution("partner.test") is None
    assert asked == ["other.test", "partner.test"]
