"""The verdict on an endpoint that two policies judge: the worse decision, and every reason."""

from collections.abc import Mapping

from otpc_policy.policy.finding import Decision, Effect, Finding, Verdict
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


def worse_of(first: Verdict, second: Verdict) -> Verdict:
    """Return both as one: the worse decisions, all findings, the first change.

    A finding that both report with the same message is kept once, with the worse effect and
    severity. Policies with different requirements produce different messages, and both are kept.
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
        if known is None or _badness(finding) > _badness(known):
            findings[key] = finding
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


def _badness(finding: Finding) -> tuple[int, int]:
    return _EFFECTS[finding.effect], finding.severity
