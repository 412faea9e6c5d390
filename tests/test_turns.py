"""Pieces of work that take turns: what comes between two of them."""

import asyncio
import time

import pytest

from otpc_policy.turns import turn


def hold_the_loop(seconds: float) -> None:
    time.sleep(seconds)


async def piece(seconds: float, done: list[str], name: str) -> None:
    async with turn():
        done.append(name)
        hold_the_loop(seconds)


async def test_the_loop_attends_to_others_between_pieces_that_come_together() -> None:
    done: list[str] = []

    async def answer() -> None:
        for step in range(8):
            await asyncio.sleep(0)
            done.append(f"step {step}")

    pieces = [asyncio.create_task(piece(0.01, done, f"piece {n}")) for n in range(3)]
    await asyncio.gather(*pieces, answer())
    assert [name for name in done if name.startswith("piece")] == ["piece 0", "piece 1", "piece 2"]
    assert done.index("step 7") < done.index("piece 1")


async def test_a_piece_alone_waits_for_one_round_of_the_loop() -> None:
    for _ in range(2):
        done: list[str] = []
        alone = asyncio.create_task(piece(0.01, done, "alone"))
        await asyncio.sleep(0)
        assert not done
        await asyncio.sleep(0)
        assert done == ["alone"]
        await alone


async def test_a_piece_that_raises_or_is_cancelled_lets_the_next_begin() -> None:
    done: list[str] = []

    async def fail() -> None:
        async with turn():
            raise ValueError("the piece failed")

    failing = asyncio.create_task(fail())
    cancelled = asyncio.create_task(piece(0, done, "cancelled"))
    last = asyncio.create_task(piece(0, done, "last"))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.wait_for(last, 5)
    assert done == ["last"]
    with pytest.raises(ValueError, match="the piece failed"):
        await failing
