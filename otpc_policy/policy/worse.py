"""The verdict on an endpoint that several policies judge: the worst decision, and every reason."""

from collections.abc import Mapping
from dataclasses import replace

from otpc_policy.policy.finding import Decision, Effect, Finding, Verdict
from otpc_policy.policy.rule import MEASUREMENT_INCOMPLETE
from otpc_policy.policy.service_findings import order_of

# Higher is worse.
_DECISIONS: Mapping[Decision, int] = {
    Decision.ALLOW: 0,
    Decision.INDETERMINATE: 1,
    Decision.DENY: 2,
}
_EFFECTS: Mapping[Effect, int] = {
    Effect.OFF: 0,
    Effect.ADVISORY: 1,
    Effect.WAIVED: 2,
    Effect.INDETERMINATE: 3,
    Effect.DENY: 4,
}


def attributed(verdict: Verdict, policy_name: str) -> Verdict:
    """Return the verdict by a policy with its name in each finding that the policy caused.

    What no rule found, such as TARGET_UNREACHABLE, is no policy's.
    """
    names = (policy_name,)
    return replace(
        verdict,
        findings=tuple(
            replace(finding, policies=names)
            if finding.rule_id or finding.code == MEASUREMENT_INCOMPLETE
            else finding
            for finding in verdict.findings
        ),
    )


def worse_of(first: Verdict, second: Verdict) -> Verdict:
    """Return both as one: the worse decisions, all findings, the first change.

    The two decisions are joined each for itself: a report-only verdict adds what its rules say to
    evaluated_decision, and takes nothing away from the other's decision.
    A finding that both report with the same message is kept once, with the worse effect and
    severity, and the names of the policies that give it this effect. Policies with different
    requirements produce different messages, and both are kept.
    """
    findings: dict[tuple[str, str, str, int | None, str], Finding] = {}
    for finding in (*first.findings, *second.findings):
        key = (
            finding.code,
            finding.rule_id,
            finding.address,
            finding.certificate_index,
            finding.message,
        )
        known = findings.get(key)
        findings[key] = finding if known is None else _joined(known, finding)
    return Verdict(
        decision=max(first.decision, second.decision, key=_DECISIONS.__getitem__),
        evaluated_decision=max(
            first.evaluated_decision, second.evaluated_decision, key=_DECISIONS.__getitem__
        ),
        findings=tuple(sorted(findings.values(), key=order_of)),
        changes_at=min(
            (at for at in (first.changes_at, second.changes_at) if at is not None), default=None
        ),
        # Of the same chains, so both say the same.
        revocations=first.revocations or second.revocations,
    )


def _joined(first: Finding, second: Finding) -> Finding:
    worse = second if _badness(second) > _badness(first) else first
    if first.effect is not second.effect:
        return worse
    return replace(worse, policies=tuple(dict.fromkeys((*first.policies, *second.policies))))


def _badness(finding: Finding) -> tuple[int, int]:
    return _EFFECTS[finding.effect], finding.severity
