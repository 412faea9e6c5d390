"""Pieces of work that hold the event loop for milliseconds, with room for others between two.

Measurements that begin together end together. What is then to be done for each of them (facts to
read, to name, to judge) would keep an answer that is at hand waiting until it is done for all.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary


@dataclass(slots=True)
class _Turns:
    """Of one loop. last_s: how long the last piece held it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    last_s: float = 0.0


# What is shared is the loop's time, whoever spends it.
_TURNS: WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns] = WeakKeyDictionary()


@asynccontextmanager
async def turn() -> AsyncIterator[None]:
    """Wait for a turn, in the order of asking. The body is the piece; it does not await.

    First the loop attends to what else has come; after another piece, for as long as that took.
    """
    turns = _TURNS.setdefault(asyncio.get_running_loop(), _Turns())
    has_waited = turns.lock.locked()
    async with turns.lock:
        await asyncio.sleep(turns.last_s if has_waited else 0)
        began_s = time.perf_counter()
        try:
            yield
        finally:
            turns.last_s = time.perf_counter() - began_s
