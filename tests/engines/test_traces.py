"""A measurement in a trace: what the engine gets, and what of its time the front records."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.sdk", reason="needs the extra tracing")

from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.facts import Depth
from otpc_policy.core.spans import current_span, within
from otpc_policy.engine.spans import timed
from otpc_policy.engine.stages import Stage
from otpc_policy.engines.pool import EnginePool
from otpc_policy.engines.remote import RemoteFleet
from otpc_policy.measurement.limits import MAX_SPANS
from otpc_policy.measurement.span_codec import Part
from otpc_policy.measurement.v1 import measurement_pb2 as pb
from tests.engine.serving import VETTING, World, served, vetted
from tests.engines.lying import Context, lying_engine, truth
from tests.ops.test_tracing import CALLER, Memory, tracing_to

STANDARD = parse_endpoint("partner.test"), vetted("127.0.0.1"), Depth.STANDARD


@asynccontextmanager
async def pool_at(address: str) -> AsyncIterator[EnginePool]:
    fleet = RemoteFleet([address], credentials=None, vetting=VETTING, now=lambda: datetime.now(UTC))
    pool = EnginePool(fleet, queue_limit=8, scan_deadline_s=2, deep_deadline_s=2, dns_timeout_s=1.0)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()


async def test_the_parts_of_a_measurement_are_children_of_its_call(tmp_path: Path) -> None:
    world, memory = World(stages=(Stage.QUEUED, Stage.BEGUN)), Memory()
    world.gate.set()

    def spend() -> None:
        for _ in range(2):
            with timed(Part.WAVE, connections=5):
                pass

    world.on_scan = spend
    async with served(world, tmp_path) as _, pool_at(f"unix:{tmp_path}/engine") as pool:
        with tracing_to(memory) as tracing, within(tracing.begin_call("call", CALLER, {})):
            await pool.measure(*STANDARD)
    (measure,) = [span for span in memory.spans if span.name == "measure"]
    assert measure.attributes["rpc.method"].endswith("/Measure")
    children = [span for span in memory.spans if span.parent_id == measure.span_id]
    assert [(span.name, span.attributes) for span in children] == [
        ("engine queue", {}),
        ("wave", {"otpc_policy.connections": 5, "otpc_policy.wave.number": 1}),
        ("wave", {"otpc_policy.connections": 5, "otpc_policy.wave.number": 2}),
    ]
    assert {span.trace_id for span in memory.spans} == {CALLER.trace_id}


async def test_an_engine_reports_no_more_parts_than_the_contract_has_room_for(
    tmp_path: Path,
) -> None:
    world, memory = World(), Memory()
    world.gate.set()

    def spend() -> None:
        for _ in range(2 * MAX_SPANS):
            with timed(Part.HANDSHAKE):
                pass

    world.on_scan = spend
    async with served(world, tmp_path) as _, pool_at(f"unix:{tmp_path}/engine") as pool:
        with tracing_to(memory) as tracing, within(tracing.begin_call("call", None, {})):
            await pool.measure(*STANDARD)
    assert sum(span.name == "handshake" for span in memory.spans) == MAX_SPANS


@pytest.mark.parametrize("ratio", [0.0, 1.0])
async def test_the_trace_goes_with_the_call_and_an_older_engine_reports_no_parts(
    tmp_path: Path, ratio: float
) -> None:
    memory, given = Memory(), {}

    async def older(target: pb.Target, context: Context) -> None:
        given.update(dict(context.invocation_metadata() or ()))
        await context.write(truth(target).SerializeToString())

    async with lying_engine(tmp_path, older) as address, pool_at(address) as pool:
        with (
            tracing_to(memory, ratio=ratio) as tracing,
            within(tracing.begin_call("call", CALLER, {})) as root,
        ):
            facts = await pool.measure(*STANDARD)
            assert current_span() is root
    assert facts.address == "127.0.0.1"
    flag = "01" if ratio else "00"
    version, trace_id, span_id, flags = str(given["traceparent"]).split("-")
    assert (version, trace_id, flags) == ("00", CALLER.trace_id, flag)
    assert given["tracestate"] == CALLER.state
    if ratio:
        (measure,) = [span for span in memory.spans if span.name == "measure"]
        assert span_id == measure.span_id
        assert not [span for span in memory.spans if span.parent_id == measure.span_id]
    else:
        assert not memory.spans


async def test_without_a_trace_nothing_is_sent_and_nothing_reported(tmp_path: Path) -> None:
    given: dict[str, object] = {}

    async def engine(target: pb.Target, context: Context) -> None:
        given.update(dict(context.invocation_metadata() or ()))
        await context.write(truth(target).SerializeToString())

    async with lying_engine(tmp_path, engine) as address, pool_at(address) as pool:
        await pool.measure(*STANDARD)
    assert not {"traceparent", "tracestate"} & given.keys()
