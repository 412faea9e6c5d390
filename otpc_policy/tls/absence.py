"""What refusals prove together. Pure; which of them count is not said here (see proof)."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from otpc_policy.core.facts import Evidence
from otpc_policy.tls.offers import ecdsa_among

# A close without an alert must be seen so often, alternating with controls.
CLOSES = 3


class Refused(NamedTuple):
    """Suites that were turned away in hellos of one kind. alerted: one set for each alert. closed: by closes, often enough."""

    alerted: tuple[frozenset[int], ...]
    closed: frozenset[int]


# Most servers refuse the same suites: what that proves is worked out once. Few are kept, because a lax server's are many and large.
@lru_cache(maxsize=32)
def absent(refused: Refused) -> Mapping[int, Evidence]:
    """Return the suites with what proves that they are not accepted; an alert is stronger."""
    proven = dict.fromkeys(refused.closed, Evidence.CLOSED_CONFIRMED)
    for suites in refused.alerted:
        proven.update(dict.fromkeys(suites, Evidence.ALERT))
    return proven


@lru_cache(maxsize=32)
def absent_with_both(wide: Refused, finite_field: Refused) -> Mapping[int, Evidence]:
    """Return the suites that were refused with both lists of groups, those of ECDSA with the first; each with the weaker evidence."""
    found, again = absent(wide), absent(finite_field)
    once = ecdsa_among(found)
    # Of two kinds of evidence one is that of closes.
    return {
        suite: evidence if again.get(suite, evidence) is evidence else Evidence.CLOSED_CONFIRMED
        for suite, evidence in found.items()
        if suite in again or suite in once
    }


def seen_often(seen: Sequence[tuple[int, frozenset[int]]]) -> frozenset[int]:
    """Return the suites that were turned away in enough waves. seen: waves, and the suites that each turned away."""
    if len({wave for wave, _ in seen}) < CLOSES:
        return frozenset()
    waves_of: dict[int, set[int]] = {}
    for wave, suites in seen:
        for suite in suites:
            waves_of.setdefault(suite, set()).add(wave)
    return frozenset(suite for suite, waves in waves_of.items() if len(waves) >= CLOSES)
