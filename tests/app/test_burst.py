"""Many calls that arrive while the event loop is busy: gRPC keeps each until the service takes it, and none ends as CANCELLED."""

import asyncio
import threading
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from otpc_policy.app.listen import bind, build_server
from otpc_policy.app.settings import Settings
from otpc_policy.core.errors import Overloaded
from otpc_policy.rpc.interceptors.guard import CallInterceptor
from tests.rpc.serving import FakeCounters, one_method, unpacked

# gRPC by itself begins to drop calls beyond a thousand: of so many, each time, about sixty.
_CALLS = 1_500
# Enough for all to arrive; one that is dropped ends within milliseconds.
_BUSY_S = 0.5
_PATIENCE_S = 20.0


async def _answered(_request: bytes, _context: Any) -> bytes:
    return b"answer"


async def _overloaded(_request: bytes, _context: Any) -> bytes:
    raise Overloaded(timedelta(seconds=2))


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [(_answered, (grpc.StatusCode.OK, None)), (_overloaded, (grpc.StatusCode.RESOURCE_EXHAUSTED, timedelta(seconds=2)))],
    ids=["answered", "queue full"],
)
async def test_every_call_of_a_burst_gets_the_answer_of_the_service(behaviour: Any, expected: tuple[grpc.StatusCode, timedelta | None]) -> None:
    server = build_server(Settings(), CallInterceptor(FakeCounters()))
    one_method(behaviour)(server)
    address = bind(server, "127.0.0.1:0", None)
    await server.start()
    try:
        with grpc.insecure_channel(address) as channel:
            outcomes = await _burst(channel)
    finally:
        await server.stop(None)
    assert set(outcomes) == {expected}


async def _burst(channel: Any) -> list[tuple[grpc.StatusCode, timedelta | None]]:
    # Connected first, so that all arrive at once.
    await asyncio.to_thread(grpc.channel_ready_future(channel).result, _PATIENCE_S)
    call, one_has_ended = channel.unary_unary("/test.Service/Call"), threading.Event()
    calls = [call.future(b"", timeout=_PATIENCE_S) for _ in range(_CALLS)]
    for one in calls:
        one.add_done_callback(lambda _: one_has_ended.set())
    # The server's loop is held up by this: what ends meanwhile, gRPC has ended by itself.
    assert not one_has_ended.wait(_BUSY_S)
    return await asyncio.to_thread(lambda: [_outcome(one) for one in calls])


def _outcome(call: Any) -> tuple[grpc.StatusCode, timedelta | None]:
    """Return the status of a call, and when it may come again if it was told."""
    if call.exception() is None:
        return grpc.StatusCode.OK, None
    raw = dict(call.trailing_metadata()).get("grpc-status-details-bin")
    details = unpacked(status_pb2.Status.FromString(raw))[1] if raw is not None else ()
    delays = [one.retry_delay.ToTimedelta() for one in details if isinstance(one, error_details_pb2.RetryInfo)]
    return call.code(), delays[0] if delays else None
