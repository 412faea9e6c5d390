"""The rule about validity, and the instants at which its findings change with time alone."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from otpc_policy.pki.judgement import CertificateView
from otpc_policy.policy.finding import FindingEvidence
from otpc_policy.policy.parameters import Parameter, positive_integer, share
from otpc_policy.policy.rule import PresentedChain, Report, Rule, Subject
from otpc_policy.policy.rules.certificate_text import (
    beyond_leaf,
    describe,
    instant,
    on_path,
    unreadable,
    unseen,
)

_EXPIRES_SOON_DAYS = Parameter("expires_soon_days", positive_integer)
_EXPIRES_SOON_SHARE = Parameter("expires_soon_share_of_lifetime", share)
_SECOND = timedelta(seconds=1)
_LAST_INSTANT = datetime.max.replace(tzinfo=UTC)


def judge_validity(
    subject: Subject, parameters: Mapping[str, object], now: datetime
) -> Iterator[Report]:
    """Every certificate on the path is valid now, and not about to expire."""
    yield from unseen(subject)
    for presented in subject.chains:
        if presented.judgement.leaf is None:
            yield unreadable(presented, "the validity")
        yield from beyond_leaf(presented, "the validity")
        for index, view in on_path(presented.judgement):
            yield from _judge_certificate(presented, index, view, parameters, now)


def _judge_certificate(
    presented: PresentedChain,
    index: int,
    view: CertificateView,
    parameters: Mapping[str, object],
    now: datetime,
) -> Iterator[Report]:
    soon = expires_soon_from(view, parameters)
    if now < view.not_before:
        message = f"the {describe(index, view)} is not valid before {instant(view.not_before)}"
        yield presented.report(
            "CERTIFICATE_NOT_YET_VALID",
            f"{message}; validity required now",
            index=index,
            evidence=_dates(view, now),
        )
    if not is_unexpired_at(view, now):
        message = f"the {describe(index, view)} expired at {instant(view.not_after)}"
        yield presented.report(
            "CERTIFICATE_EXPIRED",
            f"{message}; validity required now",
            index=index,
            evidence=_dates(view, now),
        )
    elif now >= soon:
        message = f"the {describe(index, view)} expires at {instant(view.not_after)}"
        yield presented.report(
            "CERTIFICATE_EXPIRES_SOON",
            f"{message}; renewal was due from {instant(soon)}",
            index=index,
            evidence=_dates(view, now),
        )


def _dates(view: CertificateView, now: datetime) -> tuple[FindingEvidence, ...]:
    return (
        FindingEvidence(
            "validity",
            f"{instant(view.not_before)} to {instant(view.not_after)}",
            f"valid at {instant(now)}",
        ),
    )


def is_unexpired_at(view: CertificateView, now: datetime) -> bool:
    """Whether notAfter has not passed; it is inclusive, in whole seconds.

    Source: RFC 5280 4.1.2.5.
    """
    return now.replace(microsecond=0) <= view.not_after


def is_valid_at(view: CertificateView, now: datetime) -> bool:
    """Whether the instant lies in the validity, both ends included."""
    return view.not_before <= now and is_unexpired_at(view, now)


def expires_soon_from(view: CertificateView, parameters: Mapping[str, object]) -> datetime:
    """Return when the warning begins.

    That is before notAfter by the days or by the share of the lifetime, whichever is smaller.
    """
    part = _EXPIRES_SOON_SHARE.of(parameters)
    lifetime = view.not_after - view.not_before
    return view.not_after - min(
        timedelta(days=_EXPIRES_SOON_DAYS.of(parameters)),
        lifetime * part.numerator / part.denominator,
    )


def validity_instants(
    view: CertificateView, parameters: Mapping[str, object]
) -> Iterator[datetime]:
    """Yield the instants at which the findings about a certificate change."""
    yield view.not_before
    yield expires_soon_from(view, parameters)
    yield from end_of_validity(view.not_after)


def end_of_validity(not_after: datetime) -> Iterator[datetime]:
    """Yield both notAfter and the second after it, at which the certificate is expired.

    A verdict kept until notAfter errs on the safe side, and within that last second the change is
    still to come.
    """
    yield not_after
    if not_after < _LAST_INSTANT - _SECOND:
        yield not_after + _SECOND


CERTIFICATE_VALIDITY = Rule(
    id="certificate.validity",
    codes=("CERTIFICATE_EXPIRED", "CERTIFICATE_NOT_YET_VALID", "CERTIFICATE_EXPIRES_SOON"),
    parameters=(_EXPIRES_SOON_DAYS, _EXPIRES_SOON_SHARE),
    judge=judge_validity,
)
