"""Which engine is asked about an address: the same on every front, whichever engines come and go.

Rendezvous hashing (Thaler and Ravishankar, 1998): each engine gets a weight for the key, and the
heaviest is first. When one goes, only its own keys move; when it is back, they come back. So the
bounds that an engine keeps for each address hold over all fronts that share the engines.
"""

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import TypeVar

from otpc_policy.engines.ports import Engine

E = TypeVar("E", bound=Engine)

_KEPT = 16_384


def ranked(key: str, engines: Iterable[E]) -> list[E]:
    """Return the engines in the order in which they are asked about the key."""
    return sorted(engines, key=lambda one: _weight(key, one.name), reverse=True)


@lru_cache(maxsize=_KEPT)
def _weight(key: str, name: str) -> bytes:
    named = name.encode()
    if len(named) > blake2b.MAX_KEY_SIZE:  # cut short, names that differ at their ends were equal
        named = blake2b(named).digest()
    return blake2b(key.encode(), digest_size=8, key=named).digest()
