"""What strikes a run, and when: drawn from its seed before it begins."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random


class Kind(StrEnum):
    """What happens. CUT, LOSSY, SLOW: to one replica's link. OUTAGE: to all links. FAILOVER: the
    store loses its last writes. FLUSH: it loses everything. CRASH, PAUSE, CLOCK: of one replica."""

    CUT = "cut"
    LOSSY = "lossy"
    SLOW = "slow"
    OUTAGE = "outage"
    FAILOVER = "failover"
    FLUSH = "flush"
    CRASH = "crash"
    PAUSE = "pause"
    CLOCK = "clock"


@dataclass(frozen=True, slots=True)
class Fault:
    """at_s: of the world. lasts_s: until all is as it was. amount: of loss, delay, lost seconds of
    writes, or the step of a clock. place: of the replica, whichever lives there."""

    at_s: float
    kind: Kind
    place: int
    lasts_s: float
    amount: float


def drawn_faults(draw: Random, horizon_s: float, replicas: int) -> Sequence[Fault]:
    """Return up to eight faults in order; none in one run of eight."""
    count = draw.choice((0, 1, 1, 2, 3, 4, 6, 8))
    faults = [_fault(draw, draw.uniform(5.0, horizon_s - 10.0), replicas) for _ in range(count)]
    return sorted(faults, key=lambda fault: fault.at_s)


def _fault(draw: Random, at_s: float, replicas: int) -> Fault:
    kind = draw.choice(tuple(Kind))
    lasts_s, amount = draw.uniform(0.5, 30.0), 0.0
    match kind:
        case Kind.LOSSY:
            amount = draw.uniform(0.05, 0.6)
        case Kind.SLOW:
            amount = draw.uniform(0.05, 0.4)
        case Kind.FAILOVER:
            lasts_s, amount = draw.uniform(0.0, 4.0), draw.uniform(0.0, 4.0)
        case Kind.FLUSH:
            lasts_s = draw.uniform(0.0, 4.0)
        case Kind.CLOCK:
            step_s = draw.choice((draw.uniform(0.2, 4.0), draw.uniform(20.0, 300.0)))
            amount = step_s * draw.choice((1, -1))
    return Fault(at_s, kind, draw.randrange(replicas), lasts_s, amount)
