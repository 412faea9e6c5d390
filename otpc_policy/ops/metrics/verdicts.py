"""Metrics of verdicts, and of what they say."""

from collections.abc import Iterable, Sequence
from itertools import product

from prometheus_client import CollectorRegistry

from otpc_policy.core.errors import Budget
from otpc_policy.ops.metrics.labels import NAMESPACE, OTHER
from otpc_policy.ops.metrics.tallies import Distributions, Tallies
from otpc_policy.policy.finding import Decision, Effect, Finding

DECIDING_RPCS = ("CheckEndpoint", "BatchCheckEndpoints", "ValidateCertificate")
FINDING_EFFECTS = (Effect.ADVISORY, Effect.DENY, Effect.INDETERMINATE, Effect.WAIVED)
# From "just measured" to beyond the lifetimes of unknown, DENY and ALLOW results.
AGE_BUCKETS_S = (0.1, 1, 5, 15, 30, 60, 150, 300, 900, 1800, 3600, 5400, 7200)


class VerdictMetrics:
    """codes: of all findings."""

    def __init__(self, registry: CollectorRegistry, codes: Iterable[str]) -> None:
        # rpc: the three methods that decide. decision: ALLOW, DENY, INDETERMINATE. Items of a batch
        # count separately.
        decisions = Tallies(
            f"{NAMESPACE}_decisions_total",
            "Verdicts given.",
            ("rpc", "decision"),
            registry=registry,
        )
        self._decisions = {
            (rpc, decision): decisions.labels(rpc, decision.name)
            for rpc, decision in product((*DECIDING_RPCS, OTHER), Decision)
        }
        # code: the registered finding codes, else "unknown". effect: ADVISORY, DENY, INDETERMINATE,
        # WAIVED.
        findings = Tallies(
            f"{NAMESPACE}_findings_total",
            "Findings in the verdicts given.",
            ("code", "effect"),
            registry=registry,
        )
        self._findings = {
            (code, effect): findings.labels(code, effect.name)
            for code, effect in product((*codes, OTHER), FINDING_EFFECTS)
        }
        # budget: caller (its own share), service (all there is). resource: scans, targets, names,
        # bytes.
        refusals = Tallies(
            f"{NAMESPACE}_budget_refusals_total",
            "Checks refused with RESOURCE_EXHAUSTED, by whose budget was used up.",
            ("budget", "resource"),
            registry=registry,
        )
        self._refusals = {
            (of_caller, budget): refusals.labels("caller" if of_caller else "service", budget.value)
            for of_caller, budget in product((True, False), Budget)
        }
        self._age = Distributions(
            f"{NAMESPACE}_result_age_seconds",
            "Age of the oldest fact behind a verdict.",
            (),
            bounds=AGE_BUCKETS_S,
            registry=registry,
        ).labels()

    def budget_used_up(self, budget: Budget, *, of_caller: bool) -> None:
        """Count a check that was refused."""
        self._refusals[of_caller, budget].inc()

    def decided(
        self,
        *,
        rpc: str,
        decision: Decision,
        findings: Sequence[Finding],
        result_age_s: float | None,
    ) -> None:
        """Count a verdict. result_age_s: None where no facts of an endpoint were used."""
        (self._decisions.get((rpc, decision)) or self._decisions[OTHER, decision]).inc()
        for finding in findings:
            (
                self._findings.get((finding.code, finding.effect))
                or self._findings[OTHER, finding.effect]
            ).inc()
        if result_age_s is not None:
            self._age.observe(result_age_s)
