"""What the use case is asked and what it answers, without a transport."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import NamedTuple, Self

from otpc_policy.catalog.context import NamedPartner
from otpc_policy.check.basis import Basis
from otpc_policy.check.freshness import Freshness
from otpc_policy.core.addresses import Resolution
from otpc_policy.core.endpoint import Endpoint
from otpc_policy.core.facts import (
    AddressFacts,
    Depth,
    EndpointFacts,
    ResolutionFailure,
    ResolutionStatus,
    UnmeasuredAddress,
)
from otpc_policy.core.perspective import DEFAULT_PERSPECTIVE
from otpc_policy.policy.connection_terms import ConnectionTerms
from otpc_policy.policy.finding import Verdict
from otpc_policy.policy.model import Policy

# How soon asking again can find a measurement finished that was still under way.
IN_PROGRESS_RETRY = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRequest:
    """One question about one endpoint.

    policy_name: empty for the default policy. observed_leaf: SHA-256 of the leaf that the caller's
    own connection met; None if it reports none. perspective: where to measure from; empty for the
    service's default.
    """

    endpoint: Endpoint
    policy_name: str = ""
    freshness: Freshness = field(default_factory=Freshness)
    depth: Depth = Depth.STANDARD
    observed_leaf: bytes | None = None
    perspective: str = ""


class ResultSource(Enum):
    """Where the facts of an answer came from."""

    # Members are single objects, and looked up with every answer.
    __hash__ = object.__hash__

    NONE = "NONE"
    MEASURED = "MEASURED"
    SHARED = "SHARED"
    CACHE = "CACHE"
    STALE_CACHE = "STALE_CACHE"
    REQUEST = "REQUEST"


class BesideAddresses(NamedTuple):
    """What a resolution says beside the addresses that are measured. Fields as in Resolution."""

    left_out: tuple[UnmeasuredAddress, ...] = ()
    omitted_families: tuple[str, ...] = ()
    failure: ResolutionFailure = ResolutionFailure.NONE
    unresolved_families: tuple[str, ...] = ()
    is_stale: bool = False

    @classmethod
    def of(cls, resolution: Resolution) -> Self:
        """Return that part of a resolution."""
        return cls(
            resolution.left_out,
            resolution.omitted_families,
            resolution.failure,
            resolution.unresolved_families,
            resolution.is_stale,
        )


JudgementKey = tuple[str, tuple[str, ...], BesideAddresses, tuple[int, ...]]
"""What a judgement rests on, time apart; nothing else changes it.

Its parts: the name of what was asked (Question.name); the facts_id of every judged address, in the
order of the resolution; what else the resolution says; what CRLs say of the leaves, by the numbers
of its changes (crl_book).
"""


class JudgedCertificate(NamedTuple):
    """A leaf that was judged with its chain.

    leaf_sha256: of its DER. spki_sha256: of its key; empty if the leaf cannot be decoded.
    """

    leaf_sha256: bytes
    spki_sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict about an endpoint, without the facts: the same for every caller while it holds.

    key: set if the judgement is kept; None if it is one caller's alone.
    policy, minimum_policy, partner_id, partner_policy, named_partners, configuration_revision: what
    judged, as in JudgingContext. The id is empty for an endpoint that belongs to no partner.
    observed_at: of the oldest facts; None if no facts were used.
    judged_at: the instant of the verdict. expires_at: never past the instant at which time alone
    changes it. judged_addresses: those whose facts were judged. judged_certificates: every leaf in
    these facts, each once, in order. terms: what a connection has to keep to. perspective: where
    the facts were measured from, or were to be.
    """

    key: JudgementKey | None
    endpoint: Endpoint
    depth: Depth
    policy: Policy
    minimum_policy: Policy | None = None
    partner_id: str = ""
    partner_policy: Policy | None = None
    named_partners: tuple[NamedPartner, ...] = ()
    configuration_revision: str = ""
    verdict: Verdict
    observed_at: datetime | None
    judged_at: datetime
    expires_at: datetime
    judged_addresses: tuple[str, ...]
    judged_certificates: tuple[JudgedCertificate, ...]
    terms: ConnectionTerms
    perspective: str = DEFAULT_PERSPECTIVE

    def covers(self, leaf_sha256: bytes) -> bool:
        """Whether the leaf with this hash is among those that were judged."""
        return any(each.leaf_sha256 == leaf_sha256 for each in self.judged_certificates)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one caller gets.

    addresses: the facts that were judged. resolution: what the host turned into; None if it was
    not looked up to its end. retry_after: when asking again can give another answer. basis: of an
    answer whose judgement was kept and found again; else None.
    """

    judgement: Judgement
    addresses: tuple[AddressFacts, ...] = ()
    resolution: Resolution | None = None
    source: ResultSource
    evaluated_at: datetime
    retry_after: timedelta | None
    basis: Basis | None = None

    def facts(self) -> EndpointFacts:
        """Return everything that was judged, for the few who want to see it."""
        judgement = self.judgement
        return endpoint_facts(judgement.endpoint, judgement.depth, self.addresses, self.resolution)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainRequest:
    """One question about a chain in hand.

    chain: DER, leaf first, not empty. server_name: canonical; None to judge the chain for no name.
    at: None for now. trust_anchors: DER, trusted for this question alone.
    """

    chain: tuple[bytes, ...]
    policy_name: str = ""
    server_name: str | None = None
    at: datetime | None = None
    trust_anchors: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainAnswer:
    """A verdict about a chain in hand. judged_at: the instant for which it was judged.

    not_examined: what nobody looked at, for people. The other fields are those
    of Judgement.
    """

    policy: Policy
    minimum_policy: Policy | None = None
    partner_id: str = ""
    partner_policy: Policy | None = None
    configuration_revision: str = ""
    verdict: Verdict
    judged_at: datetime
    expires_at: datetime
    not_examined: tuple[str, ...] = ()


def endpoint_facts(
    endpoint: Endpoint,
    depth: Depth,
    addresses: tuple[AddressFacts, ...],
    resolution: Resolution | None = None,
) -> EndpointFacts:
    """Return the facts of an endpoint, ready to be judged.

    resolution: what else belongs to the host; None if nothing does.
    """
    if resolution is None:
        resolution = Resolution(status=ResolutionStatus.RESOLVED)
    return EndpointFacts(
        host=endpoint.host,
        port=endpoint.port,
        server_name=endpoint.server_name,
        depth=depth,
        resolution=resolution.status,
        addresses=addresses,
        unmeasured=resolution.left_out,
        omitted_families=resolution.omitted_families,
        forbidden=resolution.forbidden,
        resolution_failure=resolution.failure,
        unresolved_families=resolution.unresolved_families,
        resolution_is_stale=resolution.is_stale,
    )
