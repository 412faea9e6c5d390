"""May this address be dialled? The egress guard's table, each row with its source.

Whatever is not plainly global unicast is forbidden, unless the operator opened its range. Metadata services of
clouds are never reopened. `ipaddress.is_global` is not used: it says yes to NAT64, 6to4 and IPv4-compatible forms of loopback.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from otpc_policy.facts import (
    ForbiddenAddress,
    ResolutionFailure,
    ResolutionStatus,
    UnmeasuredAddress,
)

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

MAXIMUM_ADDRESSES = 8  # design section 4: a ninth address is unknown


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


# IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890 and its updates), and RFC 4291.
_TABLE: Final[tuple[tuple[IPNetwork, AddressClass], ...]] = tuple(
    (ip_network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", AddressClass.THIS_NETWORK),
        ("10.0.0.0/8", AddressClass.PRIVATE),
        ("100.64.0.0/10", AddressClass.SHARED),
        ("127.0.0.0/8", AddressClass.LOOPBACK),
        ("169.254.0.0/16", AddressClass.LINK_LOCAL),
        ("172.16.0.0/12", AddressClass.PRIVATE),
        ("192.0.0.0/24", AddressClass.PROTOCOL_ASSIGNMENT),
        ("192.0.2.0/24", AddressClass.DOCUMENTATION),
        ("192.31.196.0/24", AddressClass.PROTOCOL_ASSIGNMENT),  # AS112, RFC 7535
        ("192.52.193.0/24", AddressClass.PROTOCOL_ASSIGNMENT),  # AMT, RFC 7450
        ("192.88.99.0/24", AddressClass.TRANSLATION),  # 6to4 relay anycast, RFC 7526
        ("192.168.0.0/16", AddressClass.PRIVATE),
        ("192.175.48.0/24", AddressClass.PROTOCOL_ASSIGNMENT),  # AS112, RFC 7534
        ("198.18.0.0/15", AddressClass.BENCHMARKING),
        ("198.51.100.0/24", AddressClass.DOCUMENTATION),
        ("203.0.113.0/24", AddressClass.DOCUMENTATION),
        ("224.0.0.0/4", AddressClass.MULTICAST),
        ("240.0.0.0/4", AddressClass.RESERVED),  # 255.255.255.255 included
        ("::1/128", AddressClass.LOOPBACK),
        ("::/128", AddressClass.THIS_NETWORK),
        ("::/96", AddressClass.TRANSLATION),  # IPv4-compatible, RFC 4291 2.5.5.1
        ("64:ff9b::/96", AddressClass.TRANSLATION),  # RFC 6052
        ("64:ff9b:1::/48", AddressClass.TRANSLATION),  # RFC 8215
        ("100::/64", AddressClass.PROTOCOL_ASSIGNMENT),  # discard only, RFC 6666
        ("2001::/32", AddressClass.TRANSLATION),  # Teredo, RFC 4380
        ("2001:2::/48", AddressClass.BENCHMARKING),
        ("2001:db8::/32", AddressClass.DOCUMENTATION),
        ("2001::/23", AddressClass.PROTOCOL_ASSIGNMENT),  # RFC 2928
        ("2002::/16", AddressClass.TRANSLATION),  # 6to4, RFC 3056
        ("2620:4f:8000::/48", AddressClass.PROTOCOL_ASSIGNMENT),  # AS112, RFC 7534
        ("3fff::/20", AddressClass.DOCUMENTATION),  # RFC 9637
        ("fc00::/7", AddressClass.UNIQUE_LOCAL),
        ("fe80::/10", AddressClass.LINK_LOCAL),
        ("fec0::/10", AddressClass.SITE_LOCAL),
        ("ff00::/8", AddressClass.MULTICAST),
    )
)
_GLOBAL_UNICAST_IPV6: Final = IPv6Network("2000::/3")

# Services that hand out credentials to whoever can reach them, from the vendors' documentation.
_METADATA: Final[frozenset[IPAddress]] = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Azure, Google Cloud, OpenStack, Oracle, DigitalOcean
        "169.254.169.253",  # AWS resolver
        "169.254.169.123",  # AWS time
        "169.254.170.2",  # AWS ECS task credentials
        "169.254.170.23",  # AWS EKS pod identity
        "168.63.129.16",  # Azure host services
        "100.100.100.200",  # Alibaba Cloud
        "192.0.0.192",  # Oracle Cloud, older
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",  # AWS EKS pod identity
        "fd20:ce::254",  # Google Cloud
    )
)
# Prefixes whose last 32 bits are an IPv4 address; 6to4 carries it in bits 16 to 47.
_TAIL_EMBEDDED: Final = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"), IPv6Network("::/96"))
_SIX_TO_FOUR: Final = IPv6Network("2002::/16")

_SEAL: Final = object()


class VettedAddress:
    """An address that passed the guard, in canonical form. Only AddressVetting makes one; only such
    an address is dialled.

    family: "IPv4" or "IPv6". opened: the ranges of the operator that it needed, empty for a global
    address; with them it can be vetted again in another process (vet_again).
    """

    __slots__ = ("family", "opened", "text")

    family: str
    opened: tuple[str, ...]
    text: str

    def __init__(
        self,
        address: IPAddress,
        *,
        opened: Iterable[IPNetwork] = (),
        seal: object,
    ) -> None:
        if seal is not _SEAL:
            raise TypeError("only AddressVetting makes a VettedAddress")
        values = (f"IPv{address.version}", tuple(map(str, opened)), str(address))
        for name, value in zip(self.__slots__, values, strict=True):
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a VettedAddress does not change; {name} was to be set")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VettedAddress) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"VettedAddress({self.text})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What a host turned into.

    addresses: to be measured, at most eight, without duplicates. left_out: belong to the host and
    are unknown. omitted_families: left out because this machine has no route.
    failure: why DNS gave no addresses, or not all. unresolved_families: of which nothing is known
    for that reason. is_stale: some addresses are an earlier answer's; they may serve cached facts
    and never a measurement. ttl: how long this may be used, from when it was made.
    """

    status: ResolutionStatus
    addresses: tuple[VettedAddress, ...] = ()
    left_out: tuple[UnmeasuredAddress, ...] = ()
    omitted_families: tuple[str, ...] = ()
    forbidden: tuple[ForbiddenAddress, ...] = ()
    failure: ResolutionFailure = ResolutionFailure.NONE
    unresolved_families: tuple[str, ...] = ()
    is_stale: bool = False
    ttl: timedelta = timedelta()


