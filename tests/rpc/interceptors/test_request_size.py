"""Requests over the limit are refused with details and counted; so are those never received."""

from typing import Any

import grpc
import pytest

from otpc_policy.catalog.access import Access
from otpc_policy.rpc.interceptors.guard import CallInterceptor
from otpc_policy.rpc.interceptors.request_size import MAX_RECEIVED_BYTES, MAX_REQUEST_BYTES
from tests.rpc.serving import SERVICE, FakeCounters, failure, one_method, serving

CALL = f"/{SERVICE}/Call"
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


async def test_what_grpc_itself_refuses_is_counted() -> None:
    counters = FakeCounters()
    async with serving(one_method(_length), CallInterceptor(counters), OPTIONS) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary(CALL)(bytes(MAX_RECEIVED_BYTES + 1))
        # A call of the same connection, so that the first has ended on the server, too.
        await channel.unary_unary(CALL)(b"")
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert counters.unread == ["not_received"]


async def test_a_request_that_arrived_and_is_not_permitted_is_not_counted_as_unread() -> None:
    counters = FakeCounters()
    guard = CallInterceptor(counters, access=lambda: Access((), by_roles=True))
    async with serving(one_method(_length), guard, OPTIONS) as channel:
        seen = await failure(channel.unary_unary(CALL)(b""))
        # A call of the same connection, so that the first has ended on the server, too.
        await failure(channel.unary_unary(CALL)(b""))
    assert seen.info.reason == "CALLER_UNKNOWN"
    assert counters.unread == []
