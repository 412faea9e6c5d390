"""When an engine's silence is looked at."""

import asyncio
from typing import cast

import pytest

from otpc_policy.engines import heartbeats
from otpc_policy.engines.client import EngineClient
from otpc_policy.engines.heartbeats import Silence
from otpc_policy.engines.starvation import Scheduled, Starvation


class _Client:
    """What a silence looks at."""

    def __init__(self) -> None:
        self.is_busy, self.reports, self.arrears = False, 0, 0

    def became_busy(self) -> None:
        raise AssertionError("nobody wants to know")

    def begin(self) -> None:
        self.became_busy()
        self.is_busy = True


def silence_of(client: _Client) -> Silence:
    return Silence(cast(EngineClient, client))


async def test_a_measurement_that_begins_at_rest_is_looked_at_at_once() -> None:
    client = _Client()
    silence, never = silence_of(client), asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(silence.until_next_look({never}))
    await asyncio.sleep(0)
    client.begin()
    async with asyncio.timeout(0.5):
        assert await waiting == set()
    silence.look()
    assert silence.is_short


async def test_measurements_that_follow_bring_no_further_looks_so_that_a_second_is_one() -> None:
    """Else an engine that answers many short ones would be taken for a silent one."""
    client = _Client()
    silence, never = silence_of(client), asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(silence.until_next_look({never}))
    await asyncio.sleep(0)
    client.begin()
    await waiting
    silence.look()
    waiting = asyncio.create_task(silence.until_next_look({never}))
    for _ in range(10):
        client.is_busy = False
        client.begin()
        await asyncio.sleep(0.01)
    assert not waiting.done()
    waiting.cancel()


async def test_reports_that_came_while_this_process_was_stopped_are_no_lie(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heartbeats, "_LOOK_AT_REST_S", 0.01)
    client, never = _Client(), asyncio.get_running_loop().create_future()
    silence = silence_of(client)
    await silence.until_next_look({never})
    silence.look()
    assert client.arrears == 0
    waiting = asyncio.create_task(silence.until_next_look({never}))
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    now_s = loop.time() + 300
    monkeypatch.setattr(loop, "time", lambda: now_s)
    await waiting
    silence.look()
    assert client.arrears == 299
    monkeypatch.undo()
    await silence.until_next_look({never})
    silence.look()
    assert client.arrears == 0


async def test_what_ends_meanwhile_is_returned() -> None:
    ended = asyncio.get_running_loop().create_future()
    ended.set_result(None)
    assert await silence_of(_Client()).until_next_look({ended}) == {ended}


async def test_three_looks_in_vain_during_a_measurement_are_too_many() -> None:
    client = _Client()
    silence = silence_of(client)
    client.is_busy = True
    silence.look()
    for is_over_long in (False, False, True):
        silence.look()
        assert silence.is_over_long is is_over_long
    client.reports = 1
    silence.look()
    assert not silence.is_over_long


async def test_looks_in_vain_that_starvation_explains_do_not_count_up_to_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client, times = _Client(), Scheduled()
    silence = Silence(cast(EngineClient, client), Starvation(lambda: times))
    loop = asyncio.get_running_loop()
    now_s = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now_s)
    client.is_busy = True
    silence.look()
    looks = 0
    while not silence.is_over_long:
        now_s += 1
        times = Scheduled(times.ran_s + 0.01, times.waited_s + 0.8)
        silence.look()
        looks += 1
        assert silence.is_short or looks > 20
    assert looks == 23
    client.reports = 1
    silence.look()
    assert silence.is_short
