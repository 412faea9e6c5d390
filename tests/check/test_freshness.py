"""Which stored facts may answer a request, and until when."""

from datetime import datetime, timedelta

import pytest

from otpc_policy.check import Freshness, FreshnessLimits, FreshnessMode, StoredFacts
from otpc_policy.check.freshness import Lifetime, lifetime_ends_at
from tests.check.world import SECOND, compliant
from tests.support.facts import NOW

HOUR = timedelta(hours=1)
LIMITS = FreshnessLimits(max_stale=60 * SECOND, minimum_refresh_interval=10 * SECOND)
FACTS = StoredFacts.of(compliant("127.0.0.1", NOW))
ENDS_AT = lifetime_ends_at(FACTS, HOUR)
INSTANT = timedelta(microseconds=1)

FIRST, ONLY, REFRESH = FreshnessMode.CACHE_FIRST, FreshnessMode.CACHE_ONLY, FreshnessMode.REFRESH


def lives(changes_at: datetime | None = None) -> "Lives":
    return Lives(changes_at)


class Lives:
    """An hour, whatever the instant; the length may change once."""

    def __init__(self, changes_at: datetime | None) -> None:
        self._changes_at = changes_at

    def __call__(self, stored: StoredFacts, at: datetime) -> Lifetime:
        assert stored is FACTS
        changes_at = self._changes_at
        return Lifetime(HOUR, changes_at if changes_at is None or at < changes_at else None)


@pytest.mark.parametrize("mode", [FIRST, ONLY])
@pytest.mark.parametrize(
    ("now", "freshness", "until"),
    [
        (NOW, {}, ENDS_AT),
        # A clock that was set back: the facts are of any age.
        (NOW - 60 * SECOND, {}, ENDS_AT),
        (NOW - 60 * SECOND - INSTANT, {}, None),
        (NOW - 60 * SECOND - INSTANT, {"max_age": 20 * SECOND}, None),
        (ENDS_AT - INSTANT, {}, ENDS_AT),
        (ENDS_AT, {}, None),
        (NOW + 20 * SECOND, {"max_age": 20 * SECOND}, ENDS_AT),
        (NOW + 20 * SECOND + INSTANT, {"max_age": 20 * SECOND}, None),
        (ENDS_AT, {"max_stale": 9 * SECOND}, ENDS_AT + 9 * SECOND),
        (ENDS_AT + 9 * SECOND - INSTANT, {"max_stale": 9 * SECOND}, ENDS_AT + 9 * SECOND),
        (ENDS_AT + 9 * SECOND, {"max_stale": 9 * SECOND}, None),
        (ENDS_AT, {"max_stale": HOUR}, ENDS_AT + 60 * SECOND),
        (ENDS_AT + 60 * SECOND, {"max_stale": HOUR}, None),
        (ENDS_AT, {"max_stale": HOUR, "max_age": HOUR / 2}, None),
    ],
)
def test_facts_answer_for_their_lifetime_and_as_far_past_it_as_both_sides_permit(
    mode: FreshnessMode, now: datetime, freshness: dict[str, timedelta], until: datetime | None
) -> None:
    usable = LIMITS.usable(FACTS, Freshness(mode=mode, **freshness), lives(), now)
    assert (usable.ends_at if usable else None) == until
    if usable:
        assert (usable.is_stale, usable.retry_after) == (now >= ENDS_AT, None)


@pytest.mark.parametrize(
    ("flips_at", "answers"), [(ENDS_AT, False), (ENDS_AT + SECOND, False), (ENDS_AT + HOUR, True)]
)
def test_stale_facts_never_cross_a_change_by_time_alone(flips_at: datetime, answers: bool) -> None:
    stale = Freshness(max_stale=HOUR)
    usable = LIMITS.usable(FACTS, stale, lives(flips_at), ENDS_AT + SECOND)
    assert (usable is not None) is answers


@pytest.mark.parametrize(
    ("age", "retry_after"),
    [
        (timedelta(0), 10 * SECOND),
        (4 * SECOND, 6 * SECOND),
        (10 * SECOND - INSTANT, INSTANT),
        (10 * SECOND, None),
        (-INSTANT, None),
    ],
)
def test_a_refresh_that_comes_too_soon_gets_the_recent_facts_and_when_to_ask_again(
    age: timedelta, retry_after: timedelta | None
) -> None:
    usable = LIMITS.usable(FACTS, Freshness(mode=REFRESH), lives(), NOW + age)
    assert (usable.retry_after if usable else None) == retry_after


def test_lifetimes_are_moved_by_ten_percent_at_most_and_alike_for_the_same_facts() -> None:
    moments = [NOW + number * SECOND for number in range(200)]
    stored = [StoredFacts.of(compliant("127.0.0.1", at)) for at in moments]
    lengths = [lifetime_ends_at(facts, HOUR) - facts.facts.observed_at for facts in stored]
    assert all(0.9 * HOUR <= length <= 1.1 * HOUR for length in lengths)
    assert max(lengths) - min(lengths) > 0.15 * HOUR
    again = [StoredFacts.of(facts.facts) for facts in stored]
    assert [lifetime_ends_at(facts, HOUR) - facts.facts.observed_at for facts in again] == lengths
