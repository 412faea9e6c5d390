"""The use case: one request in, one judged answer out. It owns the Protocols that adapters satisfy."""

from otpc_policy.check.checker import EndpointChecker
from otpc_policy.check.freshness import Lifetimes
from otpc_policy.check.ports import CheckObserver, Clock, FactsCache, Resolver, Scanner
from otpc_policy.check.values import CheckAnswer, CheckRequest, Freshness, FreshnessMode, Judged, ResultSource

__all__ = [
    "CheckAnswer",
    "CheckObserver",
    "CheckRequest",
    "Clock",
    "EndpointChecker",
    "FactsCache",
    "Freshness",
    "FreshnessMode",
    "Judged",
    "Lifetimes",
    "Resolver",
    "ResultSource",
    "Scanner",
]
