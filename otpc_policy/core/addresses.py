"""May this address be dialled? The egress guard, on the tables of core/registries.

Whatever is not plainly global unicast is forbidden, unless the operator opened its range. Metadata
services of clouds are never opened.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv6Network, ip_address, ip_network
from typing import Final

from otpc_policy.core.facts import (
    ForbiddenAddress,
    ResolutionFailure,
    ResolutionStatus,
    UnmeasuredAddress,
)
from otpc_policy.core.registries.networks import (
    AddressClass,
    IPAddress,
    IPNetwork,
    classify,
    embedded_ipv4,
    unwrap,
)

# Every address is measured; a ninth stays unknown, so that no host can demand endless work.
MAXIMUM_ADDRESSES = 8

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
    """What a host resolved to.

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

    def forbidding(self, forbidden: Iterable[ForbiddenAddress]) -> "Resolution":
        """Return what is left where some of the addresses may not be dialled after all: nothing."""
        return Resolution(
            status=ResolutionStatus.FORBIDDEN,
            forbidden=tuple(forbidden),
            failure=self.failure,
            is_stale=self.is_stale,
            ttl=self.ttl,
        )


class AddressVetting:
    """The guard. allow_networks: ranges that the operator opened.

    nat64_prefixes: of the network's translators. An IPv6 address under one leads to an IPv4
    address, so both must be permitted.
    """

    def __init__(
        self,
        allow_networks: Iterable[IPNetwork] = (),
        *,
        nat64_prefixes: Iterable[IPv6Network] = (),
    ) -> None:
        self._allowed = tuple(allow_networks)
        self._nat64_prefixes = tuple(nat64_prefixes)

    def vet(self, text: str) -> VettedAddress | ForbiddenAddress:
        """Return the address ready to dial, or the reason why it may not be dialled.

        text: an IP literal without brackets or zone. Raises ValueError for anything else.
        """
        address = unwrap(ip_address(text))
        opened: list[IPNetwork] = []
        for one in (address, *embedded_ipv4(address, self._nat64_prefixes)):
            kind = classify(one, self._nat64_prefixes)
            if kind is AddressClass.GLOBAL:
                continue
            network = None if kind is AddressClass.METADATA else self._opened_for(one)
            if network is None:
                leads = "" if one is address else "leads to an IPv4 address that is not permitted: "
                return ForbiddenAddress(str(address), leads + kind.value)
            opened.append(network)
        return VettedAddress(address, opened=opened, seal=_SEAL)

    def opens(self, family: str) -> bool:
        """Tell whether the operator opened any range of the family, "IPv4" or "IPv6"."""
        return any(family == f"IPv{network.version}" for network in self._allowed)

    def _opened_for(self, address: IPAddress) -> IPNetwork | None:
        """Return the opened range that holds the address."""
        version = address.version
        containing = (
            network
            for network in self._allowed
            if version == network.version and address in network
        )
        return next(containing, None)


def vet_again(text: str, opened: Iterable[str]) -> VettedAddress:
    """Return an address that another process vetted and named, vetted here too.

    opened: that VettedAddress's; it holds what an embedded address needed too. Raises ValueError
    where it may not be dialled all the same.
    """
    address = AddressVetting(map(ip_network, opened)).vet(text)
    if isinstance(address, ForbiddenAddress):
        raise ValueError(f"{text} may not be dialled: {address.reason}")
    return address
