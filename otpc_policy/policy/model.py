"""Policies as values: the parameters of each rule and the effect of each finding code."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from otpc_policy.core.errors import ConfigurationError, UnknownPolicy
from otpc_policy.policy.finding import Effect, Severity
from otpc_policy.policy.parameters import Permitted


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSettings:
    """One rule as a policy sets it.

    effects, severities: by finding code; every code that a policy may set for this rule, in the
    rule's order.
    parameters: by name, as otpc_policy.policy.parameters reads them.
    """

    id: str
    summary: str
    citation: str
    effects: Mapping[str, Effect]
    severities: Mapping[str, Severity]
    parameters: Mapping[str, object]

    @property
    def is_enabled(self) -> bool:
        """Whether any code of the rule has an effect."""
        return any(effect is not Effect.OFF for effect in self.effects.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultLifetimes:
    """How long results stay valid under a policy, by decision; None: the service's setting."""

    allow: timedelta | None = None
    deny: timedelta | None = None
    unknown: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One policy.

    source: the document that it enforces. enforcing: False is report-only. revision: SHA-256 of the
    effective document, in hexadecimal. rules: every rule, in order of evaluation. extends: the
    built-in policy that it inherits from, or empty. document: the effective document in TOML.
    permissions_end: the instants from which on something is no longer permitted, ascending.
    """

    name: str
    title: str
    source: str
    enforcing: bool
    revision: str
    rules: tuple[RuleSettings, ...]
    extends: str = ""
    lifetimes: ResultLifetimes = ResultLifetimes()
    document: str = field(default="", repr=False)
    # Computed once: every judgement asks.
    permissions_end: tuple[datetime, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        ends = {
            end
            for rule in self.rules
            if rule.is_enabled
            for value in rule.parameters.values()
            if isinstance(value, Permitted)
            for end in value.until.values()
        }
        object.__setattr__(self, "permissions_end", tuple(sorted(ends)))


@dataclass(frozen=True, slots=True)
class PolicySet:
    """The policies that requests may name.

    default_name: the policy that an empty name means. minimum_name: the policy that judges in
    addition to whatever policy is named; empty for the default policy, None for no minimum.

    Raises ConfigurationError if the default policy is report-only: callers that name no policy
    would then get ALLOW for what the rules deny. The minimum may be report-only: that is the
    operator's leniency, not a caller's.
    """

    policies: Mapping[str, Policy]
    default_name: str
    minimum_name: str | None = ""

    def __post_init__(self) -> None:
        default = self.policies.get(self.default_name)
        if default is not None and not default.enforcing:
            problem = f"default_policy: {self.default_name!r} is report-only (enforcing = false);"
            raise ConfigurationError([f"{problem} the default policy must enforce"])

    def get(self, name: str) -> Policy:
        """Return a policy by name; "" means the default. Raises UnknownPolicy (caller's fault)."""
        try:
            return self.policies[name or self.default_name]
        except KeyError:
            raise UnknownPolicy(name) from None

    @property
    def minimum(self) -> Policy | None:
        """The policy below which no verdict falls, or None. Raises UnknownPolicy."""
        return None if self.minimum_name is None else self.get(self.minimum_name)

    def ordered(self) -> tuple[Policy, ...]:
        """Return all, ordered by name."""
        return tuple(self.policies[name] for name in sorted(self.policies))
