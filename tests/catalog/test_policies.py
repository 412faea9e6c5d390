"""Policy documents are read strictly, and every problem is reported at once with its file and line."""

from datetime import timedelta

import pytest

from otpc_policy.catalog.policies import load_builtin_policies, parse_policy
from otpc_policy.errors import ConfigurationError, UnknownPolicy
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
    with pytest.raises(ConfigurationError) as refused:
        parse_policy(text, "mine.toml")
    assert [tuple(problem.split(": ")[:2]) for problem in refused.value.problems] == [
        ("mine.toml:2", "title"),
        ("mine.toml:4", "surprise"),
        ("mine.toml:5", "enforcing"),
        ("mine.toml:6", "lifetimes.for_ever_s"),
        ("mine.toml:6", "lifetimes.allow_s"),
        ("mine.toml:6", "lifetimes.deny_s"),
        ("mine.toml:9", "rules.cipher.outside_set.effects.CIPHER_SUITE_NOT_LISTED"),
        ("mine.toml:10", "rules.cipher.outside_set.effects.NO_SUCH_CODE"),
        ("mine.toml:11", "rules.cipher.outside_set.effects.MEASUREMENT_INCOMPLETE"),
        ("mine.toml:12", "rules.cipher.outside_set.effects.TLS_NOT_SERVED"),
        ("mine.toml:13", "rules.cipher.outside_set.parameters.tls13_suites"),
        ("mine.toml:15", "rules.no.such_rule"),
        ("mine.toml:19", "rules.certificate.key.summary"),
        ("mine.toml:20", "rules.certificate.key.severities.CERTIFICATE_KEY_WEAK"),
        ("mine.toml:21", "rules.certificate.key.parameters.rsa_minimum_bits"),
        ("mine.toml:22", "rules.certificate.key.parameters.rsa_maximum_bits"),
        ("mine.toml:25", "rules.cipher.required.parameters.suites"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        'extends = "otpc-2024-12"\n[title]\nx = 1',
        'extends = "otpc-2024-12"\nrules = 1',
        'extends = "otpc-2024-12"\n[rules]\ntls = "x"',
        'extends = ["x"]',
        'extends = "mine"',
    ],
    ids=["a table for a text", "no rules", "no group", "a list to extend", "itself"],
)
def test_a_document_of_the_wrong_shape_is_refused_and_never_breaks_the_reader(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"mine\.toml:[0-9]: "):
        parse_policy(f'name = "mine"\n{text}', "mine.toml")


def test_every_effect_severity_and_lifetime_can_be_set() -> None:
    lines = [
        f'rules.{rule.id}.effects.{code} = "off"\nrules.{rule.id}.severities.{code} = "info"'
        for rule in RULES
        for code in rule.codes
    ]
    policy = parse_policy(
        'name = "mine"\nextends = "otpc-2024-12"\nenforcing = false\nlifetimes.allow_s = 60\nlifetimes.unknown_s = 0.5\n'
        + "\n".join(lines),
        "mine.toml",
    )
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
    text = f'name = "mine"\nextends = "otpc-2024-12"\ntitle = {as_text(title)}\n[lifetimes]\ndeny_s = 1.5\n'
    policy = parse_policy(text, "mine.toml")
    again = parse_policy(policy.document, "effective.toml")
    assert (again.title, again.lifetimes, again.revision) == (
        title,
        ResultLifetimes(deny=timedelta(seconds=1.5)),
        policy.revision,
    )


def as_text(value: str) -> str:
    return '"' + "".join(f"\\u{ord(one):04x}" for one in value) + '"'


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
