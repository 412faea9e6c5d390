"""A policy test is judged as a check would be: by both policies, with the partner's trust, expectations and waivers, at the clock of the test."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from otpc_policy.catalog.context import Catalog
from otpc_policy.catalog.policies import load_builtin_policies
from otpc_policy.catalog.policy_test_judge import judge_under
from otpc_policy.catalog.policy_tests import CaseOutcome, PolicyCase, run_policy_tests
from otpc_policy.facts import ClientAuth, HttpService
from otpc_policy.pki.trust import Trust
from otpc_policy.policy.finding import Decision
from otpc_policy.policy.model import PolicySet
from tests.catalog.writing import entry, index
from tests.policy.judging import variant
from tests.support.facts import HOST, NOW, leaf, make_facts, make_trust

POLICIES = load_builtin_policies()
UNTIL = NOW + timedelta(days=30)
PINS = "".join(
    f'[[trusted]]\ncertificate_sha256 = "{leaf(key).sha256}"\nnote = "agreed"\nends = {UNTIL:%Y-%m-%dT%H:%M:%SZ}\n'
    for key in ("ec256", "rsa2048")
)
WAIVER = f'[[waivers]]\ncode = "HTTPS_NOT_SERVED"\nreason = "moves"\nowner = "a@example.com"\nends = {NOW + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}\n'
AGREED = variant('rules.client_auth.expected.effects.CLIENT_AUTH_MISSING = "deny"')
NOBODY = Trust(mozilla_roots=())


def outcome(
    rest: str = "",
    *,
    trust: Trust | None = None,
    host: str = HOST,
    policies: PolicySet = POLICIES,
    **overrides: Any,
) -> CaseOutcome:
    """One test under a generation with one partner."""
    partners = index(entry("bank", host, rest=rest))
    generation = Catalog(
        policies=policies, trust=trust or make_trust(), partners=partners, revision="one"
    )
    case = PolicyCase(
        **{
            "name": "a",
            "place": "a:1",
            "facts": make_facts(),
            "policy_name": "",
            "at": NOW,
            "decision": Decision.ALLOW,
            **overrides,
        }
    )
    (only,) = run_policy_tests([case], generation.policies, judge_under(generation))
    return only


def test_what_the_partner_trusts_holds_in_its_tests_until_it_ends() -> None:
    assert outcome(PINS, trust=NOBODY).passed
    ended = outcome(
        PINS,
        trust=NOBODY,
        at=NOW + timedelta(days=31),
        decision=Decision.DENY,
        codes_at_least=frozenset({"CERTIFICATE_UNTRUSTED"}),
    )
    assert ended.passed
    assert outcome(PINS, trust=NOBODY, host="other.test", decision=Decision.DENY).passed


def test_a_waiver_holds_in_its_tests_until_it_ends() -> None:
    plain = make_facts(http=HttpService.NOT_SERVED)
    assert outcome(WAIVER, facts=plain, codes_at_least=frozenset({"HTTPS_NOT_SERVED"})).passed
    assert outcome(WAIVER, facts=plain, at=NOW + timedelta(days=1), decision=Decision.DENY).passed


def test_the_policy_of_the_partner_judges_beside_the_one_that_the_test_names() -> None:
    asked: dict[str, Any] = {
        "facts": make_facts(http=HttpService.NOT_SERVED),
        "policy_name": "mozilla-intermediate",
    }
    assert outcome(**asked).passed
    assert outcome(
        'policy = "otpc-2024-12"\n',
        **asked,
        decision=Decision.DENY,
        codes_at_least=frozenset({"HTTPS_NOT_SERVED"}),
    ).passed


def test_the_agreement_of_a_test_goes_before_that_of_the_entry() -> None:
    asked: dict[str, Any] = {
        "policy_name": "variant",
        "policies": replace(POLICIES, policies={**POLICIES.policies, "variant": AGREED}),
    }
    missing: dict[str, Any] = {
        "decision": Decision.DENY,
        "codes": frozenset({"CLIENT_AUTH_MISSING"}),
    }
    assert outcome(**asked).passed
    assert outcome('client_auth = "required"\n', **asked, **missing).passed
    assert outcome(
        'client_auth = "required"\n', **asked, expected_client_auth=ClientAuth.NONE
    ).passed
    assert outcome(**asked, **missing, expected_client_auth=ClientAuth.REQUIRED).passed


def test_a_server_name_that_the_entry_does_not_list_is_denied() -> None:
    facts = make_facts(server_name="other.test")
    assert outcome(
        facts=facts, decision=Decision.DENY, codes=frozenset({"SERVER_NAME_NOT_LISTED"})
    ).passed


@pytest.mark.parametrize("decision", [Decision.DENY, Decision.INDETERMINATE])
def test_a_test_that_expects_something_else_fails(decision: Decision) -> None:
    assert outcome(decision=decision).differences == (
        f"decision: {decision.value} expected, it is ALLOW",
    )
