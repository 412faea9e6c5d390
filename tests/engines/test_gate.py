"""The gate before an engine: so many inside, the others in order, nobody forgotten."""

import asyncio

import pytest

from otpc_policy.engines.gate import Gate


async def enter(gate: Gate, number: int) -> "asyncio.Task[None]":
    async def wait_for_turn() -> None:
        await gate.enter()

    task = asyncio.create_task(wait_for_turn(), name=str(number))
    await asyncio.sleep(0)
    return task


async def test_who_has_waited_longest_is_next() -> None:
    gate = Gate(lambda: 1)
    await gate.enter()
    first, second = await enter(gate, 1), await enter(gate, 2)
    assert (gate.waiting, gate.is_full) == (2, True)
    gate.leave()
    await asyncio.sleep(0)
    assert (first.done(), second.done(), gate.waiting) == (True, False, 1)
    gate.leave()
    await second


async def test_nobody_overtakes_those_who_wait() -> None:
    capacity = 1
    gate = Gate(lambda: capacity)
    await gate.enter()
    waiting = await enter(gate, 1)
    capacity = 5
    late = await enter(gate, 2)
    assert not waiting.done()
    assert not late.done()
    gate.leave()
    await asyncio.gather(waiting, late)


@pytest.mark.parametrize("has_its_turn", [False, True])
async def test_one_who_gives_up_keeps_no_place(has_its_turn: bool) -> None:
    gate = Gate(lambda: 1)
    await gate.enter()
    quitter, heir = await enter(gate, 1), await enter(gate, 2)
    if has_its_turn:
        gate.leave()
        quitter.cancel()
    else:
        quitter.cancel()
        gate.leave()
    await heir
    assert quitter.cancelled()
    assert gate.waiting == 0
