"""Names to vetted addresses: DNS once, every address through the guard, answers kept for a minute at most."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv6Address, ip_address
from typing import Literal

from otpc_policy.core.addresses import MAXIMUM_ADDRESSES, AddressVetting, Resolution, VettedAddress
from otpc_policy.core.endpoint import is_ip_literal
from otpc_policy.core.facts import ForbiddenAddress, ResolutionStatus, UnmeasuredAddress

Families = tuple[str, ...] | Literal["routed"]

_MAXIMUM_TTL_S = 60.0  # design section 5: yesterday's address never answers for today's
_FAILURE_TTL_S = 5.0  # long enough to take the edge off a storm of callers
_MAXIMUM_NAMES = 10_000
_DNS_THREADS = 8


def system_addresses(host: str) -> Sequence[str]:
    """Ask the system's resolver. Raises OSError where the name has no address or nobody answers."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(address[0]).partition("%")[0] for *_, address in found]


def has_route(address: VettedAddress) -> bool:
    """This machine has a route to the address. Connecting a UDP socket sends no packet."""
    family = socket.AF_INET6 if address.family == "IPv6" else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((address.text, 9))
        return True
    return False


class SystemResolver:
    """Resolves through the system, within a time limit; identical questions share one look-up.

    static_hosts: addresses by canonical name, instead of DNS; vetted all the same.
    address_families: those to dial; "routed" leaves out what this machine has no route to.
    look_up, has_route, monotonic: where names, routes and time come from.
    """

    def __init__(
        self,
        vetting: AddressVetting,
        *,
        static_hosts: Mapping[str, Sequence[str]] | None = None,
        dns_ttl_s: float = _MAXIMUM_TTL_S,
        dns_timeout_s: float = 5.0,
        address_families: Families = "routed",
        monotonic: Callable[[], float],
        look_up: Callable[[str], Sequence[str]] = system_addresses,
        has_route: Callable[[VettedAddress], bool] = has_route,
    ) -> None:
        self._vetting = vetting
        self._static_hosts = dict(static_hosts or {})
        self._ttl_s = min(dns_ttl_s, _MAXIMUM_TTL_S)
        self._timeout_s = dns_timeout_s
        self._families = address_families
        self._monotonic = monotonic
        self._look_up = look_up
        self._has_route = has_route
        self._threads = ThreadPoolExecutor(max_workers=_DNS_THREADS, thread_name_prefix="dns")
        self._known: dict[str, tuple[float, Resolution]] = {}
        self._running: dict[str, asyncio.Task[Resolution]] = {}

    def known(self, host: str) -> Resolution | None:
        """Return the answer that is at hand and still good. host: canonical."""
        known = self._known.get(host)
        return known[1] if known is not None and self._monotonic() < known[0] else None

    async def resolve(self, host: str) -> Resolution:
        """Return what the host turns into; a name without addresses is an answer, not an error. host: canonical."""
        known = self.known(host)
        if known is not None:
            return known
        task = self._running.get(host)
        if task is None:
            task = self._running[host] = asyncio.create_task(self._resolve(host))
            task.add_done_callback(lambda _: self._running.pop(host, None))
        return await asyncio.shield(task)

    async def _resolve(self, host: str) -> Resolution:
        try:
            found = await self._addresses(host)
        except TimeoutError:
            resolution = Resolution(status=ResolutionStatus.FAILED, detail=f"no answer from DNS within {self._timeout_s:g} s")
        except (OSError, UnicodeError):
            resolution = Resolution(status=ResolutionStatus.FAILED, detail="the name has no address")
        else:
            resolution = self._vetted(found)
        lasts_s = _FAILURE_TTL_S if resolution.status is ResolutionStatus.FAILED else self._ttl_s
        self._known.pop(host, None)
        self._known[host] = (self._monotonic() + lasts_s, resolution)
        if len(self._known) > _MAXIMUM_NAMES:
            del self._known[next(iter(self._known))]
        return resolution

    async def _addresses(self, host: str) -> Sequence[str]:
        if is_ip_literal(host):
            return [host]
        if host in self._static_hosts:
            return self._static_hosts[host]
        async with asyncio.timeout(self._timeout_s):
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._look_up, host)

    def _vetted(self, found: Iterable[str]) -> Resolution:
        vetted: list[VettedAddress] = []
        forbidden: list[ForbiddenAddress] = []
        # Mapped forms collapse here; IPv4 first, then by number, so that the same set always reads the same.
        for text in sorted(set(found), key=lambda one: (isinstance(ip_address(one), IPv6Address), int(ip_address(one)))):
            address = self._vetting.vet(text)
            if isinstance(address, ForbiddenAddress):
                forbidden.append(address)
            elif address not in vetted:
                vetted.append(address)
        if forbidden:
            return Resolution(status=ResolutionStatus.FORBIDDEN, forbidden=tuple(forbidden))
        if not vetted:
            return Resolution(status=ResolutionStatus.FAILED, detail="the name has no address")
        kept, omitted = self._dialled_families(vetted)
        if not kept:
            unknown = tuple(UnmeasuredAddress(one.text, f"{one.family} is not dialled from this machine") for one in vetted)
            return Resolution(status=ResolutionStatus.RESOLVED, left_out=unknown)
        return Resolution(
            status=ResolutionStatus.RESOLVED,
            addresses=tuple(kept[:MAXIMUM_ADDRESSES]),
            left_out=tuple(UnmeasuredAddress(one.text, f"only {MAXIMUM_ADDRESSES} addresses are measured") for one in kept[MAXIMUM_ADDRESSES:]),
            omitted_families=omitted,
        )

    def _dialled_families(self, vetted: Sequence[VettedAddress]) -> tuple[list[VettedAddress], tuple[str, ...]]:
        present = {one.family for one in vetted}
        if self._families == "routed":
            dialled = {family for family in present if any(self._has_route(one) for one in vetted if one.family == family)}
        else:
            dialled = present & set(self._families)
        return [one for one in vetted if one.family in dialled], tuple(sorted(present - dialled))
