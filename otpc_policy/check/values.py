"""What a check is asked and what it answers."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from otpc_policy.catalog.context import JudgingContext
from otpc_policy.core.endpoint import Endpoint
from otpc_policy.core.facts import Depth, EndpointFacts
from otpc_policy.policy.finding import Verdict
from otpc_policy.policy.model import Policy


class FreshnessMode(Enum):
    """Where facts may come from."""

    CACHE_FIRST = "CACHE_FIRST"
    CACHE_ONLY = "CACHE_ONLY"
    REFRESH = "REFRESH"


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How old facts may be. max_age: positive, or None. max_stale: how far past their lifetime, or None for not at all."""

    mode: FreshnessMode = FreshnessMode.CACHE_FIRST
    max_age: timedelta | None = None
    max_stale: timedelta | None = None


class ResultSource(Enum):
    """Where the facts of an answer came from."""

    NONE = "NONE"
    MEASURED = "MEASURED"
    SHARED = "SHARED"
    CACHE = "CACHE"
    STALE_CACHE = "STALE_CACHE"
    REQUEST = "REQUEST"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRequest:
    """One question about one endpoint. terms: of one generation; they judge from the start of the call to its end."""

    endpoint: Endpoint
    terms: JudgingContext
    freshness: Freshness
    depth: Depth


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Judged:
    """A verdict with the facts it rests on. One shared object for as long as it is valid, so that its wire form can be kept beside it.

    observed_at: of the oldest facts; None where no facts were used. expires_at: never past the instant at which time alone
    changes the verdict. judged_addresses: those whose facts were judged. policy, partner_id, partner_policy, configuration_revision:
    what judged; the id is empty for nobody's endpoint, the policy None where the partner's entry adds none.
    """

    endpoint: Endpoint
    policy: Policy
    partner_id: str = ""
    partner_policy: Policy | None = None
    configuration_revision: str = ""
    facts: EndpointFacts
    verdict: Verdict
    observed_at: datetime | None
    expires_at: datetime
    judged_addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckAnswer:
    """What one caller gets. retry_after: when asking again can give another answer."""

    judged: Judged
    source: ResultSource
    evaluated_at: datetime
    retry_after: timedelta | None
