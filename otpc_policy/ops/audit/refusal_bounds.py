"""How many refusals get a line of their own. Those beyond are summarised, never dropped.

To be refused costs a caller nothing, so a line for each would let anybody fill the disk. Each
caller has a budget, with its connections together (Caller.share), and so have all callers together.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from otpc_policy.recently_used import RecentlyUsed

# Bursts of so many seconds' worth of lines are written whole.
_BURST_S: Final = 10.0
# All callers together may leave so many times the lines of one.
_ALL: Final = 10
_CALLERS: Final = 4_096
_SUMMARIES: Final = 256
OTHERS: Final = "others"


@dataclass(frozen=True, slots=True, order=True)
class RefusalKind:
    """What a summary counts. caller: a label, or OTHERS once there are too many."""

    caller: str
    rpc: str
    code: str
    reason: str


class _Bucket:
    __slots__ = ("_burst", "_per_s", "_refilled_s", "_tokens")

    def __init__(self, per_s: float, now_s: float) -> None:
        self._per_s, self._burst = per_s, max(1.0, per_s * _BURST_S)
        self._tokens, self._refilled_s = self._burst, now_s

    def has(self, now_s: float) -> bool:
        self._tokens += (now_s - self._refilled_s) * self._per_s
        self._tokens, self._refilled_s = min(self._tokens, self._burst), now_s
        return self._tokens >= 1.0

    def take(self) -> None:
        self._tokens -= 1.0


class RefusalBounds:
    """Decides which refusals get a line, and counts the others by kind.

    lines_per_s: of one caller, over time.
    """

    def __init__(
        self, lines_per_s: float, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_s, self._monotonic = lines_per_s, monotonic
        self._of_all = _Bucket(lines_per_s * _ALL, monotonic())
        self._of_caller = RecentlyUsed[str, _Bucket](max_entries=_CALLERS)
        self._summarised: dict[RefusalKind, int] = {}

    def may_have_line(self, share: str) -> bool:
        """Return whether another refusal of this caller gets a line. share: Caller.share[0]."""
        now_s = self._monotonic()
        bucket = self._of_caller.get(share)
        if bucket is None:
            bucket = _Bucket(self._per_s, now_s)
            self._of_caller.put(share, bucket)
        if not (bucket.has(now_s) and self._of_all.has(now_s)):
            return False
        bucket.take()
        self._of_all.take()
        return True

    def summarise(self, kind: RefusalKind) -> None:
        """Count a refusal that gets no line of its own."""
        if kind not in self._summarised and len(self._summarised) >= _SUMMARIES:
            kind = RefusalKind(OTHERS, OTHERS, kind.code, kind.reason)
        self._summarised[kind] = self._summarised.get(kind, 0) + 1

    def take_summaries(self) -> list[tuple[RefusalKind, int]]:
        """Return what was counted since the last time, by kind."""
        taken, self._summarised = self._summarised, {}
        return sorted(taken.items())
