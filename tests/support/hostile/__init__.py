"""Servers that try to be judged better than they are, or to hold the judge up: behaviours for tests.support.tcp.counting_server."""

from tests.support.hostile.behaviours import HANDSHAKE_FAILURE, INTERNAL_ERROR, after, alert, drip, finish, first_bytes_of, garbage, reset, stall

__all__ = ["HANDSHAKE_FAILURE", "INTERNAL_ERROR", "after", "alert", "drip", "finish", "first_bytes_of", "garbage", "reset", "stall"]
