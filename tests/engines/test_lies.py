"""A lie costs one failed measurement within a second, no memory, and never a fact."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest

from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.errors import Overloaded
from otpc_policy.core.facts import Depth, ResolutionStatus
from otpc_policy.engines import measuring
from otpc_policy.engines.errors import EngineFailed
from otpc_policy.engines.pool import EnginePool
from otpc_policy.engines.remote import RemoteFleet
from otpc_policy.measurement.engine_lied import EngineLied
from otpc_policy.measurement.v1 import measurement_pb2 as pb
from tests.engine.serving import VETTING, vetted
from tests.engines.lies import LIES, MIB, echoing, final, progress
from tests.engines.lying import Context, Lie, Lookup, lying_engine, truth
from tests.support.facts import make_address

STANDARD = parse_endpoint("partner.test"), vetted("127.0.0.1"), Depth.STANDARD
SCAN_DEADLINE_S = 0.3


@asynccontextmanager
async def pool_at(address: str) -> AsyncIterator[EnginePool]:
    fleet = RemoteFleet([address], credentials=None, vetting=VETTING, now=lambda: datetime.now(UTC))
    pool = EnginePool(
        fleet,
        queue_limit=8,
        scan_deadline_s=SCAN_DEADLINE_S,
        deep_deadline_s=SCAN_DEADLINE_S,
        dns_timeout_s=1.0,
    )
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()


async def failure(pool: EnginePool) -> tuple[BaseException, float]:
    """Return how a measurement ends, and how long that took."""
    began = time.monotonic()
    try:
        await pool.measure(*STANDARD)
    except Exception as error:  # noqa: BLE001  # which one is what the test asks
        return error, time.monotonic() - began
    pytest.fail("the lie was believed")


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
async def test_a_lie_fails_its_measurement_at_once(tmp_path: Path, lie: Lie) -> None:
    async with lying_engine(tmp_path, lie) as address, pool_at(address) as pool:
        error, took_s = await failure(pool)
    assert isinstance(error, EngineLied), error
    assert took_s < SCAN_DEADLINE_S + 1.5


HEAVY = (
    "a chain of a million certificates",
    "a chain of half a million",
    "a flood of deployments",
    "a message beyond all bounds",
    "partial reports that nobody asked for",
)


@pytest.mark.parametrize("name", HEAVY)
async def test_a_lie_takes_no_memory(tmp_path: Path, name: str) -> None:
    """The engine is another process here, so what grows is the front."""
    liar = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.engines.lies", str(tmp_path), name), stdin=-1, stdout=-1
    )
    assert liar.stdin is not None
    assert liar.stdout is not None
    try:
        assert await liar.stdout.readline() == b"ready\n"
        async with pool_at(f"unix:{tmp_path}/liar") as pool:
            before = peak_memory(reset=True)
            error, _ = await failure(pool)
            assert isinstance(error, EngineLied), error
            assert peak_memory() - before < 50 * MIB
    finally:
        liar.stdin.close()
        liar.kill()
        await liar.wait()


def peak_memory(*, reset: bool = False) -> int:
    """Return the most that this process has had resident since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


SILENCES: dict[str, Lie] = {
    "from the start": progress(),
    "after it has begun": progress(pb.PROGRESS_QUEUED, pb.PROGRESS_BEGUN),
    "in the deep part": progress(pb.PROGRESS_DEEP_BEGUN),
    "after stages that a newer engine may have": progress(98, 99),
}


@pytest.mark.parametrize("lie", SILENCES.values(), ids=SILENCES.keys())
async def test_a_stream_that_never_ends_is_left_a_second_after_its_deadline(
    tmp_path: Path, lie: Lie
) -> None:
    async with lying_engine(tmp_path, lie) as address, pool_at(address) as pool:
        error, took_s = await failure(pool)
    assert isinstance(error, EngineFailed), error
    assert took_s < SCAN_DEADLINE_S + 1.5


async def _stays_open(_target: pb.Target, _context: Context) -> None:
    await asyncio.sleep(60)


async def _ends_badly(_target: pb.Target, context: Context) -> None:
    await context.abort(grpc.StatusCode.INTERNAL)


async def _is_cancelled(_target: pb.Target, context: Context) -> None:
    """End as gRPC ends the calls of a program that stops."""
    await context.abort(grpc.StatusCode.CANCELLED)


@pytest.mark.parametrize("end", [_stays_open, _ends_badly, _is_cancelled])
async def test_a_report_stands_however_its_stream_ends(tmp_path: Path, end: Lie) -> None:
    """An engine that has no CPU for a moment ends its stream late: no reason to lose facts."""

    calls = 0

    async def report(target: pb.Target, context: Context) -> None:
        nonlocal calls
        calls += 1
        await context.write(truth(target).SerializeToString())
        await end(target, context)

    async with lying_engine(tmp_path, report) as address, pool_at(address) as pool:
        began = time.monotonic()
        facts = await pool.measure(*STANDARD)
        took_s = time.monotonic() - began
    assert (facts.address, calls) == ("127.0.0.1", 1)
    assert took_s < SCAN_DEADLINE_S + 1.5


QUEUES: dict[str, Lie] = {
    "for its turn": progress(pb.PROGRESS_QUEUED),
    "for its deep part": progress(pb.PROGRESS_BEGUN, pb.PROGRESS_DEEP_QUEUED),
}


