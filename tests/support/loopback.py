"""Loopback addresses and ports that no other test run on this machine uses.

All of 127.0.0.0/8 is local on Linux, and connections to it start from 127.0.0.1, on ports that the
kernel takes from 32768 upward. So no other process and no connection can take an address or a port
of ours between the moment it is chosen and the moment a server listens on it.
"""

import contextlib
import itertools
import os
import socket
from dataclasses import dataclass

from otpc_policy.core.addresses import VettedAddress, vet_again

_NUMBERS = itertools.count()
_OWN = 1000

# Ports that the kernel gives to no connection (ip_local_port_range), in shares of one process each.
_FIRST_PORT = 12_000
_SHARE = 256
_SHARES = 75
_PORTS = itertools.count()


@dataclass(frozen=True, slots=True)
class Listener:
    """Where a server accepts connections."""

    address: str
    port: int

    def __str__(self) -> str:
        return (
            f"[{self.address}]:{self.port}"
            if ":" in self.address
            else f"{self.address}:{self.port}"
        )


def own_address() -> str:
    """Return an address in 127.0.0.0/8 outside 127.0.0.0/16 that this process has not used yet."""
    process, number = os.getpid(), next(_NUMBERS)
    assert number < _OWN, f"a process has {_OWN} addresses of its own"
    block, rest = divmod(number, 250)
    return f"127.{1 + process // 62 % 250}.{process % 62 * 4 + block}.{1 + rest}"


def vetted(text: str = "127.0.0.1") -> VettedAddress:
    """Return a loopback address as vetted when the operator allows loopback."""
    return vet_again(text, ["127.0.0.0/8", "::1/128"])


def free_port(address: str) -> int:
    """Return a port that is free on the address and that no connection is given meanwhile."""
    first = _FIRST_PORT + os.getpid() % _SHARES * _SHARE
    for _ in range(_SHARE):
        port = first + next(_PORTS) % _SHARE
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((address, port))
                return port
    raise OSError(f"all ports of this process are taken on {address}")


def own_listener() -> Listener:
    """Return a fresh address with a free port."""
    address = own_address()
    return Listener(address, free_port(address))
