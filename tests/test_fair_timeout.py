"""A deadline that does not charge others for this process's own work."""

import asyncio
import time

import pytest

from otpc_policy.fair_timeout import fair_timeout


async def test_what_never_answers_is_given_up_in_time() -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with fair_timeout(0.05, longest_s=5.0):
            await asyncio.Event().wait()
    assert 0.04 < time.monotonic() - began < 2.0


async def test_an_answer_that_is_there_is_read_although_the_loop_was_held() -> None:
    answered = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.01, answered.set_result, "answer")

    async def busy() -> None:
        for _ in range(3):
            time.sleep(0.1)  # noqa: ASYNC251  # holds the loop, as a burst of work does
            await asyncio.sleep(0)

    working = asyncio.create_task(busy())
    async with fair_timeout(0.1, longest_s=5.0):
        await asyncio.sleep(0)
        for _ in range(2):
            # An answer takes several turns of the loop to reach whoever waits for it.
            await asyncio.sleep(0)
        assert await answered == "answer"
    await working


async def test_it_ends_by_the_clock_however_the_loop_is_held() -> None:
    async def busy() -> None:
        while True:
            time.sleep(0.03)  # noqa: ASYNC251
            await asyncio.sleep(0)

    working, began = asyncio.create_task(busy()), time.monotonic()
    with pytest.raises(TimeoutError):
        async with fair_timeout(0.1, longest_s=0.12):
            await asyncio.Event().wait()
    assert time.monotonic() - began < 1.0
    working.cancel()


async def test_a_cancellation_is_no_timeout() -> None:
    async def wait() -> None:
        async with fair_timeout(5.0, longest_s=5.0):
            await asyncio.Event().wait()

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_nothing_is_left_of_it() -> None:
    async with fair_timeout(0.02, longest_s=0.02):
        pass
    await asyncio.sleep(0.1)
