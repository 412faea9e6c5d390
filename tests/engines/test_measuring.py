"""How long a measurement may wait for its turn: what the queue of an honest engine can take."""

import pytest

from otpc_policy.engines.measuring import longest_wait_s
from otpc_policy.engines.ports import EngineState, Terms

# Turns are as long as the longest part, and a margin of 0.9 s.
TERMS = Terms(scan_deadline_s=20, deep_deadline_s=60)
TURN_S = 60.9


@pytest.mark.parametrize(
    ("queued", "at_a_time", "turns"),
    [(0, 32, 1), (1, 32, 1), (31, 32, 1), (32, 32, 2), (256, 32, 9), (3, 1, 4)],
)
def test_a_turn_comes_when_those_ahead_have_had_theirs(
    queued: int, at_a_time: int, turns: int
) -> None:
    state = EngineState(queued=queued, concurrent_scans=at_a_time)
    assert longest_wait_s(state, TERMS, is_deep=False) == pytest.approx(turns * TURN_S)


@pytest.mark.parametrize(("queued", "turns"), [(0, 2), (1, 3), (10, 12)])
def test_deep_parts_may_take_their_turns_one_at_a_time(queued: int, turns: int) -> None:
    state = EngineState(queued=queued, concurrent_scans=32)
    assert longest_wait_s(state, TERMS, is_deep=True) == pytest.approx(turns * TURN_S)


def test_a_measurement_that_begins_anew_with_little_time_waits_as_long_as_any() -> None:
    state = EngineState(queued=64, concurrent_scans=32)
    anew = Terms(scan_deadline_s=1, deep_deadline_s=60)
    assert longest_wait_s(state, anew, is_deep=False) == longest_wait_s(state, TERMS, is_deep=False)


@pytest.mark.parametrize("is_deep", [False, True])
def test_no_queue_is_waited_for_longer_than_an_hour(is_deep: bool) -> None:
    state = EngineState(queued=1_000_000, concurrent_scans=1)
    assert longest_wait_s(state, TERMS, is_deep=is_deep) == 3600
