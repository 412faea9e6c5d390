"""Rules about the identity of the leaf: its name, and its chain to a trusted anchor."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from otpc_policy.pki.judgement import NameMatch, TrustSource
from otpc_policy.policy.finding import FindingEvidence
from otpc_policy.policy.rule import PresentedChain, Report, Rule, Subject, comma_join
from otpc_policy.policy.rules.certificate_text import (
    brief,
    describe,
    on_path,
    readable,
    undecided,
    unreadable,
    unseen,
)
from otpc_policy.policy.rules.validity import is_valid_at

# Certificates of content networks name hundreds of hosts; a few show whose it is.
_MAX_NAMES = 8


def judge_name(
    subject: Subject, _parameters: Mapping[str, object], _now: datetime
) -> Iterator[Report]:
    """The leaf is for the server name; by its common name only if it has no subjectAltName.

    Source: RFC 9525.
    """
    yield from unseen(subject)
    for presented in subject.chains:
        match presented.judgement.name:
            case NameMatch.SUBJECT_ALT_NAME:
                continue
            case NameMatch.COMMON_NAME:
                yield presented.report(
                    "CERTIFICATE_NAME_FROM_COMMON_NAME",
                    f"the name {subject.server_name} is only in the common name, which clients"
                    " ignore; a subjectAltName is recommended",
                    index=0,
                    evidence=(
                        FindingEvidence(
                            "name", "common name", f"subjectAltName {subject.server_name}"
                        ),
                    ),
                )
            case NameMatch.NOT_CHECKED:
                yield presented.report(
                    "CERTIFICATE_NAME_NOT_CHECKED",
                    "no server name was given, so the name of the certificate was not checked",
                    index=0,
                )
            case NameMatch.UNDECIDED:
                yield unreadable(
                    presented, f"whether the leaf certificate is for {subject.server_name}"
                )
            case _:
                yield _mismatch(presented, subject.server_name)


def _mismatch(presented: PresentedChain, server_name: str | None) -> Report:
    leaf = presented.judgement.leaf
    names = () if leaf is None else leaf.subject_alt_names or leaf.common_names
    observed = (
        comma_join(map(brief, names[:_MAX_NAMES]))
        + (f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else "")
        if names
        else "no usable name"
    )
    return presented.report(
        "CERTIFICATE_NAME_MISMATCH",
        f"the leaf certificate is for {observed}; {server_name} required",
        index=0,
        evidence=(FindingEvidence("name", observed, str(server_name)),),
    )


def judge_trust(
    subject: Subject, _parameters: Mapping[str, object], now: datetime
) -> Iterator[Report]:
    """The leaf chains to a Mozilla root, or to an anchor configured for this host, or is pinned.

    A path that only dates break is left to certificate.validity, if a served certificate has such
    a date.
    """
    yield from unseen(subject)
    for presented in subject.chains:
        judgement = presented.judgement
        match judgement.trust:
            case TrustSource.MOZILLA_ROOT:
                continue
            case TrustSource.ANCHOR | TrustSource.PIN | TrustSource.REQUEST_ANCHOR:
                yield _trusted_by_partner_anchor(presented)
            case TrustSource.UNDECIDED:
                what = f"whether the {_leaf(presented)} chains to a trusted anchor"
                yield undecided(presented, what, judgement.trust_failure)
            case _:
                if judgement.trusted_if_valid and not all(
                    is_valid_at(view, now) for _, view in on_path(judgement)
                ):
                    continue
                failure = judgement.trust_failure or "no path leads to a trusted root"
                yield presented.report(
                    "CERTIFICATE_UNTRUSTED",
                    f"the {_leaf(presented)} does not chain to a trusted anchor: {failure}",
                    index=0,
                    evidence=(
                        FindingEvidence(
                            "trust",
                            failure,
                            "Mozilla root, or anchor or pin for this host",
                        ),
                    ),
                )


def _leaf(presented: PresentedChain) -> str:
    leaf = presented.judgement.leaf
    return "leaf certificate" if leaf is None else describe(0, leaf)


def _trusted_by_partner_anchor(presented: PresentedChain) -> Report:
    judgement = presented.judgement
    label = readable(judgement.trust_label)
    sources = {
        TrustSource.ANCHOR: f"an anchor configured for this host ({label})",
        TrustSource.PIN: f"a pin configured for this host ({label})",
        TrustSource.REQUEST_ANCHOR: f"an anchor of the request ({label})",
    }
    source = sources[judgement.trust]
    return presented.report(
        "CERTIFICATE_TRUSTED_BY_PARTNER_ANCHOR",
        f"the leaf certificate is trusted by {source};"
        " a path to a root of the Mozilla CA program is strongly recommended",
        index=0,
        evidence=(FindingEvidence("trust", source, "Mozilla root"),),
    )


CERTIFICATE_NAME = Rule(
    id="certificate.name",
    codes=("CERTIFICATE_NAME_MISMATCH", "CERTIFICATE_NAME_FROM_COMMON_NAME"),
    judge=judge_name,
)
CERTIFICATE_TRUST = Rule(
    id="certificate.trust",
    codes=("CERTIFICATE_UNTRUSTED", "CERTIFICATE_TRUSTED_BY_PARTNER_ANCHOR"),
    judge=judge_trust,
)
