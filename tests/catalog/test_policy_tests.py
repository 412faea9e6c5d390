"""Policy tests: a case passes exactly if the policy says what it expects; a document that cannot be used is refused with its lines."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from otpc_policy.catalog.policies import load_builtin_policies
from otpc_policy.catalog.policy_tests import PolicyCase, judge_with, run_policy_tests
from otpc_policy.catalog.schemas.policy_test import parse_cases
from otpc_policy.errors import ConfigurationError
from otpc_policy.facts import ClientAuth, HttpService
from otpc_policy.facts_codec import dump_facts
from otpc_policy.pki.trust import Trust
from otpc_policy.policy.finding import Decision
from tests.policy.judging import variant
from tests.support.facts import NOW, make_facts, make_trust, root

POLICIES = load_builtin_policies()
WEAK = make_facts(http=HttpService.NOT_SERVED)
FILES = {
    "good.json": dump_facts(make_facts()),
    "weak.json": dump_facts(WEAK),
    "nowhere.json": dump_facts(make_facts(host="no host")),
    "broken.json": "{",
    "ca.pem": root().pem.decode(),
    "leaf.txt": "x",
}


def read(name: str) -> str:
    if name not in FILES:
        raise FileNotFoundError(2, "No such file or directory", name)
    return FILES[name]


def case(**overrides: Any) -> PolicyCase:
    compliant = PolicyCase(
        name="one",
        place="a.test.toml:1",
        facts=make_facts(),
        policy_name="",
        at=NOW,
        decision=Decision.ALLOW,
        codes=frozenset(),
    )
    return replace(compliant, **overrides)


def differences(one: PolicyCase, trust: Trust | None = None) -> tuple[str, ...]:
    (outcome,) = run_policy_tests([one], POLICIES, judge_with(trust or make_trust()))
    assert outcome.passed == (not outcome.differences)
    return outcome.differences


@pytest.mark.parametrize(
    "one",
    [
        case(),
        case(codes=None),
        case(evaluated_decision=Decision.ALLOW),
        case(
            facts=WEAK,
            decision=Decision.DENY,
            codes=None,
            codes_at_least=frozenset({"HTTPS_NOT_SERVED"}),
        ),
        case(facts=make_facts(client_auth=ClientAuth.UNKNOWN), policy_name="otpc-2024-12-strict"),
        case(
            at=NOW + timedelta(days=91),
            decision=Decision.DENY,
            codes=frozenset({"CERTIFICATE_EXPIRED"}),
        ),
    ],
    ids=[
        "exactly nothing",
        "decision alone",
        "evaluated",
        "at least",
        "another policy",
        "a later clock",
    ],
)
def test_a_case_passes_if_the_policy_says_what_it_expects(one: PolicyCase) -> None:
    assert differences(one) == ()


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (
            case(facts=WEAK),
            [
                "decision: ALLOW expected, it is DENY",
                "not expected: HTTPS_NOT_SERVED (deny, rule https.served): what",
            ],
        ),
        (
            case(facts=WEAK, codes=None),
            [
                "decision: ALLOW expected, it is DENY",
                "because of: HTTPS_NOT_SERVED (deny, rule https.served): what",
            ],
        ),
        (case(decision=Decision.DENY), ["decision: DENY expected, it is ALLOW"]),
        (
            case(evaluated_decision=Decision.DENY),
            ["evaluated_decision: DENY expected, it is ALLOW"],
        ),
        (case(codes=frozenset({"TLS_NOT_SERVED"})), ["missing: TLS_NOT_SERVED"]),
        (
            case(codes=None, codes_at_least=frozenset({"TLS_NOT_SERVED"})),
            ["missing: TLS_NOT_SERVED"],
        ),
        (
            case(policy_name="acme"),
            [
                "policy: no policy is named 'acme'; there are mozilla-intermediate, otpc-2024-12, otpc-2024-12-strict"
            ],
        ),
    ],
)
def test_each_difference_is_told(one: PolicyCase, told: list[str]) -> None:
    found = differences(one)
    assert len(found) == len(told)
    assert all(is_.startswith(expected) for is_, expected in zip(found, told, strict=True))


def test_a_case_brings_its_own_trust_and_agreement() -> None:
    (with_anchor,) = parse_cases(
        '[[case]]\nname = "a"\nfacts = "good.json"\nanchor_files = ["ca.pem"]\nclient_auth = "required"\nexpect.decision = "ALLOW"\n',
        "a.test.toml",
        read,
    )
    assert (with_anchor.at, with_anchor.expected_client_auth) == (
        make_facts().addresses[0].observed_at,
        ClientAuth.REQUIRED,
    )
    nobody = Trust(mozilla_roots=())
    assert differences(with_anchor, nobody) == ()
    assert (
        differences(replace(with_anchor, trust=()), nobody)[0]
        == "decision: ALLOW expected, it is DENY"
    )
    demanding = variant('rules.client_auth.expected.effects.CLIENT_AUTH_MISSING = "deny"')
    (outcome,) = run_policy_tests(
        [replace(with_anchor, policy_name="variant")],
        replace(POLICIES, policies={**POLICIES.policies, "variant": demanding}),
        judge_with(nobody),
    )
    assert "CLIENT_AUTH_MISSING" in outcome.differences[1]


def test_the_judge_is_the_callers() -> None:
    """A process with partners and waivers proves its policies by the judge that it will use."""
    strict = judge_with(make_trust())
    (outcome,) = run_policy_tests(
        [case()], POLICIES, lambda one, policy: replace(strict(one, policy), decision=Decision.DENY)
    )
    assert outcome.differences == ("decision: ALLOW expected, it is DENY",)


def test_a_document_is_read_with_all_its_cases() -> None:
    text = """\
