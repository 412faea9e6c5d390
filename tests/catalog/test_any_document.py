"""Whatever an operator writes, a document is read, or refused with the lines of its problems.

Nothing else ever comes out of the readers, and no problem speaks of Python or of pydantic.
"""

import re
from collections.abc import Callable, Sequence

import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from otpc_policy.catalog.partners.document import read_partner_document
from otpc_policy.catalog.policies import parse_policy
from otpc_policy.catalog.policy_tests import parse_policy_tests
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.core.facts_codec import dump_facts
from otpc_policy.policy.rules import RULES
from tests.support.facts import make_facts

_VALUES = st.sampled_from(
    [
        *('""', '" "', '"x"', '"required"', "0", "-1", "7", "99999999999999999999", "true"),
        *("1.5", "nan", "-inf", "1e300", "[]", '["x"]', "[1, true]", "[[1], {}]", "{}", "[{}]"),
        *("{ x = 1 }", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00", "2026-01-01", "12:00:00"),
    ]
)
_POLICY_KEYS = [
    *("name", "title", "source", "enforcing", "extends", "lifetimes", "lifetimes.allow_s"),
    *("lifetimes.x", "rules", "rules.tls", "rules.no.rule", "x", '"a.b"', "TLS_NOT_SERVED"),
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
_POLICY = {"name": 'name = "any"'}
_CASE_KEYS = [
    *("name", "facts", "policy", "at", "anchor_files", "certificate_sha256", "spki_sha256"),
    *("client_auth", "expect", "x"),
    *(f"expect.{key}" for key in ("decision", "evaluated_decision", "codes", "codes_at_least")),
    "expect.x",
]
_CASE = {
    "case": "[[case]]",
    "name": 'name = "a"',
    "facts": 'facts = "x"',
    "expect.decision": 'expect.decision = "DENY"',
}
_PARTNER_KEYS = [
    *("id", "owner", "endpoints", "policy", "server_names", "client_auth", "trusted", "waivers"),
    *("partner", "x"),
]
_PARTNER = {"id": 'id = "any"', "owner": 'owner = "o"', "endpoints": 'endpoints = ["a.example"]'}
_TRUSTED_KEYS = ["certificate_sha256", "spki_sha256", "ca_pem", "note", "ends", "x"]
_WAIVER_KEYS = ["code", "suites", "versions", "reason", "owner", "ends", "x"]
_FACTS = dump_facts(make_facts())
# What a library or a program says, and no author of a document.
_FOREIGN = re.compile(
    r"Input should|valid (?:dictionary|string|number|list)|Extra inputs|Field required|Value error"
    r"|datetime\.|<class|cannot be used|\bNone\b|\bTrue\b|\bFalse\b|object at"
)

Read = Callable[[str], object]


def read_policy(text: str) -> object:
    return parse_policy(text, "any.toml")


def read_tests(text: str) -> object:
    return parse_policy_tests(text, "any.toml", lambda _: _FACTS)


def read_partners(text: str) -> object:
    return read_partner_document(text, "any.toml")


def problems_of(read: Read, text: str) -> Sequence[str]:
    """The problems of a document; none if it is read."""
    try:
        read(text)
    except ConfigurationError as error:
        return error.problems or ("a refusal that says nothing",)
    return ()


def read_or_refused(read: Read, written: dict[str, str], key: str, value: str) -> None:
    """Read a document with this value at this key.

    If it is refused, every problem names a line, and one of them that of the key or of the table.
    """
    lines = {**written, key: f"{key} = {value}"}
    problems = problems_of(read, "\n".join(lines.values()))
    placed = [re.match(r"any\.toml:([0-9]+): ", problem) for problem in problems]
    assert all(placed), problems
    numbers = {int(found[1]) for found in placed if found}
    own = {number for number, name in enumerate(lines, 1) if name in (key, "table")}
    assert not problems or numbers & {1, *own}, (key, problems)
    assert not any(map(_FOREIGN.search, problems)), problems


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(_POLICY_KEYS), _VALUES, st.booleans())
def test_any_value_at_any_key_of_a_policy(key: str, value: str, extends: bool) -> None:
    base = {"extends": 'extends = "otpc-2024-12"'} if extends else {}
    read_or_refused(read_policy, {**_POLICY, **base}, key, value)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(_CASE_KEYS), _VALUES)
def test_any_value_at_any_key_of_a_policy_test(key: str, value: str) -> None:
    written = {name: line for name, line in _CASE.items() if not name.startswith(f"{key}.")}
    read_or_refused(read_tests, written, key, value)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(_PARTNER_KEYS), _VALUES)
def test_any_value_at_any_key_of_a_partner(key: str, value: str) -> None:
    read_or_refused(read_partners, _PARTNER, key, value)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(
        [("trusted", key) for key in _TRUSTED_KEYS] + [("waivers", key) for key in _WAIVER_KEYS]
    ),
    _VALUES,
)
def test_any_value_at_any_key_of_a_table_of_a_partner(key: tuple[str, str], value: str) -> None:
    table, name = key
    read_or_refused(read_partners, {**_PARTNER, "table": f"[[{table}]]"}, name, value)


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(codec="utf-8")))
def test_any_text_is_read_back_as_it_was_written(title: str) -> None:
    written = {"name": "any", "extends": "otpc-2024-12", "title": f"t{title}"}
    policy = parse_policy(tomli_w.dumps(written), "any.toml")
    again = parse_policy(policy.document, "effective.toml")
    assert (again.title, again.revision) == (f"t{title}", policy.revision)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_no_text_breaks_the_readers(text: str) -> None:
    for read in (read_policy, read_tests, read_partners):
        for problem in problems_of(read, text):
            assert re.match(r"any\.toml:[0-9]+: ", problem)
