"""The egress guard: what may be dialled."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpc_policy.core.addresses import AddressVetting, VettedAddress
from otpc_policy.core.facts import ForbiddenAddress
from otpc_policy.core.registries.networks import AddressClass, classify


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.1.1",
        "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1",
        "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1",
        "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
        "255.255.255.255", "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1",
        "100::1", "2001::1", "2001:2::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::1",
        "3fff::1", "fc00::1", "fd12::1", "fe80::1", "fec0::1", "ff02::1",
        "4000::1", "5f00::1",
    ],
)  # fmt: skip
def test_whatever_is_not_plainly_global_unicast_is_forbidden(text: str) -> None:
    refused = AddressVetting().vet(text)
    assert isinstance(refused, ForbiddenAddress)
    assert refused.reason


@pytest.mark.parametrize(
    "text",
    [
        "1.1.1.1",
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.0",
        "172.32.0.1",
        "198.20.0.1",
        "223.255.255.255",
        "2606:4700::1111",
        "2a00::1",
    ],
)
def test_global_unicast_may_be_dialled(text: str) -> None:
    vetted = AddressVetting().vet(text)
    assert isinstance(vetted, VettedAddress)
    assert vetted.text == text


@pytest.mark.parametrize(
    "text",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::",
        "::169.254.169.254",
        "168.63.129.16",
        "100.100.100.200",
        "fd00:ec2::254",
    ],
)
def test_metadata_addresses_are_never_reopened_in_any_form(text: str) -> None:
    everything = AddressVetting([ip_network("0.0.0.0/0"), ip_network("::/0")])
    assert isinstance(everything.vet(text), ForbiddenAddress)
    assert classify(ip_address(text)) is AddressClass.METADATA


def test_an_opened_range_is_dialled_and_mapped_forms_are_the_same_address() -> None:
    vetting = AddressVetting([ip_network("127.0.0.0/8")])
    assert vetting.vet("::ffff:127.0.0.1") == vetting.vet("127.0.0.1")
    assert isinstance(vetting.vet("127.0.0.1"), VettedAddress)
    assert isinstance(vetting.vet("10.0.0.1"), ForbiddenAddress)


def test_opening_a_translation_prefix_does_not_open_what_lies_behind_it() -> None:
    vetting = AddressVetting([ip_network("64:ff9b::/96")])
    assert isinstance(vetting.vet("64:ff9b::808:808"), VettedAddress)
    assert isinstance(vetting.vet("64:ff9b::7f00:1"), ForbiddenAddress)
    assert isinstance(
        AddressVetting([ip_network("127.0.0.0/8")]).vet("64:ff9b::7f00:1"), ForbiddenAddress
    )


def test_only_the_guard_makes_a_vetted_address() -> None:
    with pytest.raises(TypeError, match="only AddressVetting"):
        VettedAddress(ip_address("127.0.0.1"), seal=object())


@given(st.ip_addresses())
def test_every_address_has_one_class_and_only_global_passes_unopened(address: object) -> None:
    vetted = AddressVetting().vet(str(address))
    assert isinstance(vetted, VettedAddress) is (
        classify(ip_address(str(address))) is AddressClass.GLOBAL
    )
