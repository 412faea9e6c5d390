"""How long facts live by what is made of them: the settings' lifetimes, and the policies'."""

from dataclasses import dataclass
from datetime import timedelta

from otpc_policy.policy.finding import Decision
from otpc_policy.policy.model import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """How long facts answer, by the decision that they lead to."""

    allow: timedelta
    deny: timedelta
    unknown: timedelta

    def of(self, decision: Decision) -> timedelta:
        """Return the lifetime for a decision."""
        return {
            Decision.ALLOW: self.allow,
            Decision.DENY: self.deny,
            Decision.INDETERMINATE: self.unknown,
        }[decision]

    def under(self, *policies: Policy) -> "Lifetimes":
        """Return these lifetimes with those that the policies set; the shortest of several."""
        own = [policy.lifetimes for policy in policies]
        return Lifetimes(
            allow=min(self.allow if each.allow is None else each.allow for each in own),
            deny=min(self.deny if each.deny is None else each.deny for each in own),
            unknown=min(self.unknown if each.unknown is None else each.unknown for each in own),
        )
