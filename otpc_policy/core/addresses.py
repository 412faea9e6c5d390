"""May this address be dialled? The egress guard, on the tables of core/registries.

Whatever is not plainly global unicast is forbidden, unless the operator opened its range. Metadata
services of clouds are never opened.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from otpc_policy.core.facts import ForbiddenAddress, ResolutionStatus, UnmeasuredAddress
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
    """An address that passed the guard, in canonical form. Only AddressVetting makes one."""

    __slots__ = ("family", "text")

    def __init__(self, address: IPAddress, *, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("only AddressVetting makes a VettedAddress")
        self.text: Final = str(address)
        self.family: Final = f"IPv{address.version}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VettedAddress) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"VettedAddress({self.text})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What a host resolved to.

    addresses: to be measured, at most MAXIMUM_ADDRESSES, without duplicates.
    left_out: belong to the host and are unknown.
    omitted_families: left out because this machine has no route.
    detail: for people, why it failed.
    """

    status: ResolutionStatus
    addresses: tuple[VettedAddress, ...] = ()
    left_out: tuple[UnmeasuredAddress, ...] = ()
    omitted_families: tuple[str, ...] = ()
    forbidden: tuple[ForbiddenAddress, ...] = ()
    detail: str = ""


class AddressVetting:
    """The guard. allow_networks: ranges that the operator opened."""

    def __init__(self, allow_networks: Iterable[IPNetwork] = ()) -> None:
        self._allowed = tuple(allow_networks)

    def vet(self, text: str) -> VettedAddress | ForbiddenAddress:
        """Return the address ready to dial, or the reason why it may not be dialled.

        text: an IP literal without brackets or zone. Raises ValueError for anything else.
        """
        address = unwrap(ip_address(text))
        kind = classify(address)
        may_be_opened = kind is not AddressClass.METADATA
        if kind is AddressClass.GLOBAL or (may_be_opened and self._is_opened(address)):
            return VettedAddress(address, seal=_SEAL)
        return ForbiddenAddress(str(address), kind.value)

    def _is_opened(self, address: IPAddress) -> bool:
        """The operator opened its range, and that of the IPv4 address it leads to, if any."""
        if not any(
            address.version == network.version and address in network for network in self._allowed
        ):
            return False
        translates = classify(address) is AddressClass.TRANSLATION
        inner = embedded_ipv4(address) if translates else None
        return inner is None or classify(inner) is AddressClass.GLOBAL or self._is_opened(inner)
