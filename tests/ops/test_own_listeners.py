"""Which connections would reach a listener of this service."""

from ipaddress import ip_address

import pytest

from otpc_policy.core.registries.networks import IPAddress
from otpc_policy.ops.own_listeners import OwnListeners, is_local

_OF_THIS_MACHINE = {ip_address("192.0.2.1"), ip_address("2001:db8::1")}


def _is_local(address: IPAddress) -> bool:
    return address.is_loopback or address in _OF_THIS_MACHINE


@pytest.mark.parametrize(
    ("listener", "target", "reached"),
    [
        (("192.0.2.1", 443), ("192.0.2.1", 443), True),
        (("192.0.2.1", 443), ("192.0.2.1", 8443), False),
        (("192.0.2.1", 443), ("192.0.2.2", 443), False),
        (("192.0.2.1", 443), ("127.0.0.1", 443), False),
        (("127.0.0.1", 443), ("127.0.0.1", 443), True),
        (("127.0.0.1", 443), ("0.0.0.0", 443), True),
        (("127.0.0.1", 443), ("::", 443), True),
        (("localhost", 443), ("127.0.0.1", 443), True),
        (("127.0.0.1", 443), ("::ffff:127.0.0.1", 443), True),
        (("::ffff:127.0.0.1", 443), ("127.0.0.1", 443), True),
        (("127.0.0.1", 443), ("64:ff9b::7f00:1", 443), True),
        (("127.0.0.1", 443), ("2002:7f00:1::", 443), True),
        (("0.0.0.0", 443), ("127.9.9.9", 443), True),
        (("0.0.0.0", 443), ("192.0.2.1", 443), True),
        (("0.0.0.0", 443), ("2001:db8::1", 443), True),
        (("0.0.0.0", 443), ("192.0.2.2", 443), False),
        (("0.0.0.0", 443), ("192.0.2.1", 8443), False),
        (("::", 443), ("192.0.2.1", 443), True),
        (("::", 443), ("::1", 443), True),
        (("::", 443), ("2001:db8::2", 443), False),
        # What a name stands for cannot be found out: any address of this machine may be meant.
        (("no-such-host.invalid", 443), ("192.0.2.1", 443), True),
        (("no-such-host.invalid", 443), ("192.0.2.2", 443), False),
    ],
)
def test_a_connection_reaches_a_listener_by_port_and_every_form_of_its_address(
    listener: tuple[str, int], target: tuple[str, int], reached: bool
) -> None:
    assert OwnListeners([listener], is_local=_is_local).has(*target) is reached


def test_another_program_of_the_service_can_be_given_the_same_listeners() -> None:
    first = OwnListeners([("127.0.0.1", 443), ("::", 9464)])
    assert sorted(first.pairs()) == [("127.0.0.1", 443), ("::", 9464)]
    assert OwnListeners(first.pairs()).has("127.0.0.1", 9464)


def test_the_kernel_knows_the_addresses_of_this_machine() -> None:
    for own in ("127.0.0.1", "127.1.2.3", "::1", "0.0.0.0"):
        assert is_local(ip_address(own))
    for other in ("192.0.2.1", "2001:db8::1"):
        assert not is_local(ip_address(other))