[[case]]
name = "compliant"
facts = "good.json"
at = 2026-03-02T13:00:00+01:00
policy = "otpc-2024-12-strict"
certificate_sha256 = ["AA:PIN"]
[case.expect]
decision = "ALLOW"
codes = []

[[case]]
name = "old versions"
facts = "weak.json"
expect = { decision = "DENY", evaluated_decision = "DENY", codes_at_least = ["HTTPS_NOT_SERVED"] }
"""
    first, second = parse_cases(text.replace("PIN", ":".join(["bb"] * 31)), "a.test.toml", read)
    assert (first.name, first.place, first.at, first.policy_name, first.decision) == (
        "compliant",
        "a.test.toml:1",
        NOW,
        "otpc-2024-12-strict",
        Decision.ALLOW,
    )
    assert (first.codes, first.codes_at_least) == (frozenset(), None)
    assert first.trust[0].certificate_pins == {"aa" + "bb" * 31}
    assert (second.place, second.facts, second.evaluated_decision) == (
        "a.test.toml:11",
        WEAK,
        Decision.DENY,
    )
    assert (second.codes, second.codes_at_least) == (None, frozenset({"HTTPS_NOT_SERVED"}))
    assert all(
        one.passed for one in run_policy_tests([first, second], POLICIES, judge_with(make_trust()))
    )


CASE = '[[case]]\nname = "a"\nfacts = "good.json"\nexpect.decision = "ALLOW"\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1: case: must be at least one table"),
        ("case = []", "1: case: must be at least one table"),
        ("[case]\nname = 1", "1: case: must be at least one table"),
        ("[[cases]]", "1: cases: is no key here"),
        (CASE + "polcy = 1", "5: case.polcy: is no key here; there are name, facts, policy"),
        (CASE + "expect.code = 1", "5: case.expect.code: is no key here"),
        (CASE.replace("good", "gone"), r"3: case.facts: gone.json: No such file or directory"),
        (CASE.replace("good", "broken"), "3: case.facts: broken.json: is no JSON"),
        (CASE.replace("good", "nowhere"), "3: case.facts: nowhere.json: host: "),
        (CASE.replace('"good.json"', "1"), "3: case.facts: 1 is not a text"),
        (CASE.replace('name = "a"\n', ""), "1: case.name: is missing"),
        (
            CASE.replace("ALLOW", "allow"),
            "4: case.expect.decision: 'allow' is not one of ALLOW, DENY, INDETERMINATE",
        ),
        (CASE.replace("expect.decision = ", "at = "), "1: case.expect.decision: is missing"),
        (CASE + "at = 2026-03-02T12:00:00", "5: case.at: must be an instant with an offset"),
        (CASE + 'at = "2026-03-02T12:00:00Z"', "5: case.at: must be an instant"),
        (CASE + 'expect.codes = ["TLS_1"]', "5: case.expect.codes: 'TLS_1' is no finding code"),
        (
            CASE + "expect.codes = []\nexpect.codes_at_least = []",
            "6: case.expect.codes_at_least: contradicts codes",
        ),
        (
            CASE + 'client_auth = "maybe"',
            "5: case.client_auth: 'maybe' is not one of required, none",
        ),
        (
            CASE + 'anchor_files = ["leaf.txt"]',
            "5: case.anchor_files: leaf.txt: holds no certificate",
        ),
        (CASE + 'anchor_files = "ca.pem"', "5: case.anchor_files: 'ca.pem' is not a list of texts"),
        (CASE + 'spki_sha256 = ["xx"]', "1: case: .* is not a SHA-256"),
        (
            '[[case]]\nname = "a"\nfacts = "good.json"\nexpect = 1',
            "4: case.expect: must be a table",
        ),
        (CASE + "x = ", "5: "),
    ],
)
def test_a_document_that_cannot_be_used_is_refused_with_its_line(text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"a\.test\.toml:{problem}"):
        parse_cases(text, "a.test.toml", read)
