"""Which cipher suites policies require, for whoever has to measure them."""

from collections.abc import Iterable

from otpc_policy.core.registries.suites import suite_by_name
from otpc_policy.policy.model import Policy
from otpc_policy.policy.rules.ciphers import CIPHER_REQUIRED


def required_suites(policies: Iterable[Policy]) -> tuple[int, ...]:
    """Return the code points of every suite that a handshake must be seen with, in order.

    Of several suites that a policy names, one must work: any of them may be the one.
    """
    names: set[str] = set()
    for policy in policies:
        for rule in policy.rules:
            if rule.id == CIPHER_REQUIRED.id and rule.is_enabled:
                (of_rule,) = CIPHER_REQUIRED.parameters
                names.update(of_rule.of(rule.parameters))
    found = (suite_by_name(name) for name in names)
    return tuple(sorted(suite.code_point for suite in found if suite is not None))
