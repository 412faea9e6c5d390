"""Requests over the limit are refused with details and counted; so are those never received."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from otpc_policy.catalog.access import Access
from otpc_policy.ops.audit.trail import AuditedCall, RefusalReason
from otpc_policy.rpc.interceptors.guard import CallInterceptor
from otpc_policy.rpc.interceptors.request_size import (
    MAX_RECEIVED_BYTES,
    MAX_REQUEST_BYTES,
    MAX_STREAMED_BYTES,
)
from otpc_policy.rpc.status import NOT_RECEIVED
from tests.rpc.serving import SERVICE, FakeCounters, failure, one_method, serving

RPC = f"{SERVICE}/Call"
CALL = f"/{RPC}"
OPTIONS = (("grpc.max_receive_message_length", MAX_RECEIVED_BYTES),)


async def _length(request: bytes, _context: Any) -> bytes:
    return str(len(request)).encode()


async def test_a_request_as_long_as_the_limit_is_read() -> None:
    counters = FakeCounters()
    async with serving(one_method(_length), CallInterceptor(counters), OPTIONS) as channel:
        answer = await channel.unary_unary(CALL)(bytes(MAX_REQUEST_BYTES))
    assert (answer, counters.unread) == (str(MAX_REQUEST_BYTES).encode(), [])


@pytest.mark.parametrize("length", [MAX_REQUEST_BYTES + 1, MAX_RECEIVED_BYTES])
async def test_a_longer_request_is_refused_with_details_before_it_is_parsed(length: int) -> None:
    counters = FakeCounters()
    parsed: list[bytes] = []
    method = one_method(_length, request_deserializer=parsed.append)
    async with serving(method, CallInterceptor(counters), OPTIONS) as channel:
        seen = await failure(channel.unary_unary(CALL)(bytes(length)))
    assert (seen.code, seen.info.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "REQUEST_TOO_LARGE",
    )
    assert seen.info.metadata["bytes"] == str(length)
    assert seen.info.metadata["limit"] == str(MAX_REQUEST_BYTES)
    assert (parsed, counters.unread) == ([], ["too_large"])
    assert counters.handled == [(SERVICE, "Call", "RESOURCE_EXHAUSTED")]


@dataclass
class Refusals:
    """Remembers what was refused: method, code, reason, request id, caller."""

    lines: list[tuple[str, str, str, str, str]] = field(default_factory=list)

    def record_refusal(self, call: AuditedCall, why: RefusalReason) -> None:
        self.lines.append((call.rpc, why.code, why.reason, call.request_id, call.caller.label))


async def test_what_grpc_itself_refuses_is_counted_and_written_down() -> None:
    counters, refusals = FakeCounters(), Refusals()
    guard = CallInterceptor(counters, refusals=refusals)
    async with serving(one_method(_length), guard, OPTIONS) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary(CALL)(
                bytes(MAX_RECEIVED_BYTES + 1), metadata=(("x-request-id", "named-by-its-caller"),)
            )
        # A call of the same connection, so that the first has ended on the server, too.
        await channel.unary_unary(CALL)(b"")
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert counters.unread == ["not_received"]
    ((*line, caller),) = refusals.lines
    assert line == [RPC, *NOT_RECEIVED, "named-by-its-caller"]
    assert caller.startswith("ipv4:127.0.0.1:")


async def test_a_call_that_ends_without_a_request_is_told_so() -> None:
    counters, refusals = FakeCounters(), Refusals()
    guard = CallInterceptor(counters, refusals=refusals)
    async with serving(one_method(_length), guard, OPTIONS) as channel:
        call = channel.stream_unary(CALL)()
        await call.done_writing()
        seen = await failure(call)
    assert (seen.code, seen.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_MISSING")
    assert [line[:3] for line in refusals.lines] == [(RPC, "INVALID_ARGUMENT", "REQUEST_MISSING")]


async def test_a_request_that_arrived_and_is_not_permitted_is_not_counted_as_unread() -> None:
    counters = FakeCounters()
    guard = CallInterceptor(counters, access=lambda: Access((), by_roles=True))
    async with serving(one_method(_length), guard, OPTIONS) as channel:
        seen = await failure(channel.unary_unary(CALL)(b""))
        # A call of the same connection, so that the first has ended on the server, too.
        await failure(channel.unary_unary(CALL)(b""))
    assert seen.info.reason == "CALLER_UNKNOWN"
    assert counters.unread == []


async def _lengths(requests: Any, _context: Any) -> AsyncIterator[bytes]:
    async for request in requests:
        yield str(len(request)).encode()


def _stream(server: grpc.aio.Server) -> None:
    handler = grpc.stream_stream_rpc_method_handler(_lengths)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, {"Call": handler}),)
    )


@pytest.mark.parametrize("before", [0, 1, 3])
async def test_a_stream_that_grpc_gives_up_is_no_stream_that_has_ended(before: int) -> None:
    """Its handler sees the same end, and gRPC has answered RESOURCE_EXHAUSTED by itself."""
    counters, refusals = FakeCounters(), Refusals()
    guard = CallInterceptor(counters, refusals=refusals)
    async with serving(_stream, guard, OPTIONS) as channel:
        call = channel.stream_stream(CALL)()
        for _ in range(before):
            await call.write(b"xx")
            assert await call.read() == b"2"
        await call.write(bytes(MAX_RECEIVED_BYTES + 1))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call.read()
        await asyncio.wait_for(counters.ended.wait(), 10)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert counters.unread == ["not_received"]
    assert counters.handled == [(SERVICE, "Call", "UNKNOWN")]
    assert [line[:3] for line in refusals.lines] == [(RPC, *NOT_RECEIVED)]


async def test_a_stream_that_its_caller_ends_is_answered() -> None:
    counters, refusals = FakeCounters(), Refusals()
    guard = CallInterceptor(counters, refusals=refusals)
    async with serving(_stream, guard, OPTIONS) as channel:
        call = channel.stream_stream(CALL)()
        await call.write(b"xx")
        await call.done_writing()
        assert [answer async for answer in call] == [b"2"]
    assert (counters.unread, refusals.lines) == ([], [])
    assert counters.handled == [(SERVICE, "Call", "OK")]


async def test_a_long_request_of_a_stream_is_refused_with_details() -> None:
    counters, refusals = FakeCounters(), Refusals()
    guard = CallInterceptor(counters, refusals=refusals)
    async with serving(_stream, guard, OPTIONS) as channel:
        call = channel.stream_stream(CALL)()
        await call.write(bytes(MAX_STREAMED_BYTES))
        assert await call.read() == str(MAX_STREAMED_BYTES).encode()
        await call.write(bytes(MAX_STREAMED_BYTES + 1))
        seen = await failure(call.read())
    assert (seen.code, seen.info.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "REQUEST_TOO_LARGE",
    )
    assert seen.info.metadata["limit"] == str(MAX_STREAMED_BYTES)
    assert counters.unread == ["too_large"]
    assert [line[:2] for line in refusals.lines] == [(RPC, "RESOURCE_EXHAUSTED")]
