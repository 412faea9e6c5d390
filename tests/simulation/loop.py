"""An event loop on which time passes only when nobody has anything left to do.

Each callback belongs to whoever's context it runs in: a replica that is paused, or dead, keeps its
callbacks until it goes on, or for ever. Nothing here depends on the machine's clock.
"""

import asyncio
from collections import defaultdict
from collections.abc import Coroutine
from contextvars import Context, ContextVar, copy_context
from heapq import heappop
from typing import Any, TypeVar

_Result = TypeVar("_Result")

owner: ContextVar[str] = ContextVar("owner", default="")
"""Whose work the current callback is; "" for the world's."""

# A run has a hundred thousand; without an end, something begins itself again and again.
_MOST_CALLBACKS = 5_000_000


class Stuck(Exception):
    """Nobody has anything to do any more, or somebody never has nothing."""


class SimulatedLoop(asyncio.BaseEventLoop):
    """Satisfies asyncio's loops as far as tasks, futures and timers go."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._stopped: set[str] = set()
        self._held: dict[str, list[asyncio.Handle]] = defaultdict(list)
        self.callbacks = 0

    def time(self) -> float:
        """Return the world's time, in seconds since the run began."""
        return self._now_s

    def hold(self, name: str) -> None:
        """Let nothing of an owner run from now on."""
        self._stopped.add(name)

    def release(self, name: str) -> None:
        """Let an owner go on. What fell due meanwhile falls due now."""
        self._stopped.discard(name)
        self._ready.extend(self._held.pop(name, ()))  # type: ignore[attr-defined]

    def release_all(self) -> None:
        """Let everybody go on."""
        for name in tuple(self._stopped):
            self.release(name)

    def context_of(self, name: str) -> Context:
        """Return a context in which everything belongs to an owner."""
        context = copy_context()
        context.run(owner.set, name)
        return context

    def start(self, name: str, work: Coroutine[Any, Any, _Result]) -> "asyncio.Task[_Result]":
        """Begin work of an owner."""
        return self.create_task(work, context=self.context_of(name))

    def _run_once(self) -> None:
        # What asyncio's own loop does, without a selector.
        ready, scheduled = self._ready, self._scheduled  # type: ignore[attr-defined]
        while scheduled and scheduled[0].cancelled():
            heappop(scheduled)._scheduled = False
        if not ready:
            if not scheduled:
                raise Stuck("nothing is left to happen")
            self._now_s = max(self._now_s, scheduled[0].when())
        while scheduled and scheduled[0].when() <= self._now_s:
            timer = heappop(scheduled)
            timer._scheduled = False
            ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle.cancelled():
                continue
            name = handle._context.get(owner, "")
            if name in self._stopped:
                self._held[name].append(handle)
                continue
            self.callbacks += 1
            if self.callbacks > _MOST_CALLBACKS:
                raise Stuck("something happens without end")
            handle._run()

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Do nothing: cancelled timers are passed over when their time comes."""

    def _process_events(self, event_list: Any) -> None:
        raise NotImplementedError

    def _write_to_self(self) -> None:
        raise NotImplementedError
