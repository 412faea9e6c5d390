"""From the addresses of a host to those that are measured: every one is vetted, one that is
forbidden forbids the host, and what is left out is named.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from ipaddress import IPv6Address, ip_address
from types import MappingProxyType
from typing import Literal

from otpc_policy.core.addresses import (
    MAXIMUM_ADDRESSES,
    AddressVetting,
    Resolution,
    VettedAddress,
)
from otpc_policy.core.facts import (
    ForbiddenAddress,
    ResolutionFailure,
    ResolutionStatus,
    UnmeasuredAddress,
)

DialledFamilies = tuple[str, ...] | Literal["routed"]
# By the words of the setting address_families, which both programs read.
DIALLED_FAMILIES: Mapping[str, DialledFamilies] = MappingProxyType(
    {"routed": "routed", "both": ("IPv4", "IPv6"), "ipv4": ("IPv4",), "ipv6": ("IPv6",)}
)

# Stand for all addresses of a family of which none is known: documentation addresses (RFC 5737, RFC
# 3849), to which only a default route leads.
_ANYWHERE = MappingProxyType({"IPv4": "192.0.2.1", "IPv6": "2001:db8::1"})


class AddressSelection:
    """families: those to dial; "routed" leaves out those to which has_route knows no route.

    has_route: tells whether an IP address can be reached from this machine.
    """

    def __init__(
        self,
        vetting: AddressVetting,
        *,
        families: DialledFamilies = "routed",
        has_route: Callable[[str], bool],
    ) -> None:
        self._vetting, self._families, self._has_route = vetting, families, has_route

    def resolution(
        self,
        texts: Iterable[str],
        *,
        ttl_s: float,
        failure: ResolutionFailure = ResolutionFailure.NONE,
        unresolved: Sequence[str] = (),
        is_stale: bool = False,
    ) -> Resolution:
        """Return what the host resolves to.

        texts: all its addresses, as far as they are known. failure, is_stale: as in Resolution, and
        why there are no addresses. unresolved: families of which nothing is known.
        """
        vetted: list[VettedAddress] = []
        forbidden: list[ForbiddenAddress] = []
        # IPv4 first, then by number, so that a set always reads the same; mapped forms collapse.
        for text in sorted(set(texts), key=_order):
            address = self._vetting.vet(text)
            if isinstance(address, ForbiddenAddress):
                forbidden.append(address)
            elif address not in vetted:
                vetted.append(address)
        ttl = timedelta(seconds=ttl_s)
        if forbidden:
            return Resolution(
                status=ResolutionStatus.FORBIDDEN,
                forbidden=tuple(forbidden),
                failure=failure,
                is_stale=is_stale,
                ttl=ttl,
            )
        if not vetted:
            return Resolution(status=ResolutionStatus.FAILED, failure=failure, ttl=ttl)
        dialled = self._dialled(vetted, unresolved)
        kept = [one for one in vetted if one.family in dialled]
        not_dialled = {*(one.family for one in vetted), *unresolved} - dialled
        if kept:
            reason = f"only {MAXIMUM_ADDRESSES} addresses are measured"
            left_out = [UnmeasuredAddress(one.text, reason) for one in kept[MAXIMUM_ADDRESSES:]]
        else:
            reason = "is not dialled from this machine"
            left_out = [UnmeasuredAddress(one.text, f"{one.family} {reason}") for one in vetted]
        return Resolution(
            status=ResolutionStatus.RESOLVED,
            addresses=tuple(kept[:MAXIMUM_ADDRESSES]),
            left_out=tuple(left_out),
            omitted_families=tuple(sorted(not_dialled)) if kept else (),
            failure=failure,
            unresolved_families=tuple(one for one in unresolved if one in dialled),
            is_stale=is_stale,
            ttl=ttl,
        )

    def _dialled(self, vetted: Sequence[VettedAddress], unresolved: Sequence[str]) -> set[str]:
        """Return the families to dial. One of which no address is known counts as dialled wherever
        some address of it could be.
        """
        if self._families != "routed":
            return set(self._families)
        routed: set[str] = set()
        for one in vetted:
            if one.family not in routed and self._has_route(one.text):
                routed.add(one.family)

        def could_be_dialled(family: str) -> bool:
            return self._vetting.opens(family) or self._has_route(_ANYWHERE[family])

        return routed.union(filter(could_be_dialled, unresolved))


def _order(text: str) -> tuple[bool, int]:
    address = ip_address(text)
    return isinstance(address, IPv6Address), int(address)
