"""The vocabulary of verdicts: decisions, effects, severities, findings."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum


class Decision(Enum):
    """The verdict. Only ALLOW permits traffic."""

    ALLOW = "ALLOW"
    DENY = "DENY"
    INDETERMINATE = "INDETERMINATE"

    # Members are single objects, and hashed with every call; an enum would hash the name.
    __hash__ = object.__hash__


class Effect(Enum):
    """What a finding does to the decision. OFF occurs in policy documents, never in a finding."""

    OFF = "off"
    ADVISORY = "advisory"
    DENY = "deny"
    INDETERMINATE = "indeterminate"
    WAIVED = "waived"

    __hash__ = object.__hash__


class Severity(IntEnum):
    """How bad a finding is, whatever its effect; higher is worse."""

    INFO = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5


@dataclass(frozen=True, slots=True)
class FindingEvidence:
    """One observation that supports a finding."""

    key: str
    observed: str
    expected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One reason for a verdict.

    rule_id: empty if no rule reported it. certificate_index: the leaf is 0. address: empty if it
    holds for all. about: IANA names of suites, or labels of versions, that a waiver must cover;
    empty if the code is sufficient. waiver_ends_at: with effect WAIVED, when the exception ends.
    policies: names of those that give it this effect; empty if no policy does.
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
    policies: tuple[str, ...] = ()


class RevocationSource(Enum):
    """Who says whether a leaf is revoked."""

    STAPLE = "STAPLE"
    CRL = "CRL"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafRevocation:
    """What is known of the revocation of one leaf.

    leaf_sha256: of its DER. is_revoked: None where no source proves either. source: the one that
    does. detail: for people.
    """

    leaf_sha256: bytes
    is_revoked: bool | None
    source: RevocationSource | None
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The outcome of facts under a policy at one instant.

    evaluated_decision: by the rules; differs from decision only where a policy is report-only.
    findings: denying first, then by severity, then by code.
    changes_at: the first instant after the evaluation at which time alone can change the verdict,
    or None: notBefore, notAfter, expiry warning, end of an anchor or pin, nextUpdate of the staple
    or of a CRL, end of what the policy permits until an instant.
    revocations: of leaves about whose revocation some source was asked, each once.
    """

    decision: Decision
    evaluated_decision: Decision
    findings: tuple[Finding, ...]
    changes_at: datetime | None
    revocations: tuple[LeafRevocation, ...] = ()
