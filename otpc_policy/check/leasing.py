"""Which of several replicas measures: whoever has the lease. The others take what it stores."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, Protocol

from otpc_policy.check.ports import Clock, Lease, Leases, StoreUnavailable
from otpc_policy.check.stored_facts import FactsKey, StoredFacts
from otpc_policy.core.demand import Demand

# How often whoever waits looks again; at first soon: most measurements take a few round trips.
_FIRST_WAIT_S: Final = 0.05
_LONGEST_WAIT_S: Final = 0.5
# Of all who wait, in a second. Each look costs this process and the store a request.
_LOOKS_PER_S: Final = 200
# Measurements that wait for other replicas. Those beyond are queued like any other.
_MOST_WAITING: Final = 2_048
# Between the look that found no facts and the question for a lease, another replica may have stored
# them. What is older has been measured for others, who may have accepted older facts.
NEW_ENOUGH_S: Final = 1.0
# A store that has just named another replica's lease, and fails once, still has it, most likely.
_FAILS_FOR_S: Final = 1.0
# By so much clocks of replicas that share facts differ at most.
_CLOCKS_DIFFER_S: Final = 10.0


class LeaseObserver(Protocol):
    """Counts, for metrics.

    lease_asked: result is leased (to this replica), taken (another one's
    facts), unavailable (measured without a lease), given_up (the same, after waiting too long, or
    with too many that wait) or lost (not renewed in time).
    """

    def lease_asked(self, result: str) -> None: ...


class Leasing:
    """Gives measurements their turn among replicas.

    Facts that another replica has stored since, or just before, do, unless a measurement must be
    new. longest_wait_s: for another replica's; then it is measured here as well.
    """

    def __init__(
        self,
        leases: Leases,
        *,
        observer: LeaseObserver,
        clock: Clock,
        longest_wait_s: float,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._leases = leases
        self._observer = observer
        self._clock = clock
        self._longest_wait_s = longest_wait_s
        self._sleep = sleep
        self._waiting = 0

    @asynccontextmanager
    async def turn(
        self, key: FactsKey, demand: Demand, *, must_be_new: bool
    ) -> AsyncIterator[Lease | StoredFacts | None]:
        """Yield a lease, kept while the body runs; or another replica's facts, to be returned.

        None where the body is to measure without a lease. must_be_new: no facts do that are there
        already, nor those of a measurement that has begun.
        """
        has = await self._obtain(key, demand, must_be_new=must_be_new)
        if not isinstance(has, Lease):
            yield has
            return
        ended = asyncio.Event()
        renewing = asyncio.create_task(self._renew(key, has, ended), name="renew a lease")
        try:
            yield has
        finally:
            ended.set()
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            with suppress(StoreUnavailable):  # then it ends by itself
                await self._leases.release(key, has)

    async def _obtain(
        self, key: FactsKey, demand: Demand, *, must_be_new: bool
    ) -> Lease | StoredFacts | None:
        began, wait_s = self._clock.monotonic(), _FIRST_WAIT_S
        # When the store has last said that another replica measures.
        told_at = began - _FAILS_FOR_S
        while True:
            now = self._clock.monotonic()
            waited = now - began
            try:
                has = await self._leases.acquire(
                    key, new_enough_s=0.0 if must_be_new else NEW_ENOUGH_S + waited
                )
            except StoreUnavailable:
                if now - told_at >= _FAILS_FOR_S:
                    self._observer.lease_asked("unavailable")
                    return None
                has = None
            else:
                told_at = now
            if isinstance(has, StoredFacts) and not self._is_recent(has, waited):
                # When they were stored is not signed.
                self._observer.lease_asked("unavailable")
                return None
            if has is not None:
                self._observer.lease_asked("leased" if isinstance(has, Lease) else "taken")
                return has
            if waited >= self._longest_wait_s or self._waiting >= _MOST_WAITING:
                self._observer.lease_asked("given_up")
                return None
            if not demand.is_wanted:
                demand.drop()  # cancels this task
            await self._wait(wait_s)
            longest_s = max(_LONGEST_WAIT_S, self._waiting / _LOOKS_PER_S)
            wait_s = min(max(1.5 * wait_s, longest_s / 8), longest_s)

    def _is_recent(self, stored: StoredFacts, waited: float) -> bool:
        """Whether the facts may be those of a measurement that would have been joined here."""
        age_s = (self._clock.now() - stored.facts.observed_at).total_seconds()
        longest_s = NEW_ENOUGH_S + waited + self._longest_wait_s + _CLOCKS_DIFFER_S
        return -_CLOCKS_DIFFER_S <= age_s <= longest_s

    async def _wait(self, seconds: float) -> None:
        self._waiting += 1
        try:
            await self._sleep(seconds)
        finally:
            self._waiting -= 1

    async def _renew(self, key: FactsKey, lease: Lease, ended: asyncio.Event) -> None:
        """Renew until cancelled, or the lease is lost: the store will refuse what comes of it.

        ended: a cancellation may be taken for a timeout by what a store's client is made of.
        """
        while not ended.is_set():
            await self._sleep(self._leases.renew_every_s)
            with suppress(StoreUnavailable):
                if not await self._leases.renew(key, lease):
                    self._observer.lease_asked("lost")
                    return
