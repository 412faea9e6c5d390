"""Judging a chain in hand, for ValidateCertificate and the command line. Nothing is measured."""

from datetime import datetime, timedelta

from otpc_policy.catalog.context import Catalog
from otpc_policy.check.values import ChainAnswer, ChainRequest

# A verdict about a chain changes with time, which Verdict.changes_at names, or with the
# configuration; this bounds the latter.
CHAIN_LIFETIME = timedelta(hours=1)
# Whoever reads ALLOW should not read more into it (docs/certificates.md, "Not seen").
_NOT_EXAMINED = (
    "whether the leaf is revoked, for which a check of the endpoint reads its CRL and its staple",
    "whether an intermediate is revoked",
    "certificate policies and Certificate Transparency",
)


def judge_chain_in_hand(request: ChainRequest, generation: Catalog, now: datetime) -> ChainAnswer:
    """Return the answer about a chain, judged by this generation. Raises UnknownPolicy."""
    context = generation.context_for_name(request.server_name, request.policy_name)
    at = request.at or now
    verdict = context.evaluate_chain(
        request.chain,
        server_name=request.server_name,
        request_anchors=request.trust_anchors,
        now=at,
    )
    expires_at = at + CHAIN_LIFETIME
    if verdict.changes_at is not None:
        expires_at = min(expires_at, verdict.changes_at)
    return ChainAnswer(
        policy=context.policy,
        minimum_policy=context.minimum_policy,
        partner_id=context.partner.id if context.partner is not None else "",
        partner_policy=context.partner_policy,
        configuration_revision=context.revision,
        verdict=verdict,
        judged_at=at,
        expires_at=expires_at,
        not_examined=_NOT_EXAMINED,
    )
