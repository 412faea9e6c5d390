"""What must hold in every run, seen from outside, in the world's time.

An invariant is a class of its own: it gets the run, and is told what happens. A fault explains some
things, for as long as `disturbed` says; what nothing explains ends the run. Invariants of further
ports (changes of verdicts, connection slots) join at the end, in EVERY.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from otpc_policy.check import Answer
from otpc_policy.core.endpoint import Endpoint
from otpc_policy.fleet.scripts import ACQUIRE, DISCARD_HOST, PUT, Script
from otpc_policy.policy.finding import Decision
from tests.simulation.engine import LATE_S
from tests.simulation.replica import POLL_S, TICK_S, Replica
from tests.simulation.world import ALLOW_S, DENY_S, MOST_MEASURING_S, Measured

if TYPE_CHECKING:
    from tests.simulation.run import Run

# Lifetimes vary by a tenth.
_LONGEST: Final = {Decision.ALLOW: 1.1 * ALLOW_S, Decision.DENY: 1.1 * DENY_S}
# Facts of a clock that is ahead look younger than they are. Those of others are ten seconds ahead
# at most, because each clock differs from the store's by five (docs/fleet.md); a replica's own, a
# minute (docs/operations.md).
_CLOCKS_S: Final = 10.0
_SET_BACK_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Disturbance:
    """A fault. place: None for all. sets_clock: so that facts of the place are dated wrongly."""

    from_s: float
    until_s: float
    place: int | None
    sets_clock: bool = False


class Invariant:
    """Told what happens in a run; calls run.violated."""

    def __init__(self, run: "Run") -> None:
        self.run = run

    def answered(
        self, replica: Replica, endpoint: Endpoint, answer: Answer, began_s: float
    ) -> None:
        """A replica has made an answer, for a caller or for its watch list."""

    def ran(
        self,
        replica: str,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[Any],
        answer: Any,
    ) -> None:
        """The store has run a script."""

    def measuring(self, measured: Measured) -> None:
        """A measurement begins."""

    def followed(self, replica: str, began_s: float, is_first: bool) -> None:
        """A replica has read notices. is_first: those before it may have been missed."""

    def invalidated(self, host: str, began_s: float) -> None:
        """Whoever asked to invalidate a host is told that it is."""

    def lost_writes(self, since_s: float) -> None:
        """The store has lost what was written since."""

    def died(self, replica: str) -> None:
        """A replica has crashed."""

    def look(self) -> None:
        """A second has passed."""

    def disturbed(self, from_s: float, *places: int) -> bool:
        """Whether a fault lasted at any time since, at one of the places; without any, anywhere."""
        return any(
            each.until_s >= from_s and (each.place is None or not places or each.place in places)
            for each in self.run.disturbances
        )


def set_back_s(replica: Replica) -> float:
    """Return by how much a replica's own clock is behind.

    It takes everything that it has for younger by that, and cannot know: what tells it is the
    doctor (docs/operations.md).
    """
    return max(0.0, -replica.clock.ahead_s)


class AnswersAreYoung(Invariant):
    """No answer rests on facts that have expired by the world's time; clocks may differ."""

    def answered(
        self, replica: Replica, endpoint: Endpoint, answer: Answer, began_s: float
    ) -> None:
        decision = answer.judgement.verdict.decision
        for facts in answer.addresses:
            measured = self.run.truth.of_seed(facts.seed)
            age_s = self.run.now_s - measured.dated_s
            gained_s = max(0.0, measured.offset_s)
            is_own = measured.replica.partition(".")[0] == replica.name.partition(".")[0]
            gained_s = min(gained_s, _SET_BACK_S if is_own else _CLOCKS_S)
            if age_s > _LONGEST[decision] + gained_s + set_back_s(replica):
                self.run.violated(
                    f"{replica.name} answers {decision.name} for {endpoint} from facts of "
                    f"{age_s:.1f} s, dated {measured.offset_s:+.1f} s"
                )


