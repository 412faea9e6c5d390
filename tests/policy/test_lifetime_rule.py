"""certificate.lifetime: a fixed limit or SC-081v3 by the day of issuance; exact boundaries."""

from datetime import UTC, datetime, timedelta

import pytest

from otpc_policy.catalog.policies import parse_policy
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.pki.judgement import MalformedEntry
from otpc_policy.policy.model import Policy
from otpc_policy.policy.rules.lifetime import CERTIFICATE_LIFETIME
from tests.policy.judging import (
    UNKNOWN,
    default_policy,
    make_judgement,
    make_view,
    reported,
    reports,
    variant,
)
from tests.support.facts import NOW

TOO_LONG = ["CERTIFICATE_LIFETIME_TOO_LONG"]
SECOND = timedelta(seconds=1)


def policy(limit: object) -> Policy:
    text = f'"{limit}"' if isinstance(limit, str) else limit
    return variant(f"rules.certificate.lifetime.parameters.maximum_days = {text}")


def judged(limit: object, start: datetime, lifetime: timedelta) -> list[str]:
    """lifetime: with the second of notAfter, as the Baseline Requirements count."""
    view = make_view(not_before=start, not_after=start + lifetime - SECOND)
    return reported(CERTIFICATE_LIFETIME, make_judgement(view), policy=policy(limit))


@pytest.mark.parametrize(
    ("start", "days"),
    [
        (datetime(2020, 9, 1, tzinfo=UTC), 398),
        (datetime(2026, 3, 14, 23, 59, 59, tzinfo=UTC), 398),
        (datetime(2026, 3, 15, tzinfo=UTC), 200),
        (datetime(2027, 3, 14, 23, 59, 59, tzinfo=UTC), 200),
        (datetime(2027, 3, 15, tzinfo=UTC), 100),
        (datetime(2029, 3, 14, 23, 59, 59, tzinfo=UTC), 100),
        (datetime(2029, 3, 15, tzinfo=UTC), 47),
        (datetime(2040, 1, 1, tzinfo=UTC), 47),
    ],
)
def test_the_schedule_goes_by_the_day_of_issuance(start: datetime, days: int) -> None:
    """Source: CA/Browser Forum ballot SC-081v3; 398 days, and 200, 100 and 47 from those days."""
    assert judged("sc-081v3", start, timedelta(days=days)) == []
    assert judged("sc-081v3", start, timedelta(days=days) + SECOND) == TOO_LONG


@pytest.mark.parametrize("days", [1, 90, 366, 1096])
def test_a_fixed_limit_is_inclusive(days: int) -> None:
    assert judged(days, NOW, timedelta(days=days)) == []
    assert judged(days, NOW, timedelta(days=days) + SECOND) == TOO_LONG


def test_the_message_says_what_was_seen_and_what_is_required() -> None:
    view = make_view(
        not_before=datetime(2026, 4, 1, tzinfo=UTC), not_after=datetime(2027, 5, 4, tzinfo=UTC)
    )
    (report,) = reports(CERTIFICATE_LIFETIME, make_judgement(view))
    assert report.message.endswith(
        "is valid for 399 days; at most 200 days if issued on 2026-04-01"
    )
    (report,) = reports(CERTIFICATE_LIFETIME, make_judgement(view), policy=policy(90))
    assert report.message.endswith("is valid for 399 days; at most 90 days")


def test_only_the_leaf_is_judged() -> None:
    issuer = make_view(not_after=NOW + timedelta(days=3650), der=b"issuer")
    assert reported(CERTIFICATE_LIFETIME, make_judgement(make_view(), issuer)) == []


def test_a_leaf_that_cannot_be_decoded_is_unknown() -> None:
    judgement = make_judgement(None, malformed=(MalformedEntry(0, "no"),), path=())
    assert reported(CERTIFICATE_LIFETIME, judgement) == [UNKNOWN]


def test_a_leaf_whose_extensions_cost_too_much_still_has_dates() -> None:
    view = make_view(not_after=NOW + timedelta(days=900))
    judgement = make_judgement(view, leaf_unread="4,000 names")
    assert reported(CERTIFICATE_LIFETIME, judgement) == TOO_LONG


def test_it_is_off_by_default() -> None:
    (rule,) = (rule for rule in default_policy().rules if rule.id == "certificate.lifetime")
    assert not rule.is_enabled


@pytest.mark.parametrize("value", ["0", "-1", "true", "1.5", '"sc-081"', "36526", "[90]"])
def test_a_limit_is_a_number_of_days_or_the_schedule(value: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse_policy(
            'name = "mine"\nextends = "otpc-2024-12"\n'
            f"rules.certificate.lifetime.parameters.maximum_days = {value}\n",
            "mine.toml",
        )
    (problem,) = refused.value.problems
    assert problem.endswith('must be a whole number of days from 1 to 36525, or "sc-081v3"')
