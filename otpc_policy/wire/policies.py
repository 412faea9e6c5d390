"""Policies as callers see them."""

import json

from otpc_policy.policy.model import Policy, RuleSettings
from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.wire.vocabulary import EFFECTS, SEVERITIES


def policy_message(policy: Policy, *, is_default: bool) -> pb.Policy:
    """Return the whole policy, its rules in the order of evaluation."""
    return pb.Policy(
        name=policy.name,
        revision=policy.revision,
        title=policy.title,
        source=policy.source,
        enforcing=policy.enforcing,
        rules=map(_rule, policy.rules),
        is_default=is_default,
    )


def applied_policy_message(policy: Policy) -> pb.AppliedPolicy:
    """Return what an answer says about the policy behind it."""
    return pb.AppliedPolicy(name=policy.name, revision=policy.revision, enforcing=policy.enforcing)


def _rule(rule: RuleSettings) -> pb.PolicyRule:
    return pb.PolicyRule(
        id=rule.id,
        summary=rule.summary,
        citation=rule.citation,
        codes=(pb.PolicyRuleCode(code=code, effect=EFFECTS[effect], severity=SEVERITIES[rule.severities[code]]) for code, effect in rule.effects.items()),
        parameters=(f"{name} = {toml_value(value)}" for name, value in sorted(rule.parameters.items())),
    )


def toml_value(value: object) -> str:
    """Return a parameter of a rule as TOML writes it. Source: TOML 1.0; its basic strings take every escape of JSON's except the slash."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case list() | tuple():
            return f"[{', '.join(map(toml_value, value))}]"
        case set() | frozenset():
            return f"[{', '.join(sorted(map(toml_value, value)))}]"
        case _:
            return json.dumps(str(value), ensure_ascii=False)
