"""Judging a served chain: name, trust, order and staple at one instant, joined into one judgement."""

from collections.abc import Sequence
from datetime import datetime

from otpc_policy.pki.certificate import DecodedCertificate
from otpc_policy.pki.decide import decide_trust
from otpc_policy.pki.judgement import ChainJudgement, NameMatch
from otpc_policy.pki.names import match_name
from otpc_policy.pki.ocsp import judge_staple
from otpc_policy.pki.served import read_chain
from otpc_policy.pki.trust import Trust


def judge_chain(
    chain: Sequence[bytes],
    *,
    server_name: str | None,
    stapled_ocsp_response: bytes | None,
    trust: Trust,
    request_anchors: Sequence[bytes] = (),
    at: datetime,
) -> ChainJudgement:
    """Return everything that can be said about a served chain at an instant. Never raises for what the bytes hold.

    chain: DER as served, leaf first, not empty; certificates beyond the sixteenth are not looked at, and count as misordered.
    server_name: canonical (otpc_policy.core.endpoint); it also selects the operator's anchors and pins. None: name NOT_CHECKED, no entry applies.
    """
    served = read_chain(chain)
    decision = decide_trust(served, server_name=server_name, trust=trust, request_anchors=request_anchors, at=at)
    staple = judge_staple(stapled_ocsp_response, served.leaf, decision.issuer, at)
    return ChainJudgement(
        certificates=tuple(one.view if one else None for one in served.certificates),
        malformed=served.malformed,
        path=decision.path,
        name=_name(served.leaf, server_name),
        trust=decision.source,
        trusted_if_valid=decision.trusted_if_valid,
        trust_label=decision.label,
        trust_failure=decision.failure,
        trust_ends_at=decision.ends_at,
        issuer_missing=decision.issuer_missing,
        misordered=served.is_misordered(),
        staple=staple.status,
        staple_detail=staple.detail,
        staple_next_update=staple.next_update,
    )


def _name(leaf: DecodedCertificate | None, server_name: str | None) -> NameMatch:
    if server_name is None:
        return NameMatch.NOT_CHECKED
    return NameMatch.MISMATCH if leaf is None else match_name(leaf, server_name)
