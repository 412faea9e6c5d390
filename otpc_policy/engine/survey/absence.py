"""What refusals prove together. Pure; which of them count is not said here (see proof)."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from otpc_policy.core.facts import Evidence
from otpc_policy.engine.survey.offers import FINITE_FIELD_FAMILIES, SHARED_NEEDS, ecdsa_among, family_of

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


class Refusal(NamedTuple):
    """One list that was turned away between controls. alerted: by an alert; else by a close. names_groups: finite-field ones too; None: neither matters."""

    wave: int
    suites: frozenset[int]
    alerted: bool
    names_groups: bool | None


# Refusals of lists with some suite, each with the families of its list.
_Seen = Sequence[tuple[Refusal, frozenset[str]]]


@lru_cache(maxsize=64)
def absent_by_family(refusals: tuple[Refusal, ...], needs_both: bool) -> Mapping[int, Evidence]:
    """Return the suites whose absence these refusals prove, each with what proves it.

    A list may be refused for another family that the server chose and could not serve. So a suite is absent only if no other family, and none of
    those that share a need, stands in every list that was refused with it.
    needs_both: families that need a finite-field group must be so with and without such groups named.
    """
    found: dict[int, Evidence] = {}
    verdicts: dict[tuple[str, tuple[int, ...]], Evidence] = {}
    families = [frozenset(map(family_of, refusal.suites)) for refusal in refusals]
    holding: dict[int, list[int]] = {}
    for number, refusal in enumerate(refusals):
        for suite in refusal.suites:
            holding.setdefault(suite, []).append(number)
    for suite, numbers in holding.items():
        family = family_of(suite)
        key = family, tuple(numbers)
        if key not in verdicts:
            with_suite = [(refusals[number], families[number]) for number in numbers]
            verdicts[key] = _evidence(family, with_suite, needs_both=needs_both and family in FINITE_FIELD_FAMILIES)
        if verdicts[key] is not Evidence.NONE:
            found[suite] = verdicts[key]
    return found


def _evidence(family: str, seen: _Seen, *, needs_both: bool) -> Evidence:
    if not needs_both:
        return _one_evidence(family, seen)
    parts = [_one_evidence(family, [one for one in seen if one[0].names_groups in (None, named)]) for named in (False, True)]
    return next((kind for kind in (Evidence.NONE, Evidence.CLOSED_CONFIRMED) if kind in parts), Evidence.ALERT)


def _one_evidence(family: str, seen: _Seen) -> Evidence:
    alerted = [families for refusal, families in seen if refusal.alerted]
    if _is_about(family, alerted):
        return Evidence.ALERT
    blockers = [frozenset({other}) for _, families in seen for other in families - {family}]
    blockers += [need for need in SHARED_NEEDS if family not in need]
    return Evidence.CLOSED_CONFIRMED if all(_is_refused_without(blocker, seen) for blocker in blockers) else Evidence.NONE


def _is_about(family: str, refused: Sequence[frozenset[str]]) -> bool:
    """Nothing else that may have been chosen stands in all of these lists."""
    others = (need for need in SHARED_NEEDS if family not in need)
    return bool(refused) and frozenset.intersection(*refused) == {family} and all(any(map(need.isdisjoint, refused)) for need in others)


def _is_refused_without(blocker: frozenset[str], seen: _Seen) -> bool:
    """Lists that hold none of these families were refused, by an alert or in enough waves."""
    refusals = [refusal for refusal, families in seen if blocker.isdisjoint(families)]
    is_often = len({refusal.wave for refusal in refusals}) >= CLOSES
    return is_often or any(refusal.alerted for refusal in refusals)


def seen_often(seen: Sequence[tuple[int, frozenset[int]]]) -> frozenset[int]:
    """Return the suites that were turned away in enough waves. seen: waves, and the suites that each turned away."""
    if len({wave for wave, _ in seen}) < CLOSES:
        return frozenset()
    waves_of: dict[int, set[int]] = {}
    for wave, suites in seen:
        for suite in suites:
            waves_of.setdefault(suite, set()).add(wave)
    return frozenset(suite for suite, waves in waves_of.items() if len(waves) >= CLOSES)
