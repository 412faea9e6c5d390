"""What a process has once, and simulated replicas must not share."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from otpc_policy import turns
from tests.simulation.loop import owner


class _TurnsOfOwners:
    """Turns of each owner: replicas share no event loop but this one."""

    def __init__(self) -> None:
        self._turns: dict[str, Any] = {}

    def setdefault(self, _loop: asyncio.AbstractEventLoop, new: Any) -> Any:
        return self._turns.setdefault(owner.get(), new)


class _NoTime:
    """A piece of work takes no time here."""

    @staticmethod
    def perf_counter() -> float:
        return 0.0


@contextmanager
def alone() -> Iterator[None]:
    """Keep what a process has once from being shared by replicas, and its clock from being read."""
    of_turns: Any = turns
    had = of_turns._TURNS, of_turns.time
    logging.disable(logging.CRITICAL)
    of_turns._TURNS, of_turns.time = _TurnsOfOwners(), _NoTime
    try:
        yield
    finally:
        of_turns._TURNS, of_turns.time = had
        logging.disable(logging.NOTSET)
