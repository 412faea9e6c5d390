"""Which server of a cluster has which slots, as one of them says (CLUSTER SLOTS)."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from otpc_policy.fleet.clients import Address

# A cluster that was resharded many times has some hundreds. What has more is none.
_MOST_RANGES: Final = 4_096
_MOST_SERVERS: Final = 128
_HOST: Final = re.compile(r"[0-9A-Za-z.:_-]{1,253}")
_MOST_PORT: Final = 65_535


@dataclass(frozen=True, slots=True)
class SlotMap:
    """Ranges of slots in order. owners: their primaries. others: replicas, which have copies.

    is_whole: no slot is without an owner.
    """

    starts: Sequence[int]
    ends: Sequence[int]
    owners: Sequence[Address]
    primaries: frozenset[Address]
    others: frozenset[Address]
    is_whole: bool

    def owner(self, slot: int) -> Address | None:
        """Return the primary of a slot; None where nobody has it."""
        at = bisect_right(self.starts, slot) - 1
        return self.owners[at] if at >= 0 and slot <= self.ends[at] else None


def slot_of(key: str) -> int:
    """Return the slot of a key: that of its hash tag."""
    return key_slot(key.encode())


def read_slot_map(answer: Any, asked: Address) -> SlotMap:
    """Read an answer of the server that was asked. Raises TypeError, ValueError or IndexError."""
    if not isinstance(answer, list) or len(answer) > _MOST_RANGES:
        raise TypeError
    ranges: list[tuple[int, int, Address]] = []
    others: set[Address] = set()
    for start, end, primary, *replicas in answer:
        if not 0 <= _number(start) <= _number(end) < REDIS_CLUSTER_HASH_SLOTS:
            raise ValueError
        ranges.append((start, end, _address(primary, asked)))
        others |= {_address(replica, asked) for replica in replicas}
        if len(others) > _MOST_SERVERS:
            raise ValueError
    ranges.sort(key=lambda each: each[0])
    owners = [owner for _, _, owner in ranges]
    primaries = frozenset(owners)
    if not 0 < len(primaries) <= _MOST_SERVERS:
        raise ValueError
    return SlotMap(
        starts=[start for start, _, _ in ranges],
        ends=[end for _, end, _ in ranges],
        owners=owners,
        primaries=primaries,
        others=frozenset(others - primaries),
        is_whole=sum(end - start + 1 for start, end, _ in ranges) == REDIS_CLUSTER_HASH_SLOTS,
    )


def redirected_to(host: str, port: int, asked: Address) -> Address:
    """Return where a redirect leads. Raises TypeError or ValueError."""
    return _address([host.encode(), port], asked)


def _address(server: Any, asked: Address) -> Address:
    host, port = server[0], _number(server[1])
    # A server that does not know its own host means the one by which it was asked.
    named = host.decode("ascii") if isinstance(host, bytes) else ""
    if host not in (None, b"", b"?") and not _HOST.fullmatch(named):
        raise ValueError("no host")
    if not 0 < port <= _MOST_PORT:
        raise ValueError("no port")
    return Address(asked.host if named in ("", "?") else named, port)


def _number(value: Any) -> int:
    if type(value) is not int:
        raise TypeError
    return value
