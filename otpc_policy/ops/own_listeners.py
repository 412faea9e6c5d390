"""Where the programs of this service accept connections themselves.

No such address is ever measured or fetched from. A caller could otherwise have the service connect
to its own ports: each check would cause further work here, and the operations port would be read
from the inside. Ranges that the operator opened do not change that.
"""

import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from ipaddress import IPv6Network, ip_address

from otpc_policy.core.registries.networks import IPAddress, embedded_ipv4, unwrap


def is_local(address: IPAddress) -> bool:
    """Tell whether an interface of this machine has the address.

    Only such an address can be bound to. Where the system permits binding to any
    (net.ipv4.ip_nonlocal_bind), every address counts as local.
    """
    if address.is_unspecified or address.is_loopback:
        return True
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((str(address), 0))
        return True
    return False


class OwnListeners:
    """Grows as ports are bound. listeners: as of add. nat64_prefixes: of translators here."""

    def __init__(
        self,
        listeners: Iterable[tuple[str, int]] = (),
        *,
        nat64_prefixes: Iterable[IPv6Network] = (),
        is_local: Callable[[IPAddress], bool] = is_local,
    ) -> None:
        self._nat64_prefixes = tuple(nat64_prefixes)
        self._is_local = is_local
        self._by_port: dict[int, set[IPAddress]] = {}
        for host, port in listeners:
            self.add(host, port)

    def add(self, host: str, port: int) -> None:
        """Add a listener. host: an IP literal without brackets, or a name. port: the one taken."""
        self._by_port.setdefault(port, set()).update(_addresses(host))

    def pairs(self) -> Sequence[tuple[str, int]]:
        """Return all listeners, for another program of this service on the same machine."""
        return [(str(host), port) for port, hosts in self._by_port.items() for host in hosts]

    def has(self, address: str, port: int) -> bool:
        """Tell whether a connection to an IP literal and port would reach one of the listeners.

        A wildcard listener is reached by every address of this machine, of either family.
        """
        hosts = self._by_port.get(port)
        if hosts is None:
            return False
        target = unwrap(ip_address(address))
        targets = (target, *embedded_ipv4(target, self._nat64_prefixes))
        return any(self._reaches(one, hosts) for one in targets)

    def _reaches(self, target: IPAddress, hosts: set[IPAddress]) -> bool:
        # Linux takes a connection to the unspecified address as one to loopback.
        if target in hosts or target.is_unspecified:
            return True
        return any(host.is_unspecified for host in hosts) and self._is_local(target)


def _addresses(host: str) -> set[IPAddress]:
    """Return what a host that was bound to stands for.

    All addresses of this machine if that cannot be found out: then too much is refused, not too
    little.
    """
    with suppress(ValueError):
        return {unwrap(ip_address(host))}
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return {ip_address("::")}
    return {unwrap(ip_address(str(entry[4][0]).partition("%")[0])) for entry in found}
