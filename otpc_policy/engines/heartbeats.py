"""How long an engine has been silent.

Counted in looks and not by the clock: a stall of our own, in which nothing could be heard, is then
one look and not many seconds.
"""

from typing import Final

from otpc_policy.engines.client import EngineClient
from otpc_policy.measurement.methods import HEARTBEAT_AT_REST_S, HEARTBEAT_S

# At rest nobody waits for the engine, and every look costs something.
_LOOK_AT_REST_S: Final = HEARTBEAT_AT_REST_S / 2
# Reports and looks are not in step, so one look in vain says nothing.
_SHORT_LOOKS: Final = 1
# Three seconds without a report, though it measures: it holds its loop for no longer than 50 ms.
_LONG_LOOKS: Final = 3
# The same at rest: 7.5 seconds where a report is due after five.
_LONG_LOOKS_AT_REST: Final = 3


class Silence:
    """Looks in vain for a report, one after the other."""

    def __init__(self, client: EngineClient) -> None:
        self._client = client
        self._is_busy = False
        self._in_vain = 0

    @property
    def next_look_s(self) -> float:
        """When to look again."""
        return HEARTBEAT_S if self._client.is_busy else _LOOK_AT_REST_S

    def look(self) -> None:
        """Look whether there was a report since the last look."""
        is_busy = self._client.is_busy
        if self._client.reports or is_busy != self._is_busy:
            self._in_vain = 0
        else:
            self._in_vain += 1
        self._is_busy = is_busy
        self._client.reports = 0

    @property
    def is_short(self) -> bool:
        """It may be given measurements."""
        return not self._is_busy or self._in_vain <= _SHORT_LOOKS

    @property
    def is_over_long(self) -> bool:
        """It hangs, or was stopped, or cannot be reached."""
        return self._in_vain >= (_LONG_LOOKS if self._is_busy else _LONG_LOOKS_AT_REST)
