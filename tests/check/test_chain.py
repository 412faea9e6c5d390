"""A chain in hand is judged under one generation, at the given instant, and for an hour at most."""

from datetime import timedelta

import pytest

from otpc_policy.check import ChainRequest, judge_chain_in_hand
from otpc_policy.core.errors import UnknownPolicy
from otpc_policy.policy.finding import Decision
from tests.catalog.writing import entry, index
from tests.check.world import GENERATION, SECOND, generation
from tests.support.facts import HOST, NOW, leaf

CHAIN = ChainRequest(chain=leaf().chain_der, server_name=HOST)
ENDS_AT = leaf().certificate.not_valid_after_utc


def test_a_chain_is_judged_now_and_the_answer_lasts_an_hour() -> None:
    answer = judge_chain_in_hand(CHAIN, GENERATION, NOW)
    assert (answer.verdict.decision, answer.judged_at) == (Decision.ALLOW, NOW)
    assert answer.expires_at == NOW + timedelta(hours=1)
    assert (answer.policy.name, answer.configuration_revision) == ("otpc-2024-12", "first")


def test_another_instant_may_be_asked_about_and_its_end_bounds_the_answer() -> None:
    late = ChainRequest(chain=CHAIN.chain, server_name=HOST, at=ENDS_AT - 60 * SECOND)
    answer = judge_chain_in_hand(late, GENERATION, NOW)
    assert answer.judged_at == ENDS_AT - 60 * SECOND
    assert ENDS_AT <= answer.expires_at <= ENDS_AT + SECOND


def test_the_partner_of_the_name_is_named() -> None:
    under = generation(partners=index(entry("bank", HOST)))
    assert judge_chain_in_hand(CHAIN, under, NOW).partner_id == "bank"


def test_an_unknown_policy_is_the_callers_error() -> None:
    with pytest.raises(UnknownPolicy):
        judge_chain_in_hand(ChainRequest(chain=(b"x",), policy_name="none"), GENERATION, NOW)


def test_the_answer_says_what_was_not_looked_at() -> None:
    answer = judge_chain_in_hand(CHAIN, GENERATION, NOW)
    assert any("whether the leaf is revoked" in each for each in answer.not_examined)
    assert answer.verdict.findings == ()
