"""How messages describe certificates, and reports on chains that were not obtained or decoded."""

from collections.abc import Iterator
from datetime import datetime

from otpc_policy.core.shown_text import shortened
from otpc_policy.pki.judgement import CertificateView, ChainJudgement, TrustSource
from otpc_policy.policy.finding import FindingEvidence
from otpc_policy.policy.rule import (
    CERTIFICATE_CHAIN_TOO_COMPLEX,
    PresentedChain,
    Report,
    Subject,
    comma_join,
    unknown,
)

# Names come from the partner; long ones would bury the message.
_MAX_NAME_LENGTH = 80
# A host name has 253 characters at most.
_MAX_TEXT_LENGTH = 300


def describe(index: int, view: CertificateView) -> str:
    """Describe a certificate by its position in the served chain, its key and its subject."""
    role = "leaf certificate" if index == 0 else f"certificate {index} of the chain"
    parts = (view.key_name, brief(view.subject))
    return f"{role} ({', '.join(part for part in parts if part)})"


def brief(name: str) -> str:
    """Return a name, of which a sentence may hold several."""
    return shortened(name, _MAX_NAME_LENGTH)


def readable(text: str) -> str:
    """Return a text that partners had a part in, of which a sentence may hold one."""
    return shortened(text, _MAX_TEXT_LENGTH)


def instant(at: datetime) -> str:
    """Write an instant for people."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def on_path(judgement: ChainJudgement) -> Iterator[tuple[int, CertificateView]]:
    """Yield the certificates from the leaf towards the anchor, with their positions."""
    for index in judgement.path:
        view = judgement.certificates[index]
        if view is not None:
            yield index, view


def unseen(subject: Subject) -> Iterator[Report]:
    """Report, once for each address, which certificates could not be obtained."""
    missing: dict[str, list[str]] = {}
    for gap in subject.gaps:
        missing.setdefault(gap.address, []).append(gap.missing)
    for address, parts in missing.items():
        yield unknown(f"could not obtain every certificate: {comma_join(parts)}", address)


def undecided(presented: PresentedChain, what: str, reason: str) -> Report:
    """Report what exceeded the work budget of one chain. reason: what there is too much of."""
    return presented.report(
        CERTIFICATE_CHAIN_TOO_COMPLEX,
        f"could not determine {what} within the work budget of one chain: {reason}",
        evidence=(
            FindingEvidence("chain", reason, "a chain that can be judged within the budget"),
        ),
    )


def unreadable(presented: PresentedChain, what: str) -> Report:
    """Report that the rule could not be judged because the leaf could not be decoded.

    A leaf that was decoded, but for its names, has a subjectAltName that cannot be.
    """
    if presented.judgement.leaf_unread:
        return undecided(presented, what, presented.judgement.leaf_unread)
    part = "the leaf certificate" if presented.judgement.leaf is None else "its subjectAltName"
    return unknown(
        f"could not determine {what}: {part} cannot be decoded",
        *presented.addresses,
        cause="CERTIFICATE_UNREADABLE",
    )


def unread_extension(presented: PresentedChain, what: str, extension: str) -> Report:
    """Report that an extension of the leaf is there, and what it says is not known."""
    return unknown(
        f"could not determine {what}: its {extension} cannot be decoded",
        *presented.addresses,
        cause="CERTIFICATE_UNREADABLE",
    )


def beyond_leaf(presented: PresentedChain, what: str) -> Iterator[Report]:
    """Report that the issuers could not be judged, because the path is undecided."""
    judgement = presented.judgement
    if judgement.trust is TrustSource.UNDECIDED and judgement.leaf is not None:
        yield undecided(presented, f"{what} of the issuers", judgement.trust_failure)
