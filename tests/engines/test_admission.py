"""How many measurements a caller may have, and that none is refused because of another."""

from contextlib import ExitStack

import pytest

from otpc_policy.core.demand import Claim, Demand
from otpc_policy.core.errors import Budget, CallerBudgetUsed, Overloaded
from otpc_policy.engines.admission import Admission


def of(*names: str, is_partners: bool = False) -> Demand:
    return Demand(*(Claim(share=(name, name), is_partners=is_partners) for name in names))


def admitted(admission: Admission, stack: ExitStack, demand: Demand) -> int:
    """Begin measurements until one is refused; return how many were not."""
    for number in range(1_000):
        try:
            stack.enter_context(admission.admitted(demand))
        except Overloaded:
            return number
    return 1_000


def test_one_caller_fills_neither_the_room_nor_more_than_its_budget() -> None:
    with ExitStack() as stack:
        assert admitted(Admission(lambda: 60, most_of_a_caller=100), stack, of("a")) == 40
        assert admitted(Admission(lambda: 60, most_of_a_caller=7), stack, of("a")) == 7


def test_a_second_caller_is_not_refused_because_of_the_first() -> None:
    admission = Admission(lambda: 60, most_of_a_caller=100)
    with ExitStack() as stack:
        admitted(admission, stack, of("a"))
        with pytest.raises(CallerBudgetUsed) as raised, admission.admitted(of("a")):
            pass
        assert raised.value.budget is Budget.SCANS
        assert admitted(admission, stack, of("b")) > 10
    with admission.admitted(of("a")):
        pass


def test_a_full_service_refuses_for_want_of_room_of_its_own() -> None:
    admission = Admission(lambda: 4, most_of_a_caller=100)
    with ExitStack() as stack:
        for name in "abcd":
            stack.enter_context(admission.admitted(of(name)))
        with pytest.raises(Overloaded) as raised, admission.admitted(of("e")):
            pass
        assert type(raised.value) is Overloaded


def test_what_two_want_is_admitted_for_whichever_has_budget_left() -> None:
    admission = Admission(lambda: 60, most_of_a_caller=1)
    with ExitStack() as stack:
        stack.enter_context(admission.admitted(of("a")))
        stack.enter_context(admission.admitted(of("a", "b")))
        with pytest.raises(CallerBudgetUsed), admission.admitted(of("a", "b")):
            pass


def test_partners_endpoints_find_room_when_others_do_not() -> None:
    admission = Admission(lambda: 8, lambda room: room // 4, most_of_a_caller=100)
    with ExitStack() as stack:
        for number in range(6):
            stack.enter_context(admission.admitted(of(str(number))))
        with pytest.raises(Overloaded), admission.admitted(of("late")):
            pass
        stack.enter_context(admission.admitted(of("late", is_partners=True)))


def test_this_process_has_no_budget_but_the_room() -> None:
    with ExitStack() as stack:
        admission = Admission(lambda: 9, most_of_a_caller=1)
        assert admitted(admission, stack, Demand(Claim())) == 9
