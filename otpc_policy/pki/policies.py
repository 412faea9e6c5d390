"""Certificate policies along a path: whether an authority's demand for a valid one is met.

Nobody here asks for a particular policy, so the valid policy tree of RFC 5280 matters only where a
certificate on the path demands that it be not empty. Of that tree the lowest level is enough: the
policies that are valid there, and which policies each of them expects below. So nothing grows with
the number of ways through the tree. Source: RFC 5280 6.1.2 to 6.1.5, any-policy as the initial set.
"""

from collections.abc import Mapping, Sequence

from otpc_policy.pki.decoded_certificate import DecodedCertificate
from otpc_policy.pki.extensions import ANY_POLICY, PolicyRules

_Level = Mapping[str, frozenset[str]]
# To look for any-policy in them, to gather them by their source, and to apply them.
_PASSES_OVER_MAPPINGS = 3
_ANY: _Level = {ANY_POLICY: frozenset({ANY_POLICY})}


def policy_units(path: Sequence[DecodedCertificate]) -> int:
    """Return what policies_hold costs on this path, in units of otpc_policy.pki.budget.

    Each level costs what may be valid there: what its certificate names and maps, and, where that
    has any-policy, what the levels above carry on. path: leaf first, the anchor last.
    """
    units = carried = 0
    for certificate in reversed(path[:-1]):
        rules = certificate.extensions.policy_rules
        named, mapped = len(rules.policies or ()), len(rules.mappings)
        # Read before it is known whether any of it is carried on.
        units += carried + named + _PASSES_OVER_MAPPINGS * mapped
        if ANY_POLICY not in (rules.policies or ()):
            carried = 0
        carried += named + mapped
    return units


def flaw_of_policies(path: Sequence[DecodedCertificate]) -> str:
    """Say which certificate on the path demands a valid policy, or maps any-policy, in vain, or "".

    path: leaf first, the anchor last.
    """
    if policies_hold(path):
        return ""
    for authority in path[1:-1]:
        if any(ANY_POLICY in pair for pair in authority.extensions.policy_rules.mappings):
            return f"{authority.title} maps anyPolicy, which RFC 5280 4.2.1.5 forbids"
    demanding = [
        certificate
        for certificate in reversed(path)
        if certificate.extensions.policy_rules.require_explicit is not None
    ]
    return (
        f"{demanding[0].title} demands that a certificate policy be valid on the whole path"
        " (policyConstraints, RFC 5280 4.2.1.11), and none is; certificatePolicies with one policy"
        " in every certificate below it required"
    )


def policies_hold(path: Sequence[DecodedCertificate]) -> bool:
    """The demands of all certificates on the path for a valid policy are met.

    path: leaf first, the anchor last. What the anchor demands counts too (RFC 5937 3.2).
    """
    *below, anchor = path
    if not any(_demands(certificate.extensions.policy_rules) for certificate in path):
        return True
    total = len(below)
    initial = anchor.extensions.policy_rules
    explicit = _sooner(total + 1, initial.require_explicit)
    mapping = _sooner(total + 1, initial.inhibit_mapping)
    any_policy = _sooner(total + 1, initial.inhibit_any)
    level = _ANY
    for number, certificate in enumerate(reversed(below), 1):
        rules, is_self_issued = certificate.extensions.policy_rules, certificate.view.is_self_issued
        is_last = number == total
        takes_any = any_policy > 0 or (is_self_issued and not is_last)
        level = _next_level(level, rules, takes_any=takes_any)
        if explicit == 0 and not level:
            return False
        if is_last:
            explicit = 0 if rules.require_explicit == 0 else max(explicit - 1, 0)
            return explicit > 0 or bool(level)
        if any(ANY_POLICY in pair for pair in rules.mappings):
            return False
        level = _mapped(level, rules.mappings, is_allowed=mapping > 0)
        if not is_self_issued:
            explicit, mapping = max(explicit - 1, 0), max(mapping - 1, 0)
            any_policy = max(any_policy - 1, 0)
        explicit = _sooner(explicit, rules.require_explicit)
        mapping = _sooner(mapping, rules.inhibit_mapping)
        any_policy = _sooner(any_policy, rules.inhibit_any)
    return True


def _demands(rules: PolicyRules) -> bool:
    """Mappings count: one to or from any-policy is refused on any path (RFC 5280 6.1.4 (a))."""
    return rules.require_explicit is not None or bool(rules.mappings)


def _sooner(counter: int, limit: int | None) -> int:
    return counter if limit is None else min(counter, limit)


def _next_level(level: _Level, rules: PolicyRules, *, takes_any: bool) -> _Level:
    if not level or rules.policies is None:
        return {}
    expected = frozenset().union(*level.values())
    named = rules.policies - {ANY_POLICY}
    valid = named if ANY_POLICY in expected else named & expected
    if ANY_POLICY in rules.policies and takes_any:
        valid |= expected
    return {policy: frozenset({policy}) for policy in valid}


def _mapped(level: _Level, mappings: Sequence[tuple[str, str]], *, is_allowed: bool) -> _Level:
    targets: dict[str, set[str]] = {}
    for source, target in mappings:
        targets.setdefault(source, set()).add(target)
    if not is_allowed:
        return {policy: expected for policy, expected in level.items() if policy not in targets}
    known = level if ANY_POLICY not in level else {**dict.fromkeys(targets, frozenset()), **level}
    return {
        policy: frozenset(targets[policy]) if policy in targets else expected
        for policy, expected in known.items()
    }
