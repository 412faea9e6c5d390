"""Reports of routers whose own connection met a leaf that the answer before did not name.

A report is a hint, never evidence. What the endpoint serves may have changed, so it is measured
again, at most once in an interval for all callers; who reports meanwhile joins that measurement.
An answer that does not cover the leaf permits nothing to the caller who met it, and changes
nothing for the others.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from otpc_policy.check.forced_measurements import ForcedMeasurements
from otpc_policy.check.freshness import Freshness, FreshnessMode
from otpc_policy.check.measurements import Newer
from otpc_policy.check.ports import CheckObserver, Clock, LeafReport
from otpc_policy.check.values import IN_PROGRESS_RETRY, Answer
from otpc_policy.check.verdicts import Question, Verdicts
from otpc_policy.policy.service_findings import service_finding

# Why an answer does not cover the leaf.
_UNCOVERED = {
    LeafReport.UNSEEN: "a measurement begun after the report did not see it",
    LeafReport.UNFINISHED: "no measurement that would show it has been completed yet; ask again",
    LeafReport.LIMITED: "none of the judged facts has it, and no measurement may be forced now",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer, and how well it tells what the endpoint serves now.

    is_whole: there are addresses, and none lacks facts. is_new: all facts are of measurements that
    this check began.
    """

    answer: Answer
    is_whole: bool
    is_new: bool = False


CheckAgain = Callable[[Newer], Awaitable[Outcome]]
"""Repeats the check, in the time that the caller has left."""


class LeafReports:
    """Answers those who report a leaf. forced: which reports may cause a measurement."""

    def __init__(
        self,
        *,
        forced: ForcedMeasurements,
        verdicts: Verdicts,
        clock: Clock,
        observer: CheckObserver,
    ) -> None:
        self._forced = forced
        self._verdicts = verdicts
        self._clock = clock
        self._observer = observer

    async def covering(
        self,
        leaf: bytes,
        question: Question,
        freshness: Freshness,
        outcome: Outcome,
        check_again: CheckAgain,
    ) -> Answer:
        """Return an answer that covers the leaf, or one that is not ALLOW.

        leaf: SHA-256. outcome: of the check without the report. Raises what check_again raises.
        """
        may_measure = freshness.mode is not FreshnessMode.CACHE_ONLY
        covered, uncovered = LeafReport.KNOWN, LeafReport.LIMITED
        if outcome.is_new:
            covered, uncovered = LeafReport.SEEN, LeafReport.UNSEEN
        elif outcome.is_whole and may_measure and not outcome.answer.judgement.covers(leaf):
            now_s, perspective = self._clock.monotonic(), question.perspective
            is_granted = self._forced.grant(question.endpoint, now_s, perspective=perspective)
            outcome = await check_again(Newer.AT_ANY_RATE if is_granted else Newer.IF_UNDER_WAY)
            covered = LeafReport.SEEN
            # A measurement that was joined may have begun before the caller met the leaf.
            uncovered = LeafReport.UNSEEN if is_granted else LeafReport.LIMITED
        if outcome.answer.judgement.covers(leaf):
            self._observer.leaf_reported(covered.value)
            return outcome.answer
        if may_measure and not outcome.is_whole:
            uncovered = LeafReport.UNFINISHED
        self._observer.leaf_reported(uncovered.value)
        return self._uncovered(leaf, question, outcome.answer, uncovered)

    def _uncovered(
        self, leaf: bytes, question: Question, answer: Answer, why: LeafReport
    ) -> Answer:
        """Return the answer as the caller gets it who met a leaf that was not judged."""
        finding = service_finding(
            "OBSERVED_LEAF_NOT_JUDGED",
            f"the caller met the leaf with SHA-256 {leaf.hex()}: {_UNCOVERED[why]}",
        )
        judgement = self._verdicts.doubted(
            answer.judgement,
            [finding],
            expires_at=self._clock.now() + question.lifetimes.unknown,
        )
        retry_after = answer.retry_after if why is LeafReport.UNFINISHED else None
        if retry_after is None:
            now_s, perspective = self._clock.monotonic(), question.perspective
            wait = self._forced.wait(question.endpoint, now_s, perspective=perspective)
            retry_after = max(wait, IN_PROGRESS_RETRY)
        return replace(answer, judgement=judgement, retry_after=retry_after)
