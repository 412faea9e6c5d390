"""How late the event loop is: every call waits at least that long."""

import asyncio
from collections.abc import Callable
from typing import Final

# A hold of that length is always seen; a shorter one, as often as it lasts a part of it.
_EVERY_S: Final = 0.1


class LoopLag:
    """Looks ten times a second. observe: called with each delay, in seconds."""

    def __init__(self, observe: Callable[[float], None], *, every_s: float = _EVERY_S) -> None:
        self._observe, self._every_s = observe, every_s
        self._next: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look from now on. On the event loop."""
        self._plan(asyncio.get_running_loop())

    def stop(self) -> None:
        """Look no more."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _plan(self, loop: asyncio.AbstractEventLoop) -> None:
        due_s = loop.time() + self._every_s
        self._next = loop.call_at(due_s, self._look, loop, due_s)

    def _look(self, loop: asyncio.AbstractEventLoop, due_s: float) -> None:
        # The clock of a loop is coarser than its timers: it may call a little early.
        self._observe(max(0.0, loop.time() - due_s))
        self._plan(loop)
