"""The rule about how long leaf certificates are issued for: a fixed limit, or the browsers' one."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from otpc_policy.pki.judgement import CertificateView
from otpc_policy.policy.finding import FindingEvidence
from otpc_policy.policy.parameters import Parameter, positive_integer
from otpc_policy.policy.rule import PresentedChain, Report, Rule, Subject
from otpc_policy.policy.rules.certificate_text import describe, instant, unreadable, unseen

SC_081 = "sc-081v3"
# By the day from which on they are issued, newest first: the longest lifetime in days. Source:
# CA/Browser Forum ballot SC-081v3, Baseline Requirements 6.3.2.
_SC_081_DAYS: tuple[tuple[datetime, int], ...] = (
    (datetime(2029, 3, 15, tzinfo=UTC), 47),
    (datetime(2027, 3, 15, tzinfo=UTC), 100),
    (datetime(2026, 3, 15, tzinfo=UTC), 200),
)
_SC_081_DAYS_BEFORE = 398
_DAY, _SECOND = timedelta(days=1), timedelta(seconds=1)
# 100 years: a longer limit limits nothing, and arithmetic with it might overflow.
_MOST_DAYS = 36_525


def lifetime_limit(value: object) -> int | str:
    """Read a number of days, or the name of the schedule."""
    if value == SC_081:
        return SC_081
    try:
        days = positive_integer(value)
    except ValueError:
        days = _MOST_DAYS + 1
    if days > _MOST_DAYS:
        raise ValueError(f'must be a whole number of days from 1 to {_MOST_DAYS}, or "{SC_081}"')
    return days


_MAXIMUM_DAYS = Parameter("maximum_days", lifetime_limit)


def judge_lifetime(
    subject: Subject, parameters: Mapping[str, object], _now: datetime
) -> Iterator[Report]:
    """No leaf is valid for longer than permitted, whatever vouches for it.

    The schedule goes by notBefore: the day of issuance stands nowhere else in a certificate, and an
    authority may not set it back by more than two days (Baseline Requirements 7.1.2.7).
    """
    limit = _MAXIMUM_DAYS.of(parameters)
    yield from unseen(subject)
    for presented in subject.chains:
        leaf = presented.judgement.leaf
        if leaf is None:
            yield unreadable(presented, "the lifetime")
        else:
            yield from _judge_leaf(presented, leaf, limit)


def _judge_leaf(
    presented: PresentedChain, leaf: CertificateView, limit: int | str
) -> Iterator[Report]:
    lifetime = lifetime_of(leaf)
    days = limit if isinstance(limit, int) else scheduled_days(leaf.not_before)
    if lifetime <= timedelta(days=days):
        return
    # A part of a day counts as a day.
    observed = f"{-(-lifetime // _DAY)} days"
    issued = f" if issued on {leaf.not_before:%Y-%m-%d}" if limit == SC_081 else ""
    required = f"at most {days} days{issued}"
    yield presented.report(
        "CERTIFICATE_LIFETIME_TOO_LONG",
        f"the {describe(0, leaf)} is valid for {observed}; {required}",
        index=0,
        evidence=(
            FindingEvidence(
                "lifetime",
                f"{observed}: {instant(leaf.not_before)} to {instant(leaf.not_after)}",
                required,
            ),
        ),
    )


def scheduled_days(not_before: datetime) -> int:
    """Return the longest lifetime in days that SC-081v3 permits to a certificate of this day."""
    return next((days for since, days in _SC_081_DAYS if not_before >= since), _SC_081_DAYS_BEFORE)


def lifetime_of(view: CertificateView) -> timedelta:
    """Return how long a certificate is valid, the second of notAfter included.

    Source: RFC 5280 4.1.2.5, Baseline Requirements 6.3.2.
    """
    return view.not_after - view.not_before + _SECOND


CERTIFICATE_LIFETIME = Rule(
    id="certificate.lifetime",
    codes=("CERTIFICATE_LIFETIME_TOO_LONG",),
    parameters=(_MAXIMUM_DAYS,),
    judge=judge_lifetime,
)
