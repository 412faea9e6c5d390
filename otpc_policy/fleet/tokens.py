"""Tokens of leases, which only replicas with the fleet's key can have made, and not long ago.

Whoever can write to the store without the key could otherwise hold every lease for ever.
"""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from otpc_policy.check import FactsKey
from otpc_policy.fleet.records import place_of
from otpc_policy.fleet.signing import MAC_BYTES, FleetKey

# Clocks of replicas differ by so much at most.
_CLOCKS_DIFFER: Final = timedelta(seconds=10)
_MOST_BYTES: Final = 256


class LeaseTokens:
    """Makes the tokens of one replica, and tells those of its fleet from anything else.

    longest: that a measurement under a lease takes. An older token is nobody's any more.
    """

    def __init__(self, key: FleetKey, *, now: Callable[[], datetime], longest: timedelta) -> None:
        self._key, self._now, self._longest = key, now, longest
        # Of this replica, and of this start of it.
        self._owner = secrets.token_hex(8)
        self._count = 0

    def make(self, key: FactsKey) -> str:
        """Return a token for the lease on a key, of which there is no second."""
        self._count += 1
        content = f"{self._now().timestamp():.0f}:{self._owner}:{self._count}"
        mac = self._key.seal(content.encode(), place=_place(key))[:MAC_BYTES]
        return f"{mac.hex()}:{content}"

    def is_fresh(self, key: FactsKey, token: bytes) -> bool:
        """Whether a measurement that begins now may end while the token is genuine still.

        Under an older one the others would take the lease for none, and measure as well.
        """
        return self._is_made_within(timedelta(), key, token)

    def is_genuine(self, key: FactsKey, token: bytes) -> bool:
        """Whether a replica of this fleet may measure under the token still."""
        return self._is_made_within(self._longest, key, token)

    def _is_made_within(self, longest: timedelta, key: FactsKey, token: bytes) -> bool:
        mac, _, content = token.partition(b":")
        try:
            record = bytes.fromhex(mac.decode("ascii")) + content
        except ValueError:
            return False
        if len(token) > _MOST_BYTES or len(mac) != 2 * MAC_BYTES:
            return False
        if self._key.open(record, place=_place(key)) is None:
            return False
        made_at = datetime.fromtimestamp(int(content.partition(b":")[0]), UTC)
        return -_CLOCKS_DIFFER <= self._now() - made_at <= longest + _CLOCKS_DIFFER


def _place(key: FactsKey) -> str:
    return "lease\n" + place_of(key)
