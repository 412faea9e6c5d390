"""Whether policies judge groups of TLS 1.3, for whoever has to measure them."""

from collections.abc import Iterable

from otpc_policy.policy.model import Policy, RuleSettings
from otpc_policy.policy.rules.key_exchange import (
    GROUP_OUTSIDE_SET,
    GROUP_REQUIRED,
    KEY_EXCHANGE_MINIMUM,
    is_judged_deep_only,
    needs_groups,
)


def judges_groups(policies: Iterable[Policy]) -> bool:
    """Tell whether a rule of these policies needs to know which groups are accepted.

    Rules that are judged for DEEP measurements only do not count: those ask about groups anyway.
    """
    return any(
        rule.is_enabled and _needs_groups(rule) for policy in policies for rule in policy.rules
    )


def _needs_groups(rule: RuleSettings) -> bool:
    if rule.id in (GROUP_REQUIRED.id, GROUP_OUTSIDE_SET.id):
        return not is_judged_deep_only(rule.parameters)
    return (
        rule.id == KEY_EXCHANGE_MINIMUM.id
        and not is_judged_deep_only(rule.parameters)
        and needs_groups(rule.parameters)
    )
