"""Of two verdicts the worse wins, and no reason is lost."""

from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from otpc_policy.policy.finding import Decision, Effect, Finding, Severity, Verdict
from otpc_policy.policy.worse import worse_of
from tests.support.facts import NOW

FINDING = Finding(
    code="CIPHER_SUITE_NOT_LISTED",
    severity=Severity.LOW,
    effect=Effect.ADVISORY,
    rule_id="cipher.outside_set",
    message="said",
    remediation="mend",
    citation="cited",
)
ORDER = [Decision.ALLOW, Decision.INDETERMINATE, Decision.DENY]


def verdict(
    decision: Decision = Decision.ALLOW,
    *findings: Finding,
    evaluated: Decision | None = None,
    days: int | None = None,
) -> Verdict:
    return Verdict(
        decision=decision,
        evaluated_decision=evaluated or decision,
        findings=findings,
        changes_at=None if days is None else NOW + timedelta(days=days),
    )


@pytest.mark.parametrize(("first", "second"), list(product(ORDER, ORDER)))
def test_deny_beats_indeterminate_beats_allow(first: Decision, second: Decision) -> None:
    worse = ORDER[max(ORDER.index(first), ORDER.index(second))]
    assert worse_of(verdict(first), verdict(second)).decision is worse
    assert worse_of(verdict(evaluated=first), verdict(evaluated=second)).evaluated_decision is worse


def test_equal_findings_merge_to_the_worse_effect_and_different_messages_are_kept() -> None:
    denying, other = replace(FINDING, effect=Effect.DENY), replace(FINDING, message="other")
    for first, second in ((FINDING, denying), (denying, FINDING)):
        assert worse_of(
            verdict(Decision.ALLOW, first, other), verdict(Decision.DENY, second)
        ).findings == (denying, other)
    elsewhere = replace(FINDING, address="192.0.2.1")
    assert set(
        worse_of(verdict(Decision.ALLOW, FINDING), verdict(Decision.ALLOW, elsewhere)).findings
    ) == {FINDING, elsewhere}
    severe = replace(FINDING, severity=Severity.HIGH)
    assert worse_of(verdict(Decision.ALLOW, FINDING), verdict(Decision.ALLOW, severe)).findings == (
        severe,
    )


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [(1, 2, 1), (2, 1, 1), (None, 3, 3), (3, None, 3), (None, None, None)],
)
def test_the_first_change_of_either_is_the_change(
    first: int | None, second: int | None, expected: int | None
) -> None:
    assert (
        worse_of(verdict(days=first), verdict(days=second)).changes_at
        == verdict(days=expected).changes_at
    )
