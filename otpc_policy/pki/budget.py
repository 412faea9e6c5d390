"""The work that judging one chain may cost: one budget for all its paths, instants and anchor sets.

Of all chains that one endpoint presents, and it may present many, the sum is bounded too.

Whoever makes a chain chooses how many certificates, names, name constraints and signatures there
are to look at, and how they multiply. A judgement runs on the event loop that serves everybody, so
every step that such numbers can stretch is paid for here before it is taken. What a step costs
follows from the certificates alone, never from a clock, from the machine or from what happens to be
cached: the same chains get the same verdict everywhere, every time.

A step that cannot be paid for is not taken, and what it would have proven stays unknown. Nothing
else follows from that: a path that was proven before is as good as ever, and other steps that are
small enough may still be taken.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

# A unit is about a microsecond of CPU (Python 3.11, cryptography 46, a server core of 2020); prices
# are rounded up. Nobody should wait for a judgement longer than 50 ms. The largest honest chain in
# the tests, 1,201 names below 61 subtrees, costs 23,000; an ordinary public chain costs 1,000.
JUDGEMENT_UNITS = 40_000
# All chains of an endpoint are judged in one go. Two of the largest honest ones fit, and forty
# ordinary ones; 60,000 units were seen to take 38 ms.
ENDPOINT_UNITS = 60_000


class Work(Enum):
    """What units are spent on. DECODING: of the served chain; ANCHORS: those of a request."""

    DECODING = "decoding"
    ANCHORS = "anchors"
    SIGNATURES = "signatures"
    SEARCH = "search"
    COMPARISONS = "comparisons"
    VERIFIER = "verifier"
    STAPLE = "staple"

    # Members are single objects, and hashed often.
    __hash__ = object.__hash__


# Reading must leave room for judging, and what one party sends room for what others send. A
# certificate of 4,000 names costs 6,000, an ordinary one 200; a staple with its responder 400.
SHARES: Mapping[Work, int] = MappingProxyType(
    {Work.DECODING: 15_000, Work.ANCHORS: 8_000, Work.STAPLE: 6_000}
)


class TooComplexError(Exception):
    """A step costs more than is left. str() says which, for people, without text of partners."""


@dataclass(slots=True, eq=False)
class WorkBudget:
    """Units that are left for one chain.

    shares: how many of them some kinds of work may take at most. spent: what went where.
    """

    left: int = JUDGEMENT_UNITS
    shares: Mapping[Work, int] = field(default_factory=lambda: SHARES)
    spent: dict[Work, int] = field(default_factory=lambda: dict.fromkeys(Work, 0))

    def left_for(self, work: Work) -> int:
        """Return how many units may still be spent on this."""
        share = self.shares.get(work)
        return self.left if share is None else min(self.left, share - self.spent[work])

    def spend(self, units: int, on: Work, reason: str) -> None:
        """Pay for a step that is about to be taken.

        reason: what there is too much of, for people.
        Raises TooComplexError, and takes nothing, if that is more than is left.
        """
        if units > self.left_for(on):
            raise TooComplexError(reason)
        self.left -= units
        self.spent[on] += units
