"""How long facts answer: keys, lifetimes and jitter. Pure; the moment is an argument."""

import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from otpc_policy.check.values import Freshness, Judged
from otpc_policy.core.endpoint import Endpoint
from otpc_policy.core.facts import AddressFacts, Depth
from otpc_policy.policy.finding import Decision
from otpc_policy.policy.model import Policy

# Part of every key: raise it when the same server would now give other facts.
PROBE_VERSION = "1"
# How soon asking again can find a measurement finished that was still under way.
IN_PROGRESS_RETRY = timedelta(seconds=1)
# Entries made in one burst should not all expire in one burst.
_JITTER = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """How long facts answer, by what the policy makes of them."""

    allow: timedelta
    deny: timedelta
    unknown: timedelta

    def of(self, decision: Decision) -> timedelta:
        """Return the lifetime for a decision."""
        return {Decision.ALLOW: self.allow, Decision.DENY: self.deny, Decision.INDETERMINATE: self.unknown}[decision]

    def under(self, *policies: Policy) -> "Lifetimes":
        """Return these lifetimes with what the policies' documents say instead; where several judge, the shortest."""
        own = [policy.lifetimes for policy in policies]
        return Lifetimes(
            allow=min(self.allow if one.allow is None else one.allow for one in own),
            deny=min(self.deny if one.deny is None else one.deny for one in own),
            unknown=min(self.unknown if one.unknown is None else one.unknown for one in own),
        )


@lru_cache(maxsize=16_384)
def facts_key(endpoint: Endpoint, address: str, depth: Depth) -> bytes:
    """Return what identifies facts. Every part carries its length, so that no two tuples share a key."""
    return _joined(endpoint.host, str(endpoint.port), endpoint.server_name, address, depth.value, PROBE_VERSION)


def facts_prefix(host: str, port: int) -> bytes:
    """Return what the keys of all facts about a host begin with; port 0 stands for every port."""
    return _joined(host, str(port)) if port else _joined(host)


def _joined(*parts: str) -> bytes:
    return b"".join(b"%d:%b" % (len(part), part) for part in (text.encode() for text in parts))


def lifetime_ends_at(key: bytes, facts: AddressFacts, lifetime: timedelta) -> datetime:
    """Return the end of a lifetime, moved by up to ten percent either way; the same facts always get the same end."""
    draw = zlib.crc32(key, zlib.crc32(facts.observed_at.isoformat().encode())) / 0xFFFFFFFF
    return facts.observed_at + lifetime * (1 - _JITTER + 2 * _JITTER * draw)


def still_answers(judged: Judged, freshness: Freshness, now: datetime) -> bool:
    """Tell whether a kept judgement is fresh enough for this caller."""
    return now < judged.expires_at and (freshness.max_age is None or judged.observed_at is None or now - judged.observed_at <= freshness.max_age)


def wait_for(judged: Judged, now: datetime) -> timedelta | None:
    """Return when asking again can help: never for ALLOW and DENY, which a new measurement follows by itself at their end."""
    if judged.verdict.decision is not Decision.INDETERMINATE:
        return None
    return max(judged.expires_at - now, IN_PROGRESS_RETRY)
