"""What a policy permits until an instant: advised against before it, not permitted from then on."""

from datetime import datetime, timedelta

import pytest

from otpc_policy.catalog.policies import parse_policy
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.core.facts import Evidence, GroupFact, KeyExchangeFact, Support, TlsVersion
from otpc_policy.core.registries.groups import CLIENT_GROUPS, group_by_name
from otpc_policy.policy.connection_terms import connection_terms
from otpc_policy.policy.finding import Decision, Effect, Verdict
from otpc_policy.policy.model import Policy
from otpc_policy.policy.parameters import Permitted
from otpc_policy.rpc.convert.policies import policy_message
from tests.policy.judging import codes, finding, judge, variant
from tests.support.facts import NOW, make_facts, suite

END = NOW + timedelta(days=10)
WRITTEN = f"{END:%Y-%m-%d %H:%M:%S} UTC"
SECOND = timedelta(seconds=1)
AES_256 = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
SIX = (
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
)


def until(name: str, end: datetime = END) -> str:
    return f'{{ name = "{name}", until = {end:%Y-%m-%dT%H:%M:%SZ} }}'


def quoted(*names: str) -> str:
    return ", ".join(f'"{name}"' for name in names)


def suites_policy(effect: str = "deny") -> Policy:
    return variant(
        "[rules.cipher.outside_set]\n"
        f'effects.CIPHER_SUITE_NOT_LISTED = "{effect}"\n'
        f"parameters.suites = [{quoted(*SIX)}, {until(AES_256)}]\n"
    )


def versions_policy() -> Policy:
    return variant(
        f'rules.tls.minimum_version.parameters.permitted_versions = [{until("TLS 1.2")}, "TLS 1.3"]'
    )


def effects(verdict: Verdict, code: str) -> list[Effect]:
    return [found.effect for found in verdict.findings if found.code == code]


OFFERED = make_facts(
    cipher_suites=(
        *map(suite, (*SIX, AES_256)),
        suite("TLS_AES_128_GCM_SHA256", over=TlsVersion.TLS_1_3),
    )
)


@pytest.mark.parametrize(
    ("at", "effect", "decision"),
    [
        (END - SECOND, Effect.ADVISORY, Decision.ALLOW),
        (END, Effect.DENY, Decision.DENY),
        (END + SECOND, Effect.DENY, Decision.DENY),
    ],
)
@pytest.mark.parametrize(
    ("policy", "code"),
    [
        (suites_policy(), "CIPHER_SUITE_NOT_LISTED"),
        (versions_policy(), "TLS_VERSION_BELOW_MINIMUM"),
    ],
)
def test_it_advises_before_the_instant_and_denies_from_it_on(
    policy: Policy, code: str, at: datetime, effect: Effect, decision: Decision
) -> None:
    verdict = judge(OFFERED, policy, now=at)
    assert (effects(verdict, code), verdict.decision) == ([effect], decision)
    ended = at >= END
    assert (f"permitted until {WRITTEN}" in finding(verdict, code).message) != ended


def test_a_verdict_changes_at_the_instant_and_no_longer_afterwards() -> None:
    for policy in (suites_policy(), versions_policy()):
        assert judge(OFFERED, policy, now=END - SECOND).changes_at == END
        later = judge(OFFERED, policy, now=END).changes_at
        assert later is None or later > END


def test_a_rule_that_is_off_has_no_instants() -> None:
    assert suites_policy("off").permissions_end == ()
    assert codes(judge(OFFERED, suites_policy("off")), "cipher.outside_set") == []
    assert suites_policy().permissions_end == (END,)


def test_an_advisory_code_stays_advisory() -> None:
    verdict = judge(OFFERED, suites_policy("advisory"), now=END)
    assert effects(verdict, "CIPHER_SUITE_NOT_LISTED") == [Effect.ADVISORY]


def test_what_is_not_offered_is_not_mentioned() -> None:
    verdict = judge(make_facts(cipher_suites=OFFERED.addresses[0].cipher_suites[:2]), None)
    assert verdict.decision is not Decision.DENY
    facts = make_facts(
        cipher_suites=tuple(
            fact for fact in OFFERED.addresses[0].cipher_suites if fact.code_point != 0xC030
        )
    )
    assert codes(judge(facts, suites_policy()), "cipher.outside_set") == []


def test_a_suite_that_may_be_accepted_is_unknown_before_and_after() -> None:
    open_ = make_facts(
        cipher_suites=(
            *OFFERED.addresses[0].cipher_suites[:2],
            suite(AES_256, support=Support.UNKNOWN),
        )
    )
    for at in (END - SECOND, END):
        assert judge(open_, suites_policy(), now=at).decision is Decision.INDETERMINATE


def test_groups_have_ends_too() -> None:
    policy = variant(
        '[rules.group.outside_set]\neffects.GROUP_NOT_LISTED = "deny"\n'
        f'parameters.groups = ["X25519MLKEM768", {until("secp256r1")}, {until("x25519")}]\n'
    )
    accepted = {group_by_name("secp256r1"), group_by_name("X25519MLKEM768")}
    facts = make_facts(
        groups=tuple(
            GroupFact(
                code_point=group,
                support=Support.YES if group in accepted else Support.NO,
                evidence=Evidence.SERVER_HELLO if group in accepted else Evidence.ALERT,
            )
            for group in CLIENT_GROUPS
        ),
        key_exchanges=(KeyExchangeFact(version=TlsVersion.TLS_1_2, group=23, bits=256),),
    )
    before, after = (judge(facts, policy, now=at) for at in (END - SECOND, END))
    assert effects(before, "GROUP_NOT_LISTED") == [Effect.ADVISORY]
    assert "secp256r1; permitted until" in finding(before, "GROUP_NOT_LISTED").message
    assert effects(after, "GROUP_NOT_LISTED") == [Effect.DENY]