@pytest.mark.parametrize("lie", QUEUES.values(), ids=QUEUES.keys())
async def test_nobody_waits_for_ever_in_a_queue_that_is_reported_to_be_empty(
    tmp_path: Path, lie: Lie, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "_REPORTED_WITHIN_S", 0.1)
    async with lying_engine(tmp_path, lie) as address, pool_at(address) as pool:
        error, took_s = await failure(pool)
    assert isinstance(error, EngineFailed), error
    assert took_s < 0.1 + 2 * (SCAN_DEADLINE_S + 1.5)


async def test_a_long_queue_is_waited_for_as_long_as_it_can_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than an empty one would be: those ahead may take all of their time."""
    monkeypatch.setattr(measuring, "_REPORTED_WITHIN_S", 0.1)
    monkeypatch.setattr(measuring, "_MARGIN_S", 0.1)

    async def queue(target: pb.Target, context: Context) -> None:
        message = echoing(target)
        message.progress = pb.PROGRESS_QUEUED
        await context.write(message.SerializeToString())
        await asyncio.sleep(4 * SCAN_DEADLINE_S)
        await context.write(truth(target).SerializeToString())

    async with (
        lying_engine(tmp_path, queue, queued=8 * 9) as address,
        pool_at(address) as pool,
    ):
        facts = await pool.measure(*STANDARD)
    assert facts.address == "127.0.0.1"


@pytest.mark.parametrize("lie", QUEUES.values(), ids=QUEUES.keys())
async def test_a_queue_that_is_reported_to_be_endless_is_too_long(
    tmp_path: Path, lie: Lie, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be true: so the caller is asked to come back, and the engine not condemned."""
    monkeypatch.setattr(measuring, "_REPORTED_WITHIN_S", 0.1)
    monkeypatch.setattr(measuring, "_MARGIN_S", 0.1)
    async with lying_engine(tmp_path, lie, queued=1_000_000) as address, pool_at(address) as pool:
        error, took_s = await failure(pool)
    assert isinstance(error, Overloaded), error
    assert took_s < 0.1 + 6 * (SCAN_DEADLINE_S + 0.1) + 1.5


async def test_a_liar_is_asked_nothing_more_for_a_while(tmp_path: Path) -> None:
    asked = 0

    async def lie(_target: pb.Target, context: Context) -> None:
        nonlocal asked
        asked += 1
        await context.write(b"\xff")

    async with lying_engine(tmp_path, lie) as address, pool_at(address) as pool:
        assert isinstance((await failure(pool))[0], EngineLied)
        measurement = asyncio.create_task(pool.measure(*STANDARD))
        await asyncio.sleep(0.2)
        assert not measurement.done()
        assert asked == 1
        measurement.cancel()
        await asyncio.gather(measurement, return_exceptions=True)


async def test_the_truth_is_believed(tmp_path: Path) -> None:
    """Else the tests above would show nothing."""
    async with (
        lying_engine(tmp_path, final(lambda _message: None)) as address,
        pool_at(address) as pool,
    ):
        facts = await pool.measure(*STANDARD)
    assert facts.deployments == make_address().deployments


async def test_what_a_newer_engine_adds_is_passed_over(tmp_path: Path) -> None:
    async def newer(target: pb.Target, context: Context) -> None:
        # Field 99 of the response, and an update of a kind that is not known here.
        await context.write(echoing(target).SerializeToString() + b"\x98\x06\x01")
        message = echoing(target)
        message.progress = 77  # type: ignore[assignment]
        await context.write(message.SerializeToString())
        await context.write(truth(target).SerializeToString() + b"\x98\x06\x01")

    async with lying_engine(tmp_path, newer) as address, pool_at(address) as pool:
        facts = await pool.measure(*STANDARD)
    assert facts.deployments == make_address().deployments


def found(**fields: object) -> Lookup:
    def lookup(request: pb.ResolveRequest) -> bytes:
        message = pb.ResolveResponse(
            host=request.host,
            status=pb.RESOLUTION_STATUS_RESOLVED,
            failure=pb.RESOLUTION_FAILURE_NONE,
        )
        message.valid_for.seconds = 30
        for name, value in fields.items():
            if isinstance(value, list):
                getattr(message, name).extend(value)
            else:
                setattr(message, name, value)
        return message.SerializeToString()

    return lookup


LOOKUPS: dict[str, tuple[Lookup, ResolutionStatus]] = {
    "an open address": (found(addresses=["127.0.0.9"]), ResolutionStatus.RESOLVED),
    "an address that is not open": (found(addresses=["10.0.0.1"]), ResolutionStatus.FORBIDDEN),
    "a metadata address": (found(addresses=["169.254.169.254"]), ResolutionStatus.FORBIDDEN),
    "another host": (found(host="other.test", addresses=["127.0.0.9"]), ResolutionStatus.FAILED),
    "a name": (found(addresses=["localhost"]), ResolutionStatus.FAILED),
    "no message": (lambda _request: b"\xff", ResolutionStatus.FAILED),
    "too long a message": (lambda _request: bytes(MIB), ResolutionStatus.FAILED),
}


@pytest.mark.parametrize(("lookup", "status"), LOOKUPS.values(), ids=LOOKUPS.keys())
async def test_no_address_is_believed_before_the_fronts_guard(
    tmp_path: Path, lookup: Lookup, status: ResolutionStatus
) -> None:
    async with lying_engine(tmp_path, progress(), lookup) as address, pool_at(address) as pool:
        resolution = await pool.resolve("partner.test")
    assert resolution.status is status
    assert bool(resolution.addresses) is (status is ResolutionStatus.RESOLVED)
