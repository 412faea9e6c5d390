"""Facts as signed records: JSON as facts_codec writes it, compressed to a tenth."""

import zlib
from typing import Final, Protocol

from otpc_policy.check import FactsKey, StoredFacts
from otpc_policy.core.errors import MalformedFacts
from otpc_policy.core.facts import AddressFacts
from otpc_policy.core.facts_codec import dump_facts, load_facts
from otpc_policy.fleet.signing import FleetKey
from otpc_policy.turns import turn

# An ordinary measurement takes 70,000 characters, and 6 KiB as a record. The certificates of a
# hostile server can take fifty times that, and reading or writing them holds the event loop for a
# fifth of a second; so much of it, for 15 to 30 ms. What is larger stays with whoever measured it.
MOST_CHARACTERS: Final = 512 * 1024
MOST_RECORD_BYTES: Final = MOST_CHARACTERS + 4_096
_ID_BYTES: Final = 64
# The fastest: the rest of the gain is a few per cent.
_LEVEL: Final = 1


class RecordObserver(Protocol):
    """Counts records that cannot be used, for metrics.

    record_refused: reason is "signature" (no key of this fleet, or moved), "malformed" (signed, but
    of a release that writes facts otherwise) or "oversize".
    """

    def record_refused(self, reason: str) -> None: ...


class Records:
    """Writes and reads the records of one fleet."""

    def __init__(self, key: FleetKey, observer: RecordObserver) -> None:
        self._key, self._observer = key, observer

    async def write(self, key: FactsKey, stored: StoredFacts) -> bytes | None:
        """Return the record of facts; None if no replica would read it."""
        async with turn():
            text = dump_facts(stored.facts).encode()
            if len(text) > MOST_CHARACTERS:
                return None
            content = stored.facts_id.encode() + zlib.compress(text, _LEVEL)
            record = self._key.seal(content, place=place_of(key))
        return record if len(record) <= MOST_RECORD_BYTES else None

    async def read(self, key: FactsKey, record: bytes | None) -> StoredFacts | None:
        """Return the facts of a record; None where there is none, or none that can be used.

        An empty record stands for one that is too large.
        """
        if record is None:
            return None
        if not record:
            self._observer.record_refused("oversize")
            return None
        async with turn():
            content = self._key.open(record, place=place_of(key))
            if content is None:
                self._observer.record_refused("signature")
                return None
            facts = _facts(content[_ID_BYTES:])
            # The key is signed as well; no replica writes facts of another place under it.
            if facts is None or facts.perspective not in ("", key.perspective):
                self._observer.record_refused("malformed")
                return None
            return StoredFacts(facts, content[:_ID_BYTES].decode("ascii", "replace"))


def _facts(compressed: bytes) -> AddressFacts | None:
    unpacking = zlib.decompressobj()
    try:
        text = unpacking.decompress(compressed, MOST_CHARACTERS)
        if not unpacking.eof:
            return None
        return load_facts(text.decode("ascii"), AddressFacts)
    except (zlib.error, UnicodeDecodeError, MalformedFacts):
        return None


def place_of(key: FactsKey) -> str:
    """Return what a record is bound to: its key, every field of it."""
    return "\n".join(map(repr, key))
