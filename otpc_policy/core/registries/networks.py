"""What kind of address an IP address is, for a guard that dials global unicast only.

Everything in IANA's special-purpose registries counts as special, even where they call it globally
reachable: no partner's endpoint is an AS112 or AMT server. `ipaddress.is_global` is not used,
because it accepts NAT64, 6to4 and IPv4-compatible forms of loopback.
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from functools import cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

from otpc_policy.core.registries.csv_files import read_columns

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

_REGISTERED = ("iana/iana-ipv4-special-registry-1.csv", "iana/iana-ipv6-special-registry-1.csv")
_ADDED = "ours/forbidden-networks.csv"
_METADATA = "ours/cloud-metadata-addresses.csv"

_GLOBAL_UNICAST_IPV6: Final = IPv6Network("2000::/3")
_SIX_TO_FOUR: Final = IPv6Network("2002::/16")
_IPV4_COMPATIBLE: Final = IPv6Network("::/96")
_WELL_KNOWN_NAT64: Final = IPv6Network("64:ff9b::/96")
# A network takes any prefix out of this for its translator (RFC 8215), of any length that fits.
_LOCAL_USE_NAT64: Final = IPv6Network("64:ff9b:1::/48")
_THIS_NETWORK_IPV4: Final = IPv4Network("0.0.0.0/8")
# RFC 6052, section 2.2: the lengths that a translator's prefix may have, and bits 64 to 71 (the "u"
# octet), which an embedded address leaves out.
NAT64_PREFIX_LENGTHS: Final = (32, 40, 48, 56, 64, 96)
_AFTER_U: Final = 72
_U_BITS: Final = 8


class AddressClass(Enum):
    """What kind of address it is; the value is for people."""

    GLOBAL = "global unicast"
    THIS_NETWORK = "this network (RFC 1122)"
    PRIVATE = "private (RFC 1918)"
    SHARED = "shared address space of carriers (RFC 6598)"
    LOOPBACK = "loopback"
    LINK_LOCAL = "link-local"
    PROTOCOL_ASSIGNMENT = "IETF protocol assignment (RFC 6890)"
    DOCUMENTATION = "documentation"
    BENCHMARKING = "benchmarking (RFC 2544, RFC 5180)"
    MULTICAST = "multicast"
    RESERVED = "reserved (RFC 1112)"
    UNIQUE_LOCAL = "unique local (RFC 4193)"
    SITE_LOCAL = "site-local, deprecated (RFC 3879)"
    TRANSLATION = "carries an IPv4 address (NAT64, 6to4, Teredo, IPv4-compatible)"
    NOT_GLOBAL_UNICAST = "outside global unicast 2000::/3 (RFC 4291)"
    METADATA = "metadata or host service of a cloud"


_CLASSES: Mapping[str, AddressClass] = {
    '"This network"': AddressClass.THIS_NETWORK,
    '"This host on this network"': AddressClass.THIS_NETWORK,
    "Unspecified Address": AddressClass.THIS_NETWORK,
    "Private-Use": AddressClass.PRIVATE,
    "Shared Address Space": AddressClass.SHARED,
    "Loopback": AddressClass.LOOPBACK,
    "Loopback Address": AddressClass.LOOPBACK,
    "Link Local": AddressClass.LINK_LOCAL,
    "Link-Local Unicast": AddressClass.LINK_LOCAL,
    "Documentation": AddressClass.DOCUMENTATION,
    "Documentation (TEST-NET-1)": AddressClass.DOCUMENTATION,
    "Documentation (TEST-NET-2)": AddressClass.DOCUMENTATION,
    "Documentation (TEST-NET-3)": AddressClass.DOCUMENTATION,
    "Benchmarking": AddressClass.BENCHMARKING,
    "Reserved": AddressClass.RESERVED,
    "Limited Broadcast": AddressClass.RESERVED,
    "Unique-Local": AddressClass.UNIQUE_LOCAL,
    "Deprecated (6to4 Relay Anycast)": AddressClass.TRANSLATION,
    "6to4": AddressClass.TRANSLATION,
    "TEREDO": AddressClass.TRANSLATION,
    "IPv4-IPv6 Translat.": AddressClass.TRANSLATION,
    "IPv4-mapped Address": AddressClass.TRANSLATION,
    "Dummy IPv6 Prefix": AddressClass.NOT_GLOBAL_UNICAST,
    "Segment Routing (SRv6) SIDs": AddressClass.NOT_GLOBAL_UNICAST,
}


def unwrap(address: IPAddress) -> IPAddress:
    """Return the IPv4 address that an IPv4-mapped address means, and any other as it is."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def classify(address: IPAddress, nat64_prefixes: Iterable[IPv6Network] = ()) -> AddressClass:
    """Return what kind of address it is. nat64_prefixes: as of embedded_ipv4.

    Metadata addresses are recognised in every form that carries them.
    """
    plain = unwrap(address)
    metadata = metadata_addresses()
    if plain in metadata or not metadata.isdisjoint(embedded_ipv4(plain, nat64_prefixes)):
        return AddressClass.METADATA
    # The longest prefix that holds the address says the most.
    for network, kind in special_networks():
        if plain.version == network.version and plain in network:
            return kind
    if isinstance(plain, IPv6Address) and plain not in _GLOBAL_UNICAST_IPV6:
        return AddressClass.NOT_GLOBAL_UNICAST
    return AddressClass.GLOBAL


