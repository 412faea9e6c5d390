"""Calls to what takes connections and never says a word: they do not even begin."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from otpc_policy.engines import measuring
from otpc_policy.engines.client import EngineClient
from otpc_policy.engines.errors import EngineFailed, EngineLost
from tests.engine.serving import VETTING
from tests.engines.test_client import TARGET, TERMS, ignored
from tests.support.facts import NOW


@asynccontextmanager
async def mute(folder: Path) -> AsyncIterator[str]:
    """Something that takes connections and never says a word: a call to it does not even begin."""
    taken: list[asyncio.StreamWriter] = []
    path = f"{folder}/mute"
    server = await asyncio.start_unix_server(lambda _, writer: taken.append(writer), path)
    try:
        yield f"unix:{path}"
    finally:
        for writer in taken:
            writer.close()
        server.close()


@pytest.mark.parametrize("by_channel", [True, False])
async def test_a_call_that_is_given_up_before_it_has_begun_holds_nobody(
    tmp_path: Path, by_channel: bool
) -> None:
    async with mute(tmp_path) as address, asyncio.timeout(10):
        channel = grpc.aio.insecure_channel(address)
        client = EngineClient(channel, vetting=VETTING, now=lambda: NOW)
        measurement = asyncio.create_task(client.measure(TARGET, TERMS, left_standard_part=ignored))
        await asyncio.sleep(0.1)
        assert client.is_busy
        if by_channel:
            await channel.close(None)
        else:
            client.give_up()
        with pytest.raises(EngineLost):
            await measurement
        assert not client.is_busy
        await channel.close(None)


async def test_a_call_that_never_begins_ends_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "_MARGIN_S", 0.1)
    brief = replace(TERMS, scan_deadline_s=0.1)
    async with (
        mute(tmp_path) as address,
        grpc.aio.insecure_channel(address) as channel,
        asyncio.timeout(10),
    ):
        client = EngineClient(channel, vetting=VETTING, now=lambda: NOW)
        with pytest.raises(EngineFailed):
            await client.measure(TARGET, brief, left_standard_part=ignored)
