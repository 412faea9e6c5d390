"""Whether policies judge groups of TLS 1.3, for whoever has to measure them."""

from collections.abc import Iterable

from otpc_policy.policy.model import Policy, RuleSettings
from otpc_policy.policy.rules.key_exchange import (
    GROUP_OUTSIDE_SET,
    GROUP_REQUIRED,
    KEY_EXCHANGE_MINIMUM,
    needs_groups,
)


def judges_groups(policies: Iterable[Policy]) -> bool:
    """Tell whether a rule of these policies needs to know which groups are accepted."""
    return any(
        rule.is_enabled and _needs_groups(rule) for policy in policies for rule in policy.rules
    )


def _needs_groups(rule: RuleSettings) -> bool:
    return rule.id in (GROUP_REQUIRED.id, GROUP_OUTSIDE_SET.id) or (
        rule.id == KEY_EXCHANGE_MINIMUM.id and needs_groups(rule.parameters)
    )
