"""Facts in this process's memory, and in a store that all replicas share.

Memory answers at once. It is asked first, and trusted for as long as notices say when the shared
facts change; while they do not arrive, each key is asked about again every few seconds. A shared
store that cannot be asked costs nothing but measurements.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, Protocol

from otpc_policy.check import FactsKey, FactsStore, Lease, StoredFacts, StoreUnavailable
from otpc_policy.core.facts import Support
from otpc_policy.recently_used import RecentlyUsed
from otpc_policy.store.memory import MemoryFactsStore

# While notices do not arrive.
_ASKED_AGAIN_AFTER_S: Final = 5.0
# What changes while it is asked about is asked about again, up to so many times in all.
_MOST_ASKED: Final = 3
# A replica that has reached nothing for so long may be the one that is cut off.
_REACHES_FOR_S: Final = 60.0


class SharedStore(FactsStore, Protocol):
    """A store outside of this process. put_if_current: put, telling whether they were kept."""

    async def put_if_current(
        self, key: FactsKey, stored: StoredFacts, lease: Lease | None
    ) -> bool: ...


class _Source(Enum):
    """Whose word an entry is."""

    SHARED = "the shared store keeps the same"
    HERE = "this replica's alone"


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is known of a key.

    facts_id: "" for nothing. generation: in which this became known. is_outdated: the shared store
    may say otherwise by now. has_failed: it could not be asked.
    """

    facts_id: str
    source: _Source
    generation: int
    at: float
    is_outdated: bool = False
    has_failed: bool = False


