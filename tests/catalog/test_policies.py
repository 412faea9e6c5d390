"""Policy documents become policies, or every problem with file, line and key."""

from datetime import timedelta

import pytest

from otpc_policy.catalog.policies import load_builtin_policies, parse_policy
from otpc_policy.core.errors import ConfigurationError, UnknownPolicy
from otpc_policy.policy.finding import Effect, Severity
from otpc_policy.policy.model import PolicySet, ResultLifetimes
from otpc_policy.policy.rules import RULES

POLICIES = load_builtin_policies()


def test_strict_differs_in_exactly_two_effects() -> None:
    standard, strict = (
        {
            (rule.id, code): effect
            for rule in POLICIES.get(name).rules
            for code, effect in rule.effects.items()
        }
        for name in ("otpc-2024-12", "otpc-2024-12-strict")
    )
    assert {key for key in standard if standard[key] is not strict[key]} == {
        ("cipher.outside_set", "CIPHER_SUITE_NOT_LISTED"),
        ("certificate.trust", "CERTIFICATE_TRUSTED_BY_PARTNER_ANCHOR"),
    }
    assert [rule.parameters for rule in POLICIES.get("otpc-2024-12").rules] == [
        rule.parameters for rule in POLICIES.get("otpc-2024-12-strict").rules
    ]


def test_an_empty_name_means_the_default_and_an_unknown_one_is_refused() -> None:
    assert POLICIES.get("").name == "otpc-2024-12"
    with pytest.raises(UnknownPolicy):
        POLICIES.get("no-such-policy")


def test_a_revision_follows_what_a_document_says_and_not_how() -> None:
    text = 'name = "mine"\ntitle = "Mine"\nextends = "otpc-2024-12"\n'
    same = parse_policy(f"# a comment\n{text}", "mine.toml")
    other = parse_policy(
        text + '[rules.cipher.outside_set.effects]\nCIPHER_SUITE_NOT_LISTED = "off"\n', "mine.toml"
    )
    assert parse_policy(text, "elsewhere.toml").revision == same.revision != other.revision
    assert (
        next(
            rule.effects["CIPHER_SUITE_NOT_LISTED"]
            for rule in other.rules
            if rule.id == "cipher.outside_set"
        )
        is Effect.OFF
    )


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as refused:
        parse_policy(text, "mine.toml")
    return refused.value.problems


def test_every_problem_is_reported_at_once_with_its_line() -> None:
    text = """\
name = "mine"
title = 7
extends = "otpc-2024-12"
surprise = 1
enforcing = "no"
lifetimes = { allow_s = 0, deny_s = true, for_ever_s = 1 }

[rules.cipher.outside_set]
effects.CIPHER_SUITE_NOT_LISTED = "perhaps"
effects.NO_SUCH_CODE = "deny"
effects.MEASUREMENT_INCOMPLETE = "off"
effects.TLS_NOT_SERVED = "deny"
parameters.tls13_suites = "sometimes"

[rules.no.such_rule]
summary = "x"

[rules.certificate.key]
summary = " "
severities.CERTIFICATE_KEY_WEAK = "dire"
parameters.rsa_minimum_bits = "2048"
parameters.rsa_maximum_bits = 1

[rules.cipher.required.parameters]
suites = [
  "TLS_AES_128_GCM_SHA256",
]
"""
    unlisted, key = "rules.cipher.outside_set", "rules.certificate.key"
    assert problems(text) == (
        "mine.toml:2: title: must be text",
        (
            "mine.toml:4: surprise: unknown key; expected one of name, title, source, enforcing, "
            "extends, lifetimes, rules"
        ),
        "mine.toml:5: enforcing: must be true or false",
        (
            "mine.toml:6: lifetimes.allow_s: must be a number of seconds from 0.001 to 2592000 "
            "(30 days)"
        ),
        "mine.toml:6: lifetimes.deny_s: must be a number",
        (
            "mine.toml:6: lifetimes.for_ever_s: unknown key; expected one of allow_s, deny_s, "
            "unknown_s"
        ),
        (
            f"mine.toml:9: {unlisted}.effects.CIPHER_SUITE_NOT_LISTED: "
            "must be one of off, advisory, deny"
        ),
        (
            f"mine.toml:10: {unlisted}.effects.NO_SUCH_CODE: unknown key; expected one of "
            "CIPHER_SUITE_NOT_LISTED"
        ),
        (
            f"mine.toml:11: {unlisted}.effects.MEASUREMENT_INCOMPLETE: is not set by policies; "
            "expected one of CIPHER_SUITE_NOT_LISTED"
        ),
        (
            f"mine.toml:12: {unlisted}.effects.TLS_NOT_SERVED: belongs to rule tls.served; "
            "expected one of CIPHER_SUITE_NOT_LISTED"
        ),
        f"mine.toml:13: {unlisted}.parameters.tls13_suites: must be one of permit, advise, deny",
        (
            "mine.toml:15: rules.no: unknown key; expected one of tls, cipher, group, "
            "key_exchange, handshake, certificate, https, client_auth"
        ),
        f"mine.toml:19: {key}.summary: must not be blank",
        (
            f"mine.toml:20: {key}.severities.CERTIFICATE_KEY_WEAK: "
            "must be one of info, low, medium, high, critical"
        ),
        f"mine.toml:21: {key}.parameters.rsa_minimum_bits: must be a whole number above 0",
        (
            f"mine.toml:22: {key}.parameters.rsa_maximum_bits: unknown key; expected one of "
            "rsa_minimum_bits, ec_minimum_bits, refused_key_types, leaf_key_types, weak_hashes"
        ),
        (
            "mine.toml:25: rules.cipher.required.parameters.suites: 'TLS_AES_128_GCM_SHA256' "
            "does not exist in TLS 1.2"
        ),
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('extends = "otpc-2024-12"\n[title]\nx = 1', "3: title: must be text"),
        ('extends = "otpc-2024-12"\nrules = 1', "3: rules: must be a table"),
        ('extends = "otpc-2024-12"\n[rules]\ntls = "x"', "4: rules.tls: must be a table"),
        (
            'extends = "otpc-2024-12"\nTLS_NOT_SERVED = "off"',
            "3: TLS_NOT_SERVED: unknown key; expected one of name, title, ",
        ),
        ('extends = ["x"]', "2: extends: must be one of bsi-tr-02102-2, mozilla-intermediate, "),
        ('extends = "mine"', "2: extends: must be one of bsi-tr-02102-2, mozilla-intermediate, "),
        (
            'extends = "otpc-2024-12"\nrules.https.served.parameters.x = 1',
            "3: rules.https.served.parameters.x: unknown key",
        ),
    ],
)
def test_a_document_of_the_wrong_shape_is_refused(text: str, problem: str) -> None:
    (found,) = problems(f'name = "mine"\n{text}')
    assert found.startswith(f"mine.toml:{problem}")


