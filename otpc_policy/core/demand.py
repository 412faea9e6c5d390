"""Who wants a measurement, and how urgently: what queues share their places by.

A measurement is shared by whoever asks for the same, so it may be claimed by several callers. It
waits in the turn of whichever claim comes up first, and goes on for as long as one is left.
"""

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import IntEnum

from otpc_policy.core.caller import WITHIN_THIS_PROCESS


class ScanClass(IntEnum):
    """Classes of measurements, the most urgent first."""

    INTERACTIVE = 0
    """A caller waits, and has nothing else to go by."""
    REFRESH = 1
    """A caller has an answer from older facts, which this will replace."""
    WATCH = 2
    """The service measures of its own accord."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One share's wish for a measurement.

    share: group and member (Caller.share). is_partners: the endpoint is one of the partners', for
    which places are reserved.
    """

    share: tuple[str, str] = WITHIN_THIS_PROCESS.share
    scan_class: ScanClass = ScanClass.INTERACTIVE
    is_partners: bool = False

    @property
    def is_own(self) -> bool:
        """This process asks for itself, as the command line does; it shares with nobody."""
        return self.share == WITHIN_THIS_PROCESS.share

    @property
    def may_use_reserve(self) -> bool:
        """It may have a place of those that are kept for partners' endpoints."""
        return self.is_partners or self.is_own


class Demand:
    """The claims on one measurement. changed: is called after each change.

    dropped: is called once, where the measurement is given up because nobody wants it and others
    need the place. From then on nobody may join it.
    """

    def __init__(self, *claims: Claim) -> None:
        self._claims = Counter(claims)
        self._is_dropped = False
        self.changed: Callable[[], object] = _ignore
        self.dropped: Callable[[], object] = _ignore

    @property
    def claims(self) -> Collection[Claim]:
        """The different claims, the earliest first."""
        return self._claims.keys()

    @property
    def waiters(self) -> int:
        """Calls that want it."""
        return self._claims.total()

    @property
    def is_wanted(self) -> bool:
        """Somebody claims it."""
        return bool(self._claims)

    @property
    def is_dropped(self) -> bool:
        """It has been given up."""
        return self._is_dropped

    def claim(self, claim: Claim) -> None:
        """Want the measurement; each call needs a withdrawal of its own."""
        self._claims[claim] += 1
        self.changed()

    def withdraw(self, claim: Claim) -> None:
        """Want it no longer, as far as one call of claim is concerned."""
        self._claims[claim] -= 1
        if self._claims[claim] <= 0:
            del self._claims[claim]
        self.changed()

    def drop(self) -> None:
        """Give the measurement up."""
        if not self._is_dropped:
            self._is_dropped = True
            self.dropped()


def _ignore() -> None:
    """Nobody listens."""
