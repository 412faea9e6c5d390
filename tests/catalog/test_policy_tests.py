"""A policy test passes exactly if the verdict is the expected one.

It is judged as a check would be: by both policies, with the partner's trust, agreements and
waivers, at the clock of the test.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from otpc_policy.catalog.context import Catalog
from otpc_policy.catalog.partners.index import PartnerIndex
from otpc_policy.catalog.policies import load_builtin_policies
from otpc_policy.catalog.policy_tests import (
    PolicyTest,
    PolicyTestOutcome,
    require_policy_tests,
    run_policy_tests,
)
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.core.facts import ClientAuth, HttpService
from otpc_policy.pki.trust import Trust, TrustEntry
from otpc_policy.policy.finding import Decision
from otpc_policy.policy.model import PolicySet
from tests.catalog.writing import entry, index
from tests.policy.judging import variant
from tests.support.facts import HOST, NOW, leaf, make_facts, make_trust, root

POLICIES = load_builtin_policies()
WEAK = make_facts(http=HttpService.NOT_SERVED)
UNTIL = NOW + timedelta(days=30)
PINS = "".join(
    f'[[trusted]]\ncertificate_sha256 = "{leaf(key).sha256}"\nnote = "agreed"\n'
    f"ends = {UNTIL:%Y-%m-%dT%H:%M:%SZ}\n"
    for key in ("ec256", "rsa2048")
)
WAIVER = (
    '[[waivers]]\ncode = "HTTPS_NOT_SERVED"\nreason = "moves"\nowner = "a@example.com"\n'
    f"ends = {NOW + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}\n"
)
AGREED = variant('rules.client_auth.expected.effects.CLIENT_AUTH_MISSING = "deny"')
NOBODY = Trust(mozilla_roots=())
BECAUSE = "HTTPS_NOT_SERVED (deny, rule https.served): the"


def policy_test(**overrides: Any) -> PolicyTest:
    """A test that passes: a compliant endpoint is allowed, without findings."""
    compliant = PolicyTest(
        name="one",
        place="a.test.toml:1",
        facts=make_facts(),
        policy_name="",
        at=NOW,
        decision=Decision.ALLOW,
        codes=frozenset(),
    )
    return replace(compliant, **overrides)


def outcome(
    test: PolicyTest,
    *,
    trust: Trust | None = None,
    policies: PolicySet = POLICIES,
    partners: PartnerIndex | None = None,
) -> PolicyTestOutcome:
    """Run one test under a catalog."""
    catalog = Catalog(
        policies=policies,
        trust=trust or make_trust(),
        partners=partners or PartnerIndex(),
        revision="one",
    )
    (only,) = run_policy_tests([test], catalog)
    assert only.passed == (not only.differences)
    return only


def of_partner(rest: str = "", *, host: str = HOST) -> PartnerIndex:
    """One partner with these further lines in its entry."""
    return index(entry("bank", host, rest=rest))


@pytest.mark.parametrize(
    "test",
    [
        policy_test(),
        policy_test(codes=None),
        policy_test(evaluated_decision=Decision.ALLOW),
        policy_test(
            facts=WEAK,
            decision=Decision.DENY,
            codes=None,
            codes_at_least=frozenset({"HTTPS_NOT_SERVED"}),
        ),
        policy_test(
            facts=make_facts(client_auth=ClientAuth.UNKNOWN), policy_name="otpc-2024-12-strict"
        ),
        policy_test(
            at=NOW + timedelta(days=91),
            decision=Decision.DENY,
            codes=frozenset({"CERTIFICATE_EXPIRED"}),
        ),
    ],
    ids=["exactly nothing", "decision", "evaluated", "at least", "another policy", "a later clock"],
)
def test_it_passes_if_the_verdict_is_the_expected_one(test: PolicyTest) -> None:
    assert outcome(test).differences == ()


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        (
            policy_test(facts=WEAK),
            ["decision: expected ALLOW, got DENY", f"not expected: {BECAUSE}"],
        ),
        (
            policy_test(facts=WEAK, codes=None),
            ["decision: expected ALLOW, got DENY", f"because of: {BECAUSE}"],
        ),
        (policy_test(decision=Decision.DENY), ["decision: expected DENY, got ALLOW"]),
        (
            policy_test(evaluated_decision=Decision.DENY),
            ["evaluated_decision: expected DENY, got ALLOW"],
        ),
        (policy_test(codes=frozenset({"TLS_NOT_SERVED"})), ["missing: TLS_NOT_SERVED"]),
        (
            policy_test(codes=None, codes_at_least=frozenset({"TLS_NOT_SERVED"})),
            ["missing: TLS_NOT_SERVED"],
        ),
        (
            policy_test(policy_name="acme"),
            ["policy: no policy is named 'acme'; expected one of bsi-tr-02102-2, mozilla-inter"],
        ),
    ],
)
def test_each_difference_is_reported(test: PolicyTest, expected: list[str]) -> None:
    found = outcome(test).differences
    assert len(found) == len(expected)
    assert all(one.startswith(start) for one, start in zip(found, expected, strict=True))


def test_every_test_that_fails_keeps_a_catalog_out() -> None:
    catalog = Catalog(policies=POLICIES, trust=make_trust())
    require_policy_tests([policy_test()], catalog)
    failing = policy_test(decision=Decision.DENY)
    with pytest.raises(ConfigurationError) as refused:
        require_policy_tests([policy_test(), failing, failing], catalog)
    problem = "a.test.toml:1: policy test 'one': decision: expected DENY, got ALLOW"
    assert refused.value.problems == (problem, problem)


def test_a_test_brings_its_own_trust() -> None:
    trusting = TrustEntry(hosts=(HOST,), anchors=(root().der,), note="from the policy test")
    test = policy_test(trust=(trusting,), codes=None)
    assert outcome(test, trust=NOBODY).passed
    untrusted = outcome(replace(test, trust=()), trust=NOBODY)
    assert untrusted.differences[0] == "decision: expected ALLOW, got DENY"


def test_what_the_partner_trusts_holds_in_its_tests_until_it_ends() -> None:
    test, denied = policy_test(codes=None), policy_test(codes=None, decision=Decision.DENY)
    assert outcome(test, trust=NOBODY, partners=of_partner(PINS)).passed
    ended = replace(
        denied, at=NOW + timedelta(days=31), codes_at_least=frozenset({"CERTIFICATE_UNTRUSTED"})
    )
    assert outcome(ended, trust=NOBODY, partners=of_partner(PINS)).passed
    assert outcome(denied, trust=NOBODY, partners=of_partner(PINS, host="other.test")).passed


def test_a_waiver_holds_in_its_tests_until_it_ends() -> None:
    waived = policy_test(facts=WEAK, codes=None, codes_at_least=frozenset({"HTTPS_NOT_SERVED"}))
    assert outcome(waived, partners=of_partner(WAIVER)).passed
    ended = replace(waived, at=NOW + timedelta(days=1), decision=Decision.DENY)
    assert outcome(ended, partners=of_partner(WAIVER)).passed


def test_the_policy_of_the_partner_judges_in_addition_to_the_one_that_the_test_names() -> None:
    test = policy_test(facts=WEAK, policy_name="mozilla-intermediate", codes=None)
    free = replace(POLICIES, minimum_name=None)
    assert outcome(test, policies=free, partners=of_partner()).passed
    stricter = of_partner('policy = "otpc-2024-12"\n')
    denied = replace(test, decision=Decision.DENY, codes_at_least=frozenset({"HTTPS_NOT_SERVED"}))
    assert outcome(denied, policies=free, partners=stricter).passed


def test_the_minimum_policy_judges_in_addition_to_the_one_that_the_test_names() -> None:
    test = policy_test(facts=WEAK, policy_name="mozilla-intermediate", codes=None)
    by_minimum = outcome(test)
    assert "decision: expected ALLOW, got DENY" in by_minimum.differences
    (reason,) = (each for each in by_minimum.differences if "HTTPS_NOT_SERVED" in each)
    assert reason.startswith(
        "because of: HTTPS_NOT_SERVED (deny, policy otpc-2024-12, rule https.served)"
    )


@pytest.mark.parametrize("in_entry", ["", 'client_auth = "required"\n', 'client_auth = "none"\n'])
@pytest.mark.parametrize("in_test", [None, ClientAuth.REQUIRED, ClientAuth.NONE])
@pytest.mark.parametrize("has_partner", [True, False])
def test_the_agreement_of_a_test_replaces_that_of_the_entry(
    in_entry: str, in_test: ClientAuth | None, has_partner: bool
) -> None:
    policies = replace(POLICIES, policies={**POLICIES.policies, "variant": AGREED})
    agreed = in_test or (ClientAuth.REQUIRED if has_partner and "required" in in_entry else None)
    denies = agreed is ClientAuth.REQUIRED
    test = policy_test(
        policy_name="variant",
        expected_client_auth=in_test,
        decision=Decision.DENY if denies else Decision.ALLOW,
        codes=frozenset({"CLIENT_AUTH_MISSING"} if denies else ()),
    )
    partners = of_partner(in_entry) if has_partner else None
    assert outcome(test, policies=policies, partners=partners).passed


def test_a_server_name_that_the_entry_does_not_list_is_denied() -> None:
    test = policy_test(
        facts=make_facts(server_name="other.test"),
        decision=Decision.DENY,
        codes=frozenset({"SERVER_NAME_NOT_LISTED"}),
    )
    assert outcome(test, partners=of_partner()).passed
