"""Stores that are slow, or that fail: what a tier outside of this process is like."""

import asyncio
from collections.abc import Sequence

from otpc_policy.check import FactsKey, FactsStore, Lease, StoredFacts, StoreUnavailable
from otpc_policy.core.facts import AddressFacts
from otpc_policy.core.facts_codec import dump_facts, load_facts


class RemoteStore:
    """Suspends in every method, and keeps texts: facts that come back are built anew.

    It holds max_entries, and forgets those that came first. put_gate: while it is closed, facts
    are on their way.
    """

    def __init__(self, *, max_entries: int = 100) -> None:
        self.put_gate = asyncio.Event()
        self.put_gate.set()
        self._max_entries = max_entries
        self._texts: dict[FactsKey, tuple[str, str]] = {}

    async def get_many(self, keys: Sequence[FactsKey]) -> Sequence[StoredFacts | None]:
        await self._round_trip()
        return [self._read(key) for key in keys]

    async def put(self, key: FactsKey, stored: StoredFacts, *, lease: Lease | None = None) -> None:
        await self._round_trip()
        await self.put_gate.wait()
        present = self._read(key)
        if present is not None and present.facts.observed_at > stored.facts.observed_at:
            return
        self._texts[key] = (dump_facts(stored.facts), stored.facts_id)
        while len(self._texts) > self._max_entries:
            del self._texts[next(iter(self._texts))]

    async def discard(self, key: FactsKey) -> None:
        await self._round_trip()
        self._texts.pop(key, None)

    async def discard_endpoint(self, host: str, port: int) -> int:
        await self._round_trip()
        keys = [key for key in self._texts if key.host == host and port in (0, key.port)]
        for key in keys:
            del self._texts[key]
        return len(keys)

    async def _round_trip(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    def _read(self, key: FactsKey) -> StoredFacts | None:
        if key not in self._texts:
            return None
        text, facts_id = self._texts[key]
        return StoredFacts(load_facts(text, AddressFacts), facts_id)


class FailingStore:
    """A store of which some methods fail. fails: their names; may be changed at any time."""

    def __init__(self, store: FactsStore, *fails: str) -> None:
        self.fails = set(fails)
        self._store = store

    async def get_many(self, keys: Sequence[FactsKey]) -> Sequence[StoredFacts | None]:
        await self._fail("get_many")
        return await self._store.get_many(keys)

    async def put(self, key: FactsKey, stored: StoredFacts, *, lease: Lease | None = None) -> None:
        await self._fail("put")
        await self._store.put(key, stored, lease=lease)

    async def discard(self, key: FactsKey) -> None:
        await self._fail("discard")
        await self._store.discard(key)

    async def discard_endpoint(self, host: str, port: int) -> int:
        await self._fail("discard_endpoint")
        return await self._store.discard_endpoint(host, port)

    async def _fail(self, method: str) -> None:
        if method in self.fails:
            await asyncio.sleep(0)
            raise StoreUnavailable(f"{method}: no connection")
