"""Facts in this process's memory, and in a store that all replicas share.

Memory answers at once. It is asked first, and trusted for as long as notices say when the shared
facts change; while they do not arrive, each key is asked about again every few seconds. A shared
store that cannot be asked costs nothing but measurements.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from otpc_policy.check import FactsKey, FactsStore, Lease, StoredFacts, StoreUnavailable
from otpc_policy.core.facts import Support
from otpc_policy.recently_used import RecentlyUsed
from otpc_policy.store.memory import MemoryFactsStore

# While notices do not arrive.
_ASKED_AGAIN_AFTER_S: Final = 5.0
# A replica that has reached nothing for so long may be the one that is cut off.
_REACHES_FOR_S: Final = 60.0


class SharedStore(FactsStore, Protocol):
    """A store outside of this process. put_if_current: put, telling whether they were kept."""

    async def put_if_current(
        self, key: FactsKey, stored: StoredFacts, lease: Lease | None
    ) -> bool: ...


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the shared store said of a key. facts_id: "" for nothing."""

    facts_id: str
    generation: int
    at: float


class TieredFactsStore:
    """Satisfies check.FactsStore, and fleet's Memory.

    digest: the name by which notices call a key. max_entries: of which it is known what the shared
    store says.

    Facts measured without a lease stay in memory, and so does a failure to connect while this
    replica has connected to nothing else for a minute: it may be the one that is cut off.
    """

    def __init__(
        self,
        memory: MemoryFactsStore,
        shared: SharedStore,
        *,
        digest: Callable[[FactsKey], str],
        monotonic: Callable[[], float],
        max_entries: int,
    ) -> None:
        self._memory = memory
        self._shared = shared
        self._digest = digest
        self._monotonic = monotonic
        self._asked = RecentlyUsed[str, _Asked](max_entries=max_entries)
        self._generation = 0
        self._is_following = False
        self._news = 0
        self._reached_at = -_REACHES_FOR_S

    async def get_many(self, keys: Sequence[FactsKey]) -> Sequence[StoredFacts | None]:
        """Return the facts under each key, however old."""
        found = list(await self._memory.get_many(keys))
        now = self._monotonic()
        unknown = [
            key
            for key, stored in zip(keys, found, strict=True)
            if not self._is_known(key, stored, now)
        ]
        if not unknown:
            return found
        generation, news = self._generation, self._news
        try:
            shared = await self._shared.get_many(unknown)
        except StoreUnavailable:
            generation = -1
        else:
            if (generation, news) != (self._generation, self._news):
                generation = -1  # something has changed meanwhile, maybe this
            for key, stored in zip(unknown, shared, strict=True):
                await self._learn(key, stored)
        found = list(await self._memory.get_many(keys))
        for key, stored in zip(keys, found, strict=True):
            if key in unknown:
                self._remember(key, stored, generation)
        return found

    async def put(self, key: FactsKey, stored: StoredFacts, *, lease: Lease | None = None) -> None:
        """Keep facts in place of older ones, here and for all, unless the lease was overtaken."""
        if stored.facts.reachable is Support.YES:
            self._reached_at = self._monotonic()
        is_cut_off = self._monotonic() - self._reached_at >= _REACHES_FOR_S
        if lease is not None and not is_cut_off:
            try:
                if not await self._shared.put_if_current(key, stored, lease):
                    return
            except StoreUnavailable:
                pass  # facts of this replica alone, until it asks the store again
        await self._memory.put(key, stored)
        self._remember(key, stored, self._generation)

    async def discard(self, key: FactsKey) -> None:
        """Forget the facts here, until others are stored.

        Not for all: what failed here says nothing about what others have found.
        """
        await self._memory.discard(key)
        self._remember(key, None, self._generation)

    async def discard_endpoint(self, host: str, port: int) -> int:
        """Forget the facts of a host for all, of all ports for port 0; return how many there were.

        Raises StoreUnavailable if they are forgotten here alone.
        """
        here = self._forget_host(host, port)
        return max(here, await self._shared.discard_endpoint(host, port))

    def changed(self, digest: str, facts_id: str) -> None:
        """Ask about a key again, unless it is known to have these facts."""
        self._news += 1
        asked = self._asked.peek(digest)
        if asked is not None and asked.facts_id != facts_id:
            self._asked.discard(digest)

    def discarded(self, host: str, port: int) -> None:
        """Forget the facts of a host that another replica has invalidated."""
        self._forget_host(host, port)

    def following(self, is_following: bool) -> None:
        """Trust memory while notices arrive. Those that were missed may be about anything."""
        if is_following and not self._is_following:
            self._miss()
        self._is_following = is_following

    def _miss(self) -> None:
        self._generation += 1

    def _is_known(self, key: FactsKey, stored: StoredFacts | None, now: float) -> bool:
        asked = self._asked.get(self._digest(key))
        if asked is None or (stored is None) != (not asked.facts_id):
            return False
        if self._is_following:
            return asked.generation == self._generation
        return now - asked.at < _ASKED_AGAIN_AFTER_S

    async def _learn(self, key: FactsKey, stored: StoredFacts | None) -> None:
        """Take the shared store's word: facts that it has not were invalidated, or are lost."""
        if stored is None:
            await self._memory.discard(key)
        else:
            await self._memory.put(key, stored)

    def _remember(self, key: FactsKey, stored: StoredFacts | None, generation: int) -> None:
        facts_id = "" if stored is None else stored.facts_id
        self._asked.put(self._digest(key), _Asked(facts_id, generation, self._monotonic()))

    def _forget_host(self, host: str, port: int) -> int:
        self._miss()
        return self._memory.forget_endpoint(host, port)
