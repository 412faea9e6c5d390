"""A burst of calls while the event loop is busy: gRPC queues every call, and none is cancelled."""

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

# By default gRPC starts to drop calls beyond a thousand: about sixty of this many, every time.
_CALLS = 1_500
# Enough for all to arrive; a dropped call ends within milliseconds.
_BUSY_S = 0.5
_PATIENCE_S = 20.0


async def _answered(_request: bytes, _context: Any) -> bytes:
    return b"answer"


async def _overloaded(_request: bytes, _context: Any) -> bytes:
    raise Overloaded(timedelta(seconds=2))


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (_answered, (grpc.StatusCode.OK, None)),
        (_overloaded, (grpc.StatusCode.RESOURCE_EXHAUSTED, timedelta(seconds=2))),
    ],
    ids=["answered", "queue full"],
)
async def test_every_call_of_a_burst_gets_the_answer_of_the_service(
    behaviour: Any, expected: tuple[grpc.StatusCode, timedelta | None]
) -> None:
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
    call, some_call_ended = channel.unary_unary("/test.Service/Call"), threading.Event()
    calls = [call.future(b"", timeout=_PATIENCE_S) for _ in range(_CALLS)]
    for call in calls:
        call.add_done_callback(lambda _: some_call_ended.set())
    # This blocks the server's loop: calls that end meanwhile were ended by gRPC itself.
    assert not some_call_ended.wait(_BUSY_S)
    return await asyncio.to_thread(lambda: [_outcome(call) for call in calls])


def _outcome(call: Any) -> tuple[grpc.StatusCode, timedelta | None]:
    """Return the status of a call, and its retry delay if it carries one."""
    if call.exception() is None:
        return grpc.StatusCode.OK, None
    raw = dict(call.trailing_metadata()).get("grpc-status-details-bin")
    details = unpacked(status_pb2.Status.FromString(raw))[1] if raw is not None else ()
    delays = [
        detail.retry_delay.ToTimedelta()
        for detail in details
        if isinstance(detail, error_details_pb2.RetryInfo)
    ]
    return call.code(), delays[0] if delays else None
