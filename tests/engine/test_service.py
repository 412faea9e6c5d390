"""The service: what a measurement says and when, what is refused, and how it drains."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from otpc_policy.core.errors import Overloaded
from otpc_policy.core.facts import Depth
from otpc_policy.engine.contradictions import hear
from otpc_policy.engine.service import pulse
from otpc_policy.engine.service.servicer import MeasurementServicer
from otpc_policy.engine.stages import Stage
from otpc_policy.measurement.codec import decode_facts
from otpc_policy.measurement.methods import MEASURE, RESOLVE
from otpc_policy.measurement.revision import PROBE_REVISION
from otpc_policy.measurement.v1 import measurement_pb2 as pb
from otpc_policy.ops.own_listeners import OwnListeners
from tests.engine.serving import ASK, VETTING, World, served, start, target
from tests.support.facts import make_address


async def replies(call: Any, *requests: pb.MeasureRequest) -> list[pb.MeasureResponse]:
    for request in requests:
        await call.write(request)
    return [message async for message in call]


async def refusal(awaitable: Any) -> tuple[grpc.StatusCode, str, list[Any]]:
    """Return the code, the reason of ErrorInfo, and the details after it."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await awaitable
    trailing: Any = raised.value.trailing_metadata()
    trailers = dict(trailing)
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "otpc-policy"
    return raised.value.code(), info.reason, list(status.details[1:])


async def test_a_measurement_ends_with_its_facts_and_an_echo(tmp_path: Path) -> None:
    world = World()
    world.gate.set()
    async with served(world, tmp_path) as service:
        (final,) = await replies(service.stub.Measure(), start())
    assert final.probe_revision == PROBE_REVISION
    assert final.target == target()
    facts = decode_facts(
        final.final_report.facts,
        address="127.0.0.1",
        depth=Depth.STANDARD,
        probe_revision=final.probe_revision,
    )
    assert facts.deployments == make_address().deployments


async def test_what_has_been_found_so_far_is_reported_when_asked_and_only_then(
    tmp_path: Path,
) -> None:
    world = World()
    async with served(world, tmp_path) as service:
        call = service.stub.Measure()
        await call.write(start())
        await call.write(ASK)
        nothing = await call.read()
        assert nothing.WhichOneof("update") == "partial_report"
        assert not nothing.partial_report.HasField("facts")
        world.so_far = make_address(remarks=("so far",))
        await call.write(ASK)
        something = await call.read()
        assert something.target == target()
        assert something.partial_report.facts.remarks == ["so far"]
        world.gate.set()
        assert (await call.read()).WhichOneof("update") == "final_report"
        assert await call.code() is grpc.StatusCode.OK


async def test_stages_are_reported_in_their_order(tmp_path: Path) -> None:
    world = World(stages=tuple(Stage))
    world.gate.set()
    async with served(world, tmp_path) as service:
        *stages, _ = await replies(service.stub.Measure(), start(depth=pb.DEPTH_DEEP))
    assert [one.progress for one in stages] == [
        pb.PROGRESS_QUEUED,
        pb.PROGRESS_BEGUN,
        pb.PROGRESS_DEEP_QUEUED,
        pb.PROGRESS_DEEP_BEGUN,
    ]


async def test_the_front_sets_deadlines(tmp_path: Path) -> None:
    world = World()
    world.gate.set()
    request = start()
    request.start.scan_deadline.FromTimedelta(timedelta(seconds=2.5))
    async with served(world, tmp_path) as service:
        await replies(service.stub.Measure(), request)
    assert world.deadlines == (2.5, None)


async def test_contradictions_go_to_the_measurement_that_met_them(tmp_path: Path) -> None:
    first, second = World(on_scan=lambda: hear("version")), World()
    for world in (first, second):
        world.gate.set()
    found = []
    for world in (first, second):
        async with served(world, tmp_path) as service:
            (final,) = await replies(service.stub.Measure(), start())
            found.append(list(final.final_report.contradictions))
    assert found == [[pb.CONTRADICTION_SUBJECT_VERSION], []]


