"""The client and the service together: what goes in at one end comes out at the other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.errors import Overloaded
from otpc_policy.core.facts import Depth
from otpc_policy.engine.contradictions import hear
from otpc_policy.engine.egress.hindrance import CannotDial
from otpc_policy.engine.stages import Stage
from otpc_policy.engines.client import EngineClient, channel_options
from otpc_policy.engines.errors import EngineFailed, EngineHindered, EngineLost
from otpc_policy.engines.ports import EngineState, Target, Terms
from otpc_policy.measurement.engine_lied import EngineLied
from otpc_policy.measurement.revision import PROBE_REVISION
from tests.engine.serving import LOOPBACK, VETTING, Served, World, served, vetted
from tests.support.facts import NOW, make_address

TARGET = Target(parse_endpoint("partner.test"), vetted("127.0.0.1"), Depth.STANDARD)
TERMS = Terms(scan_deadline_s=20, deep_deadline_s=60, required_suites=((0xC02F,), (0xC030, 0xC02B)))
LATER = NOW + timedelta(hours=1)


def ignored() -> None:
    """Take no notice of where the measurement stands."""


@asynccontextmanager
async def connected(world: World, folder: Path) -> AsyncIterator[tuple[EngineClient, Served]]:
    async with (
        served(world, folder) as service,
        grpc.aio.insecure_channel(f"unix:{folder}/engine", options=channel_options()) as channel,
    ):
        yield EngineClient(channel, vetting=VETTING, now=lambda: LATER), service


async def test_what_an_engine_says_of_another_place_is_a_lie(tmp_path: Path) -> None:
    """Also where it has said otherwise before, as behind something that shares out connections."""
    world = World(perspective="us-east")
    world.gate.set()
    async with (
        served(world, tmp_path),
        grpc.aio.insecure_channel(f"unix:{tmp_path}/engine", options=channel_options()) as channel,
    ):
        client = EngineClient(channel, vetting=VETTING, now=lambda: NOW, perspective="eu-west")
        with pytest.raises(EngineLied, match="perspective"):
            await client.measure(TARGET, TERMS, left_standard_part=ignored)
        with pytest.raises(EngineLied, match="perspective"):
            await client.resolve("partner.test", fresh=False, within_s=5)
        with pytest.raises(EngineLied, match="perspective"):
            await client.watch(ignored)


async def test_facts_come_back_dated_by_the_front(tmp_path: Path) -> None:
    """An engine whose clock is wrong, or that lies, must not make facts last longer."""
    world = World()
    world.gate.set()
    async with connected(world, tmp_path) as (client, _):
        report = await client.measure(TARGET, TERMS, left_standard_part=ignored)
    in_order = sorted(make_address().cipher_suites, key=lambda one: (one.version, one.code_point))
    assert report.facts == replace(
        make_address(),
        address="127.0.0.1",
        observed_at=LATER,
        cipher_suites=tuple(in_order),
        probe_revision=PROBE_REVISION,
    )
    assert world.deadlines == (20, 60)


@pytest.mark.parametrize("asked", [False, True])
async def test_the_engine_is_told_whether_to_ask_about_groups(tmp_path: Path, asked: bool) -> None:
    world = World()
    world.gate.set()
    async with connected(world, tmp_path) as (client, _):
        await client.measure(TARGET, replace(TERMS, asks_groups=asked), left_standard_part=ignored)
    assert world.asks_groups is asked


@pytest.mark.parametrize("connections", [None, 3])
async def test_the_engine_is_told_how_many_connections_it_may_open(
    tmp_path: Path, connections: int | None
) -> None:
    world = World()
    terms = replace(TERMS, connections=connections)
    async with connected(world, tmp_path) as (client, _):
        client.share_connections(TARGET, 5)  # of no measurement
        measuring = asyncio.create_task(client.measure(TARGET, terms, left_standard_part=ignored))
        await world.begun.wait()
        assert world.connections == connections
        client.share_connections(TARGET, 2)
        async with asyncio.timeout(10):
            await world.has_shared.wait()
        # Whoever waits for what has been found so far is answered all the same.
        assert await client.partial(TARGET) is None
        world.gate.set()
        await measuring
        client.share_connections(TARGET, 1)
    assert world.shares == [("127.0.0.1", 2)]


async def test_contradictions_come_with_the_facts(tmp_path: Path) -> None:
    def find_two() -> None:
        hear("version")
        hear("cipher_suite")

    world = World(on_scan=find_two)
    world.gate.set()
    async with connected(world, tmp_path) as (client, _):
        report = await client.measure(TARGET, TERMS, left_standard_part=ignored)
    assert report.contradictions == ("version", "cipher_suite")


async def test_what_has_been_found_so_far_is_asked_for_while_it_is_measured(tmp_path: Path) -> None:
    world = World()
    async with connected(world, tmp_path) as (client, _):
        assert await client.partial(TARGET) is None
        measurement = asyncio.create_task(client.measure(TARGET, TERMS, left_standard_part=ignored))
        await world.begun.wait()
        assert await client.partial(TARGET) is None
        world.so_far = make_address(remarks=("so far",))
        found = await asyncio.gather(*(client.partial(TARGET) for _ in range(3)))
        assert all(one is not None and one.remarks == ("so far",) for one in found)
        assert all(one is not None and one.observed_at == LATER for one in found)
        world.gate.set()
        await measurement
        assert await client.partial(TARGET) is None


@pytest.mark.parametrize("steps", range(6))
async def test_who_leaves_while_asking_ends_no_measurement(tmp_path: Path, steps: int) -> None:
    """Callers have deadlines of their own, and the question is asked when one is about to pass."""
    world = World()
    async with connected(world, tmp_path) as (client, _):
        measurement = asyncio.create_task(client.measure(TARGET, TERMS, left_standard_part=ignored))
        await world.begun.wait()
        world.so_far = make_address(remarks=("so far",))
        hurried = asyncio.create_task(client.partial(TARGET))
        for _ in range(steps):
            await asyncio.sleep(0)
        hurried.cancel()
        found = await client.partial(TARGET)
        assert found is not None
        assert found.remarks == ("so far",)
        world.gate.set()
        assert (await measurement).facts.address == "127.0.0.1"


async def test_who_asks_at_the_end_gets_nothing_and_waits_for_nothing(tmp_path: Path) -> None:
    world = World(on_scan=lambda: None)
    async with connected(world, tmp_path) as (client, _):
        measurement = asyncio.create_task(client.measure(TARGET, TERMS, left_standard_part=ignored))
        await world.begun.wait()
        measurement.cancel()
        async with asyncio.timeout(5):
            assert await client.partial(TARGET) is None


async def test_a_deep_part_is_told(tmp_path: Path) -> None:
    world = World(stages=tuple(Stage))
    left: list[int] = []
    async with connected(world, tmp_path) as (client, _):
        measurement = asyncio.create_task(
            client.measure(
                replace(TARGET, depth=Depth.DEEP), TERMS, left_standard_part=lambda: left.append(1)
            )
        )
        async with asyncio.timeout(5):
            while not left:  # noqa: ASYNC110  # the pool's callback is all there is
                await asyncio.sleep(0.01)
        assert not measurement.done()
        world.gate.set()
        assert (await measurement).facts.depth is Depth.DEEP


async def test_a_full_queue_is_overload_for_as_long_as_is_sensible(tmp_path: Path) -> None:
    for said, told in ((7, 7), (0, 1), (100_000, 60)):
        world = World(error=Overloaded(timedelta(seconds=said)))
        world.gate.set()
        async with connected(world, tmp_path) as (client, _):
            with pytest.raises(Overloaded) as raised:
                await client.measure(TARGET, TERMS, left_standard_part=ignored)
        assert raised.value.retry_after == timedelta(seconds=told)


async def test_a_bug_of_the_engine_is_not_tried_elsewhere(tmp_path: Path) -> None:
    world = World(error=RuntimeError("secret"))
    world.gate.set()
    async with connected(world, tmp_path) as (client, _):
        with pytest.raises(EngineFailed, match=r"\(INTERNAL\)"):
            await client.measure(TARGET, TERMS, left_standard_part=ignored)
        with pytest.raises(EngineFailed):
            await client.resolve("partner.test", fresh=False, within_s=5)


async def test_an_engine_whose_machine_cannot_connect_is_neither_lost_nor_broken(
    tmp_path: Path,
) -> None:
    world = World(error=CannotDial("Too many open files"))
    world.gate.set()
    async with connected(world, tmp_path) as (client, _):
        with pytest.raises(EngineHindered, match="cannot open the connection"):
            await client.measure(TARGET, TERMS, left_standard_part=ignored)


async def test_a_draining_engine_is_lost_for_what_is_new(tmp_path: Path) -> None:
    async with connected(World(), tmp_path) as (client, service):
        await service.servicer.drain(1.0)
        with pytest.raises(EngineLost):
            await client.measure(TARGET, TERMS, left_standard_part=ignored)
        with pytest.raises(EngineLost):
            await client.resolve("partner.test", fresh=False, within_s=5)
        with pytest.raises(EngineLost):
            await client.watch(ignored)


async def test_nobody_there_is_lost(tmp_path: Path) -> None:
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/nobody") as channel:
        client = EngineClient(channel, vetting=VETTING, now=lambda: NOW)
        with pytest.raises(EngineLost):
            await client.measure(TARGET, TERMS, left_standard_part=ignored)


@pytest.mark.parametrize("by_channel", [True, False])
async def test_a_closed_channel_loses_what_is_under_way_and_cancels_nobody(
    tmp_path: Path, by_channel: bool
) -> None:
    world = World()
    async with served(world, tmp_path):
        channel = grpc.aio.insecure_channel(f"unix:{tmp_path}/engine")
        client = EngineClient(channel, vetting=VETTING, now=lambda: NOW)
        measurement = asyncio.create_task(client.measure(TARGET, TERMS, left_standard_part=ignored))
        await world.begun.wait()
        if by_channel:
            await channel.close(None)
        else:
            client.give_up()
        with pytest.raises(EngineLost):
            await measurement
        await channel.close(None)


async def test_a_cancelled_measurement_is_cancelled_in_the_engine_too(tmp_path: Path) -> None:
    world = World()
    async with connected(world, tmp_path) as (client, service):
        measurement = asyncio.create_task(client.measure(TARGET, TERMS, left_standard_part=ignored))
        await world.begun.wait()
        measurement.cancel()
        with pytest.raises(asyncio.CancelledError):
            await measurement
        await service.servicer.drain(5.0)
        assert world.was_cancelled


async def test_addresses_pass_the_fronts_guard(tmp_path: Path) -> None:
    async with connected(World(), tmp_path) as (client, _):
        assert await client.resolve("partner.test", fresh=False, within_s=5) == LOOPBACK


async def test_the_state_is_what_the_engine_reports(tmp_path: Path) -> None:
    reported = asyncio.Event()
    async with connected(World(), tmp_path) as (client, _):
        watching = asyncio.create_task(client.watch(reported.set))
        await reported.wait()
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching
    assert client.reports == 1
    # In this process, so the tasks are those of the test.
    assert client.state.tasks > 1
    assert client.state == EngineState(
        probe_revision=PROBE_REVISION,
        queued=3,
        workers_alive=2,
        concurrent_scans=32,
        tasks=client.state.tasks,
    )


async def test_a_call_that_ends_as_somebody_asks_cancels_nobody(tmp_path: Path) -> None:
    """gRPC raises CancelledError in every user of a call that somebody cancelled."""
    world = World()
    async with connected(world, tmp_path) as (client, _):
        for _attempt in range(30):
            world.begun.clear()
            measurement = asyncio.create_task(
                client.measure(TARGET, TERMS, left_standard_part=ignored)
            )
            await world.begun.wait()
            asking = asyncio.create_task(client.partial(TARGET))
            await asyncio.sleep(0)
            client.give_up()
            assert await asking is None
            with pytest.raises(EngineLost):
                await measurement
