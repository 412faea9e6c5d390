"""The gate before an engine: so many inside, the others in turn, and nothing that nobody wants."""

import asyncio

import pytest

from otpc_policy.core.demand import Claim, Demand, ScanClass
from otpc_policy.engines.gate import Gate


def claim_of(member: str, scan_class: ScanClass = ScanClass.INTERACTIVE) -> Claim:
    """A claim of a caller with a certificate."""
    return Claim(share=(member, member), scan_class=scan_class)


class Waiting:
    """A measurement that enters the gate in a task of its own."""

    def __init__(self, gate: Gate, *claims: Claim) -> None:
        self.demand = Demand(*(claims or (Claim(),)))
        self.task = asyncio.create_task(gate.enter(self.demand))
        self.demand.dropped = self.task.cancel

    @property
    def is_inside(self) -> bool:
        return self.task.done() and not self.task.cancelled()

    @property
    def is_dropped(self) -> bool:
        return self.demand.is_dropped and self.task.cancelled()


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_has_waited_longest_is_next() -> None:
    gate = Gate(lambda: 1)
    inside, first, second = (Waiting(gate) for _ in range(3))
    await turns()
    assert inside.is_inside
    assert gate.waiting == 2
    gate.leave(inside.demand)
    await turns()
    assert (first.is_inside, second.is_inside, gate.waiting) == (True, False, 1)
    gate.leave(first.demand)
    await second.task
    gate.leave(second.demand)
    assert gate.is_idle


@pytest.mark.parametrize("has_its_turn", [False, True])
async def test_one_who_gives_up_keeps_no_place(has_its_turn: bool) -> None:
    gate = Gate(lambda: 1)
    inside, quitter, heir = (Waiting(gate) for _ in range(3))
    await turns()
    if has_its_turn:
        gate.leave(inside.demand)
        quitter.task.cancel()
    else:
        quitter.task.cancel()
        gate.leave(inside.demand)
    await heir.task
    assert quitter.task.cancelled()
    assert gate.waiting == 0


async def test_to_leave_twice_gives_one_place_back() -> None:
    gate = Gate(lambda: 1)
    first = Waiting(gate)
    await first.task
    for _ in range(2):
        gate.leave(first.demand)
    second, third = Waiting(gate), Waiting(gate)
    await turns()
    assert (second.is_inside, third.is_inside) == (True, False)
    third.task.cancel()


async def test_a_crowd_of_one_caller_leaves_places_for_the_next() -> None:
    gate = Gate(lambda: 16)
    crowd = [Waiting(gate, claim_of("tarpits")) for _ in range(100)]
    await turns()
    assert sum(each.is_inside for each in crowd) == 10
    others = [Waiting(gate, claim_of(name)) for name in ("a", "b", "c")]
    await turns()
    assert all(each.is_inside for each in others)
    for each in crowd:
        each.task.cancel()


async def test_whoever_holds_least_is_next_whatever_the_length_of_its_queue() -> None:
    gate = Gate(lambda: 3)
    first = Waiting(gate, claim_of("a"))
    await turns()
    waiting = [Waiting(gate, claim_of("a")) for _ in range(50)]
    await turns()
    late = Waiting(gate, claim_of("b"))
    await turns()
    assert late.is_inside
    gate.leave(first.demand)
    for each in waiting:
        each.task.cancel()


async def test_what_nobody_wants_leaves_the_queue() -> None:
    gate = Gate(lambda: 1)
    inside, first, second = (Waiting(gate, claim_of(name)) for name in "abc")
    await turns()
    first.demand.withdraw(claim_of("b"))
    await turns()
    assert first.is_dropped
    assert (gate.waiting, second.demand.is_dropped) == (1, False)
    gate.leave(inside.demand)
    await second.task


async def test_what_another_caller_wants_too_stays_and_comes_in_its_turn() -> None:
    """B asks for what A asked for last: it does not wait for the rest of what A wants."""
    gate = Gate(lambda: 1)
    inside = Waiting(gate, claim_of("other"))
    crowd = [Waiting(gate, claim_of("a")) for _ in range(20)]
    await turns()
    shared = crowd[-1]
    shared.demand.claim(claim_of("b"))
    shared.demand.withdraw(claim_of("a"))
    gate.leave(inside.demand)
    await turns()
    gate.leave(crowd[0].demand)
    await turns()
    assert crowd[0].is_inside
    assert shared.is_inside
    for each in crowd:
        each.task.cancel()


async def test_what_nobody_wants_goes_on_inside_until_somebody_waits() -> None:
    gate = Gate(lambda: 3)
    inside = [Waiting(gate, claim_of("a")) for _ in range(2)]
    await turns()
    for each in inside:
        each.demand.withdraw(claim_of("a"))
    await turns()
    assert not any(each.demand.is_dropped for each in inside)
    Waiting(gate, claim_of("b"))
    newcomer = Waiting(gate, claim_of("c"))
    await turns()
    assert [each.demand.is_dropped for each in inside] == [True, False]
    gate.leave(inside[0].demand)
    await newcomer.task


async def test_what_nobody_wants_does_not_even_enter() -> None:
    gate = Gate(lambda: 1)
    unwanted = Waiting(gate, claim_of("a"))
    unwanted.demand.withdraw(claim_of("a"))
    await turns()
    assert unwanted.is_dropped
    assert gate.is_idle
