"""Whether stored facts may answer a request, and until when. Pure; the instant is an argument."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from otpc_policy.check.stored_facts import StoredFacts

# Facts measured in one burst should not all expire in one burst.
_JITTER = 0.1
# By so much clocks of fronts may differ that share a store. Facts of a later time than that were
# dated by a clock that has been set back since: their age is not known.
_CLOCKS_DIFFER = timedelta(minutes=1)
# The part of a facts_id that the jitter is drawn from: 32 bits.
_DRAW_DIGITS = 8
_LARGEST_DRAW = 0xFFFFFFFF


class FreshnessMode(Enum):
    """Where facts may come from."""

    CACHE_FIRST = "CACHE_FIRST"
    CACHE_ONLY = "CACHE_ONLY"
    REFRESH = "REFRESH"


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How old facts may be.

    max_age: positive, or None. max_stale: how far past their lifetime, None for not at all.
    """

    mode: FreshnessMode = FreshnessMode.CACHE_FIRST
    max_age: timedelta | None = None
    max_stale: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long facts answer, as it was at one instant.

    length: from their observation on. changes_at: the first instant after that one at which time
    alone can change the length; None if it never does.
    """

    length: timedelta
    changes_at: datetime | None


LifetimeAt = Callable[[StoredFacts, datetime], Lifetime]
"""The lifetime of facts at an instant. All that measuring learns about judging."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usable:
    """Stored facts that may answer.

    ends_at: until when. is_stale: past their lifetime, within max_stale of the request.
    retry_after: set where the request wants newer ones and came too soon for them.
    """

    stored: StoredFacts
    ends_at: datetime
    is_stale: bool = False
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshnessLimits:
    """What the operator grants, whatever requests ask for.

    max_stale: the longest time past their lifetime that facts answer for.
    minimum_refresh_interval: how long after a measurement nobody gets another one.
    """

    max_stale: timedelta
    minimum_refresh_interval: timedelta

    def usable(
        self,
        stored: StoredFacts,
        freshness: Freshness,
        lifetime: LifetimeAt,
        now: datetime,
    ) -> Usable | None:
        """Return how the facts may answer such a request at an instant; None if they may not."""
        age = now - stored.facts.observed_at
        if freshness.mode is FreshnessMode.REFRESH:
            if not timedelta() <= age < self.minimum_refresh_interval:
                return None
            return Usable(
                stored=stored,
                ends_at=lifetime_ends_at(stored, lifetime(stored, now).length),
                retry_after=self.minimum_refresh_interval - age,
            )
        if age < -_CLOCKS_DIFFER:
            return None
        if freshness.max_age is not None and age > freshness.max_age:
            return None
        ends_at = lifetime_ends_at(stored, lifetime(stored, now).length)
        if now < ends_at:
            return Usable(stored=stored, ends_at=ends_at)
        stale_until = ends_at + min(freshness.max_stale or timedelta(), self.max_stale)
        if now >= stale_until:
            return None
        flips_at = lifetime(stored, stored.facts.observed_at).changes_at
        if flips_at is not None and now >= flips_at:
            return None
        return Usable(stored=stored, ends_at=stale_until, is_stale=True)


def lifetime_ends_at(stored: StoredFacts, length: timedelta) -> datetime:
    """Return the end of a lifetime, moved by up to ten percent either way.

    The name of the facts decides how far: the same facts have the same end everywhere.
    """
    draw = int(stored.facts_id[:_DRAW_DIGITS], 16) / _LARGEST_DRAW
    return stored.facts.observed_at + length * (1 - _JITTER + 2 * _JITTER * draw)
