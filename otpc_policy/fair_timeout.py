"""A timeout that charges others for their own slowness, and not for that of this process.

An answer that has arrived is not read while the event loop is held by something else. A deadline
by the clock alone then fails what has been answered in time: the more is going on here, the more.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

# A loop that is held for longer than one part of the time is charged with one part.
_PARTS: Final = 5


@asynccontextmanager
async def fair_timeout(seconds: float, *, longest_s: float) -> AsyncIterator[None]:
    """Raise TimeoutError after so many seconds in which the event loop attended to its events.

    longest_s: by the clock, whatever the loop was doing; not less than seconds.
    """
    loop = asyncio.get_running_loop()
    part_s, left = seconds / _PARTS, _PARTS
    ticking: asyncio.TimerHandle

    async with asyncio.timeout(longest_s) as limit:

        def tick() -> None:
            nonlocal left, ticking
            left -= 1
            if left:
                ticking = loop.call_later(part_s, tick)
            elif not limit.expired():
                limit.reschedule(loop.time())

        ticking = loop.call_later(part_s, tick)
        try:
            yield
        finally:
            ticking.cancel()
