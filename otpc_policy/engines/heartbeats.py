"""How long an engine has been silent.

Counted in looks and not by the clock: a stall of our own, in which nothing could be heard, is then
one look and not many seconds.
"""

import asyncio
import math
from collections.abc import Collection
from typing import Any, Final

from otpc_policy.engines.client import EngineClient
from otpc_policy.engines.starvation import Starvation
from otpc_policy.measurement.methods import HEARTBEAT_AT_REST_S, HEARTBEAT_S

# At rest nobody waits for the engine, and every look costs something.
_LOOK_AT_REST_S: Final = HEARTBEAT_AT_REST_S / 2
# Reports and looks are not in step, so one look in vain says nothing.
_SHORT_LOOKS: Final = 1
# Three seconds without a report, though it measures: it holds its loop for no longer than 50 ms.
_LONG_LOOKS: Final = 3
# The same at rest: 7.5 seconds where a report is due after five.
_LONG_LOOKS_AT_REST: Final = 3
# Looks in vain that starvation may explain, one after the other.
_MOST_EXCUSED: Final = 20


class Silence:
    """Looks in vain for a report, one after the other.

    starvation: of the engine's process; None where that is on another machine.
    """

    def __init__(self, client: EngineClient, starvation: Starvation | None = None) -> None:
        self._client = client
        self._starvation = starvation
        self._is_busy = False
        self._in_vain = 0
        self._excused = 0
        self._due_s = math.inf
        self._looked_s = -math.inf

    async def until_next_look(
        self, ends: Collection[asyncio.Future[Any]]
    ) -> set[asyncio.Future[Any]]:
        """Wait until it is time to look, or one of these ends; return those that have ended.

        A measurement that begins at rest makes it time to look: from then on every second counts.
        """
        began: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def begin() -> None:
            if not began.done():
                began.set_result(None)

        if not self._is_busy:
            self._client.became_busy = begin
        look_s = HEARTBEAT_S if self._client.is_busy else _LOOK_AT_REST_S
        self._due_s = asyncio.get_running_loop().time() + look_s
        done, _ = await asyncio.wait(
            {*ends, began}, timeout=look_s, return_when=asyncio.FIRST_COMPLETED
        )
        return done - {began}

    def look(self) -> None:
        """Look whether there was a report since the last look."""
        is_busy = self._client.is_busy
        now_s = asyncio.get_running_loop().time()
        if self._client.reports or is_busy != self._is_busy:
            self._in_vain = self._excused = 0
            if self._starvation is not None:
                self._starvation.heard()
        elif self._excused < _MOST_EXCUSED and self._is_starved(now_s - self._looked_s):
            self._excused += 1
        else:
            self._in_vain += 1
        self._is_busy = is_busy
        self._looked_s = now_s
        self._client.reports = 0
        # An honest engine has gone on reporting while this process was stopped, paused or moved.
        late_s = now_s - self._due_s
        self._client.arrears = int(max(0.0, late_s) / HEARTBEAT_S)

    def _is_starved(self, silent_s: float) -> bool:
        return self._starvation is not None and self._starvation.explains(silent_s)

    @property
    def is_short(self) -> bool:
        """It may be given measurements."""
        return not self._is_busy or self._in_vain <= _SHORT_LOOKS

    @property
    def is_over_long(self) -> bool:
        """It hangs, or was stopped, or cannot be reached."""
        return self._in_vain >= (_LONG_LOOKS if self._is_busy else _LONG_LOOKS_AT_REST)
