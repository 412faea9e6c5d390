"""What a policy document may say.

The schema describes a document that extends nothing: it must set every rule, every code and every
parameter. A document that extends another is held to the same schema, except that it may leave
things out; with what it inherits it satisfies the whole schema.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, PlainValidator, ValidationError, create_model

from otpc_policy.catalog.problems import Problem, problems_of, unknown_key
from otpc_policy.catalog.schemas.tables import Table, Text, one_of
from otpc_policy.catalog.toml_lines import KeyPath
from otpc_policy.policy.finding import Effect, Severity
from otpc_policy.policy.registry import finding_codes
from otpc_policy.policy.rule import Rule
from otpc_policy.policy.rules import RULES

BUILTIN_NAMES = (
    "bsi-tr-02102-2",
    "mozilla-intermediate",
    "mozilla-modern",
    "nist-800-52r2",
    "otpc-2024-12",
    "otpc-2024-12-strict",
)

# It appears in requests, metric labels and file names.
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}\Z")
# Facts of last month say nothing about today; below the lower bound nothing is served from cache.
_SHORTEST_LIFETIME_S, _LONGEST_LIFETIME_S = 0.001, 86_400 * 30
_EFFECTS = {effect.value: effect for effect in (Effect.OFF, Effect.ADVISORY, Effect.DENY)}
_SEVERITIES = {severity.name.lower(): severity for severity in Severity}
_RULE_DEPTH = len(("rules", "group", "name"))


def _policy_name(text: str) -> str:
    if not _NAME.match(text):
        raise ValueError(
            "must be at most 63 lower-case letters, digits, '.' and '-', "
            f"beginning with a letter or digit; it is {text!r}"
        )
    return text


def _lifetime(seconds: float) -> float:
    # nan compares false
    if not _SHORTEST_LIFETIME_S <= seconds <= _LONGEST_LIFETIME_S:
        raise ValueError(
            f"must be a number of seconds from {_SHORTEST_LIFETIME_S} to {_LONGEST_LIFETIME_S} "
            "(30 days)"
        )
    return seconds


LifetimeSeconds = Annotated[float, AfterValidator(_lifetime)]


class LifetimesTable(Table):
    """How long results answer, by the decision they lead to; None leaves it to the settings."""

    allow_s: LifetimeSeconds | None = None
    deny_s: LifetimeSeconds | None = None
    unknown_s: LifetimeSeconds | None = None


class RuleTable(Table):
    """One rule. The tables' fields are the codes and the parameters of that rule."""

    summary: Text
    citation: Text
    effects: Any
    severities: Any
    parameters: Any


class PolicyDocument(Table):
    """A policy. The fields of rules are groups, whose fields are rules."""

    name: Annotated[str, AfterValidator(_policy_name)]
    title: Text
    source: Text
    enforcing: bool
    extends: Annotated[str, one_of({name: name for name in BUILTIN_NAMES})] | None = None
    lifetimes: LifetimesTable = Field(default_factory=LifetimesTable)
    rules: Any

    def rule(self, rule_id: str) -> RuleTable:
        """Return one rule by its id."""
        group, name = rule_id.split(".")
        table: RuleTable = getattr(getattr(self.rules, group), name)
        return table


@cache
def policy_schema() -> type[PolicyDocument]:
    """Return the schema of policy documents, which follows from the rules there are."""
    groups: dict[str, dict[str, Any]] = {}
    for rule in RULES:
        group, name = rule.id.split(".")
        groups.setdefault(group, {})[name] = (_rule_schema(rule), ...)
    tables = {group: (_table(group, fields), ...) for group, fields in groups.items()}
    rules: Any = (_table("rules", tables), ...)
    return create_model("PolicyDocument", __base__=PolicyDocument, rules=rules)


def policy_problems(table: Mapping[str, Any]) -> list[Problem]:
    """Return every problem of a decoded document; none means that it can be used."""
    schema = policy_schema()
    try:
        schema.model_validate(table)
    except ValidationError as error:
        found = problems_of(error, schema, unknown=_unknown_key)
    else:
        return []
    if "extends" in table:
        return [problem for problem in found if not problem.is_missing or problem.path == ("name",)]
    return [_missing_rule(problem) for problem in found]


def _missing_rule(problem: Problem) -> Problem:
    """Explain how to leave a rule out: silence must not switch one off."""
    if not (problem.is_missing and problem.path[0] == "rules" and len(problem.path) == _RULE_DEPTH):
        return problem
    return Problem(problem.path, f'{problem.sentence}; set its effects to "off" to leave it out')


def _unknown_key(path: KeyPath, expected: tuple[str, ...]) -> str:
    """Say where a finding code belongs that stands under the wrong rule."""
    *above, key = path
    code = finding_codes().get(str(key))
    if code is None or not above or above[-1] not in ("effects", "severities"):
        return unknown_key(path, expected)
    home = f"belongs to rule {code.rule_id}" if code.effect is None else "is not set by policies"
    return f"{home}; expected one of {', '.join(expected)}"


def _rule_schema(rule: Rule) -> type[RuleTable]:
    effect, severity = Annotated[Effect, one_of(_EFFECTS)], Annotated[Severity, one_of(_SEVERITIES)]
    effects = _table("effects", dict.fromkeys(rule.codes, (effect, ...)))
    severities = _table("severities", dict.fromkeys(rule.codes, (severity | None, None)))
    parameters = _table(
        "parameters",
        {
            parameter.name: (
                Annotated[Any, PlainValidator(parameter.read)],
                ... if parameter.must_be_set else parameter.default,
            )
            for parameter in rule.parameters
        },
    )
    fields: dict[str, Any] = {
        "effects": (effects, ...),
        "severities": (severities, Field(default_factory=severities)),
        "parameters": (parameters, ... if rule.parameters else Field(default_factory=parameters)),
    }
    return create_model(rule.id, __base__=RuleTable, **fields)


def _table(name: str, fields: dict[str, Any]) -> type[BaseModel]:
    return create_model(name, __base__=Table, **fields)
