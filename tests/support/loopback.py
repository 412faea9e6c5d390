"""Loopback addresses and ports that no other test run on this machine uses.

All of 127.0.0.0/8 is local on Linux, and connections to it start from 127.0.0.1. So no other
process and no connection of ours can take a port on our own address between the moment it is chosen
and the moment a server listens on it.
"""

import itertools
import os
import socket
from dataclasses import dataclass

from otpc_policy.core.addresses import VettedAddress, vet_again

_NUMBERS = itertools.count()
_OWN = 1000


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
    """Return a port that is currently free on the address."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def own_listener() -> Listener:
    """Return a fresh address with a free port."""
    address = own_address()
    return Listener(address, free_port(address))
