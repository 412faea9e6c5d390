"""How many measurements one engine is given at a time; the others wait here, in order.

A call to an engine costs the event loop half a millisecond. In a burst of a thousand all of them
would be made at once, and nobody else be answered meanwhile.
"""

import asyncio
from collections import deque
from collections.abc import Callable


class Gate:
    """Enter before a measurement, leave after it. capacity: how many may be inside, now."""

    def __init__(self, capacity: Callable[[], int]) -> None:
        self._capacity = capacity
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """Those that wait."""
        return len(self._waiting)

    @property
    def is_idle(self) -> bool:
        """Nobody is inside or waits."""
        return not (self._inside or self._waiting)

    @property
    def is_full(self) -> bool:
        """Whoever enters now has to wait."""
        return bool(self._waiting) or self._inside >= self._capacity()

    async def enter(self) -> None:
        """Wait for a place."""
        if self.is_full:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self.leave()
                elif turn in self._waiting:
                    self._waiting.remove(turn)
                raise
        else:
            self._inside += 1

    def leave(self) -> None:
        """Give the place to who has waited longest."""
        self._inside -= 1
        while self._waiting and self._inside < self._capacity():
            turn = self._waiting.popleft()
            if not turn.done():  # else whoever waited has just given up
                self._inside += 1
                turn.set_result(None)
