"""What a rule is: the facts it gets, the reports it makes, the id by which policies set it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from otpc_policy.core.facts import AddressFacts, ClientAuth, Depth
from otpc_policy.pki.judgement import ChainJudgement
from otpc_policy.policy.finding import Effect, FindingEvidence
from otpc_policy.policy.parameters import Parameter

MEASUREMENT_INCOMPLETE = "MEASUREMENT_INCOMPLETE"
CERTIFICATE_CHAIN_TOO_COMPLEX = "CERTIFICATE_CHAIN_TOO_COMPLEX"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One observation of a rule; the policy sets its effect.

    addresses: where it was observed; empty means the whole endpoint. effect: overrides the policy's
    effect of the code, if a parameter says so. about: IANA names of suites, or labels of versions,
    that a waiver must cover. cause: why something is unknown, as a key of the code's causes in
    findings.toml; empty where the remarks on the address explain it, or nothing does.
    """

    code: str
    message: str
    addresses: tuple[str, ...] = ()
    evidence: tuple[FindingEvidence, ...] = ()
    certificate_index: int | None = None
    effect: Effect | None = None
    about: tuple[str, ...] = ()
    cause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentedChain:
    """A chain, judged once, and everywhere it was presented.

    deployments: for people, such as "RSA over TLS 1.2". staple_observed: the chain comes from a
    handshake, so the absence of a staple is a fact.
    """

    judgement: ChainJudgement
    addresses: tuple[str, ...] = ()
    deployments: tuple[str, ...] = ()
    staple_observed: bool

    def report(
        self,
        code: str,
        message: str,
        *,
        index: int | None = None,
        evidence: Iterable[FindingEvidence] = (),
    ) -> Report:
        """Return a report about this chain, or about its certificate at the index."""
        presented = (
            FindingEvidence("certificate_deployment", label, "") for label in self.deployments
        )
        return Report(
            code=code,
            message=message,
            addresses=self.addresses,
            evidence=(*evidence, *presented),
            certificate_index=index,
        )


@dataclass(frozen=True, slots=True)
class Gap:
    """A certificate of an address that could not be obtained.

    missing: for people, such as "RSA over TLS 1.2".
    """

    address: str
    missing: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What rules judge.

    addresses: reachable ones only, without facts about refused suites.
    expected_client_auth: None if nothing was agreed.
    """

    depth: Depth = Depth.STANDARD
    server_name: str | None = None
    addresses: Sequence[AddressFacts] = ()
    chains: Sequence[PresentedChain] = ()
    gaps: Sequence[Gap] = ()
    expected_client_auth: ClientAuth | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule.

    codes: those whose effect a policy sets. judge: takes subject, parameters and now; never raises.
    """

    id: str
    codes: tuple[str, ...]
    parameters: tuple[Parameter[Any], ...] = ()
    judge: Callable[[Subject, Mapping[str, object], datetime], Iterable[Report]]


def unknown(message: str, *addresses: str, cause: str = "") -> Report:
    """Return the report of a fact that the rule needs and that could not be determined.

    message: "could not determine ...", perhaps with "; " and what is required.
    """
    return Report(code=MEASUREMENT_INCOMPLETE, message=message, addresses=addresses, cause=cause)


def comma_join(names: Iterable[str]) -> str:
    """Join names for people."""
    return ", ".join(names)