def unwrap(address: IPAddress) -> IPAddress:
    """Return the IPv4 address inside an IPv4-mapped one (it is the same destination), any other as it is."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def classify(address: IPAddress) -> AddressClass:
    """Return what kind of address it is. Metadata addresses are found in every form that carries them."""
    plain = unwrap(address)
    embedded = _embedded(plain)
    if plain in _METADATA or embedded in _METADATA:
        return AddressClass.METADATA
    for network, kind in _TABLE:
        if plain.version == network.version and plain in network:
            return kind
    if isinstance(plain, IPv6Address) and plain not in _GLOBAL_UNICAST_IPV6:
        return AddressClass.NOT_GLOBAL_UNICAST
    return AddressClass.GLOBAL


def _embedded(address: IPAddress) -> IPv4Address | None:
    if not isinstance(address, IPv6Address):
        return None
    if address in _SIX_TO_FOUR:
        return IPv4Address(int(address) >> 80 & 0xFFFFFFFF)
    if any(address in network for network in _TAIL_EMBEDDED):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


class AddressVetting:
    """The guard. allow_networks: ranges that the operator opened."""

    def __init__(self, allow_networks: Iterable[IPNetwork] = ()) -> None:
        self._allowed = tuple(allow_networks)

    def vet(self, text: str) -> VettedAddress | ForbiddenAddress:
        """Return the address ready to dial, or why it may not be. text: an IP literal without brackets or zone."""
        address = unwrap(ip_address(text))
        kind = classify(address)
        if kind is AddressClass.GLOBAL:
            return VettedAddress(address, seal=_SEAL)
        opened = () if kind is AddressClass.METADATA else self._opened_for(address)
        if opened:
            return VettedAddress(address, opened=opened, seal=_SEAL)
        return ForbiddenAddress(str(address), kind.value)

    def opens(self, family: str) -> bool:
        """Tell whether the operator opened any range of the family, "IPv4" or "IPv6"."""
        return any(family == f"IPv{network.version}" for network in self._allowed)

    def _opened_for(self, address: IPAddress) -> tuple[IPNetwork, ...]:
        """Return the opened range that holds it, and that of the IPv4 address it leads to, if it
        leads to one that needs it; empty if either is missing.
        """
        version = address.version
        holding = (one for one in self._allowed if version == one.version and address in one)
        network = next(holding, None)
        if network is None:
            return ()
        inner = _embedded(address) if classify(address) is AddressClass.TRANSLATION else None
        if inner is None or classify(inner) is AddressClass.GLOBAL:
            return (network,)
        of_inner = self._opened_for(inner)
        return (network, *of_inner) if of_inner else ()


def vet_again(text: str, opened: Iterable[str]) -> VettedAddress:
    """Return an address that another process vetted and named, vetted here too.

    opened: that VettedAddress's. Raises ValueError where it may not be dialled all the same.
    """
    address = AddressVetting(map(ip_network, opened)).vet(text)
    if isinstance(address, ForbiddenAddress):
        raise ValueError(f"{text} may not be dialled: {address.reason}")
    return address
