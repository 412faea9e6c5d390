"""Servers that try to be judged better than they are, or to hold the judge up: behaviours for tests.support.tcp.counting_server.

behaviours: one connection, nothing of TLS. hello: first words, read and written. endpoint: real TLS with a table of what it accepts. pieces: how
its bytes leave. turns: what changes from one connection to the next.
"""

from tests.support.hostile.behaviours import HANDSHAKE_FAILURE, INTERNAL_ERROR, alert, drip, finish, first_bytes_of, garbage, reset, stall
from tests.support.hostile.turns import after

__all__ = ["HANDSHAKE_FAILURE", "INTERNAL_ERROR", "after", "alert", "drip", "finish", "first_bytes_of", "garbage", "reset", "stall"]
