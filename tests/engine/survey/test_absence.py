"""Which refusals, taken together, prove that a suite is not accepted."""

from collections.abc import Callable, Iterable

import pytest

from otpc_policy.core.facts import Evidence, TlsVersion
from otpc_policy.engine.survey.absence import CLOSES, Refusal, absent_by_family
from otpc_policy.engine.survey.offers import SHARED_NEEDS, Cell, family_of, layout_at
from otpc_policy.tls.client_hello import GroupList

# Two suites each of three families, the last of which needs a finite-field group.
RSA, ECDHE, DHE = (0x002F, 0x0035), (0xC013, 0xC014), (0x0033, 0x0039)
# Families that share what a server must have for them.
PSK, DHE_PSK = (0x008C, 0x008D), (0x0090, 0x0091)
# Suites of TLS 1.3 say nothing of keys: there are no families.
TLS13 = (0x1304, 0x1305)
ALERT, CLOSED = Evidence.ALERT, Evidence.CLOSED_CONFIRMED
TLS10, TLS12 = TlsVersion.TLS_1_0, TlsVersion.TLS_1_2


def alerted(*suites: int, wave: int = 1, names_groups: bool | None = False) -> Refusal:
    return Refusal(wave, frozenset(suites), True, names_groups)


def closed(*suites: int, wave: int = 1, names_groups: bool | None = False) -> Refusal:
    return Refusal(wave, frozenset(suites), False, names_groups)


def thrice(*suites: int, names_groups: bool | None = False) -> tuple[Refusal, ...]:
    waves = range(1, CLOSES + 1)
    return tuple(closed(*suites, wave=wave, names_groups=names_groups) for wave in waves)


def absent(refusals: Iterable[Refusal], *, needs_both: bool = False) -> dict[int, Evidence]:
    return dict(absent_by_family(tuple(refusals), needs_both))


def all_of(evidence: Evidence, *families: tuple[int, ...]) -> dict[int, Evidence]:
    return {suite: evidence for family in families for suite in family}


CASES: dict[str, tuple[list[Refusal], dict[int, Evidence]]] = {
    "nothing": ([], {}),
    "an alert to one family": ([alerted(*RSA)], all_of(ALERT, RSA)),
    "an alert to a part of a family": ([alerted(RSA[0])], {RSA[0]: ALERT}),
    "an alert to two families": ([alerted(*RSA, *ECDHE)], {}),
    "an alert to two, and to one of them": (
        [alerted(*RSA, *ECDHE), alerted(*RSA)],
        all_of(ALERT, RSA),
    ),
    "an alert to each pair of three": (
        [alerted(*RSA, *ECDHE), alerted(*RSA, *DHE), alerted(*ECDHE, *DHE)],
        all_of(ALERT, RSA, ECDHE, DHE),
    ),
    "only the suites that were refused with each": (
        [alerted(*RSA, *ECDHE), alerted(RSA[0], *DHE)],
        {RSA[0]: ALERT},
    ),
    "closes twice": ([*thrice(*RSA)[1:]], {}),
    "closes thrice in one wave": ([closed(*RSA)] * 3, {}),
    "closes thrice": ([*thrice(*RSA)], all_of(CLOSED, RSA)),
    "closes thrice to two families": ([*thrice(*RSA, *ECDHE)], {}),
    "closes thrice to each pair of three": (
        [*thrice(*RSA, *ECDHE), *thrice(*RSA, *DHE), *thrice(*ECDHE, *DHE)],
        all_of(CLOSED, RSA, ECDHE, DHE),
    ),
    "closes thrice to two, once to one of them": (
        [*thrice(*RSA, *ECDHE), closed(*RSA)],
        {},
    ),
    "closes thrice to two, twice to another two": (
        [*thrice(*RSA, *ECDHE), *thrice(*RSA, *DHE)[1:]],
        {},
    ),
    "closes to shrinking lists": (
        [closed(*RSA, *ECDHE, *DHE), closed(*RSA, *DHE, wave=2), closed(*RSA, wave=3)],
        {},
    ),
    "an alert to two and a close to one": ([alerted(*RSA, *ECDHE), closed(*RSA, wave=2)], {}),
    "an alert to two and closes to two others": (
        [alerted(*RSA, *ECDHE), *thrice(*RSA, *DHE)],
        all_of(CLOSED, RSA),
    ),
    "an alert to one with each of two that share a need": (
        [alerted(*RSA, *PSK), alerted(*RSA, *DHE_PSK)],
        {},
    ),
    "an alert to each of two that share a need": (
        [alerted(*PSK), alerted(*DHE_PSK)],
        all_of(ALERT, PSK, DHE_PSK),
    ),
    "closes thrice with each of two that share a need": (
        [*thrice(*RSA, *PSK), *thrice(*RSA, *DHE_PSK)],
        {},
    ),
    "an alert to suites of TLS 1.3": ([alerted(*TLS13)], all_of(ALERT, TLS13)),
    "closes thrice to suites of TLS 1.3": ([*thrice(*TLS13)], all_of(CLOSED, TLS13)),
    "closes twice to suites of TLS 1.3": ([*thrice(*TLS13)[1:]], {}),
    "an alert and closes to one": ([alerted(*RSA), *thrice(*RSA)], all_of(ALERT, RSA)),
}