def test_a_document_that_extends_nothing_must_set_every_rule() -> None:
    text = POLICIES.get("").document
    assert parse_policy(text, "mine.toml").name == "otpc-2024-12"
    silent = text.replace("[rules.https.served", "[rules.https.was_served")
    missing, unknown = problems(silent)[:2]
    assert 'rules.https.served: is missing; set its effects to "off" to leave it out' in missing
    assert "rules.https.was_served: unknown key; expected one of served" in unknown
    (code,) = problems(text.replace('TLS_NOT_SERVED = "deny"\n', ""))
    assert code.endswith(": rules.tls.served.effects.TLS_NOT_SERVED: is missing")
    (parameter,) = problems(text.replace("rsa_minimum_bits = 2048\n", ""))
    assert parameter.endswith(": rules.certificate.key.parameters.rsa_minimum_bits: is missing")


def test_a_byte_order_mark_is_accepted() -> None:
    """Windows editors write one."""
    text = 'name = "mine"\nextends = "otpc-2024-12"\n'
    marked = parse_policy(f"\ufeff{text}".replace("\n", "\r\n"), "mine.toml")
    assert marked.revision == parse_policy(text, "mine.toml").revision


def test_every_effect_severity_and_lifetime_can_be_set() -> None:
    lines = [
        f'rules.{rule.id}.effects.{code} = "off"\nrules.{rule.id}.severities.{code} = "info"'
        for rule in RULES
        for code in rule.codes
    ]
    head = 'name = "mine"\nextends = "otpc-2024-12"\nenforcing = false\n'
    lifetimes = "lifetimes.allow_s = 60\nlifetimes.unknown_s = 0.5\n"
    policy = parse_policy(head + lifetimes + "\n".join(lines), "mine.toml")
    assert {effect for rule in policy.rules for effect in rule.effects.values()} == {Effect.OFF}
    assert {severity for rule in policy.rules for severity in rule.severities.values()} == {
        Severity.INFO
    }
    assert (policy.enforcing, policy.extends) == (False, "otpc-2024-12")
    assert policy.lifetimes == ResultLifetimes(
        allow=timedelta(minutes=1), unknown=timedelta(milliseconds=500)
    )


@pytest.mark.parametrize("name", POLICIES.policies)
def test_the_effective_document_says_all_and_has_the_same_revision(name: str) -> None:
    policy = POLICIES.get(name)
    again = parse_policy(policy.document, "effective.toml")
    assert (again.revision, again.extends, again.document) == (policy.revision, "", policy.document)
    assert again.rules == policy.rules


def test_the_effective_document_keeps_what_is_hard_to_write() -> None:
    title = 'a "title"\\\twith \x7f and ü'
    head = f'name = "mine"\nextends = "otpc-2024-12"\ntitle = {as_text(title)}\n'
    policy = parse_policy(f"{head}[lifetimes]\ndeny_s = 1.5\n", "mine.toml")
    again = parse_policy(policy.document, "effective.toml")
    assert (again.title, again.lifetimes, again.revision) == (
        title,
        ResultLifetimes(deny=timedelta(seconds=1.5)),
        policy.revision,
    )


def as_text(value: str) -> str:
    return '"' + "".join(f"\\u{ord(character):04x}" for character in value) + '"'


def test_a_report_only_policy_is_never_the_default() -> None:
    trial = parse_policy(
        'name = "trial"\nextends = "otpc-2024-12"\nenforcing = false\n', "trial.toml"
    )
    with pytest.raises(ConfigurationError, match="'trial' is report-only"):
        PolicySet(policies={"trial": trial}, default_name="trial")


def test_a_text_that_is_no_toml_is_reported_with_its_line() -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse_policy('name = "mine"\ntitle = \n', "mine.toml")
    assert refused.value.problems[0].startswith("mine.toml:2")


@pytest.mark.parametrize("missing", ["name", "title", "source", "rules"])
def test_a_document_that_extends_nothing_must_say_everything(missing: str) -> None:
    document = {"name": '"mine"', "title": '"Mine"', "source": '"here"', "enforcing": "true"}
    document.pop(missing, None)
    with pytest.raises(ConfigurationError, match=missing):
        parse_policy("\n".join(f"{key} = {value}" for key, value in document.items()), "mine.toml")
