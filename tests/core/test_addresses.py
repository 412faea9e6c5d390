"""The egress guard: what may be dialled."""

from ipaddress import IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpc_policy.core.addresses import AddressVetting, VettedAddress, vet_again
from otpc_policy.core.facts import ForbiddenAddress
from otpc_policy.core.registries.networks import AddressClass, classify, embedded_ipv4


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


# RFC 6052, section 2.4: one IPv4 address under prefixes of all lengths.
_RFC_6052 = {
    "2001:db8::/32": "2001:db8:c000:221::",
    "2001:db8:100::/40": "2001:db8:1c0:2:21::",
    "2001:db8:122::/48": "2001:db8:122:c000:2:2100::",
    "2001:db8:122:300::/56": "2001:db8:122:3c0:0:221::",
    "2001:db8:122:344::/64": "2001:db8:122:344:c0:2:2100::",
    "2001:db8:122:344::/96": "2001:db8:122:344::192.0.2.33",
    "64:ff9b::/96": "64:ff9b::192.0.2.33",
}


@pytest.mark.parametrize(("prefix", "address"), _RFC_6052.items())
def test_an_embedded_address_is_read_as_the_rfc_has_it(prefix: str, address: str) -> None:
    embedded = embedded_ipv4(ip_address(address), [IPv6Network(prefix)])
    assert embedded == (ip_address("192.0.2.33"),)


# The same with a public and with a private address, under prefixes of public address space.
_NETWORK = "2a00:1234"
_UNDER = {
    f"{_NETWORK}::/32": (f"{_NETWORK}:808:808::", f"{_NETWORK}:a00:1::"),
    f"{_NETWORK}:100::/40": (f"{_NETWORK}:108:808:8::", f"{_NETWORK}:10a:0:1::"),
    f"{_NETWORK}:1::/48": (f"{_NETWORK}:1:808:8:800::", f"{_NETWORK}:1:a00:0:100::"),
    f"{_NETWORK}:1:200::/56": (f"{_NETWORK}:1:208:8:808::", f"{_NETWORK}:1:20a:0:1::"),
    f"{_NETWORK}:1:2::/64": (f"{_NETWORK}:1:2:8:808:800::", f"{_NETWORK}:1:2:a:0:100::"),
    f"{_NETWORK}:1:2::/96": (f"{_NETWORK}:1:2::808:808", f"{_NETWORK}:1:2::a00:1"),
}


@pytest.mark.parametrize("prefix", _UNDER)
def test_an_address_under_a_translators_prefix_leads_where_ipv4_leads(prefix: str) -> None:
    public, private = _UNDER[prefix]
    known = [IPv6Network(prefix)]
    vetting = AddressVetting(nat64_prefixes=known)
    assert isinstance(vetting.vet(public), VettedAddress)
    refused = vetting.vet(private)
    assert isinstance(refused, ForbiddenAddress)
    assert "private" in refused.reason
    opened = AddressVetting([ip_network("10.0.0.0/8")], nat64_prefixes=known).vet(private)
    assert isinstance(opened, VettedAddress)
    assert vet_again(opened.text, opened.opened) == opened
    # Whoever knows no such translator sees a public address.
    assert isinstance(AddressVetting().vet(private), VettedAddress)


@pytest.mark.parametrize("octet", range(256))
def test_the_u_octet_hides_nothing(octet: int) -> None:
    private = int(ip_address(_UNDER[f"{_NETWORK}:1::/48"][1])) | octet << 56
    vetting = AddressVetting(nat64_prefixes=[IPv6Network(f"{_NETWORK}:1::/48")])
    assert isinstance(vetting.vet(str(IPv6Address(private))), ForbiddenAddress)


def test_metadata_addresses_stay_forbidden_under_a_translators_prefix() -> None:
    everything = [ip_network("0.0.0.0/0"), ip_network("::/0")]
    vetting = AddressVetting(everything, nat64_prefixes=[IPv6Network("fd00:64::/96")])
    assert isinstance(vetting.vet("fd00:64::a9fe:a9fe"), ForbiddenAddress)
    assert isinstance(vetting.vet("fd00:64::a00:1"), VettedAddress)


@pytest.mark.parametrize(
    "private",
    [
        "64:ff9b:1:a00:0:100::",
        "64:ff9b:1:20a:0:1::",
        "64:ff9b:1:2:a:0:100::",
        "64:ff9b:1:2::a00:1",
        # Public where a prefix of 96 bits has it, private where one of 48 bits does.
        "64:ff9b:1:a00:0:100:808:808",
    ],
)
def test_under_the_local_use_prefix_every_length_is_read(private: str) -> None:
    vetting = AddressVetting([ip_network("64:ff9b:1::/48")])
    assert isinstance(vetting.vet(private), ForbiddenAddress)
    assert isinstance(vetting.vet("64:ff9b:1::808:808"), VettedAddress)
    assert isinstance(vetting.vet("64:ff9b:1:808:8:800::"), VettedAddress)


def test_a_length_that_is_known_is_the_only_one_to_be_read_under_the_local_use_prefix() -> None:
    opened = [ip_network("64:ff9b:1::/48")]
    known = AddressVetting(opened, nat64_prefixes=[IPv6Network("64:ff9b:1:a00::/96")])
    assert isinstance(known.vet("64:ff9b:1:a00::808:808"), VettedAddress)
    assert isinstance(known.vet("64:ff9b:1:a00::a00:1"), ForbiddenAddress)


def test_only_the_guard_makes_a_vetted_address() -> None:
    with pytest.raises(TypeError, match="only AddressVetting"):
        VettedAddress(ip_address("127.0.0.1"), seal=object())


@given(st.ip_addresses())
def test_every_address_has_one_class_and_only_global_passes_unopened(address: object) -> None:
    vetted = AddressVetting().vet(str(address))
    assert isinstance(vetted, VettedAddress) is (
        classify(ip_address(str(address))) is AddressClass.GLOBAL
    )
