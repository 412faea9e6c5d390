"""Who shares with whom, and what a caller is called."""

import pytest

from otpc_policy.core.caller import WITHIN_THIS_PROCESS, Caller, Identity, IdentityKind

ROUTER = Identity(IdentityKind.DNS, "router.example")


@pytest.mark.parametrize(
    ("caller", "label", "share"),
    [
        (WITHIN_THIS_PROCESS, "this process", ("", "")),
        (
            Caller(peer="ipv4:192.0.2.1:4711"),
            "ipv4:192.0.2.1:4711",
            ("ipv4:192.0.2.1", "ipv4:192.0.2.1:4711"),
        ),
        (
            Caller(peer="ipv6:%5B::1%5D:4711"),
            "ipv6:%5B::1%5D:4711",
            ("ipv6:::/64", "ipv6:%5B::1%5D:4711"),
        ),
        (Caller(peer="unix:/run/x"), "unix:/run/x", ("unix:/run/x", "unix:/run/x")),
        (
            Caller(identities=(ROUTER,), peer="ipv4:192.0.2.1:4711"),
            "dns:router.example",
            ("dns:router.example", "dns:router.example"),
        ),
    ],
)
def test_a_caller_is_its_certificate_or_else_its_connection(
    caller: Caller, label: str, share: tuple[str, str]
) -> None:
    assert (caller.label, caller.share) == (label, share)


def test_names_of_different_kinds_differ() -> None:
    assert Identity(IdentityKind.URI, "ops.example") != Identity(IdentityKind.DNS, "ops.example")


@pytest.mark.parametrize(
    ("peer", "group"),
    [
        ("ipv6:%5B2001:db8:0:1::1%5D:1", "ipv6:2001:db8:0:1::/64"),
        ("ipv6:[2001:db8:0:1:ffff::2]:2", "ipv6:2001:db8:0:1::/64"),
        ("ipv6:%5B2001:db8:0:2::1%5D:1", "ipv6:2001:db8:0:2::/64"),
        ("ipv6:%5Bfe80::1%25eth0%5D:1", "ipv6:fe80::/64"),
        ("ipv6:%5B::ffff:192.0.2.1%5D:1", "ipv4:192.0.2.1"),
        ("ipv6:%5Bnone%5D:1", "ipv6:%5Bnone%5D"),
    ],
)
def test_a_machine_gets_no_larger_share_by_more_addresses_of_its_network(
    peer: str, group: str
) -> None:
    assert Caller(peer=peer).share == (group, peer)
