"""The budget of work: nothing is taken that cannot be paid for, and nothing else is lost."""

import pytest

from otpc_policy.pki.budget import JUDGEMENT_UNITS, SHARES, TooComplexError, Work, WorkBudget


def test_a_step_that_costs_all_that_is_left_is_taken_and_one_more_unit_is_not() -> None:
    budget = WorkBudget(10)
    with pytest.raises(TooComplexError, match="too many names"):
        budget.spend(11, Work.COMPARISONS, "too many names")
    assert (budget.left, budget.spent[Work.COMPARISONS]) == (10, 0)
    budget.spend(10, Work.COMPARISONS, "too many names")
    assert (budget.left, budget.spent[Work.COMPARISONS]) == (0, 10)
    budget.spend(0, Work.SEARCH, "nothing")
    with pytest.raises(TooComplexError):
        budget.spend(1, Work.SEARCH, "too many paths")


def test_what_is_too_much_takes_nothing_from_what_is_small_enough() -> None:
    budget = WorkBudget(10)
    with pytest.raises(TooComplexError):
        budget.spend(1_000_000, Work.VERIFIER, "too many comparisons")
    budget.spend(10, Work.SIGNATURES, "too many signatures")
    assert budget.left == 0


@pytest.mark.parametrize("work", SHARES)
def test_reading_has_a_share_of_its_own_and_leaves_the_rest(work: Work) -> None:
    budget = WorkBudget()
    assert budget.left_for(work) == SHARES[work] < JUDGEMENT_UNITS
    budget.spend(SHARES[work], work, "too many bytes")
    assert budget.left_for(work) == 0
    with pytest.raises(TooComplexError):
        budget.spend(1, work, "too many bytes")
    assert budget.left_for(Work.SIGNATURES) == JUDGEMENT_UNITS - SHARES[work]


@pytest.mark.parametrize("work", SHARES)
def test_no_share_is_larger_than_what_is_left(work: Work) -> None:
    budget = WorkBudget(100)
    assert budget.left_for(work) == 100
    budget.spend(40, Work.SEARCH, "too many paths")
    assert budget.left_for(work) == 60


def test_all_shares_together_leave_room_for_judging() -> None:
    """1,000 names below 61 subtrees cost the verifier 15,000."""
    assert sum(SHARES.values()) + 10_000 < JUDGEMENT_UNITS
    assert SHARES[Work.DECODING] + 20_000 < JUDGEMENT_UNITS
