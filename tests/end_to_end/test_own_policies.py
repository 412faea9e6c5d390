"""A policy of an operator's own, asked for by name: report-only, with lifetimes of its own.

The default policy is the minimum and judges too.
"""

from datetime import timedelta

import pytest

from otpc_policy.v1 import policy_pb2 as pb
from tests.end_to_end.case import ANCHOR, decision_of
from tests.end_to_end.running import Service
from tests.end_to_end.world import AES_256, TRIAL, World
from tests.support.loopback import Listener
from tests.support.servers import TlsOffer, nginx

# The lifetime of a document, and the tenth by which every lifetime may vary.
LIFETIME = timedelta(seconds=60)
LONGEST = LIFETIME * 1.1


def test_a_policy_on_trial_reports_what_it_would_deny_and_denies_nothing(
    world: World, service: Service
) -> None:
    partner = world.partner()
    with nginx(partner.listener(), TlsOffer(certificates=world.pair(partner.name))) as at:
        default, on_trial, strict = (
            service.check(partner, at, policy=policy)
            for policy in ("", TRIAL, "otpc-2024-12-strict")
        )
    assert [decision_of(each) for each in (default, on_trial, strict)] == ["ALLOW", "ALLOW", "DENY"]
    assert on_trial.evaluated_decision == pb.DECISION_DENY
    assert on_trial.policy.name == TRIAL
    assert not on_trial.policy.enforcing
    assert {(finding.code, finding.effect) for finding in on_trial.findings} == {
        (ANCHOR, pb.EFFECT_DENY)
    }
    # One measurement serves all three; each policy decides for how long.
    assert {each.result_info.source for each in (on_trial, strict)} == {pb.RESULT_SOURCE_CACHE}
    answers_for = {
        each.policy.name: each.result_info.expire_time.ToDatetime()
        - each.result_info.observation_time.ToDatetime()
        for each in (on_trial, strict)
    }
    assert answers_for[TRIAL] <= LONGEST < answers_for["otpc-2024-12-strict"]


def test_a_policy_on_trial_never_leads_to_a_forbidden_address(
    world: World, service: Service
) -> None:
    response = service.check(world.forbidden, Listener("", 443), policy=TRIAL)
    assert (decision_of(response), response.evaluated_decision) == ("DENY", pb.DECISION_DENY)
    assert [finding.code for finding in response.findings] == ["TARGET_ADDRESS_FORBIDDEN"]


def test_a_policy_on_trial_does_not_turn_the_unknown_into_fine(
    world: World, service: Service
) -> None:
    partner = world.partner()
    response = service.check(partner, partner.listener(), policy=TRIAL)
    assert decision_of(response) == "INDETERMINATE"


@pytest.mark.parametrize(
    ("ciphers", "decision"),
    [
        # What this policy alone would allow, the minimum policy denies.
        ("ECDHE-RSA-AES256-GCM-SHA384", "DENY"),
        # The server prefers the other suite: only this policy requires a handshake with it.
        (
            "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-SHA384",
            "ALLOW",
        ),
        ("ECDHE-RSA-AES128-GCM-SHA256", "DENY"),
    ],
)
def test_a_policy_may_require_a_suite_of_its_own(
    world: World, service: Service, ciphers: str, decision: str
) -> None:
    partner = world.partner()
    offer = TlsOffer(certificates=(world.leaf(partner.name, key="rsa2048"),), ciphers=ciphers)
    with nginx(partner.listener(), offer) as at:
        assert decision_of(service.check(partner, at, policy=AES_256)) == decision
