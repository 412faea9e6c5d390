"""Calls whose request does not come, or whose answer nobody reads, keep to a share."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from otpc_policy.app.listen import bind, build_server
from otpc_policy.app.settings import Settings
from otpc_policy.core.errors import Budget
from otpc_policy.ops.audit.trail import AuditedCall, RefusalReason
from otpc_policy.rpc.interceptors import open_calls
from otpc_policy.rpc.interceptors.guard import CallInterceptor
from otpc_policy.rpc.interceptors.open_calls import STREAM
from tests.rpc.serving import FakeCounters, failure
from tests.support.http2 import RawCaller
from tests.support.waiting import wait_until

TOTAL = 30
UNARY, STREAMED = "/test.Service/Call", "/test.Service/Stream"


@dataclass
class Served:
    address: str = ""
    counters: FakeCounters = field(default_factory=FakeCounters)
    refused: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.interceptor = CallInterceptor(self.counters, refusals=self, open_calls=TOTAL)

    def record_refusal(self, _call: AuditedCall, why: RefusalReason) -> None:
        self.refused.append(why.reason)

    @property
    def held(self) -> int:
        return self.interceptor._open.held


@asynccontextmanager
async def served() -> AsyncIterator[Served]:
    async def answer(_request: bytes, _context: Any) -> bytes:
        return bytes(100)

    async def stream(requests: Any, context: Any) -> None:
        async for _ in requests:
            await context.write(bytes(100))

    found = Served()
    server = build_server(Settings(), found.interceptor)
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Call": grpc.unary_unary_rpc_method_handler(answer),
        "Stream": grpc.stream_stream_rpc_method_handler(stream),
    }
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("test.Service", handlers),)
    )
    found.address = bind(server, "127.0.0.1:0", None)
    await server.start()
    try:
        yield found
    finally:
        await server.stop(None)


def connected(service: Served) -> Any:
    """Return a channel. Any: the stubs demand arguments that gRPC does not."""
    return grpc.aio.insecure_channel(service.address)


async def until(holds: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_until, holds)


@pytest.mark.parametrize(("path", "weight"), [(UNARY, 1), (STREAMED, STREAM)])
async def test_whoever_does_not_read_holds_its_share_and_others_are_served(
    path: str, weight: int
) -> None:
    async with served() as service:
        with RawCaller(service.address, window=0) as caller:
            for _ in range(TOTAL):
                await asyncio.to_thread(caller.open, path, b"")
            # Twice what it leaves free; all others are refused, and refusals need no window.
            most = TOTAL * 2 // 3 // weight
            await until(lambda: caller.ended() == TOTAL - most)
            assert service.held == most * weight
            assert set(service.counters.refusals) == {(Budget.CALLS, True)}
            async with connected(service) as channel:
                assert await channel.unary_unary(UNARY)(b"", timeout=10) == bytes(100)
        await until(lambda: service.held == 0)


async def test_a_refusal_says_whose_budget_it_was() -> None:
    async with served() as service:
        with RawCaller(service.address) as caller:
            for _ in range(TOTAL):
                await asyncio.to_thread(caller.open, UNARY, b"")
            await until(lambda: service.held == TOTAL * 2 // 3)
            # Of one address, callers hold four times what they leave free.
            others = [RawCaller(service.address) for _ in range(2)]
            for other in others * 5:
                await asyncio.to_thread(other.open, UNARY, b"")
            await until(lambda: service.held == TOTAL * 4 // 5)
            async with connected(service) as channel:
                refused = await failure(channel.unary_unary(UNARY)(b"", timeout=10))
            for other in others:
                other.close()
    assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refused.info.reason == "CALLER_BUDGET_USED"
    assert refused.info.metadata["budget"] == "yours"
    assert refused.info.metadata["resource"] == "calls"


async def test_a_call_whose_request_does_not_come_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_calls, "_EXPECTED_WITHIN_S", 0.2)
    async with served() as service:
        with RawCaller(service.address) as caller:
            for _ in range(5):
                await asyncio.to_thread(caller.open, UNARY, None)
            await until(lambda: caller.ended() == 5)
        assert service.refused == ["REQUEST_MISSING"] * 5
        assert service.held == 0


async def test_of_too_many_calls_without_a_request_the_oldest_end_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(open_calls, "_MOST_EXPECTED", 3)
    async with served() as service, connected(service) as channel:
        with RawCaller(service.address) as caller:
            for _ in range(5):
                await asyncio.to_thread(caller.open, UNARY, None)
            await until(lambda: caller.ended() == 2)
            assert await channel.unary_unary(UNARY)(b"", timeout=10) == bytes(100)


async def test_a_long_request_counts_for_as_much_as_its_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(open_calls, "_BYTES_OF_A_CALL", 100)
    async with served() as service:
        with RawCaller(service.address, window=0) as caller:
            for opened in range(1, 5):
                await asyncio.to_thread(caller.open, UNARY, bytes(400))
                await until(lambda opened=opened: service.held == 5 * opened)  # type: ignore[misc]  # a default
            await asyncio.to_thread(caller.open, UNARY, bytes(400))
            await until(lambda: caller.ended() == 1)
            assert set(service.counters.refusals) == {(Budget.CALLS, True)}
            await until(lambda: service.held == TOTAL * 2 // 3)
        await until(lambda: service.held == 0)


async def test_a_call_without_a_request_ends_in_time_whenever_it_began(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not only when those are looked for that began at the last look."""
    monkeypatch.setattr(open_calls, "_EXPECTED_WITHIN_S", 2.0)
    async with served() as service:
        with RawCaller(service.address) as caller:
            await asyncio.to_thread(caller.open, UNARY, None)
            await asyncio.sleep(0.3)
            await asyncio.to_thread(caller.open, UNARY, None)
            began_s = asyncio.get_running_loop().time()
            await until(lambda: caller.ended() == 2)
            assert asyncio.get_running_loop().time() - began_s < 3.2
