"""What refusals that count prove together. Pure. Which of them count is for `inference`."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from otpc_policy.core.facts import Evidence
from otpc_policy.engine.survey.offers import (
    FINITE_FIELD_FAMILIES,
    SHARED_NEEDS,
    ecdsa_among,
    family_of,
)

# A close without an alert must be seen this often, alternating with controls.
CLOSES = 3


class Refused(NamedTuple):
    """Suites that were refused in hellos of one kind.

    alerted: one set for each alert. closed: suites that were refused in enough waves.
    """

    alerted: tuple[frozenset[int], ...]
    closed: frozenset[int]


# Most servers refuse the same suites, so what that proves is computed once. Few results are kept,
# because those of a lax server are many and large.
@lru_cache(maxsize=32)
def absent(refused: Refused) -> Mapping[int, Evidence]:
    """Return the suites that are not accepted, each with its evidence; an alert is stronger."""
    proven = dict.fromkeys(refused.closed, Evidence.CLOSED_CONFIRMED)
    for suites in refused.alerted:
        proven.update(dict.fromkeys(suites, Evidence.ALERT))
    return proven


@lru_cache(maxsize=32)
def absent_with_both(wide: Refused, finite_field: Refused) -> Mapping[int, Evidence]:
    """Return the suites that were refused with both lists of groups, each with the weaker evidence.

    ECDSA suites need the first list only.
    """
    found, again = absent(wide), absent(finite_field)
    once = ecdsa_among(found)
    # If the two differ, the weaker is CLOSED_CONFIRMED.
    return {
        suite: evidence if again.get(suite, evidence) is evidence else Evidence.CLOSED_CONFIRMED
        for suite, evidence in found.items()
        if suite in again or suite in once
    }


class Refusal(NamedTuple):
    """One list that was refused between controls.

    alerted: by an alert; otherwise by a close.
    names_groups: finite-field groups were offered too; None if the refusal is not about groups.
    """

    wave: int
    suites: frozenset[int]
    alerted: bool
    names_groups: bool | None


# Refusals of lists that contain a given suite, each with the families of its list.
_Seen = Sequence[tuple[Refusal, frozenset[str]]]


@lru_cache(maxsize=64)
def absent_by_family(refusals: tuple[Refusal, ...], needs_both: bool) -> Mapping[int, Evidence]:
    """Return the suites whose absence these refusals prove, each with its evidence.

    A list may be refused because of another family, which the server chose and could not serve. So
    a suite is absent only if no other family is in every list that was refused with the suite, and
    no set of families with a shared need is represented in every one of them.
    needs_both: families that need a finite-field group must be refused with and without such groups
    offered.
    """
    found: dict[int, Evidence] = {}
    verdicts: dict[tuple[str, tuple[int, ...]], Evidence] = {}
    families = [frozenset(map(family_of, refusal.suites)) for refusal in refusals]
    numbers_of: dict[int, list[int]] = {}
    for number, refusal in enumerate(refusals):
        for suite in refusal.suites:
            numbers_of.setdefault(suite, []).append(number)
    for suite, numbers in numbers_of.items():
        family = family_of(suite)
        key = family, tuple(numbers)
        if key not in verdicts:
            with_suite = [(refusals[number], families[number]) for number in numbers]
            verdicts[key] = _evidence(
                family, with_suite, needs_both=needs_both and family in FINITE_FIELD_FAMILIES
            )
        if verdicts[key] is not Evidence.NONE:
            found[suite] = verdicts[key]
    return found


def _evidence(family: str, seen: _Seen, *, needs_both: bool) -> Evidence:
    if not needs_both:
        return _plain_evidence(family, seen)
    parts = [
        _plain_evidence(family, [item for item in seen if item[0].names_groups in (None, named)])
        for named in (False, True)
    ]
    return next(
        (kind for kind in (Evidence.NONE, Evidence.CLOSED_CONFIRMED) if kind in parts),
        Evidence.ALERT,
    )


def _plain_evidence(family: str, seen: _Seen) -> Evidence:
    alerted = [families for refusal, families in seen if refusal.alerted]
    if _is_about(family, alerted):
        return Evidence.ALERT
    blockers = [frozenset({other}) for _, families in seen for other in families - {family}]
    blockers += [need for need in SHARED_NEEDS if family not in need]
    return (
        Evidence.CLOSED_CONFIRMED
        if all(_is_refused_without(blocker, seen) for blocker in blockers)
        else Evidence.NONE
    )


def _is_about(family: str, refused: Sequence[frozenset[str]]) -> bool:
    """No other family, nor families with a shared need, can explain all of these refusals."""
    others = (need for need in SHARED_NEEDS if family not in need)
    return (
        bool(refused)
        and frozenset.intersection(*refused) == {family}
        and all(any(map(need.isdisjoint, refused)) for need in others)
    )


def _is_refused_without(blocker: frozenset[str], seen: _Seen) -> bool:
    """Lists without any of these families were refused, by an alert or in enough waves."""
    refusals = [refusal for refusal, families in seen if blocker.isdisjoint(families)]
    is_often = len({refusal.wave for refusal in refusals}) >= CLOSES
    return is_often or any(refusal.alerted for refusal in refusals)


def seen_often(seen: Sequence[tuple[int, frozenset[int]]]) -> frozenset[int]:
    """Return the suites that were refused in enough waves.

    seen: waves, each with the suites of one list that was refused in it.
    """
    if len({wave for wave, _ in seen}) < CLOSES:
        return frozenset()
    waves_of: dict[int, set[int]] = {}
    for wave, suites in seen:
        for suite in suites:
            waves_of.setdefault(suite, set()).add(wave)
    return frozenset(suite for suite, waves in waves_of.items() if len(waves) >= CLOSES)
