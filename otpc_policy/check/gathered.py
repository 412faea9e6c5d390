"""What one check has gathered before it answers: facts by address, and why some are missing."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from otpc_policy.check.flights import Flight
from otpc_policy.check.values import ResultSource
from otpc_policy.core.addresses import VettedAddress
from otpc_policy.core.errors import Overloaded
from otpc_policy.core.facts import AddressFacts, Support
from otpc_policy.policy.finding import Finding


@dataclass(slots=True, kw_only=True)
class Gathered:
    """Facts by address, and why some are missing."""

    facts: list[AddressFacts] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    ends: list[datetime] = field(default_factory=list)
    flights: list[tuple[VettedAddress, bytes, Flight]] = field(default_factory=list)
    source: ResultSource = ResultSource.CACHE
    retry_after: timedelta | None = None
    overloaded: Overloaded | None = None


def outcome_of(facts: AddressFacts) -> str:
    """Return how a measurement ended, as CheckObserver names it."""
    if facts.reachable is not Support.YES:
        return "unreachable"
    supports = {one.support for facts_of_a_kind in (facts.versions, facts.cipher_suites, facts.deployments) for one in facts_of_a_kind}
    return "incomplete" if Support.UNKNOWN in supports or not facts.versions else "complete"
