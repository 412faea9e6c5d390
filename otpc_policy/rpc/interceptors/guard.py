"""What surrounds every call: request id, metrics, access log, parsing, and the table of statuses.

One interceptor, because each costs every call. It is the outermost frame: no exception leaves it but those of gRPC itself, whose
runtime would otherwise send the text of an exception to the caller.
"""

import asyncio
import time
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any, Protocol, TypeAlias

import grpc
import structlog
from google.protobuf.message import DecodeError

from otpc_policy.core.errors import FieldViolation, InvalidRequest
from otpc_policy.rpc.request_id import REQUEST_ID_KEY, current_request_id, request_id_from
from otpc_policy.rpc.status import DETAILS_KEY, MethodUnknown, code_of, is_expected, status_of

log = structlog.get_logger("otpc_policy.service")

UNKNOWN_METHOD = ("unknown", "unknown")

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Call: TypeAlias = Callable[[Any, Context], Awaitable[Any]]


class RpcCounters(Protocol):
    """What the interceptor counts. Methods are bounded: those that are registered, and "unknown"."""

    def rpc_started(self, service: str, method: str) -> None: ...
    def rpc_handled(self, service: str, method: str, code: str, seconds: float) -> None: ...


class CallInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    """Observes and guards every call. log_calls: one access line for each call."""

    def __init__(
        self,
        counters: RpcCounters,
        *,
        log_calls: bool = False,
        monotonic: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._counters = counters
        self._log_calls = log_calls
        self._monotonic = monotonic
        self._guarded: dict[str, _Handler] = {}
        self._unknown = grpc.stream_stream_rpc_method_handler(
            self._guard(*UNKNOWN_METHOD, _no_such_method, is_stream=True)
        )
        self._in_flight = 0
        self._idle: asyncio.Event | None = None

    @property
    def in_flight(self) -> int:
        """Unary calls being answered. Streams do not count: a health watch lasts as long as its caller likes."""
        return self._in_flight

    async def wait_until_quiet(self, quiet_s: float) -> None:
        """Return when no unary call has begun or ended for quiet_s.

        An answer leaves after its handler ends, and the handler of a call that gRPC has accepted may begin late: idle for an instant is not the end.
        """
        while True:
            self._idle = asyncio.Event()
            try:
                async with asyncio.timeout(None if self._in_flight else quiet_s):
                    await self._idle.wait()
            except TimeoutError:
                if not self._in_flight:
                    return

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["_Handler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler:
        """Return the guarded handler of a method; it is built once."""
        method = handler_call_details.method
        guarded = self._guarded.get(method)
        if guarded is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                return self._unknown
            guarded = self._guarded[method] = self._guarded_handler(method, handler)
        return guarded

    def _guarded_handler(self, path: str, handler: _Handler) -> _Handler:
        _, service, method = path.split("/", 2)
        if handler.unary_unary is not None:
            call = _unary_call(
                handler.unary_unary, handler.request_deserializer, handler.response_serializer
            )
            return grpc.unary_unary_rpc_method_handler(self._guard(service, method, call))
        if handler.unary_stream is not None:
            guarded = self._guard(
                service,
                method,
                _stream_call(handler.unary_stream, handler.request_deserializer),
                is_stream=True,
            )
            return grpc.unary_stream_rpc_method_handler(
                guarded, response_serializer=handler.response_serializer
            )
        if handler.stream_stream is not None:
            guarded = self._guard(
                service, method, _stream_call(handler.stream_stream, None), is_stream=True
            )
            return grpc.stream_stream_rpc_method_handler(
                guarded, handler.request_deserializer, handler.response_serializer
            )
        raise NotImplementedError(f"no method here takes a stream and returns one message: {path}")

    def _ended(self) -> None:
        self._in_flight -= 1
        if not self._in_flight and self._idle is not None:
            self._idle.set()
            self._idle = None

    def _guard(self, service: str, method: str, call: _Call, *, is_stream: bool = False) -> _Call:
        counters, monotonic = self._counters, self._monotonic

        async def guarded(request: Any, context: Context) -> Any:
            started_s = monotonic()
            if not is_stream:
                self._in_flight += 1
            counters.rpc_started(service, method)
            request_id = request_id_from(context.invocation_metadata())
            current_request_id.set(request_id)
            code = grpc.StatusCode.OK
            try:
                context.set_trailing_metadata(((REQUEST_ID_KEY, request_id),))
                return await call(request, context)
            except asyncio.CancelledError:
                code = _why_cancelled(context)
                raise
            except grpc.aio.AbortError:
                code = code_of(context.code())
                raise
            except Exception as error:
                if not is_expected(error):
                    log.exception(
                        "call failed", service=service, method=method, request_id=request_id
                    )
                status = status_of(error, request_id)
                code = code_of(status.code)
                await context.abort(
                    code,
                    status.message,
                    ((REQUEST_ID_KEY, request_id), (DETAILS_KEY, status.SerializeToString())),
                )
            finally:
                seconds = monotonic() - started_s
                counters.rpc_handled(service, method, code.name, seconds)
                if not is_stream:
                    self._ended()
                if self._log_calls:
                    log.info(
                        "call",
                        service=service,
                        method=method,
                        code=code.name,
                        seconds=round(seconds, 6),
                        request_id=request_id,
                        peer=context.peer(),
                    )

        return guarded


def _unary_call(
    behaviour: Callable[[Any, Any], Any],
    parse: Callable[[bytes], Any] | None,
    serialise: Callable[[Any], bytes] | None,
) -> _Call:
    async def call(request: bytes, context: Context) -> Any:
        response = await behaviour(request if parse is None else _parsed(parse, request), context)
        return response if serialise is None else serialise(response)

    return call


def _stream_call(
    behaviour: Callable[[Any, Any], Any], parse: Callable[[bytes], Any] | None
) -> _Call:
    async def call(request: Any, context: Context) -> None:
        result = behaviour(request if parse is None else _parsed(parse, request), context)
        if not isinstance(result, AsyncIterable):
            await result
            return
        # In a stream gRPC itself parses, as the iterator goes on, so what it raises appears here.
        try:
            async for message in result:
                await context.write(message)
        except DecodeError:
            raise _MALFORMED from None

    return call


_MALFORMED = InvalidRequest(
    [FieldViolation("", "the bytes are not a valid message of this method")]
)


def _parsed(parse: Callable[[bytes], Any], request: bytes) -> Any:
    try:
        return parse(request)
    except DecodeError:
        raise _MALFORMED from None


async def _no_such_method(_requests: Any, _context: Context) -> None:
    raise MethodUnknown


def _why_cancelled(context: Context) -> grpc.StatusCode:
    remaining_s: float | None = context.time_remaining()
    return (
        grpc.StatusCode.DEADLINE_EXCEEDED
        if remaining_s is not None and remaining_s <= 0
        else grpc.StatusCode.CANCELLED
    )