async def test_a_front_that_leaves_ends_the_measurement(tmp_path: Path) -> None:
    world = World()
    async with served(world, tmp_path) as service:
        call = service.stub.Measure()
        await call.write(start())
        await world.begun.wait()
        assert service.servicer.under_way == 1
        call.cancel()
        await service.servicer.drain(5.0)
        assert service.servicer.under_way == 0
    assert world.was_cancelled


async def test_a_host_turns_into_addresses_for_a_time(tmp_path: Path) -> None:
    async with served(World(), tmp_path) as service:
        answer = await service.stub.Resolve(pb.ResolveRequest(host="partner.test"))
    assert (answer.host, list(answer.addresses)) == ("partner.test", ["127.0.0.1"])
    assert answer.valid_for.seconds == 30
    assert answer.failure == pb.RESOLUTION_FAILURE_NONE


@pytest.mark.parametrize("fresh", [False, True])
async def test_a_front_can_have_the_name_servers_waited_for(tmp_path: Path, fresh: bool) -> None:
    world = World()
    async with served(world, tmp_path) as service:
        await service.stub.Resolve(pb.ResolveRequest(host="partner.test", fresh=fresh))
    assert world.was_fresh is fresh


async def test_a_drain_that_begins_while_a_state_is_written_is_reported_all_the_same() -> None:
    servicer = MeasurementServicer(
        scanner=World(), resolver=World(), vetting=VETTING, concurrent_scans=32
    )
    reported: list[bool] = []

    class SlowFront:
        async def write(self, message: bytes) -> None:
            reported.append(pb.WatchStatusResponse.FromString(message).draining)
            await servicer.drain(0.0)

    front: Any = SlowFront()
    await asyncio.wait_for(servicer._watch_status(b"", front), 10)
    assert reported == [False, True]


REFUSED: dict[str, pb.MeasureRequest] = {
    "nothing": pb.MeasureRequest(),
    "a question": ASK,
    "no connections": pb.MeasureRequest(
        start=pb.StartMeasurement(
            target=start().start.target, connection_share=pb.ConnectionShare()
        )
    ),
    "no target": pb.MeasureRequest(start=pb.StartMeasurement()),
    "a name as an address": start(address="localhost"),
    "a mapped address": start(address="::ffff:127.0.0.1"),
    "a host in capitals": start(host="Partner.test"),
    "a host with a port": start(host="partner.test:443"),
    "no port": start(port=0),
    "a port beyond all ports": start(port=65_536 + 443),
    "no depth": start(depth=pb.DEPTH_UNSPECIFIED),
    "a depth of no name": start(depth=77),
    "an address as a server name": start(server_name="127.0.0.1"),
    "too many sets of suites": pb.MeasureRequest(
        start=pb.StartMeasurement(target=target(), required_suites=[pb.SuiteSet()] * 300)
    ),
    "too many suites": pb.MeasureRequest(
        start=pb.StartMeasurement(
            target=target(), required_suites=[pb.SuiteSet(suites=range(5000))]
        )
    ),
}


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED.keys())
async def test_what_is_wrong_is_refused_before_anything_is_dialled(
    tmp_path: Path, request_: pb.MeasureRequest
) -> None:
    world = World()
    async with served(world, tmp_path) as service:
        code, reason, _ = await refusal(replies(service.stub.Measure(), request_))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert not world.begun.is_set()


@pytest.mark.parametrize("address", ["10.0.0.1", "169.254.169.254", "127.0.0.7"])
async def test_an_address_that_may_not_be_dialled_is_said_to_be(
    tmp_path: Path, address: str
) -> None:
    world = World(own_listeners=OwnListeners([("127.0.0.7", 443)]))
    async with served(world, tmp_path) as service:
        call = replies(service.stub.Measure(), start(address=address))
        code, reason, _ = await refusal(call)
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ADDRESS_FORBIDDEN")
    assert not world.begun.is_set()


