"""The vocabulary of verdicts: decisions, effects, severities, findings."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum


class Decision(Enum):
    """The verdict. Only ALLOW permits traffic."""

    ALLOW = "ALLOW"
    DENY = "DENY"
    INDETERMINATE = "INDETERMINATE"


class Effect(Enum):
    """What a finding does to the decision. OFF exists in policy documents only, never in a finding."""

    OFF = "off"
    ADVISORY = "advisory"
    DENY = "deny"
    INDETERMINATE = "indeterminate"
    WAIVED = "waived"


class Severity(IntEnum):
    """How bad a finding is, whatever the policy makes of it; higher is worse."""

    INFO = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5


@dataclass(frozen=True, slots=True)
class FindingEvidence:
    """One observation behind a finding."""

    key: str
    observed: str
    expected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One reason of a verdict.

    rule_id: empty where no rule found it. certificate_index: leaf 0. address: empty where it holds for all.
    about: IANA names of suites, or labels of versions, that a waiver of this must cover; empty where the code says it all.
    waiver_ends_at: with effect WAIVED, when the exception ends.
    """

    code: str
    severity: Severity
    effect: Effect
    rule_id: str
    message: str
    remediation: str
    citation: str
    evidence: tuple[FindingEvidence, ...] = ()
    certificate_index: int | None = None
    address: str = ""
    about: tuple[str, ...] = ()
    waiver_ends_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a policy says of facts at one instant.

    evaluated_decision: what the rules say; differs from decision only under a report-only policy.
    findings: denying first, then by severity, then by code.
    changes_at: the first instant after the evaluation at which time alone can change the verdict (notBefore,
    notAfter, expiry warning, end of an anchor or pin, nextUpdate of the staple), or None.
    """

    decision: Decision
    evaluated_decision: Decision
    findings: tuple[Finding, ...]
    changes_at: datetime | None
