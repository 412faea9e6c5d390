"""Whether one policy demands all that another demands, so that only the first has to judge.

Rules see facts and their own parameters, never effects. So a rule with equal parameters reports the
same under both policies, and the policy that gives each report the worse effect decides no better.
That proves implication; where parameters differ, nothing is proven, and both policies judge.
"""

from collections.abc import Mapping

from otpc_policy.policy.finding import Effect
from otpc_policy.policy.model import Policy, RuleSettings

# Of effects that a policy can set; higher is stricter.
_STRICTNESS: Mapping[Effect, int] = {Effect.OFF: 0, Effect.ADVISORY: 1, Effect.DENY: 2}


def is_implied(policy: Policy, *, by: Policy) -> bool:
    """Tell whether the other policy is proven to decide no better, whatever the facts.

    Lifetimes are not compared. False: it is not known.
    """
    if policy.revision == by.revision:
        return True
    if policy.enforcing and not by.enforcing:
        return False
    others = {rule.id: rule for rule in by.rules}
    return all(
        rule.id in others and _is_rule_implied(rule, others[rule.id])
        for rule in policy.rules
        if rule.is_enabled
    )


def _is_rule_implied(rule: RuleSettings, by: RuleSettings) -> bool:
    return rule.parameters == by.parameters and all(
        _STRICTNESS[effect] <= _STRICTNESS[by.effects.get(code, Effect.OFF)]
        and (effect is Effect.OFF or rule.severities[code] <= by.severities[code])
        for code, effect in rule.effects.items()
    )
