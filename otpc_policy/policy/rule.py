"""What a rule is: the facts it is given, what it may report, and what it is called by."""

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
    """One thing a rule has to say; the policy then says what it does.

    addresses: where it was observed; empty means the whole endpoint. effect: overrides the one that the policy gives
    the code, where a parameter says so. about: IANA names of suites, or labels of versions, that a waiver of this must cover.
    """

    code: str
    message: str
    addresses: tuple[str, ...] = ()
    evidence: tuple[FindingEvidence, ...] = ()
    certificate_index: int | None = None
    effect: Effect | None = None
    about: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentedChain:
    """One chain, judged once, and everywhere it was presented.

    deployments: for people, such as "RSA over TLS 1.2". staple_observed: the chain comes from a handshake, so that
    the absence of a staple is a fact.
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
        presented = (FindingEvidence("certificate_deployment", one, "") for one in self.deployments)
        return Report(
            code=code,
            message=message,
            addresses=self.addresses,
            evidence=(*evidence, *presented),
            certificate_index=index,
        )


@dataclass(frozen=True, slots=True)
class Gap:
    """Something about certificates that is not known at an address. missing: for people, such as "the RSA certificate over TLS 1.2"."""

    address: str
    missing: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is judged.

    addresses: reachable ones only, without facts about suites that are refused. expected_client_auth: None without an expectation.
    """

    depth: Depth = Depth.STANDARD
    server_name: str | None = None
    addresses: Sequence[AddressFacts] = ()
    chains: Sequence[PresentedChain] = ()
    gaps: Sequence[Gap] = ()
    expected_client_auth: ClientAuth | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. codes: those whose effect a policy sets. judge: subject, parameters, now; never raises, whatever the facts are."""

    id: str
    codes: tuple[str, ...]
    parameters: tuple[Parameter[Any], ...] = ()
    judge: Callable[[Subject, Mapping[str, object], datetime], Iterable[Report]]


def unknown(message: str, *addresses: str) -> Report:
    """Return the report of a fact that the rule needs and that is not known."""
    return Report(code=MEASUREMENT_INCOMPLETE, message=message, addresses=addresses)


def listed(names: Iterable[str]) -> str:
    """Join names for people."""
    return ", ".join(names)