@pytest.mark.parametrize(("refusals", "expected"), CASES.values(), ids=CASES)
def test_a_suite_is_absent_only_if_no_other_family_could_be_why(
    refusals: list[Refusal],
    expected: dict[int, Evidence],
) -> None:
    """A server may choose a family first and fail afterwards (testssl/testssl.sh#2883)."""
    assert absent(refusals) == expected


@pytest.mark.parametrize(
    ("refusals", "expected"),
    [
        ([alerted(*DHE)], {}),
        ([alerted(*DHE, names_groups=True)], {}),
        ([alerted(*DHE), alerted(*DHE, names_groups=True)], all_of(ALERT, DHE)),
        ([alerted(*DHE, names_groups=None)], all_of(ALERT, DHE)),
        ([alerted(*DHE), *thrice(*DHE, names_groups=True)], all_of(CLOSED, DHE)),
        ([alerted(*DHE), alerted(*DHE, *RSA, names_groups=True)], {}),
        ([alerted(*RSA)], all_of(ALERT, RSA)),
        ([alerted(*RSA, names_groups=True)], all_of(ALERT, RSA)),
    ],
)
def test_a_finite_field_family_is_absent_only_with_and_without_its_groups(
    refusals: list[Refusal],
    expected: dict[int, Evidence],
) -> None:
    """RFC 7919 4: a server that shares no group must not choose such a suite."""
    assert absent(refusals, needs_both=True) == expected


Refuse = Callable[..., tuple[Refusal, ...]]


def alerted_once(*suites: int, names_groups: bool) -> tuple[Refusal, ...]:
    return (alerted(*suites, names_groups=names_groups),)


def is_finite_field(cell: Cell) -> bool:
    return cell.groups is GroupList.FINITE_FIELD


@pytest.mark.parametrize("version", [TLS10, TLS12])
@pytest.mark.parametrize("refuse", [alerted_once, thrice])
def test_the_lists_of_a_layout_prove_every_family_absent_and_no_fewer_do(
    version: TlsVersion,
    refuse: Refuse,
) -> None:
    cells = layout_at(version)
    lists = [refuse(*cell.suites, names_groups=is_finite_field(cell)) for cell in cells]
    suites = {suite for cell in layout_at(version) for suite in cell.suites}
    refusals = [refusal for of_list in lists for refusal in of_list]
    assert absent(refusals, needs_both=True).keys() == suites
    for left_out in range(len(lists)):
        fewer = [
            refusal
            for place, of_list in enumerate(lists)
            if place != left_out
            for refusal in of_list
        ]
        assert absent(fewer, needs_both=True).keys() < suites


@pytest.mark.parametrize("version", [TLS10, TLS12])
def test_what_a_server_lacks_hides_no_family_that_does_without_it(version: TlsVersion) -> None:
    """A server that chooses first and fails refuses every list with a family that needs it."""
    families = sorted({family_of(suite) for cell in layout_at(version) for suite in cell.suites})
    for failing in (*SHARED_NEEDS, *({family} for family in families)):
        for served in (family for family in families if family not in failing):
            refusals = []
            for cell in layout_at(version):
                held = set(map(family_of, cell.suites))
                if not held.isdisjoint(failing) or served not in held:
                    refusals.append(alerted(*cell.suites, names_groups=is_finite_field(cell)))
            assert len(refusals) < len(layout_at(version))
            found = absent(refusals, needs_both=True)
            assert not [suite for suite in found if family_of(suite) == served]