def test_a_client_may_offer_it_before_the_instant_and_not_from_then_on() -> None:
    aes_256 = 0xC030
    before, after = (connection_terms([suites_policy()], (), at) for at in (END - SECOND, END))
    assert (aes_256 in before.cipher_suites, aes_256 in after.cipher_suites) == (True, False)
    before, after = (connection_terms([versions_policy()], (), at) for at in (END - SECOND, END))
    assert before.versions == (TlsVersion.TLS_1_2, TlsVersion.TLS_1_3)
    assert after.versions == (TlsVersion.TLS_1_3,)


def test_a_remedy_names_the_suites_without_an_end_and_the_versions_of_today() -> None:
    lax = (*OFFERED.addresses[0].cipher_suites, suite("TLS_RSA_WITH_AES_128_GCM_SHA256"))
    verdict = judge(make_facts(cipher_suites=lax), suites_policy(), now=END)
    (remedy,) = {
        found.remediation
        for found in verdict.findings
        if found.effect is Effect.DENY and found.code == "CIPHER_SUITE_NOT_LISTED"
    }
    assert "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256\n" in remedy
    ended = judge(OFFERED, versions_policy(), now=END)
    assert "no others: TLS 1.3\n" in finding(ended, "TLS_VERSION_BELOW_MINIMUM").remediation


def test_the_revision_goes_by_the_instant_and_not_by_its_zone() -> None:
    line = "rules.tls.minimum_version.parameters.permitted_versions = "
    same, other, later = (
        variant(f'{line}[{{ name = "TLS 1.2", until = {end} }}, "TLS 1.3"]')
        for end in (
            "2026-03-01T00:00:00Z",
            "2026-03-01T02:00:00+02:00",
            "2026-03-01T00:00:00+02:00",
        )
    )
    assert same.revision == other.revision != later.revision
    again = parse_policy(same.document, "again.toml")
    assert (again.revision, again.rules) == (same.revision, same.rules)


def test_callers_see_the_end_in_the_parameter() -> None:
    message = policy_message(versions_policy())
    (rule,) = (rule for rule in message.rules if rule.id == "tls.minimum_version")
    assert list(rule.parameters) == [
        f'permitted_versions = [{{name = "TLS 1.2", until = {END:%Y-%m-%dT%H:%M:%SZ}}}, "TLS 1.3"]'
    ]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("[]", "must be a list of at least one name"),
        ("1", "must be a list of at least one name"),
        ('[{ name = "TLS 1.2" }]', "must be a list of at least one name"),
        ('[{ name = "TLS 1.2", until = 2030-01-01T00:00:00Z, x = 1 }]', "must be a list of"),
        ('[{ name = "TLS 1.2", until = 2030-01-01 }]', "'TLS 1.2': until must be a date and time"),
        ('[{ name = "TLS 1.2", until = 2030-01-01T00:00:00 }]', "'TLS 1.2': until must be a date"),
        ('[{ name = "TLS 1.2", until = "2030-01-01T00:00:00Z" }]', "'TLS 1.2': until must be a"),
        ('[{ name = "TLS 1.2", until = 9999-01-01T00:00:00Z }]', "between 1970 and 9000"),
        ('[{ name = "TLS 1.9", until = 2030-01-01T00:00:00Z }]', "must be one of SSL 2,"),
        (
            '["TLS 1.2", { name = "TLS 1.2", until = 2030-01-01T00:00:00Z }]',
            "'TLS 1.2' is listed twice",
        ),
    ],
)
def test_a_list_of_the_wrong_shape_is_refused_with_its_line(value: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse_policy(
            'name = "mine"\nextends = "otpc-2024-12"\n'
            f"rules.tls.minimum_version.parameters.permitted_versions = {value}\n",
            "mine.toml",
        )
    (found,) = refused.value.problems
    assert found.startswith(
        "mine.toml:3: rules.tls.minimum_version.parameters.permitted_versions: "
    )
    assert problem in found


def test_permissions_end_exactly_at_their_instant() -> None:
    permitted = Permitted(("a", "b"), {"b": END})
    assert permitted.at(END - timedelta(microseconds=1)) == ("a", "b")
    assert (permitted.at(END), permitted.lasting) == (("a",), ("a",))


def test_a_suite_of_tls_1_3_with_an_end_is_refused_from_it_on_whatever_is_permitted_else() -> None:
    policy = variant(
        "[rules.cipher.outside_set]\n"
        'effects.CIPHER_SUITE_NOT_LISTED = "deny"\n'
        'parameters.tls13_suites = "permit"\n'
        f"parameters.suites = [{quoted(*SIX, AES_256)}, {until('TLS_AES_128_GCM_SHA256')}]\n"
    )
    before, after = (judge(OFFERED, policy, now=at) for at in (END - SECOND, END))
    assert effects(before, "CIPHER_SUITE_NOT_LISTED") == [Effect.ADVISORY]
    assert effects(after, "CIPHER_SUITE_NOT_LISTED") == [Effect.DENY]
    offered = [
        0x1301 in connection_terms([policy], (), at).cipher_suites for at in (END - SECOND, END)
    ]
    assert offered == [True, False]
