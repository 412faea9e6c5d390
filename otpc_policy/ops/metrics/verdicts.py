"""Metrics of verdicts, and of what they say."""

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Final

from prometheus_client import CollectorRegistry

from otpc_policy.core.errors import Budget
from otpc_policy.ops.metrics.calls import HANDLING_BUCKETS_S
from otpc_policy.ops.metrics.labels import NAMESPACE, OTHER, LabelMeanings
from otpc_policy.ops.metrics.tallies import Distributions, Observed, Tallies
from otpc_policy.policy.finding import Decision, Effect, Finding

DECIDING_RPCS = ("CheckEndpoint", "BatchCheckEndpoints", "ValidateCertificate")
FINDING_EFFECTS = (Effect.ADVISORY, Effect.DENY, Effect.INDETERMINATE, Effect.WAIVED)
# Of facts, in the words of the API.
SOURCES = ("NONE", "MEASURED", "SHARED", "CACHE", "STALE_CACHE")
_IN_HAND = "REQUEST"
# From "just measured" to beyond the lifetimes of unknown, DENY and ALLOW results.
AGE_BUCKETS_S = (0.1, 1, 5, 15, 30, 60, 150, 300, 900, 1800, 3600, 5400, 7200)

_RPC: Final = "the method; each item of a batch counts for itself"
LABELS: Final[LabelMeanings] = {
    f"{NAMESPACE}_decisions_total": {"rpc": _RPC, "decision": "the verdict"},
    f"{NAMESPACE}_decision_seconds": {
        "rpc": _RPC,
        "source": "of the facts: `CACHE`; `STALE_CACHE` (past their lifetime and still used);"
        " `MEASURED` for this call; `SHARED` (measured for another call at that time); `NONE`"
        " (nothing was measured in time); `REQUEST` (the certificates came with the call)",
    },
    f"{NAMESPACE}_findings_total": {
        "code": "a finding code",
        "effect": "what the finding does to the verdict",
    },
    f"{NAMESPACE}_budget_refusals_total": {
        "budget": "`caller` (its own share), `service` (all there is)",
        "resource": "what there was no more of",
    },
}


class VerdictMetrics:
    """codes: of all findings."""

    def __init__(self, registry: CollectorRegistry, codes: Iterable[str]) -> None:
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
        took = Distributions(
            f"{NAMESPACE}_decision_seconds",
            "Time from the start of a call to its verdict.",
            ("rpc", "source"),
            bounds=HANDLING_BUCKETS_S,
            registry=registry,
        )
        kinds = [
            *product(("CheckEndpoint", "BatchCheckEndpoints"), SOURCES),
            ("ValidateCertificate", _IN_HAND),
            (OTHER, OTHER),
        ]
        self._took = {kind: took.labels(*kind) for kind in kinds}
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
        source: str,
        seconds: float,
        observed: Observed,
    ) -> None:
        """Count a verdict. result_age_s: None where no facts of an endpoint were used.

        source: of the facts. seconds: since the call began. observed: where the verdict is found.
        """
        (self._took.get((rpc, source)) or self._took[OTHER, OTHER]).observe(seconds, observed)
        (self._decisions.get((rpc, decision)) or self._decisions[OTHER, decision]).inc()
        for finding in findings:
            (
                self._findings.get((finding.code, finding.effect))
                or self._findings[OTHER, finding.effect]
            ).inc()
        if result_age_s is not None:
            self._age.observe(result_age_s)
