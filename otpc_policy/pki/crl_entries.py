"""The entries of a CRL: who is revoked since when, kept in few bytes and found by serial number.

The issuer has signed them, and may be hostile, or careless. What is odd about an entry never makes
it milder: a reason or a date that cannot be read is a revocation all the same, and of two entries
for one certificate the worse one counts, then the later one. Source: RFC 5280 5.1.2.6, 5.3.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Final, Self

from otpc_policy.pki.der import (
    GENERALIZED_TIME,
    INTEGER,
    SEQUENCE,
    UTC_TIME,
    DerError,
    Element,
    each_element,
    few_elements,
)
from otpc_policy.pki.extensions import list_extensions

# RFC 5280 4.1.2.2 allows 20 octets; one more holds the sign. Longer ones are kept by their digest,
# which has another first octet.
_NUMBER_BYTES: Final = 21
_WHOLE, _DIGEST = b"\0", b"\1"
_SERIAL_BYTES: Final = 1 + _NUMBER_BYTES
# The state, then the digits of the date as one number: compared as such, the worse and later wins.
_STATE_SHIFT: Final = 48
_VALUE_BYTES: Final = 7
_ENTRY_BYTES: Final = _SERIAL_BYTES + _VALUE_BYTES
# Of a list of 200,000 entries, each has 800.
_SHELVES: Final = 256
_BYTES_OF_SHELVES: Final = 12_000
# Read between two pauses: about a millisecond.
_ENTRIES_AT_A_TIME: Final = 200
_MAX_ENTRY_BYTES: Final = 4_096
_CRL_REASON, _INVALIDITY_DATE = "2.5.29.21", "2.5.29.24"
_UNDERSTOOD: Final = frozenset({_CRL_REASON, _INVALIDITY_DATE})
_ON_HOLD_REASON, _REMOVED_REASON = b"\x0a\x01\x06", b"\x0a\x01\x08"


class NotUnderstoodError(Exception):
    """An entry has a critical extension that is not understood: RFC 5280 5.3 forbids to go on."""


class EntryState(IntEnum):
    """What an entry says, from mild to bad. REMOVED: a reason that belongs in delta CRLs."""

    REMOVED = 0
    ON_HOLD = 1
    REVOKED = 2


@dataclass(frozen=True, slots=True)
class CrlEntry:
    """revoked_at: None where the entry has a date that cannot be read."""

    state: EntryState
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True, eq=False)
class CrlEntries:
    """All entries of a list, by serial number."""

    _shelves: tuple[bytes, ...]

    @classmethod
    def read(cls, der: bytes, entries: Element | None, pause: Callable[[], object]) -> Self:
        """Read the entries. pause: is called again and again in between.

        Raises DerError for what has no serial number, and NotUnderstoodError.
        """
        # Each serial number once, so none can make a shelf long.
        shelves: list[dict[bytes, int]] = [{} for _ in range(_SHELVES)]
        for serial, value in _read(der, entries, pause):
            shelf = shelves[_shelf_of(serial)]
            if value >= shelf.get(serial, 0):
                shelf[serial] = value
        return cls(tuple(map(_packed, shelves)))

    @property
    def size(self) -> int:
        """Bytes that they take."""
        return sum(map(len, self._shelves)) + _BYTES_OF_SHELVES

    def find(self, serial_number: int) -> CrlEntry | None:
        """Return the entry of a certificate; None if it is not listed."""
        wanted = _serial(serial_number)
        entries = self._shelves[_shelf_of(wanted)]
        place = bisect_right(
            range(len(entries) // _ENTRY_BYTES),
            wanted,
            key=lambda at: entries[at * _ENTRY_BYTES : at * _ENTRY_BYTES + _SERIAL_BYTES],
        )
        entry = entries[(place - 1) * _ENTRY_BYTES : place * _ENTRY_BYTES] if place else b""
        if entry[:_SERIAL_BYTES] != wanted:
            return None
        value = int.from_bytes(entry[_SERIAL_BYTES:], "big")
        digits = value & ((1 << _STATE_SHIFT) - 1)
        return CrlEntry(EntryState(value >> _STATE_SHIFT), _date(digits))


def _packed(shelf: dict[bytes, int]) -> bytes:
    return b"".join(
        serial + value.to_bytes(_VALUE_BYTES, "big") for serial, value in sorted(shelf.items())
    )


def _shelf_of(serial: bytes) -> int:
    # Python's hash of bytes is keyed, so no authority can put all its numbers on one shelf.
    return hash(serial) % _SHELVES


def _read(
    der: bytes, entries: Element | None, pause: Callable[[], object]
) -> Iterator[tuple[bytes, int]]:
    """Yield serial number and value of each entry."""
    if entries is None:
        return
    for count, entry in enumerate(each_element(der, entries.content, entries.end)):
        if count % _ENTRIES_AT_A_TIME == 0:
            pause()
        if entry.tag != SEQUENCE or entry.end - entry.start > _MAX_ENTRY_BYTES:
            raise DerError("not an entry")
        parts = few_elements(der, entry.content, entry.end, 3)
        if len(parts) < 2 or parts[0].tag != INTEGER or parts[0].content == parts[0].end:
            raise DerError("not an entry")
        # As a number: zeros before it change nothing.
        number = int.from_bytes(der[parts[0].content : parts[0].end], "big", signed=True)
        state = _state(der, parts[2]) if len(parts) == 3 else EntryState.REVOKED
        yield _serial(number), state << _STATE_SHIFT | _digits(der, parts[1])


def _serial(number: int) -> bytes:
    """Return what stands for a serial number, however long it is."""
    if number.bit_length() < 8 * _NUMBER_BYTES:
        return _WHOLE + number.to_bytes(_NUMBER_BYTES, "big", signed=True)
    octets = number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)
    return _DIGEST + hashlib.sha256(octets).digest()[:_NUMBER_BYTES]


def _digits(der: bytes, time: Element) -> int:
    """Return the digits of a date, year first, as one number; 0 if it is none."""
    content = der[time.content : time.end]
    digits = content[:-1]
    if content[-1:] != b"Z" or not digits.isdigit():
        return 0
    if time.tag == UTC_TIME and len(digits) == 12:
        # RFC 5280 4.1.2.5.1.
        return int((b"19" if digits >= b"50" else b"20") + digits)
    if time.tag == GENERALIZED_TIME and len(digits) == 14:
        return int(digits)
    return 0


def _date(digits: int) -> datetime | None:
    rest, second = divmod(digits, 100)
    rest, minute = divmod(rest, 100)
    rest, hour = divmod(rest, 100)
    rest, day = divmod(rest, 100)
    year, month = divmod(rest, 100)
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None


def _state(der: bytes, extensions: Element) -> EntryState:
    """Return what the extensions of an entry make of it.

    Raises DerError if it cannot be seen which there are, and NotUnderstoodError.
    """
    states = []
    for extension in list_extensions(der, extensions.start, extensions.end):
        if extension.is_critical and extension.oid not in _UNDERSTOOD:
            raise NotUnderstoodError
        if extension.oid == _CRL_REASON:
            reason = der[slice(*extension.content)]
            states.append(_STATES.get(reason, EntryState.REVOKED))
    return states[0] if len(states) == 1 else EntryState.REVOKED


_STATES: Final = {
    _ON_HOLD_REASON: EntryState.ON_HOLD,
    _REMOVED_REASON: EntryState.REMOVED,
}