@dataclass(slots=True)
class _Asking:
    """A key that somebody asks the shared store about, or gives facts to. changes: meanwhile."""

    host: str
    port: int
    askers: int = 0
    changes: int = 0


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
        self._asking: dict[str, _Asking] = {}
        # Facts that a failed measurement has made doubtful, by the digest of their key.
        self._given_up = RecentlyUsed[str, str](max_entries=max_entries)
        self._generation = 0
        self._is_following = False
        self._reached_at = -_REACHES_FOR_S

    async def get_many(self, keys: Sequence[FactsKey]) -> Sequence[StoredFacts | None]:
        """Return the facts under each key, however old."""
        for _ in range(_MOST_ASKED):
            found = await self._memory.get_many(keys)
            now = self._monotonic()
            unknown = [
                key
                for key, stored in zip(keys, found, strict=True)
                if not self._is_known(key, stored, now)
            ]
            if not unknown:
                return found
            if await self._ask(unknown):
                break
        return await self._memory.get_many(keys)

    async def _ask(self, keys: Sequence[FactsKey]) -> bool:
        """Learn what the shared store keeps of keys; tell whether nothing changed meanwhile."""
        with self._watching(keys) as is_unchanged:
            try:
                shared = await self._shared.get_many(keys)
            except StoreUnavailable:
                for key in keys:
                    if is_unchanged(key):
                        self._ask_later(key)
                return True
            unchanged = [is_unchanged(key) for key in keys]
            for key, stored in zip(keys, shared, strict=True):
                if is_unchanged(key):
                    self._learn(key, stored)
            return all(unchanged)

    async def put(self, key: FactsKey, stored: StoredFacts, *, lease: Lease | None = None) -> None:
        """Keep facts in place of older ones, here and for all, unless the lease was overtaken."""
        if stored.facts.reachable is Support.YES:
            self._reached_at = self._monotonic()
        is_cut_off = self._monotonic() - self._reached_at >= _REACHES_FOR_S
        if lease is None or is_cut_off:
            await self._memory.put(key, stored)
            self._remember(key, stored, _Source.HERE)
            return
        with self._watching([key]) as is_unchanged:
            try:
                if not await self._shared.put_if_current(key, stored, lease):
                    return
            except StoreUnavailable:
                # Maybe kept, maybe refused: facts of this replica until the store can be asked.
                await self._memory.put(key, stored)
                self._remember(key, stored, _Source.HERE, has_failed=True)
                return
            self._memory.replace(key, stored)
            self._remember(key, stored, _Source.SHARED, is_outdated=not is_unchanged(key))

    async def discard(self, key: FactsKey) -> None:
        """Forget the facts here, until others are stored.

        Not for all: what failed here says nothing about what others have found.
        """
        present = self._memory.peek(key)
        if present is not None:
            self._given_up.put(self._digest(key), present.facts_id)
        await self._memory.discard(key)
        self._remember(key, None, _Source.HERE)

    async def discard_endpoint(self, host: str, port: int) -> int:
        """Forget the facts of a host for all, of all ports for port 0; return how many there were.

        Raises StoreUnavailable if they are forgotten here alone.
        """
        here = self._forget({(host, port)})
        try:
            return max(here, await self._shared.discard_endpoint(host, port))
        finally:
            # Whoever asked meanwhile may have had them from the shared store.
            self._forget({(host, port)})

    def changed(self, digest: str, facts_id: str) -> None:
        """Ask about a key again, unless it is known to have these facts."""
        self._touch(digest)
        asked = self._asked.peek(digest)
        if asked is not None and asked.facts_id != facts_id:
            self._asked.put(digest, replace(asked, is_outdated=True))

    def discarded(self, endpoints: Collection[tuple[str, int]]) -> None:
        """Forget the facts of hosts and ports that other replicas have invalidated."""
        self._forget(endpoints)

    def following(self, is_following: bool) -> None:
        """Trust memory while notices arrive. Those that were missed may be about anything."""
        if is_following and not self._is_following:
            self._generation += 1
        self._is_following = is_following

    def _is_known(self, key: FactsKey, stored: StoredFacts | None, now: float) -> bool:
        asked = self._asked.get(self._digest(key))
        if asked is None or (stored is None) != (not asked.facts_id):
            return False
        is_recent = now - asked.at < _ASKED_AGAIN_AFTER_S
        if asked.has_failed:
            return not self._is_following and is_recent
        if asked.is_outdated or asked.generation != self._generation:
            return False
        # That others have none is soon out of date, and asking costs less than measuring.
        is_soon_outdated = stored is None and asked.source is _Source.SHARED
        return self._is_following or (is_recent and not is_soon_outdated)

    def _learn(self, key: FactsKey, stored: StoredFacts | None) -> None:
        """Take the shared store's word: facts that it has not were invalidated, or are lost.

        Facts that this replica keeps for itself stay while they are newer, and while no notice of
        their end can have been missed. Others are ordered by their leases, which the store looks
        after.
        """
        digest = self._digest(key)
        present, asked = self._memory.peek(key), self._asked.peek(digest)
        if stored is not None and self._given_up.get(digest) == stored.facts_id:
            stored = None
        is_ours = asked is None or asked.source is _Source.HERE
        if present is not None and is_ours and self._outlasts(present, asked, stored):
            self._remember(key, present, _Source.HERE)
            return
        self._memory.replace(key, stored)
        self._remember(key, stored, _Source.SHARED)

    def _outlasts(
        self, present: StoredFacts, asked: _Asked | None, stored: StoredFacts | None
    ) -> bool:
        if stored is not None:
            return present.facts.observed_at > stored.facts.observed_at
        return (
            self._is_following
            and asked is not None
            and (asked.facts_id, asked.generation) == (present.facts_id, self._generation)
        )

    def _remember(
        self,
        key: FactsKey,
        stored: StoredFacts | None,
        source: _Source,
        *,
        is_outdated: bool = False,
        has_failed: bool = False,
    ) -> None:
        digest = self._digest(key)
        self._touch(digest)
        facts_id = "" if stored is None else stored.facts_id
        self._asked.put(
            digest,
            _Asked(facts_id, source, self._generation, self._monotonic(), is_outdated, has_failed),
        )

    def _ask_later(self, key: FactsKey) -> None:
        """Answer from memory for a while. It learns nothing by that, and forgets nothing."""
        present, digest = self._memory.peek(key), self._digest(key)
        asked = self._asked.peek(digest) or _Asked("", _Source.HERE, -1, 0.0)
        facts_id = "" if present is None else present.facts_id
        at = self._monotonic()
        self._asked.put(digest, replace(asked, facts_id=facts_id, at=at, has_failed=True))

    def _forget(self, endpoints: Collection[tuple[str, int]]) -> int:
        for asking in self._asking.values():
            if (asking.host, asking.port) in endpoints or (asking.host, 0) in endpoints:
                asking.changes += 1
        return self._memory.forget_endpoints(endpoints)

    @contextmanager
    def _watching(self, keys: Sequence[FactsKey]) -> Iterator[Callable[[FactsKey], bool]]:
        """Yield what tells whether nothing was learnt of a key meanwhile by anybody else."""
        digests = {key: self._digest(key) for key in keys}
        began = self._generation
        for key, digest in digests.items():
            self._asking.setdefault(digest, _Asking(key.host, key.port)).askers += 1
        before = {digest: self._asking[digest].changes for digest in digests.values()}

        def is_unchanged(key: FactsKey) -> bool:
            digest = digests[key]
            return began == self._generation and before[digest] == self._asking[digest].changes

        try:
            yield is_unchanged
        finally:
            for digest in digests.values():
                asking = self._asking[digest]
                asking.askers -= 1
                if not asking.askers:
                    del self._asking[digest]

    def _touch(self, digest: str) -> None:
        asking = self._asking.get(digest)
        if asking is not None:
            asking.changes += 1