def embedded_ipv4(
    address: IPAddress, nat64_prefixes: Iterable[IPv6Network] = ()
) -> tuple[IPv4Address, ...]:
    """Return every IPv4 address that a translator may read out of an IPv6 one.

    nat64_prefixes: prefixes of this network's translators, of lengths in NAT64_PREFIX_LENGTHS,
    besides the well-known one. Under the local-use prefix, where none of them says how long the
    translator's prefix is, each length that fits is read.
    """
    # "::" and "::1" stand under the prefix of IPv4-compatible addresses, and are none.
    if not isinstance(address, IPv6Address) or address.is_unspecified or address.is_loopback:
        return ()
    if address in _SIX_TO_FOUR:
        return (IPv4Address(int(address) >> 80 & 0xFFFFFFFF),)
    if address in _IPV4_COMPATIBLE or address in _WELL_KNOWN_NAT64:
        return (_translated(address, 96),)
    lengths = {network.prefixlen for network in nat64_prefixes if address in network}
    if lengths or address not in _LOCAL_USE_NAT64:
        return tuple(_translated(address, length) for length in sorted(lengths))
    fitting = [n for n in NAT64_PREFIX_LENGTHS if n >= _LOCAL_USE_NAT64.prefixlen]
    read = {_translated(address, length) for length in fitting}
    # What is read at the wrong place is mostly zeros, and leads nowhere (RFC 1122, 3.2.1.3).
    return tuple(sorted(one for one in read if one not in _THIS_NETWORK_IPV4) or sorted(read))


def _translated(address: IPv6Address, prefix_length: int) -> IPv4Address:
    """Return the IPv4 address under a translator's prefix. Source: RFC 6052, section 2.2."""
    bits = f"{int(address):0128b}"
    without_u = bits[: _AFTER_U - _U_BITS] + bits[_AFTER_U:]
    # A prefix of 96 bits has the octet inside.
    at = prefix_length if prefix_length < _AFTER_U else prefix_length - _U_BITS
    return IPv4Address(int(without_u[at : at + 32], 2))


@cache
def special_networks() -> tuple[tuple[IPNetwork, AddressClass], ...]:
    """Return every network that is not plainly global unicast, longest prefix first."""
    registered = (
        row for file in _REGISTERED for row in read_columns(file, "Address Block", "Name")
    )
    added = read_columns(_ADDED, "Address Block", "Class")
    networks = [
        *registered_networks(registered),
        *((ip_network(block), AddressClass[kind]) for block, kind in added),
    ]
    return tuple(sorted(networks, key=lambda row: row[0].prefixlen, reverse=True))


def registered_networks(
    rows: Iterable[tuple[str, ...]],
) -> Iterable[tuple[IPNetwork, AddressClass]]:
    """Return the networks of rows of (Address Block, Name), as IANA publishes them.

    A block may have a footnote ("192.0.0.0/24 [2]"), and a cell may hold several blocks.
    """
    return (
        (ip_network(block.partition("[")[0].strip()), _class_of(name))
        for blocks, name in rows
        for block in blocks.split(",")
    )


@cache
def metadata_addresses() -> frozenset[IPAddress]:
    """Return the addresses of services that hand out credentials to whoever can reach them."""
    return frozenset(ip_address(address) for (address,) in read_columns(_METADATA, "Address"))


def _class_of(name: str) -> AddressClass:
    # A row that IANA adds is special at once, whatever its name.
    return _CLASSES.get(name, AddressClass.PROTOCOL_ASSIGNMENT)
