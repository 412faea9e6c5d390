"""Leases within one process, for whoever shares the object. They keep the same contract."""

from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Final

from otpc_policy.check import Clock, FactsKey, FactsStore, Lease, StoredFacts

LEASE_S: Final = 10.0
# Leases that nobody gave back are cleared away from here on.
_MOST_HELD: Final = 4_096


@dataclass(slots=True)
class _Held:
    lease: Lease
    ends_at: float


class InMemoryLeases:
    """Satisfies check.Leases for whoever shares this object and the store."""

    renew_every_s = LEASE_S / 3

    def __init__(self, store: FactsStore, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._held: dict[FactsKey, _Held] = {}
        self._fences = count(1)

    async def acquire(self, key: FactsKey, *, new_enough_s: float) -> Lease | StoredFacts | None:
        """Return a lease, or new facts, or None while somebody else has the lease."""
        (stored,) = await self._store.get_many([key])
        if stored is not None and new_enough_s > 0:
            age = self._clock.now() - stored.facts.observed_at
            if age < timedelta(seconds=new_enough_s):
                return stored
        now = self._clock.monotonic()
        held = self._held.get(key)
        if held is not None and now < held.ends_at:
            return None
        if len(self._held) >= _MOST_HELD:
            ended = [each for each, held in self._held.items() if now >= held.ends_at]
            for each in ended:
                del self._held[each]
        fence = next(self._fences)
        lease = Lease(str(fence), fence, 0)
        self._held[key] = _Held(lease, now + LEASE_S)
        return lease

    async def renew(self, key: FactsKey, lease: Lease) -> bool:
        """Tell whether the lease still stands, from now on for its whole length."""
        held, now = self._held.get(key), self._clock.monotonic()
        if held is None or held.lease != lease or now >= held.ends_at:
            return False
        held.ends_at = now + LEASE_S
        return True

    async def release(self, key: FactsKey, lease: Lease) -> None:
        """Let others have it."""
        held = self._held.get(key)
        if held is not None and held.lease == lease:
            del self._held[key]