class AnswersWereTrue(Invariant):
    """No verdict is given that the world gave at no time within the lifetime of facts."""

    def answered(
        self, replica: Replica, endpoint: Endpoint, answer: Answer, began_s: float
    ) -> None:
        decision = answer.judgement.verdict.decision
        if decision is Decision.INDETERMINATE:
            return
        now_s, truth = self.run.now_s, self.run.truth
        since_s = now_s - _LONGEST[decision] - LATE_S - _SET_BACK_S - set_back_s(replica)
        was_good = truth.was_good_within(endpoint, since_s, now_s)
        always_good = was_good and not any(
            since_s <= change <= now_s for change in truth.changes[endpoint]
        )
        if decision is Decision.ALLOW and not was_good:
            self.run.violated(f"{replica.name} allows {endpoint}, which has been bad for too long")
        if decision is Decision.DENY and always_good and truth.is_good(endpoint, since_s):
            self.run.violated(f"{replica.name} denies {endpoint}, which has been good for long")


class InvalidationsHold(Invariant):
    """Once an invalidation is confirmed, and a replica has read of it, older facts answer no call.

    A replica reads of it within a poll, unless something has struck it: one that cannot ask the
    store answers from memory until it can (docs/fleet.md).
    """

    _READ_S = 2 * POLL_S + 1.0

    def __init__(self, run: "Run") -> None:
        super().__init__(run)
        # By host: when it was asked for, and confirmed.
        self._confirmed: dict[str, list[tuple[float, float]]] = {}
        # By replica: since when it has missed nothing, and when its last poll began.
        self._followed: dict[str, tuple[float, float]] = {}

    def invalidated(self, host: str, began_s: float) -> None:
        self._confirmed.setdefault(host, []).append((began_s, self.run.now_s))

    def lost_writes(self, since_s: float) -> None:
        for host, all_of_host in self._confirmed.items():
            self._confirmed[host] = [each for each in all_of_host if each[1] < since_s]

    def followed(self, replica: str, began_s: float, is_first: bool) -> None:
        since_s = began_s if is_first else self._followed[replica][0]
        self._followed[replica] = since_s, began_s

    def answered(
        self, replica: Replica, endpoint: Endpoint, answer: Answer, began_s: float
    ) -> None:
        place = int(replica.name.partition(".")[0])
        since_s, read_s = self._followed.get(replica.name, (1e9, -1.0))
        for facts in answer.addresses:
            measured = self.run.truth.of_seed(facts.seed)
            for asked_s, confirmed_s in self._confirmed.get(endpoint.host, ()):
                if measured.began_s >= asked_s:
                    continue
                has_read = since_s < asked_s and confirmed_s < read_s < began_s - POLL_S
                should_have = began_s > confirmed_s + self._READ_S and not self.disturbed(
                    confirmed_s - LATE_S, place
                )
                if has_read or should_have:
                    self.run.violated(
                        f"{replica.name} answers for {endpoint} from facts of "
                        f"{measured.began_s:.1f}, invalidated at {confirmed_s:.1f}"
                    )


class FencesHold(Invariant):
    """Numbers of leases rise, and facts are kept under the last one only, of the same epoch."""

    def __init__(self, run: "Run") -> None:
        super().__init__(run)
        # By the name of the fence: what was given out, and when.
        self._given: dict[str, list[tuple[float, int]]] = {}
        self._highest: dict[str, int] = {}
        # By the name of the epoch: when the host was invalidated.
        self._discarded: dict[str, list[float]] = {}

    def lost_writes(self, since_s: float) -> None:
        self._given = {
            name: [each for each in given if each[0] < since_s]
            for name, given in self._given.items()
        }
        self._discarded = {
            name: [at for at in times if at < since_s] for name, times in self._discarded.items()
        }

    def ran(
        self,
        replica: str,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[Any],
        answer: Any,
    ) -> None:
        now_s = self.run.now_s
        if script is ACQUIRE and answer[0] == 1:
            name, fence = keys[1], int(answer[1])
            if fence <= self._highest.get(name, 0):
                self.run.violated(f"{replica} is given the fence {fence} again")
            self._highest[name] = fence
            self._given.setdefault(name, []).append((now_s, fence))
        elif script is DISCARD_HOST:
            self._discarded.setdefault(keys[1], []).append(now_s)
        elif script is PUT and answer == 1 and arguments[8] != "":
            given = self._given.get(keys[1], [])
            if not given or given[-1][1] != int(arguments[8]):
                self.run.violated(f"facts of {replica} are kept under a lease that is another's")
            elif any(at > given[-1][0] for at in self._discarded.get(keys[2], ())):
                self.run.violated(f"facts of {replica} are kept over an invalidation")