async def test_a_deadline_must_be_positive(tmp_path: Path) -> None:
    request = start()
    request.start.deep_deadline.seconds = -1
    async with served(World(), tmp_path) as service:
        code, _, _ = await refusal(replies(service.stub.Measure(), request))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_bytes_that_are_no_message_are_refused(tmp_path: Path) -> None:
    async with served(World(), tmp_path) as service:
        resolve: Any = service.channel.unary_unary(RESOLVE, None, None)
        assert (await refusal(resolve(b"\xff")))[0] is grpc.StatusCode.INVALID_ARGUMENT
        measure: Any = service.channel.stream_stream(MEASURE, None, None)
        call = measure()
        await call.write(b"\xff")
        assert (await refusal(call.read()))[0] is grpc.StatusCode.INVALID_ARGUMENT
        host = pb.ResolveRequest(host="Not.Canonical")
        code, _, _ = await refusal(service.stub.Resolve(host))
        assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_full_queue_says_when_to_come_again(tmp_path: Path) -> None:
    world = World(error=Overloaded(timedelta(seconds=7)))
    world.gate.set()
    async with served(world, tmp_path) as service:
        code, reason, details = await refusal(replies(service.stub.Measure(), start()))
    assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    retry = error_details_pb2.RetryInfo()
    assert details[0].Unpack(retry)
    assert retry.retry_delay.seconds == 7


@pytest.mark.parametrize("method", ["Measure", "Resolve"])
async def test_a_bug_is_logged_and_its_text_stays_here(tmp_path: Path, method: str) -> None:
    world = World(error=RuntimeError("secret"))
    world.gate.set()
    calls: dict[str, Callable[[Any], Any]] = {
        "Measure": lambda stub: replies(stub.Measure(), start()),
        "Resolve": lambda stub: stub.Resolve(pb.ResolveRequest(host="partner.test")),
    }
    async with served(world, tmp_path) as service:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await calls[method](service.stub)
    assert raised.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in repr(raised.value)


async def test_the_state_is_reported_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "HEARTBEAT_AT_REST_S", 0.1)
    async with served(World(), tmp_path) as service:
        call = service.stub.WatchStatus(pb.WatchStatusRequest())
        first, second = await call.read(), await call.read()
        call.cancel()
    # Of this process, the calls that the test makes among them.
    assert min(first.tasks, second.tasks) > 1
    first.tasks = second.tasks
    assert first == second
    assert (first.queued, first.workers_alive, first.concurrent_scans) == (3, 2, 32)
    assert (first.draining, first.probe_revision) == (False, PROBE_REVISION)


async def test_a_drain_is_reported_refuses_what_is_new_and_lets_the_rest_end(
    tmp_path: Path,
) -> None:
    world = World()
    async with served(world, tmp_path) as service:
        watch = service.stub.WatchStatus(pb.WatchStatusRequest())
        assert not (await watch.read()).draining
        call = service.stub.Measure()
        await call.write(start())
        await world.begun.wait()
        drain = asyncio.create_task(service.servicer.drain(30.0))
        assert (await watch.read()).draining
        assert await watch.code() is grpc.StatusCode.OK
        for refused in (
            replies(service.stub.Measure(), start()),
            service.stub.Resolve(pb.ResolveRequest(host="partner.test")),
        ):
            code, reason, _ = await refusal(refused)
            assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE")
        assert not drain.done()
        world.gate.set()
        assert (await call.read()).WhichOneof("update") == "final_report"
        await asyncio.wait_for(drain, 5)


async def test_a_drain_does_not_wait_for_ever(tmp_path: Path) -> None:
    world = World()
    async with served(world, tmp_path) as service:
        call = service.stub.Measure()
        await call.write(start())
        await world.begun.wait()
        await asyncio.wait_for(service.servicer.drain(0.01), 5)
        assert service.servicer.under_way == 1
