"""Which addresses this machine has a route to."""

import socket
from contextlib import suppress


def has_route(address: str) -> bool:
    """Tell whether this machine has a route to an IP address. No packet is sent for it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((address, 9))
        return True
    return False