class NobodyMeasuresTwice(Invariant):
    """Two replicas measure the same endpoint at the same time only where a fault explains it."""

    # A lease lasts ten seconds, and a measurement that began without one as long as it takes.
    _EXPLAINS_S = 10.0 + LATE_S + 5.0

    def __init__(self, run: "Run") -> None:
        super().__init__(run)
        self._dead: set[str] = set()

    def died(self, replica: str) -> None:
        self._dead.add(replica)

    def measuring(self, measured: Measured) -> None:
        for other in reversed(self.run.truth.measured[:-1]):
            if other.began_s < self.run.now_s - 2 * LATE_S:
                return
            is_same = other.endpoint == measured.endpoint and other.ended_s is None
            if not is_same or other.replica in self._dead or other.replica == measured.replica:
                continue
            places = [int(each.partition(".")[0]) for each in (other.replica, measured.replica)]
            since_s = self.run.now_s - self._EXPLAINS_S
            if not (self.disturbed(since_s, *places) or self._dated_wrongly(since_s)):
                self.run.violated(
                    f"{measured.replica} and {other.replica} both measure {measured.endpoint}"
                )

    def _dated_wrongly(self, since_s: float) -> bool:
        """Whether facts may have been stored just now whose dates are old: nobody takes them."""
        return any(each.sets_clock and each.until_s >= since_s for each in self.run.disturbances)


class WatchedStaysFresh(Invariant):
    """No watched endpoint is without a verdict for long, while a replica lives.

    Left alone, none is past its expiry but for the length of a measurement. A fault costs a claim
    that nobody keeps (15 s), a back-off (33 s), or a sweep and its spread (46 s).
    """

    _LEFT_ALONE_S = MOST_MEASURING_S + 2 * TICK_S
    _AFTER_A_FAULT_S = 60.0
    _SETTLES_S = 60.0
    _FIRST_S = 30.0

    def __init__(self, run: "Run") -> None:
        super().__init__(run)
        self._ends_s: dict[Endpoint, float] = dict.fromkeys(run.truth.endpoints, self._FIRST_S)
        self._lives_since_s = 0.0
        self._invalidated_s: dict[str, float] = {}

    def invalidated(self, host: str, began_s: float) -> None:
        self._invalidated_s[host] = self.run.now_s

    def answered(
        self, replica: Replica, endpoint: Endpoint, answer: Answer, began_s: float
    ) -> None:
        judged = answer.judgement
        for facts in answer.addresses:
            length = (judged.expires_at - facts.observed_at).total_seconds()
            ends_s = self.run.truth.of_seed(facts.seed).dated_s + length
            self._ends_s[endpoint] = max(ends_s, self._ends_s[endpoint])

    def look(self) -> None:
        now_s = self.run.now_s
        if not any(place.runs for place in self.run.places):
            self._lives_since_s = now_s
        for endpoint, ends_s in self._ends_s.items():
            was_invalidated = self._invalidated_s.get(endpoint.host, -1e9) > ends_s - 2 * ALLOW_S
            is_alone = not self.disturbed(now_s - self._SETTLES_S) and not was_invalidated
            slack_s = self._LEFT_ALONE_S if is_alone else self._AFTER_A_FAULT_S
            if now_s > max(ends_s, self._lives_since_s) + slack_s:
                self.run.violated(f"{endpoint} has had no verdict since {ends_s:.1f}")


class EverybodyIsAnswered(Invariant):
    """Each call is answered in its time, but for pauses of its replica."""

    # A look at the store that is not answered, before and after.
    _SLACK_S = 2.0

    def look(self) -> None:
        from tests.simulation.run import WAIT_S

        for call in self.run.calls:
            taken_s = self.run.now_s - call.began_s - (call.place.paused_s - call.paused_s)
            if call.place.runs and taken_s > WAIT_S + self._SLACK_S:
                self.run.violated(f"{call.replica} does not answer a call of {call.began_s:.1f}")
                return


EVERY: Final[Sequence[type[Invariant]]] = (
    AnswersAreYoung,
    AnswersWereTrue,
    InvalidationsHold,
    FencesHold,
    NobodyMeasuresTwice,
    WatchedStaysFresh,
    EverybodyIsAnswered,
)
"""Those of further ports go here: of changes, that none is announced twice or out of order; of
connection slots, that no address has more than its limit over all replicas."""
