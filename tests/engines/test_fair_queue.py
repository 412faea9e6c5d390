"""Whose turn it is: by class, then the share that holds least, then the one served longest ago."""

from collections import Counter
from collections.abc import Sequence
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpc_policy.core.demand import Claim, ScanClass
from otpc_policy.engines.fair_queue import TURNS_A_ROUND, FairQueue
from otpc_policy.engines.places import Places


def claim(
    group: str,
    member: str = "",
    *,
    scan_class: ScanClass = ScanClass.INTERACTIVE,
    is_partners: bool = False,
) -> Claim:
    return Claim(share=(group, member or group), scan_class=scan_class, is_partners=is_partners)


def queue_of(*claims: Claim, places: Places | None = None) -> FairQueue[int]:
    """Items 0, 1, 2 and so on, each under one claim."""
    held = places if places is not None else Places()
    queue = FairQueue[int](held_by_group=held.of_group, held_by_member=held.of_member)
    for number, each in enumerate(claims):
        queue.put(number, [each])
    return queue


def always(_claim: Claim) -> bool:
    return True


def order(queue: FairQueue[int]) -> Sequence[int]:
    """Whose turns follow each other, where each measurement has ended before the next turn."""
    taken = []
    while (one := queue.take(always)) is not None:
        taken.append(one[0])
    assert len(queue) == 0
    return taken


A, B = claim("a"), claim("b")
A1, A2 = claim("a", "1"), claim("a", "2")
REFRESH_A = claim("a", scan_class=ScanClass.REFRESH)
WATCH_A = claim("a", scan_class=ScanClass.WATCH)


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ([], []),
        ([A, A, A], [0, 1, 2]),
        ([A, A, A, B, B], [0, 3, 1, 4, 2]),
        ([A1, A1, A2, B, B], [0, 3, 2, 4, 1]),
        ([REFRESH_A, WATCH_A, A], [2, 0, 1]),
    ],
    ids=["empty", "one caller", "two callers", "members of a group", "classes"],
)
def test_turns(claims: Sequence[Claim], expected: Sequence[int]) -> None:
    assert order(queue_of(*claims)) == expected


def test_no_class_keeps_another_from_its_turns() -> None:
    """Out of each round, as many turns as the class has by weight."""
    claims = [claim("a", scan_class=each) for each in ScanClass for _ in range(40)]
    round_length = sum(TURNS_A_ROUND.values())
    turns = [claims[item].scan_class for item in order(queue_of(*claims))[: 3 * round_length]]
    assert Counter(turns) == {each: 3 * weight for each, weight in TURNS_A_ROUND.items()}


def test_whoever_holds_fewer_places_comes_first() -> None:
    places = Places()
    places.take(B)
    assert order(queue_of(B, A, places=places)) == [1, 0]


def test_to_come_and_go_is_no_advantage() -> None:
    """One who asks for one thing at a time alternates with one who asks for many."""
    queue, taken = queue_of(*[A] * 5), []
    for number in range(5):
        queue.put(100 + number, [B])
        for _ in range(2):
            one = queue.take(always)
            assert one is not None
            taken.append(one[1])
    assert taken == [A, B] * 5


def test_what_may_have_no_place_is_passed_over() -> None:
    queue = queue_of(A, claim("a", is_partners=True), B)
    assert queue.take(lambda each: each.is_partners) == (1, claim("a", is_partners=True))
    assert queue.take(lambda each: each.is_partners) is None
    assert order(queue) == [2, 0]


def test_a_group_that_may_have_no_place_is_not_asked_about() -> None:
    queue, asked = queue_of(A1, A2, B), list[Claim]()

    def may_have(each: Claim) -> bool:
        asked.append(each)
        return True

    assert queue.take(may_have, lambda group: group != "a") == (2, B)
    assert asked == [B]


def test_rights_to_the_reserve_are_those_of_what_waits() -> None:
    queue = queue_of(A, claim("a", is_partners=True), B)
    assert set(queue.reserve_rights) == {True, False}
    queue.put(1, [])
    assert set(queue.reserve_rights) == {False}
    queue.put(1, [Claim()])
    assert set(queue.reserve_rights) == {True, False}
    assert order(queue) == [0, 2, 1]
    assert set(queue.reserve_rights) == set()


def test_among_the_claims_of_one_share_the_earlier_comes_first() -> None:
    partners = claim("a", is_partners=True)
    assert order(queue_of(A, partners, partners, A, partners)) == [0, 1, 2, 3, 4]


def test_what_several_want_gets_one_turn_with_the_first_of_them() -> None:
    queue = queue_of(*[A] * 3)
    queue.put(2, [A, B])
    assert order(queue) == [0, 2, 1]


def test_an_item_leaves_with_its_last_claim() -> None:
    queue = queue_of(A)
    queue.put(0, [B, claim("b", is_partners=True)])
    queue.put(0, [B])
    assert list(queue) == [0]
    queue.put(0, [])
    assert (len(queue), queue.take(always)) == (0, None)


SHARES = st.sampled_from([("a", "1"), ("a", "2"), ("b", "1"), ("c", "1"), ("c", "2"), ("c", "3")])
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("come"), SHARES, st.sampled_from(ScanClass)),
        st.tuples(st.just("end"), st.integers(0, 100), st.none()),
    ),
    max_size=120,
)


@given(events=EVENTS, capacity=st.integers(1, 5))
def test_nobody_is_served_while_another_holds_less(
    events: Sequence[tuple[str, object, ScanClass | None]], capacity: int
) -> None:
    """Whatever comes and ends: nothing is lost, served twice, or served before a poorer share."""
    places, numbers = Places(), count()
    queue = FairQueue[int](held_by_group=places.of_group, held_by_member=places.of_member)
    waiting: dict[int, Claim] = {}
    running: list[Claim] = []

    def serve() -> None:
        while len(running) < capacity and (taken := queue.take(always)) is not None:
            item, served = taken
            assert waiting.pop(item) == served
            peers = [each for each in waiting.values() if each.scan_class is served.scan_class]
            group, _ = served.share
            assert all(places.of_group(group) <= places.of_group(each.share[0]) for each in peers)
            fellows = [each for each in peers if each.share[0] == group]
            assert all(
                places.of_member(served.share) <= places.of_member(each.share) for each in fellows
            )
            places.take(served)
            running.append(served)
        assert len(running) == capacity or not waiting

    for kind, which, scan_class in events:
        if kind == "come":
            assert isinstance(which, tuple)
            assert scan_class is not None
            number = next(numbers)
            waiting[number] = Claim(share=which, scan_class=scan_class)
            queue.put(number, [waiting[number]])
        elif running:
            assert isinstance(which, int)
            places.give_back(running.pop(which % len(running)))
        serve()
    while running:
        places.give_back(running.pop())
        serve()
    assert not waiting
    assert places.held == 0


@given(st.lists(st.integers(1, 30), min_size=2, max_size=5))
def test_callers_that_always_have_something_waiting_get_turns_that_differ_by_one(
    lengths: Sequence[int],
) -> None:
    claims = [claim(str(caller)) for caller, length in enumerate(lengths) for _ in range(length)]
    queue, served = queue_of(*claims), Counter[tuple[str, str]]()
    for _ in range(min(lengths) * len(lengths)):
        taken = queue.take(always)
        assert taken is not None
        served[taken[1].share] += 1
        assert max(served.values()) - min(served[each.share] for each in claims) <= 1
