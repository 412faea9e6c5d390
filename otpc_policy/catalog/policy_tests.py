"""Policy tests: saved facts, a fixed clock, and what the policy must say of them. Pure; whoever has files reads them elsewhere."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from otpc_policy.errors import UnknownPolicy
from otpc_policy.facts import ClientAuth, EndpointFacts
from otpc_policy.pki.trust import Trust, TrustEntry
from otpc_policy.policy.evaluate import evaluate
from otpc_policy.policy.finding import Decision, Finding, Verdict
from otpc_policy.policy.model import Policy, PolicySet


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyCase:
    """One policy test.

    place: "file:line", for people. policy_name: empty for the default. at: the clock. trust: entries for this case beside
    those of the process. expected_client_auth: what was agreed; None where nothing was.
    decision, evaluated_decision: expected; None is not compared. codes: of all findings, exactly these, whatever their
    effect; codes_at_least: these and perhaps others; None is not compared.
    """

    name: str
    place: str
    facts: EndpointFacts
    policy_name: str
    at: datetime
    trust: tuple[TrustEntry, ...] = ()
    expected_client_auth: ClientAuth | None = None
    decision: Decision
    evaluated_decision: Decision | None = None
    codes: frozenset[str] | None = None
    codes_at_least: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseOutcome:
    """How a policy test ended. policy: None if there is none of that name. differences: for people; none where it passed."""

    case: PolicyCase
    policy: Policy | None
    differences: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """The policy says what was expected."""
        return not self.differences


CaseJudge = Callable[[PolicyCase, Policy], Verdict]


def judge_with(trust: Trust) -> CaseJudge:
    """Return the judge of cases that applies one policy with this trust, and that of the case."""

    def judge(case: PolicyCase, policy: Policy) -> Verdict:
        whole = replace(trust, entries=(*trust.entries, *case.trust))
        return evaluate(case.facts, policy, trust=whole, now=case.at, expected_client_auth=case.expected_client_auth)

    return judge


def run_policy_tests(cases: Sequence[PolicyCase], policies: PolicySet, judge: CaseJudge) -> tuple[CaseOutcome, ...]:
    """Judge every case and compare. judge: as the process that will use these policies judges."""
    return tuple(_outcome(case, policies, judge) for case in cases)


def _outcome(case: PolicyCase, policies: PolicySet, judge: CaseJudge) -> CaseOutcome:
    try:
        policy = policies.get(case.policy_name)
    except UnknownPolicy:
        names = ", ".join(sorted(policies.policies))
        return CaseOutcome(case=case, policy=None, differences=(f"policy: no policy is named {case.policy_name!r}; there are {names}",))
    return CaseOutcome(case=case, policy=policy, differences=tuple(_differences(case, judge(case, policy))))


def _differences(case: PolicyCase, verdict: Verdict) -> Iterator[str]:
    if verdict.decision is not case.decision:
        yield f"decision: {case.decision.value} expected, it is {verdict.decision.value}"
    if case.evaluated_decision is not None and verdict.evaluated_decision is not case.evaluated_decision:
        yield f"evaluated_decision: {case.evaluated_decision.value} expected, it is {verdict.evaluated_decision.value}"
    found = {finding.code for finding in verdict.findings}
    for code in sorted((case.codes or case.codes_at_least or frozenset()) - found):
        yield f"missing: {code}"
    for finding in verdict.findings:
        if case.codes is not None and finding.code not in case.codes:
            yield f"not expected: {_described(finding)}"
    if verdict.decision is not case.decision and case.codes is None:
        yield from (f"because of: {_described(finding)}" for finding in verdict.findings)


def _described(finding: Finding) -> str:
    parts = (finding.effect.value, finding.rule_id and f"rule {finding.rule_id}", finding.address and f"at {finding.address}")
    return f"{finding.code} ({', '.join(filter(None, parts))}): {finding.message}"
