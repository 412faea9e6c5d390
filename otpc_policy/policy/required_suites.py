"""Which cipher suites policies require, for whoever has to measure them."""

from collections.abc import Iterable

from otpc_policy.core.registries.suites import suite_by_name
from otpc_policy.policy.model import Policy
from otpc_policy.policy.rules.ciphers import CIPHER_REQUIRED


def required_suites(policies: Iterable[Policy]) -> tuple[tuple[int, ...], ...]:
    """Return the code points of each set of which a handshake must be seen with one suite.

    Sets and code points are in order, each once.
    """
    sets: set[tuple[int, ...]] = set()
    (of_rule,) = CIPHER_REQUIRED.parameters
    for policy in policies:
        for rule in policy.rules:
            if rule.id == CIPHER_REQUIRED.id and rule.is_enabled:
                found = (suite_by_name(name) for name in of_rule.of(rule.parameters))
                sets.add(tuple(sorted({suite.code_point for suite in found if suite is not None})))
    return tuple(sorted(sets))
