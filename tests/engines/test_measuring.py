"""How long a measurement may wait for its turn: what the queue of an honest engine can take, and no
more than this front's own measurements and a few others account for.
"""

import pytest

from otpc_policy.engines.measuring import most_turns, turn_s, turns_reported
from otpc_policy.engines.ports import EngineState, Terms

TERMS = Terms(scan_deadline_s=20, deep_deadline_s=60)


@pytest.mark.parametrize(
    ("queued", "at_a_time", "turns"),
    [(0, 32, 1), (1, 32, 1), (31, 32, 1), (32, 32, 2), (256, 32, 9), (3, 1, 4)],
)
def test_a_turn_comes_when_those_ahead_have_had_theirs(
    queued: int, at_a_time: int, turns: int
) -> None:
    state = EngineState(queued=queued, concurrent_scans=at_a_time)
    assert turns_reported(state, is_deep=False) == turns


@pytest.mark.parametrize(("queued", "turns"), [(0, 2), (1, 3), (10, 12)])
def test_deep_parts_may_take_their_turns_one_at_a_time(queued: int, turns: int) -> None:
    state = EngineState(queued=queued, concurrent_scans=32)
    assert turns_reported(state, is_deep=True) == turns


def test_a_turn_is_as_long_as_the_longest_part_and_a_margin() -> None:
    """That of a measurement that begins anew with little time, too."""
    assert turn_s(TERMS) == pytest.approx(60.9)
    assert turn_s(Terms(scan_deadline_s=1, deep_deadline_s=60)) == turn_s(TERMS)


@pytest.mark.parametrize(("under_way", "is_deep", "turns"), [(32, False, 5), (32, True, 37)])
def test_a_queue_that_this_front_does_not_account_for_is_not_waited_for(
    under_way: int, is_deep: bool, turns: int
) -> None:
    assert most_turns(under_way, is_deep=is_deep) == turns
