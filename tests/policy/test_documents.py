"""Policy documents are read strictly, and every problem is reported at once with its place."""

import pytest

from otpc_policy.errors import ConfigurationError, UnknownPolicy
from otpc_policy.policy.documents import load_builtin_policies, parse_policy
from otpc_policy.policy.finding import Effect

POLICIES = load_builtin_policies()


def test_strict_differs_in_exactly_two_effects() -> None:
    standard, strict = (
        {(rule.id, code): effect for rule in POLICIES.get(name).rules for code, effect in rule.effects.items()}
        for name in ("otpc-2024-12", "otpc-2024-12-strict")
    )
    assert {key for key in standard if standard[key] is not strict[key]} == {
        ("cipher.outside_set", "CIPHER_SUITE_NOT_LISTED"),
        ("certificate.trust", "CERTIFICATE_TRUSTED_BY_PARTNER_ANCHOR"),
    }
    assert [rule.parameters for rule in POLICIES.get("otpc-2024-12").rules] == [rule.parameters for rule in POLICIES.get("otpc-2024-12-strict").rules]


def test_an_empty_name_means_the_default_and_an_unknown_one_is_refused() -> None:
    assert POLICIES.get("").name == "otpc-2024-12"
    with pytest.raises(UnknownPolicy):
        POLICIES.get("no-such-policy")


def test_a_revision_follows_what_a_document_says_and_not_how() -> None:
    text = 'name = "mine"\ntitle = "Mine"\nextends = "otpc-2024-12"\n'
    same = parse_policy(f"# a comment\n{text}", "mine.toml")
    other = parse_policy(text + '[rules.cipher.outside_set.effects]\nCIPHER_SUITE_NOT_LISTED = "off"\n', "mine.toml")
    assert parse_policy(text, "elsewhere.toml").revision == same.revision != other.revision
    assert next(rule.effects["CIPHER_SUITE_NOT_LISTED"] for rule in other.rules if rule.id == "cipher.outside_set") is Effect.OFF


def test_every_problem_is_reported_at_once_with_its_place() -> None:
    text = """
name = "mine"
title = "Mine"
extends = "otpc-2024-12"
surprise = 1

[rules.cipher.outside_set]
effects.CIPHER_SUITE_NOT_LISTED = "perhaps"
effects.NO_SUCH_CODE = "deny"
parameters.tls13_suites = "sometimes"

[rules.no.such_rule]
summary = "x"

[rules.certificate.key]
parameters.rsa_minimum_bits = "2048"
"""
    with pytest.raises(ConfigurationError) as refused:
        parse_policy(text, "mine.toml")
    problems = "\n".join(refused.value.problems)
    assert all(one.startswith("mine.toml") for one in refused.value.problems)
    for place in ("surprise", "CIPHER_SUITE_NOT_LISTED", "NO_SUCH_CODE", "tls13_suites", "no.such_rule", "rsa_minimum_bits"):
        assert place in problems


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
