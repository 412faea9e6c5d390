"""What is known of a host, by name: enough to tell later whether the same is known still."""

from collections.abc import Sequence
from dataclasses import dataclass

from otpc_policy.check.stored_facts import FactsKey, StoredFacts
from otpc_policy.core.addresses import Resolution


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """A resolution, and what the store gave for its addresses. Holds no facts.

    revisions: the probe revision for each address. keys: everything that was looked up, for all
    addresses. facts_ids: what was found under each key; None for nothing.
    """

    host: str
    resolution: Resolution
    revisions: tuple[str, ...]
    keys: tuple[FactsKey, ...]
    facts_ids: tuple[str | None, ...]


def facts_ids(found: Sequence[StoredFacts | None]) -> tuple[str | None, ...]:
    """Return the names of what a store gave, in its order."""
    return tuple([None if each is None else each.facts_id for each in found])
