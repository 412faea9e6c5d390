"""The script that publishes and its twin in Python decide alike, whatever is published when."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from otpc_policy.check import VerdictChange
from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.fleet.changes import How, InMemoryChanges
from otpc_policy.policy.finding import Decision
from tests.fleet.conftest import MakeReplica
from tests.fleet.test_changes import all_after
from tests.fleet.world import shared_changes

STEPS = 500
# Instants are multiples of ten seconds, moves of the clock end between them: so that no decision
# hangs on the milliseconds by which the two clocks differ.
TENS = timedelta(seconds=10)
FORGOTTEN_TENS = 90


class Drawn:
    """Verdicts that are alike, tie, are older, newer, expired, dated ahead and forced."""

    def __init__(self, seed: int) -> None:
        self.draw = Random(seed)
        self.start = datetime.now(UTC)
        self.tens = 0

    @property
    def move_s(self) -> float:
        return 10.0 * self.tens

    def now(self) -> datetime:
        return datetime.now(UTC) + self.tens * TENS

    def at(self, tens: int) -> datetime:
        """Return an instant so many tens of seconds before or after about now."""
        return self.start + (self.tens + tens) * TENS + timedelta(seconds=3 if tens > 0 else -3)

    def move(self) -> None:
        chosen = self.draw.choice((*(0,) * 9, 1, 1, 2, FORGOTTEN_TENS + 1))
        self.tens += chosen

    def next(self) -> tuple[VerdictChange, How, bool]:
        draw = self.draw
        how = draw.choice((How.FOUND,) * 6 + (How.LAPSED, How.LAPSED, How.REMOVED, How.FORGOTTEN))
        decision: Decision | None = draw.choice(tuple(Decision))
        if how is How.LAPSED:
            decision = Decision.INDETERMINATE
        elif how is not How.FOUND:
            decision = None
        change = VerdictChange(
            endpoint=parse_endpoint("a.test", draw.choice((1, 2))),
            partner_id="bank",
            decision=decision,
            # Absolute ones, so that ties are frequent.
            observed_at=draw.choice((None, *(self.at(tens) for tens in (-3, -2, -1, -1, 1)))),
            expires_at=draw.choice((None, *(self.at(tens) for tens in (-1, 1, 1, 2, 9)))),
            changed_at=self.at(draw.choice((-1, -1, 1))),
            revision=draw.choice(("abc", "abc", "def", "")),
        )
        return change, how, draw.random() < 0.4


@pytest.mark.parametrize("seed", range(8))
async def test_both_decide_alike(replica: MakeReplica, seed: int) -> None:
    drawn = Drawn(seed)
    own = InMemoryChanges(drawn.now)
    shared = shared_changes(replica(), move_s=lambda: drawn.move_s)
    own_start, shared_start = (await own.snapshot())[0], (await shared.snapshot())[0]
    happened = set()
    for step in range(STEPS):
        drawn.move()
        change, how, is_forced = drawn.next()
        outcomes = [await each.publish(change, how, is_forced=is_forced) for each in (own, shared)]
        assert outcomes[0] is outcomes[1], (step, change, how, is_forced)
        happened.add((how, outcomes[0]))
    assert len(happened) >= 8, happened
    for name in ("a.test:1", "a.test:2"):
        found = [
            [each for each in await all_after(changes, start) if each.name == name]
            for changes, start in ((own, own_start), (shared, shared_start))
        ]
        assert found[0] == found[1]
    assert (await own.snapshot())[1] == (await shared.snapshot())[1]
