"""Findings of the service: the endpoint was not reached, not measured, or not in time."""

from collections.abc import Sequence
from typing import Final

from otpc_policy.policy.finding import Decision, Effect, Finding, Verdict
from otpc_policy.policy.registry import finding_codes

# The one code whose findings are about an address that may be internal. Its messages hold none:
# who may see the address is decided where a response is made.
ADDRESS_FORBIDDEN: Final = "TARGET_ADDRESS_FORBIDDEN"


def service_finding(code: str, message: str, address: str = "", *, cause: str = "") -> Finding:
    """Return a finding whose effect no policy sets (see findings.toml), such as CHECK_IN_PROGRESS.

    address: where it was observed; empty if it holds for all. cause: see registry.FindingCode.
    """
    entry = finding_codes()[code]
    if entry.effect is None:
        raise ValueError(f"{code} is a finding of rule {entry.rule_id}: its effect is the policy's")
    return Finding(
        code=code,
        severity=entry.severity,
        effect=entry.effect,
        rule_id=entry.rule_id,
        message=message,
        remediation=entry.causes.get(cause) or entry.remedy_text,
        citation=entry.citation,
        address=address,
    )


def indeterminate(findings: Sequence[Finding]) -> Verdict:
    """Return the verdict on an endpoint that was not judged.

    findings: at least one that is INDETERMINATE, none that denies.
    """
    effects = {finding.effect for finding in findings}
    if Effect.INDETERMINATE not in effects or Effect.DENY in effects:
        raise ValueError("needs a finding that is INDETERMINATE, and none that denies")
    ordered = tuple(sorted(findings, key=order_of))
    return Verdict(
        decision=Decision.INDETERMINATE,
        evaluated_decision=Decision.INDETERMINATE,
        findings=ordered,
        changes_at=None,
    )


def denied(finding: Finding) -> Verdict:
    """Return the verdict on an endpoint that is denied unmeasured. finding: always denies."""
    if finding.effect is not Effect.DENY:
        raise ValueError("a denial needs a finding that denies")
    return Verdict(
        decision=Decision.DENY,
        evaluated_decision=Decision.DENY,
        findings=(finding,),
        changes_at=None,
    )


def order_of(finding: Finding) -> tuple[bool, int, str, str, str]:
    """Sort key of findings: denying first, then severity, then code."""
    return (
        finding.effect is not Effect.DENY,
        -finding.severity,
        finding.code,
        finding.address,
        finding.message,
    )
