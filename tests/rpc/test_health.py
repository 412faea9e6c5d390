"""Health answers for the process and for the service, and for nothing else."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

from otpc_policy.rpc.health import HEALTH_SERVICE, Health
from otpc_policy.rpc.interceptors.guard import CallInterceptor
from tests.rpc.serving import FakeCounters, failure, serving

CHECK, WATCH = f"/{HEALTH_SERVICE}/Check", f"/{HEALTH_SERVICE}/Watch"
Status = health_pb2.HealthCheckResponse


def register(health: Health) -> Callable[[grpc.aio.Server], None]:
    return lambda server: server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(HEALTH_SERVICE, dict(health.method_handlers())),)
    )


def asking(service: str) -> bytes:
    request: bytes = health_pb2.HealthCheckRequest(service=service).SerializeToString()
    return request


async def test_both_names_follow_the_state_and_draining_is_for_good() -> None:
    health = Health("a.Service")
    async with serving(register(health), CallInterceptor(FakeCounters())) as channel:
        check = channel.unary_unary(CHECK, None, Status.FromString)
        seen = []
        for step in (
            health.set_serving(False),
            health.set_serving(True),
            health.drain(),
            health.set_serving(True),
        ):
            await step
            seen.append([(await check(asking(name))).status for name in ("", "a.Service")])
    assert seen == [
        [Status.NOT_SERVING] * 2,
        [Status.SERVING] * 2,
        [Status.NOT_SERVING] * 2,
        [Status.NOT_SERVING] * 2,
    ]


async def test_before_anything_is_announced_nothing_serves() -> None:
    async with serving(register(Health("a.Service")), CallInterceptor(FakeCounters())) as channel:
        assert (
            await channel.unary_unary(CHECK, None, Status.FromString)(asking(""))
        ).status == Status.NOT_SERVING


async def test_an_unknown_service_is_not_found_with_error_info() -> None:
    async with serving(register(Health()), CallInterceptor(FakeCounters())) as channel:
        seen = await failure(channel.unary_unary(CHECK)(asking("other")))
    assert (seen.code, seen.info.reason) == (grpc.StatusCode.NOT_FOUND, "HEALTH_SERVICE_UNKNOWN")


async def test_a_watcher_sees_each_change_and_is_not_a_call_in_flight() -> None:
    health = Health("a.Service")
    counters = FakeCounters()
    interceptor = CallInterceptor(counters)
    await health.set_serving(True)
    async with serving(register(health), interceptor) as channel:
        watch = channel.unary_stream(WATCH, None, Status.FromString)(asking("a.Service"))
        first = await watch.read()
        assert interceptor.in_flight == 0
        await health.drain()
        second = await watch.read()
        watch.cancel()
        await asyncio.wait_for(counters.ended.wait(), 5)
    assert (first.status, second.status) == (Status.SERVING, Status.NOT_SERVING)
    assert counters.handled == [(HEALTH_SERVICE, "Watch", "CANCELLED")]


async def test_a_watcher_that_does_not_read_keeps_nobody_waiting() -> None:
    """Every caller may watch, so any of them could have kept the service from ending."""
    health = Health("a.Service")
    await health.set_serving(True)
    stuck = asyncio.Event()

    class DoesNotRead:
        async def write(self, _message: object) -> None:
            stuck.set()
            await asyncio.Event().wait()

    nowhere: Any = DoesNotRead()
    watch: Any = health.method_handlers()["Watch"].unary_stream
    task = asyncio.create_task(watch(health_pb2.HealthCheckRequest(), nowhere))
    await stuck.wait()
    async with serving(register(health), CallInterceptor(FakeCounters())) as channel:
        other = channel.unary_stream(WATCH, None, Status.FromString)(asking(""))
        seen = [(await other.read()).status]
        await asyncio.wait_for(health.drain(), 5)
        seen.append((await other.read()).status)
        other.cancel()
    task.cancel()
    assert seen == [Status.SERVING, Status.NOT_SERVING]


async def test_an_unknown_service_is_watched_as_unknown() -> None:
    health = Health("a.Service")
    async with serving(register(health), CallInterceptor(FakeCounters())) as channel:
        watch = channel.unary_stream(WATCH, None, Status.FromString)(asking("other"))
        assert (await watch.read()).status == Status.SERVICE_UNKNOWN
        watch.cancel()


async def test_malformed_bytes_are_the_callers_fault() -> None:
    async with serving(register(Health()), CallInterceptor(FakeCounters())) as channel:
        checked = await failure(channel.unary_unary(CHECK)(b"\xff"))
        watched = await failure(channel.unary_stream(WATCH)(b"\xff").read())
    assert [checked.code, watched.code] == [grpc.StatusCode.INVALID_ARGUMENT] * 2
