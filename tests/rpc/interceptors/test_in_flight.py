"""A drain waits until no call is being answered, and for as long as calls may still begin."""

import asyncio

from otpc_policy.rpc.interceptors.in_flight import CallsInFlight


async def test_without_calls_it_is_quiet_at_once() -> None:
    await asyncio.wait_for(CallsInFlight().wait_until_quiet(0.0), 5)


async def test_calls_that_are_being_answered_are_waited_for() -> None:
    calls = CallsInFlight()
    calls.begin()
    calls.begin()
    quiet = asyncio.create_task(calls.wait_until_quiet(0.0))
    calls.end()
    done, _ = await asyncio.wait({quiet}, timeout=0.05)
    assert (done, calls.count) == (set(), 1)
    calls.end()
    await asyncio.wait_for(quiet, 5)
    assert calls.count == 0


async def test_a_call_that_begins_while_it_waits_is_waited_for_too() -> None:
    calls = CallsInFlight()
    quiet = asyncio.create_task(calls.wait_until_quiet(0.05))
    await asyncio.sleep(0)  # it waits, and there is no call
    calls.begin()
    done, _ = await asyncio.wait({quiet}, timeout=0.2)
    assert not done
    calls.end()
    await asyncio.wait_for(quiet, 5)
