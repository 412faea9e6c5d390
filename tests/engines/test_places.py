"""How many places a share may hold: the next one always finds some left."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpc_policy.core.demand import Claim
from otpc_policy.engines.places import Places


def taken_by(places: Places, claim: Claim, *, of: int, reserved: int = 0) -> int:
    """Take as many places as the claim may have; return how many."""
    taken = 0
    while places.may_take(claim, of=of, reserved=reserved):
        places.take(claim)
        taken += 1
    return taken


def caller(name: str) -> Claim:
    return Claim(share=(name, name))


def connection(number: int) -> Claim:
    """One of several from the same machine, without certificates."""
    return Claim(share=("machine", str(number)))


@pytest.mark.parametrize(
    ("of", "name", "expected"),
    [
        (1, caller, [1, 0]),
        (2, caller, [1, 1]),
        (8, caller, [5, 2, 1, 0]),
        (16, caller, [10, 4, 1, 1, 0]),
        (32, caller, [21, 7, 2, 1, 1, 0]),
        (16, connection, [10, 2, 0]),
        (32, connection, [21, 4, 0]),
    ],
)
def test_who_comes_first_gets_most_and_leaves_some(
    of: int, name: Callable[[object], Claim], expected: Sequence[int]
) -> None:
    places = Places()
    assert [taken_by(places, name(number), of=of) for number in range(len(expected))] == expected


def test_a_machine_with_many_connections_leaves_places_for_other_callers() -> None:
    places = Places()
    assert sum(taken_by(places, connection(number), of=16) for number in range(100)) == 12
    assert taken_by(places, caller("other"), of=16) == 2


def test_what_is_given_back_can_be_taken() -> None:
    places = Places()
    taken_by(places, caller("a"), of=8)
    places.give_back(caller("a"))
    assert taken_by(places, caller("a"), of=8) == 1
    assert (places.held, places.of_group("a"), places.of_member(("a", "a"))) == (5, 5, 5)


def test_this_process_shares_with_nobody() -> None:
    assert taken_by(Places(), Claim(), of=8, reserved=4) == 8


def test_partners_endpoints_find_the_places_that_others_must_leave() -> None:
    places = Places()
    total = sum(taken_by(places, caller(str(name)), of=16, reserved=4) for name in range(50))
    assert total == 12
    assert not places.is_free(caller("late"), of=16, reserved=4)
    partners = Claim(share=("late", "late"), is_partners=True)
    assert taken_by(places, partners, of=16, reserved=4) == 2


def test_partners_endpoints_use_places_of_all() -> None:
    places, partners = Places(), Claim(share=("a", "a"), is_partners=True)
    assert taken_by(places, partners, of=16, reserved=4) == 10


CLAIMS = st.builds(
    Claim,
    share=st.sampled_from([("a", "1"), ("a", "2"), ("b", "1"), ("c", "1"), Claim().share]),
    is_partners=st.booleans(),
)


@given(
    steps=st.lists(st.tuples(CLAIMS, st.booleans()), max_size=80),
    of=st.integers(1, 12),
    reserved=st.integers(0, 4),
)
def test_whatever_is_taken_and_given_back_places_last_and_short_answers_agree_with_long_ones(
    steps: Sequence[tuple[Claim, bool]], of: int, reserved: int
) -> None:
    places, held = Places(), list[Claim]()
    for claim, is_end in steps:
        if is_end and held:
            places.give_back(held.pop(len(steps) % len(held)))
        may = places.may_take(claim, of=of, reserved=reserved)
        free = places.free(claim.may_use_reserve, of=of, reserved=reserved)
        assert places.is_free(claim, of=of, reserved=reserved) == (free > 0)
        if may:
            # What passes over a whole group, or over everything, passes over nothing that may.
            assert free > 0
            assert places.group_may_take(claim.share[0], of=of)
            places.take(claim)
            held.append(claim)
        others = sum(not each.may_use_reserve for each in held)
        assert places.held == len(held) <= of
        assert others <= max(0, of - reserved)
