"""Whatever an operator writes, a document is read or refused with the line of what is wrong; nothing else ever comes out of the readers."""

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from otpc_policy.catalog.effective import toml_value
from otpc_policy.catalog.policies import parse_policy
from otpc_policy.catalog.schemas.policy_test import parse_cases
from otpc_policy.errors import ConfigurationError
from otpc_policy.facts_codec import dump_facts
from otpc_policy.policy.rules import RULES
from tests.support.facts import make_facts

_VALUES = st.sampled_from(
    [
        '""',
        '"x"',
        "0",
        "-1",
        "7",
        "true",
        "1.5",
        "nan",
        "-inf",
        "[]",
        '["x"]',
        "[[1], {}]",
        "{}",
        "{ x = 1 }",
        "2026-01-01T00:00:00Z",
        "12:00:00",
    ]
)
_POLICY_KEYS = [
    *(
        "name",
        "title",
        "source",
        "enforcing",
        "extends",
        "lifetimes",
        "lifetimes.allow_s",
        "lifetimes.x",
        "rules",
        "rules.tls",
        "rules.no.rule",
        "x",
        '"a.b"',
    ),
    *(f"rules.{rule.id}" for rule in RULES),
    *(
        f"rules.{rule.id}.{key}"
        for rule in RULES
        for key in ("summary", "citation", "effects", "severities", "parameters", "x")
    ),
    *(
        f"rules.{rule.id}.{table}.{code}"
        for rule in RULES
        for table in ("effects", "severities")
        for code in (*rule.codes, "X")
    ),
    *(
        f"rules.{rule.id}.parameters.{parameter.name}"
        for rule in RULES
        for parameter in rule.parameters
    ),
]
_CASE_KEYS = [
    "name",
    "facts",
    "policy",
    "at",
    "anchor_files",
    "certificate_sha256",
    "spki_sha256",
    "client_auth",
    "expect",
    "x",
]
_CASE_KEYS += [
    f"expect.{key}" for key in ("decision", "evaluated_decision", "codes", "codes_at_least", "x")
]
_FACTS = dump_facts(make_facts())


def refused_or(read: Any, key: str, line: int) -> None:
    """Read; if that is refused, every problem names a line of the document, and one of them that of the key."""
    problems = problems_of(read)
    lines = [re.match(r"any\.toml:([0-9]+): ", problem) for problem in problems]
    assert all(lines), problems
    assert not problems or {int(one[1]) for one in lines if one} & {1, line}, (key, problems)


def problems_of(read: Any) -> tuple[str, ...]:
    """What is wrong; nothing where a document is read."""
    try:
        read()
    except ConfigurationError as error:
        return error.problems
    return ()


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(_POLICY_KEYS), _VALUES, st.booleans())
def test_any_value_at_any_key_of_a_policy(key: str, value: str, extends: bool) -> None:
    lines = {
        "name": 'name = "any"',
        **({"extends": 'extends = "otpc-2024-12"'} if extends else {}),
        key: f"{key} = {value}",
    }
    refused_or(
        lambda: parse_policy("\n".join(lines.values()), "any.toml"), key, list(lines).index(key) + 1
    )


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(_CASE_KEYS), _VALUES)
def test_any_value_at_any_key_of_a_policy_test(key: str, value: str) -> None:
    lines = {
        "case": "[[case]]",
        "name": 'name = "a"',
        "facts": 'facts = "x"',
        "expect.decision": 'expect.decision = "DENY"',
    }
    if key == "expect":
        del lines["expect.decision"]
    lines[key] = f"{key} = {value}"
    refused_or(
        lambda: parse_cases("\n".join(lines.values()), "any.toml", lambda _: _FACTS),
        key,
        list(lines).index(key) + 1,
    )


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(codec="utf-8")))
def test_any_text_is_read_back_as_it_was_written(title: str) -> None:
    written = f'name = "any"\nextends = "otpc-2024-12"\ntitle = {toml_value("t" + title)}\n'
    assert (
        parse_policy(parse_policy(written, "any.toml").document, "effective.toml").title
        == "t" + title
    )


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_no_way_to_break_the_readers(text: str) -> None:
    for read in (
        lambda: parse_policy(text, "any.toml"),
        lambda: parse_cases(text, "any.toml", lambda _: _FACTS),
    ):
        assert all(re.match(r"any\.toml:[0-9]+: ", problem) for problem in problems_of(read))
