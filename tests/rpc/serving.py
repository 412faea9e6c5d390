"""What tests of rpc share: a real grpc.aio server on loopback, fakes, and errors taken apart."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from otpc_policy.check import ResultSource
from otpc_policy.core.errors import Budget
from otpc_policy.ops.metrics.tallies import Observed
from otpc_policy.policy.finding import Decision, Finding
from otpc_policy.rpc.interceptors.guard import CallInterceptor

SERVICE = "test.Service"


@dataclass
class FakeCounters:
    """Remembers what was counted."""

    started: list[tuple[str, str]] = field(default_factory=list)
    handled: list[tuple[str, str, str]] = field(default_factory=list)
    decisions: list[tuple[str, Decision, float | None]] = field(default_factory=list)
    observed: list[Observed] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    refusals: list[tuple[Budget, bool]] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def of_method(self, service: str, method: str) -> "FakeMethodCounters":
        return FakeMethodCounters(self, service, method)

    def request_unread(self, reason: str) -> None:
        self.unread.append(reason)

    def budget_used_up(self, budget: Budget, *, of_caller: bool) -> None:
        self.refusals.append((budget, of_caller))

    def decided(
        self,
        *,
        rpc: str,
        decision: Decision,
        findings: Sequence[Finding],
        result_age_s: float | None,
        source: str,
        seconds: float,
        observed: Observed,
    ) -> None:
        assert source in ResultSource.__members__
        assert seconds >= 0
        self.observed.append(observed)
        assert all(isinstance(finding, Finding) for finding in findings)
        self.decisions.append((rpc, decision, result_age_s))


@dataclass(frozen=True)
class FakeMethodCounters:
    """Remembers in all what was counted of one method."""

    all: FakeCounters
    service: str
    method: str

    def call_started(self) -> None:
        self.all.started.append((self.service, self.method))

    def call_handled(self, code: str, seconds: float | None, trace_id: str = "") -> None:
        assert seconds is None or seconds >= 0
        self.all.handled.append((self.service, self.method, code))
        self.all.ended.set()


@asynccontextmanager
async def serving(
    register: Callable[[grpc.aio.Server], None],
    interceptor: CallInterceptor,
    options: Sequence[tuple[str, int]] = (),
) -> AsyncIterator[Any]:
    """A server with the interceptor, and a channel to it.

    Any: the stubs demand arguments that gRPC does not.
    """
    server = grpc.aio.server(
        interceptors=(interceptor,), options=(("grpc.so_reuseport", 0), *options)
    )
    register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(None)
    if isinstance(interceptor._counters, FakeCounters):
        await _counted_to_its_end(interceptor._counters)


async def _counted_to_its_end(counters: FakeCounters) -> None:
    """Return when each call that has begun has ended: its caller knows its status before that."""
    async with asyncio.timeout(10):
        while len(counters.handled) < len(counters.started):
            counters.ended.clear()
            await counters.ended.wait()


def one_method(
    behaviour: Callable[[bytes, Any], Awaitable[Any]], **codecs: Any
) -> Callable[[grpc.aio.Server], None]:
    """Registers /test.Service/Call."""
    handler = grpc.unary_unary_rpc_method_handler(behaviour, **codecs)
    return lambda server: server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, {"Call": handler}),)
    )


@dataclass(frozen=True)
class Failure:
    """An error as a client sees it."""

    code: grpc.StatusCode
    message: str
    info: error_details_pb2.ErrorInfo
    details: Sequence[Any]
    metadata: dict[str, Any]


async def failure(call: Awaitable[Any]) -> Failure:
    """Return the error of a call that must fail, and hold it to what every error must be."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return _taken_apart(error)
    raise AssertionError(f"the call was answered: {answer!r}")


def _taken_apart(error: Any) -> Failure:
    metadata = dict(error.trailing_metadata())
    status = status_pb2.Status.FromString(metadata["grpc-status-details-bin"])
    assert (status.code, status.message) == (error.code().value[0], error.details())
    info, details = unpacked(status)
    return Failure(error.code(), status.message, info, details, metadata)


def unpacked(status: status_pb2.Status) -> tuple[error_details_pb2.ErrorInfo, Sequence[Any]]:
    """Return ErrorInfo, which must be there and ours, and the other details of a status."""
    messages = []
    for detail in status.details:
        kind = getattr(error_details_pb2, detail.TypeName().rpartition(".")[2])
        message = kind()
        assert detail.Unpack(message)
        messages.append(message)
    info = messages[0]
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert info.domain == "otpc-policy"
    return info, messages[1:]
