"""What is known of the revocation of each leaf, whatever a policy makes of it."""

from collections.abc import Iterable

from otpc_policy.pki.judgement import ChainJudgement, CrlStatus, StapleStatus
from otpc_policy.policy.finding import LeafRevocation, RevocationSource
from otpc_policy.policy.rule import PresentedChain


def revocations(chains: Iterable[PresentedChain]) -> tuple[LeafRevocation, ...]:
    """Return what the sources prove about each leaf, in the order of the chains.

    Revoked counts before not revoked, and that before unknown. A leaf without any source is left
    out.
    """
    found: dict[bytes, LeafRevocation] = {}
    for presented in chains:
        said = _said_of(presented.judgement)
        if said is None:
            continue
        known = found.get(said.leaf_sha256)
        if known is None or _rank(said) > _rank(known):
            found[said.leaf_sha256] = said
    return tuple(found.values())


def _said_of(judgement: ChainJudgement) -> LeafRevocation | None:
    leaf = judgement.leaf
    if leaf is None:
        return None
    staple, crl = judgement.staple, judgement.crl
    is_revoked: bool | None = None
    source: RevocationSource | None = None
    if StapleStatus.REVOKED is staple:
        is_revoked, source = True, RevocationSource.STAPLE
    elif CrlStatus.REVOKED is crl:
        is_revoked, source = True, RevocationSource.CRL
    elif StapleStatus.GOOD is staple:
        is_revoked, source = False, RevocationSource.STAPLE
    elif CrlStatus.GOOD is crl:
        is_revoked, source = False, RevocationSource.CRL
    elif staple is StapleStatus.ABSENT and crl is not CrlStatus.UNVERIFIED:
        return None
    details = {
        RevocationSource.STAPLE: judgement.staple_detail,
        RevocationSource.CRL: judgement.crl_detail,
        None: "; ".join(filter(None, (judgement.crl_detail, judgement.staple_detail))),
    }
    return LeafRevocation(
        leaf_sha256=bytes.fromhex(leaf.sha256),
        is_revoked=is_revoked,
        source=source,
        detail=details[source],
    )


def _rank(said: LeafRevocation) -> int:
    return {None: 0, False: 1, True: 2}[said.is_revoked]
