"""A store and leases whose use is a span of the call's trace. Without tracing nobody wraps them."""

from collections.abc import Sequence
from typing import Final

from otpc_policy.check.ports import FactsStore, Lease, Leases
from otpc_policy.check.stored_facts import FactsKey, StoredFacts
from otpc_policy.core.spans import span

_ASKED: Final = "otpc_policy.store.asked"
_FOUND: Final = "otpc_policy.store.found"
_RESULT: Final = "otpc_policy.lease.result"


class TracedFactsStore:
    """Satisfies FactsStore by another one."""

    def __init__(self, store: FactsStore) -> None:
        self._store = store

    async def get_many(self, keys: Sequence[FactsKey]) -> Sequence[StoredFacts | None]:
        """See FactsStore."""
        with span("store get", attributes={_ASKED: len(keys)}) as getting:
            found = await self._store.get_many(keys)
            if getting is not None:
                getting.set(_FOUND, sum(each is not None for each in found))
            return found

    async def put(self, key: FactsKey, stored: StoredFacts, *, lease: Lease | None = None) -> None:
        """See FactsStore."""
        with span("store put"):
            await self._store.put(key, stored, lease=lease)

    async def discard(self, key: FactsKey) -> None:
        """See FactsStore."""
        with span("store discard"):
            await self._store.discard(key)

    async def discard_endpoint(self, host: str, port: int) -> int:
        """See FactsStore."""
        with span("store discard"):
            return await self._store.discard_endpoint(host, port)


class TracedLeases:
    """Satisfies Leases by others. What happens while a lease is held is no part of a call."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases
        self.renew_every_s = leases.renew_every_s

    async def acquire(self, key: FactsKey, *, new_enough_s: float) -> Lease | StoredFacts | None:
        """See Leases."""
        with span("store acquire") as acquiring:
            has = await self._leases.acquire(key, new_enough_s=new_enough_s)
            if acquiring is not None:
                acquiring.set(_RESULT, _result(has))
            return has

    async def renew(self, key: FactsKey, lease: Lease) -> bool:
        """See Leases."""
        return await self._leases.renew(key, lease)

    async def release(self, key: FactsKey, lease: Lease) -> None:
        """See Leases."""
        await self._leases.release(key, lease)


def _result(has: Lease | StoredFacts | None) -> str:
    if has is None:
        return "taken by another"
    return "leased" if isinstance(has, Lease) else "facts"
