"""Facts in memory, least recently used out first, bounded by entries and by bytes."""

from collections import OrderedDict
from collections.abc import Sequence

from otpc_policy.core.facts import AddressFacts

# What the objects themselves take, measured with tracemalloc over 1,000 entries of a compliant server, rounded up.
_ENTRY_BYTES = 2_000
_FACT_BYTES = 150
# Facts about suites and the texts of a trace are shared by all entries.
_SHARED_BYTES = 8
_STEP_BYTES = 200


def size_of(facts: AddressFacts) -> int:
    """Return about how many bytes facts take: certificates and staples exactly, the rest by count."""
    served = sum(len(der) for one in facts.deployments for der in one.chain) + sum(len(one.stapled_ocsp_response or b"") for one in facts.deployments)
    counted = len(facts.versions) + len(facts.deployments) + len(facts.vulnerabilities)
    shared = len(facts.cipher_suites) * _SHARED_BYTES + len(facts.trace) * _STEP_BYTES
    texts = (*facts.remarks, *facts.intolerances)
    if facts.deep is not None:
        counted += len(facts.deep.curves)
        texts += (*facts.deep.remarks, *facts.deep.contradictions)
    return _ENTRY_BYTES + served + counted * _FACT_BYTES + shared + sum(len(text) for text in texts)


class MemoryFactsCache:
    """The newest facts for each key. Facts larger than the whole bound are not kept."""

    def __init__(self, *, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: OrderedDict[bytes, tuple[AddressFacts, int]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def bytes_kept(self) -> int:
        """Bytes in use, as counted by size_of."""
        return self._bytes

    def get(self, key: bytes) -> AddressFacts | None:
        """Return the facts, however old, or None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: bytes, facts: AddressFacts) -> Sequence[AddressFacts]:
        """Keep the facts in place of older ones, and return what is not kept now; older facts never replace newer ones."""
        present = self._entries.get(key)
        if present is not None and present[0].observed_at > facts.observed_at:
            return (facts,)
        gone = [one for one in self.discard(key) if one is not facts]
        size = size_of(facts)
        if size > self._max_bytes:
            return (*gone, facts)
        self._entries[key] = (facts, size)
        self._bytes += size
        while len(self._entries) > self._max_entries or self._bytes > self._max_bytes:
            _, (oldest, freed) = self._entries.popitem(last=False)
            self._bytes -= freed
            gone.append(oldest)
        return gone

    def discard_all(self, prefix: bytes) -> Sequence[AddressFacts]:
        """Forget the facts whose keys begin so, and return them. Looks at every key: some milliseconds for a full cache."""
        keys = [key for key in self._entries if key.startswith(prefix)]
        return [facts for key in keys for facts in self.discard(key)]

    def discard(self, key: bytes) -> Sequence[AddressFacts]:
        """Forget the facts, if there are any, and return them."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return ()
        self._bytes -= entry[1]
        return (entry[0],)
