"""How long facts live: the settings' lifetimes, unless a policy sets others."""

from datetime import timedelta

import pytest

from otpc_policy.check import Lifetimes
from otpc_policy.policy.finding import Decision
from tests.check.world import BRIEF, LIFETIMES, POLICIES


def test_a_policy_document_goes_before_the_settings() -> None:
    minute = timedelta(minutes=1)
    expected = Lifetimes(allow=minute, deny=LIFETIMES.deny, unknown=LIFETIMES.unknown)
    assert LIFETIMES.under(BRIEF) == expected


def test_of_two_policies_the_shorter_lifetimes_hold() -> None:
    under = LIFETIMES.under(POLICIES.get(""), BRIEF)
    assert (under.allow, under.deny) == (timedelta(seconds=60), LIFETIMES.deny)


@pytest.mark.parametrize(
    ("decision", "lifetime"),
    [
        (Decision.ALLOW, LIFETIMES.allow),
        (Decision.DENY, LIFETIMES.deny),
        (Decision.INDETERMINATE, LIFETIMES.unknown),
    ],
)
def test_each_decision_has_a_lifetime(decision: Decision, lifetime: timedelta) -> None:
    assert LIFETIMES.of(decision) == lifetime
