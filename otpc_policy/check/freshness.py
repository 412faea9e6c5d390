"""How long facts answer: keys, lifetimes and jitter. Pure; the moment is an argument."""

import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from otpc_policy.endpoint import Endpoint
from otpc_policy.facts import AddressFacts, Depth
from otpc_policy.policy.finding import Decision
from otpc_policy.policy.model import Policy

# Part of every key: raise it when the same server would now give other facts.
PROBE_VERSION = "1"
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

    def under(self, policy: Policy) -> "Lifetimes":
        """Return these lifetimes with what the policy's document says instead."""
        own = policy.lifetimes
        return Lifetimes(
            allow=self.allow if own.allow is None else own.allow,
            deny=self.deny if own.deny is None else own.deny,
            unknown=self.unknown if own.unknown is None else own.unknown,
        )


@lru_cache(maxsize=16_384)
def facts_key(endpoint: Endpoint, address: str, depth: Depth) -> bytes:
    """Return what identifies facts. Every part carries its length, so that no two tuples share a key."""
    parts = (endpoint.host, str(endpoint.port), endpoint.server_name, address, depth.value, PROBE_VERSION)
    return b"".join(b"%d:%b" % (len(part), part) for part in (text.encode() for text in parts))


def lifetime_ends_at(key: bytes, facts: AddressFacts, lifetime: timedelta) -> datetime:
    """Return the end of a lifetime, moved by up to ten percent either way; the same facts always get the same end."""
    draw = zlib.crc32(key, zlib.crc32(facts.observed_at.isoformat().encode())) / 0xFFFFFFFF
    return facts.observed_at + lifetime * (1 - _JITTER + 2 * _JITTER * draw)
