"""The use case: one request in, one judged answer out. It owns the Protocols of its adapters."""

from otpc_policy.check.caller_limits import CallerBounds, CallerLimits
from otpc_policy.check.chain import judge_chain_in_hand
from otpc_policy.check.changes import Changed, ChangeFeed, FollowedChanges, VerdictChange
from otpc_policy.check.crl_book import CrlBook
from otpc_policy.check.crl_refresh import CrlLimits, CrlRefresher
from otpc_policy.check.forced_measurements import ForcedMeasurements
from otpc_policy.check.freshness import Freshness, FreshnessLimits, FreshnessMode
from otpc_policy.check.leasing import LeaseObserver, Leasing
from otpc_policy.check.lifetimes import Lifetimes
from otpc_policy.check.measurements import Measurements
from otpc_policy.check.ports import (
    CheckObserver,
    Clock,
    CrlFetcher,
    CrlObserver,
    FactsStore,
    Lease,
    Leases,
    Resolver,
    Scanner,
    StoreUnavailable,
)
from otpc_policy.check.service import CheckService
from otpc_policy.check.standing import Standing
from otpc_policy.check.stored_facts import FactsKey, StoredFacts
from otpc_policy.check.values import (
    Answer,
    ChainAnswer,
    ChainRequest,
    CheckRequest,
    JudgedCertificate,
    Judgement,
    JudgementKey,
    ResultSource,
)
from otpc_policy.check.verdicts import Verdicts
from otpc_policy.check.watching import (
    MOST_CODES,
    NO_RESULT,
    WatchedEndpoint,
    WatchedEndpoints,
    WatchedState,
)

__all__ = [
    "MOST_CODES",
    "NO_RESULT",
    "Answer",
    "CallerBounds",
    "CallerLimits",
    "ChainAnswer",
    "ChainRequest",
    "ChangeFeed",
    "Changed",
    "CheckObserver",
    "CheckRequest",
    "CheckService",
    "Clock",
    "CrlBook",
    "CrlFetcher",
    "CrlLimits",
    "CrlObserver",
    "CrlRefresher",
    "FactsKey",
    "FactsStore",
    "FollowedChanges",
    "ForcedMeasurements",
    "Freshness",
    "FreshnessLimits",
    "FreshnessMode",
    "JudgedCertificate",
    "Judgement",
    "JudgementKey",
    "Lease",
    "LeaseObserver",
    "Leases",
    "Leasing",
    "Lifetimes",
    "Measurements",
    "Resolver",
    "ResultSource",
    "Scanner",
    "Standing",
    "StoreUnavailable",
    "StoredFacts",
    "VerdictChange",
    "Verdicts",
    "WatchedEndpoint",
    "WatchedEndpoints",
    "WatchedState",
    "judge_chain_in_hand",
]
