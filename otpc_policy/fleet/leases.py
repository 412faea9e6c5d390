"""Leases in the store. Satisfies check.Leases."""

import asyncio
from datetime import timedelta
from typing import Final

from otpc_policy.check import FactsKey, Lease, StoredFacts, StoreUnavailable
from otpc_policy.fleet.keys import Keyspace
from otpc_policy.fleet.records import MOST_RECORD_BYTES, Records
from otpc_policy.fleet.scripts import ACQUIRE, RELEASE, RENEW
from otpc_policy.fleet.store import Store
from otpc_policy.fleet.tokens import LeaseTokens
from otpc_policy.recently_used import RecentlyUsed

# So long a replica that died keeps others from what it was measuring.
LEASE: Final = timedelta(seconds=10)
# Leases that this replica may have without knowing: their answers were late, or nobody waited.
_MOST_UNANSWERED: Final = 4_096


class SharedLeases:
    """At most one replica has the lease on a key, by the server's clock.

    A replica that is paused may still measure under a lease that has ended. Its fence is too old
    by then, and what it stores is not kept.

    tokens: what else holds the name of a lease keeps nobody waiting.
    """

    def __init__(
        self,
        connection: Store,
        *,
        keyspace: Keyspace,
        records: Records,
        tokens: LeaseTokens,
        length: timedelta = LEASE,
    ) -> None:
        self.renew_every_s = length.total_seconds() / 3
        self._length_ms = length // timedelta(milliseconds=1)
        self._connection = connection
        self._keyspace = keyspace
        self._records = records
        self._tokens = tokens
        self._unanswered = RecentlyUsed[FactsKey, str](max_entries=_MOST_UNANSWERED)

    async def acquire(self, key: FactsKey, *, new_enough_s: float) -> Lease | StoredFacts | None:
        """Return a lease, or new facts, or None while another replica has the lease."""
        facts = await self._acquire(key, new_enough_s)
        if not isinstance(facts, bytes):
            return facts
        stored = await self._records.read(key, facts)
        # What this fleet has not signed is worth nothing, however new.
        return stored if stored is not None else await self._lease(key)

    async def renew(self, key: FactsKey, lease: Lease) -> bool:
        """Tell whether the lease still stands, from now on for its whole length."""
        names = self._keyspace.names(key)
        return bool(await self._connection.run(RENEW, (names.lease,), lease.token, self._length_ms))

    async def release(self, key: FactsKey, lease: Lease) -> None:
        """Let others have it."""
        await self._connection.run(RELEASE, (self._keyspace.names(key).lease,), lease.token)

    async def _lease(self, key: FactsKey) -> Lease | None:
        leased = await self._acquire(key, 0.0)
        return None if isinstance(leased, bytes) else leased

    async def _acquire(self, key: FactsKey, new_enough_s: float) -> Lease | bytes | None:
        names = self._keyspace.names(key)
        token = self._unanswered.peek(key)
        if token is None or not self._tokens.is_fresh(key, token.encode()):
            token = self._tokens.make(key)
        try:
            answer = await self._connection.run(
                ACQUIRE,
                (names.lease, names.fence, names.facts, names.host.epoch),
                token,
                self._length_ms,
                int(new_enough_s * 1e6),
                MOST_RECORD_BYTES,
            )
        except (StoreUnavailable, asyncio.CancelledError):
            # It may have got the lease nevertheless. Whoever asks next here asks by that token.
            self._unanswered.put(key, token)
            raise
        self._unanswered.discard(key)
        if answer[0] == 1:
            return Lease(token, int(answer[1]), int(answer[2]))
        if answer[0] == 2:
            return bytes(answer[1])
        if not self._tokens.is_genuine(key, answer[1]):
            raise StoreUnavailable("what holds the lease is none")
        return None
