"""Hostile targets of others keep nobody waiting, and nothing is left of them."""

from tests.app.hostile_crowd import hostile_crowd, run

HOSTILE, GOOD = 24, 4


def test_a_caller_of_good_targets_is_answered_among_hostile_ones() -> None:
    with hostile_crowd(hostile=HOSTILE, good=3 * GOOD) as crowd:
        assert run(crowd, hostile=HOSTILE, good=GOOD) == []
