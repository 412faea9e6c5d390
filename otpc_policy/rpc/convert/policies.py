"""Policies as callers see them."""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice

from otpc_policy.catalog.context import NamedPartner
from otpc_policy.policy.model import Policy, PolicySet, ResultLifetimes, RuleSettings
from otpc_policy.policy.parameters import Permitted
from otpc_policy.rpc.convert.times import to_duration
from otpc_policy.rpc.convert.vocabulary import EFFECTS, SEVERITIES
from otpc_policy.v1 import policy_pb2 as pb

# A name may be listed by any number of partners, and all of them by every answer about it.
_MOST_NAMED_PARTNERS = 16


def policy_message(
    policy: Policy, policies: PolicySet | None = None, *, with_document: bool = False
) -> pb.Policy:
    """Return the policy, its rules in the order of evaluation.

    policies: that it is one of; None for a document by itself. with_document: include the
    effective document, as GetPolicy does.
    """
    minimum = None if policies is None else policies.minimum
    return pb.Policy(
        name=policy.name,
        revision=policy.revision,
        title=policy.title,
        source=policy.source,
        enforcing=policy.enforcing,
        rules=map(_rule, policy.rules),
        is_default=policies is not None and policy.name == policies.default_name,
        is_minimum=minimum is not None and policy.name == minimum.name,
        extends=policy.extends,
        lifetimes=_lifetimes(policy.lifetimes),
        effective_document=policy.document if with_document else "",
    )


def applied_policy_message(policy: Policy) -> pb.AppliedPolicy:
    """Return how a response identifies a policy that was applied."""
    return pb.AppliedPolicy(name=policy.name, revision=policy.revision, enforcing=policy.enforcing)


def added_policy_message(policy: Policy | None) -> pb.AppliedPolicy | None:
    """Return how a response identifies a policy that was applied in addition, if there is one."""
    return None if policy is None else applied_policy_message(policy)


def _lifetimes(lifetimes: ResultLifetimes) -> pb.ResultLifetimes:
    allow, deny, unknown = (
        None if lifetime is None else to_duration(lifetime)
        for lifetime in (lifetimes.allow, lifetimes.deny, lifetimes.unknown)
    )
    return pb.ResultLifetimes(allow=allow, deny=deny, unknown=unknown)


def applied_partner_message(
    partner_id: str, partner_policy: Policy | None
) -> pb.AppliedPartner | None:
    """Return how a response identifies the partner; None if the endpoint has no partner entry."""
    if not partner_id:
        return None
    return pb.AppliedPartner(
        id=partner_id,
        policy=added_policy_message(partner_policy),
    )


def named_partner_messages(named: Iterable[NamedPartner]) -> Iterator[pb.AppliedPartner]:
    """Yield how a response identifies partners that were found by the server name."""
    for partner in islice(named, _MOST_NAMED_PARTNERS):
        yield pb.AppliedPartner(id=partner.id, policy=added_policy_message(partner.policy))


def _rule(rule: RuleSettings) -> pb.PolicyRule:
    return pb.PolicyRule(
        id=rule.id,
        summary=rule.summary,
        citation=rule.citation,
        codes=(
            pb.PolicyRuleCode(
                code=code, effect=EFFECTS[effect], severity=SEVERITIES[rule.severities[code]]
            )
            for code, effect in rule.effects.items()
        ),
        parameters=(f"{name} = {_toml(value)}" for name, value in sorted(rule.parameters.items())),
    )


def _toml(value: object) -> str:
    """Return a parameter as TOML on one line.

    Numbers, strings and lists of strings are written the same in JSON.
    """
    if isinstance(value, Permitted):
        return f"[{', '.join(_permitted(name, value.until.get(name)) for name in value.names)}]"
    return json.dumps(value if isinstance(value, int | float | tuple) else str(value))


def _permitted(name: str, until: datetime | None) -> str:
    """Return a name of a list as TOML; one with an end is an inline table."""
    text = json.dumps(name)
    if until is None:
        return text
    instant = until.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return f"{{name = {text}, until = {instant}}}"
