"""Judging a served chain: name, trust, order and revocation at one instant, in one judgement."""

from collections.abc import Sequence
from datetime import datetime

from otpc_policy.core.shown_text import MAX_DETAIL, shown
from otpc_policy.pki.budget import ENDPOINT_UNITS, JUDGEMENT_UNITS, WorkBudget
from otpc_policy.pki.crl import (
    CrlFinding,
    CrlQuestion,
    CrlStatements,
    CrlSubject,
    crl_points,
    judge_statement,
)
from otpc_policy.pki.decide import TrustDecision, decide_trust
from otpc_policy.pki.judgement import (
    ChainJudgement,
    CrlStatus,
    NameMatch,
    StapleStatus,
    TrustSource,
)
from otpc_policy.pki.names import match_name
from otpc_policy.pki.ocsp import Staple, judge_staple
from otpc_policy.pki.second_opinion import second_opinion
from otpc_policy.pki.served import ServedChain, read_chain
from otpc_policy.pki.trust import Trust

# Whoever has made a leaf chooses the URL that a CRL is fetched from. So only for leaves of
# authorities that the operator trusts: else anybody could have requests sent from here.
_ISSUERS_OF_URLS = frozenset({TrustSource.MOZILLA_ROOT, TrustSource.ANCHOR})


class ChainJudge:
    """Judges the chains of one endpoint at one instant: each once, all within one budget.

    Every policy that judges the endpoint, and every address, shares one. The first chains that it
    is asked about have the most room; what is left for the others may leave them UNDECIDED.
    crls: what CRLs say; None where nobody looks at them.
    """

    def __init__(
        self,
        *,
        server_name: str | None,
        trust: Trust,
        request_anchors: Sequence[bytes] = (),
        at: datetime,
        crls: CrlStatements | None = None,
    ) -> None:
        self._server_name, self._trust, self._at = server_name, trust, at
        self._crls = crls
        self._request_anchors = request_anchors
        self._units_left = ENDPOINT_UNITS
        self._judged: dict[tuple[tuple[bytes, ...], bytes | None], ChainJudgement] = {}

    def judge(self, chain: Sequence[bytes], staple: bytes | None) -> ChainJudgement:
        """Return what judge_chain does. staple: the stapled OCSP response."""
        key = (tuple(chain), staple)
        if key not in self._judged:
            units = min(JUDGEMENT_UNITS, self._units_left)
            budget = WorkBudget(units)
            self._judged[key] = judge_chain(
                chain,
                server_name=self._server_name,
                stapled_ocsp_response=staple,
                trust=self._trust,
                request_anchors=self._request_anchors,
                at=self._at,
                budget=budget,
                crls=self._crls,
            )
            self._units_left -= units - budget.left
        return self._judged[key]


def judge_chain(
    chain: Sequence[bytes],
    *,
    server_name: str | None,
    stapled_ocsp_response: bytes | None,
    trust: Trust,
    request_anchors: Sequence[bytes] = (),
    at: datetime,
    budget: WorkBudget | None = None,
    crls: CrlStatements | None = None,
) -> ChainJudgement:
    """Return everything that can be said about a served chain at an instant.

    Never raises, whatever the bytes are.

    chain: DER as served, leaf first, not empty; certificates after the sixty-fourth are not looked
    at, and count as misordered. server_name: canonical (core.endpoint); it also selects the
    operator's anchors and pins. None: name NOT_CHECKED, no entry applies. budget: the work that
    this may cost; what costs more is UNDECIDED. None: as much as any chain. crls: as of ChainJudge.
    """
    served = read_chain(chain, budget)
    # First, while there is a budget: the same signatures are most of what an ordinary path rests
    # on.
    is_misordered = served.is_misordered()
    decision = decide_trust(
        served, server_name=server_name, trust=trust, request_anchors=request_anchors, at=at
    )
    staple = _judge_staple(stapled_ocsp_response, served, decision, at)
    crl = _judge_crl(served, decision, crls, at, server_name)
    if decision.proven is not None:
        # Last, with what is left: it decides nothing.
        path = (*decision.proven.certificates, decision.proven.anchor)
        second_opinion(path, at, checks=served.checks)
    return ChainJudgement(
        certificates=tuple(
            known.view if known else None
            for known in map(served.signed, range(len(served.certificates)))
        ),
        leaf_unread=served.unread.get(0, ""),
        malformed=served.malformed,
        path=decision.path,
        name=_name(served, server_name),
        trust=decision.source,
        trusted_if_valid=decision.trusted_if_valid,
        trust_label=shown(decision.label, MAX_DETAIL),
        trust_failure=shown(decision.failure),
        trust_ends_at=decision.ends_at,
        path_valid_until=decision.path_valid_until,
        issuer_missing=decision.issuer_missing,
        misordered=is_misordered,
        staple=staple.status,
        staple_detail=shown(staple.detail, MAX_DETAIL),
        staple_changes_at=staple.changes_at,
        crl=crl.status,
        crl_detail=shown(crl.detail, MAX_DETAIL),
        crl_changes_at=crl.changes_at,
    )


def _judge_staple(
    response: bytes | None, served: ServedChain, decision: TrustDecision, at: datetime
) -> Staple:
    if response is not None and decision.issuer_undecided:
        return Staple(StapleStatus.UNDECIDED, decision.issuer_undecided)
    return judge_staple(response, served.leaf, decision.issuer, at, checks=served.checks)


def _judge_crl(
    served: ServedChain,
    decision: TrustDecision,
    crls: CrlStatements | None,
    at: datetime,
    server_name: str | None,
) -> CrlFinding:
    leaf, issuer = served.leaf, decision.issuer
    if crls is None:
        return CrlFinding(status=CrlStatus.NOT_EXAMINED, detail="CRLs are not looked at here")
    if leaf is None or issuer is None or decision.source not in _ISSUERS_OF_URLS:
        detail = "CRLs are looked at for leaves under Mozilla's roots or the operator's anchors"
        return CrlFinding(status=CrlStatus.NOT_EXAMINED, detail=detail)
    points, without = crl_points(leaf)
    if without is not None:
        return without
    owners = (f"{decision.source.value} {decision.label}", server_name or "")
    question = CrlQuestion(CrlSubject.of(leaf, points), issuer, owners)
    return judge_statement(crls.about(question), at)


def _name(served: ServedChain, server_name: str | None) -> NameMatch:
    if server_name is None:
        return NameMatch.NOT_CHECKED
    if served.leaf is None:
        return NameMatch.UNDECIDED if 0 in served.unread else NameMatch.MISMATCH
    return match_name(served.leaf, server_name)
