"""Servers that try to be judged better than they are, or to hold up the scanner.

They are behaviours for tests.support.tcp.counting_server.

behaviours: single connections without TLS. hello: the first messages, read and written. endpoint:
real TLS with a table of what it accepts. pieces: how its bytes are sent. turns: what changes from
one connection to the next. made_hello: ClientHellos made by hand.
"""

from tests.support.hostile.behaviours import (
    HANDSHAKE_FAILURE,
    INTERNAL_ERROR,
    alert,
    drip,
    finish,
    first_bytes_of,
    garbage,
    reset,
    stall,
)
from tests.support.hostile.turns import after

__all__ = [
    "HANDSHAKE_FAILURE",
    "INTERNAL_ERROR",
    "after",
    "alert",
    "drip",
    "finish",
    "first_bytes_of",
    "garbage",
    "reset",
    "stall",
]
