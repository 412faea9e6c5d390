"""Facts in this process's memory, bounded by entries and by bytes."""

from collections.abc import Collection, Sequence
from itertools import islice

from otpc_policy.check.ports import Lease
from otpc_policy.check.stored_facts import FactsKey, StoredFacts
from otpc_policy.core.facts import AddressFacts
from otpc_policy.recently_used import RecentlyUsed

# What the objects themselves take, measured with tracemalloc over 1,000 entries of a compliant
# server, rounded up.
_ENTRY_BYTES = 2_000
_FACT_BYTES = 150
# Facts about suites and the texts of a trace are shared by all entries.
_SHARED_BYTES = 8
_STEP_BYTES = 200


def size_of(facts: AddressFacts) -> int:
    """Return about how many bytes facts take.

    Certificates and staples count exactly, the rest by number.
    """
    size = _ENTRY_BYTES
    for deployment in facts.deployments:
        size += sum(map(len, deployment.chain)) + len(deployment.stapled_ocsp_response or b"")
    counted = len(facts.versions) + len(facts.deployments) + len(facts.vulnerabilities)
    texts = (*facts.remarks, *facts.intolerances)
    if facts.deep is not None:
        counted += len(facts.deep.curves)
        texts += (*facts.deep.remarks, *facts.deep.contradictions)
    size += counted * _FACT_BYTES + sum(map(len, texts))
    return size + len(facts.cipher_suites) * _SHARED_BYTES + len(facts.trace) * _STEP_BYTES


class MemoryFactsStore:
    """The newest facts under each key; those used longest ago go first.

    Facts larger than max_bytes are not kept. Satisfies check.FactsStore; no method suspends.
    """

    def __init__(self, *, max_entries: int, max_bytes: int) -> None:
        self._kept = RecentlyUsed[FactsKey, StoredFacts](
            max_entries=max_entries,
            max_weight=max_bytes,
            weigh=lambda stored: size_of(stored.facts),
        )

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def bytes_kept(self) -> int:
        """Bytes in use, as counted by size_of."""
        return self._kept.weight

    def newest_keys(self, most: int) -> Sequence[FactsKey]:
        """Return the keys of what is kept, what was used last first, without using it."""
        return list(islice(reversed(self._kept), most))

    def peek(self, key: FactsKey) -> StoredFacts | None:
        """Return facts without using them, or None."""
        return self._kept.peek(key)

    async def get_many(self, keys: Sequence[FactsKey]) -> Sequence[StoredFacts | None]:
        """Return the facts under each key, however old."""
        return [self._kept.get(key) for key in keys]

    async def put(self, key: FactsKey, stored: StoredFacts, *, lease: Lease | None = None) -> None:
        """Keep facts in place of older ones. Nobody else measures for this store."""
        present = self._kept.peek(key)
        if present is None or present.facts.observed_at <= stored.facts.observed_at:
            self._kept.put(key, stored)

    def replace(self, key: FactsKey, stored: StoredFacts | None) -> None:
        """Keep facts in place of any others, None for none: whoever calls knows their order."""
        if stored is None:
            self._kept.discard(key)
        else:
            self._kept.put(key, stored)

    async def discard(self, key: FactsKey) -> None:
        """Forget the facts, if there are any."""
        self._kept.discard(key)

    async def discard_endpoint(self, host: str, port: int) -> int:
        """Forget the facts of a host; of all ports for port 0.

        Looks at every key: some milliseconds for a full store.
        """
        return self.forget_endpoints({(host, port)})

    def forget_endpoints(self, endpoints: Collection[tuple[str, int]]) -> int:
        """Do the same for many hosts and ports in one look at every key. Does not suspend."""
        concerned = [
            key
            for key in self._kept
            if (key.host, key.port) in endpoints or (key.host, 0) in endpoints
        ]
        return sum(self._kept.discard(key) for key in concerned)
