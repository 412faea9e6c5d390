"""The outermost frame of every call: identifiers, caller, metrics, refusals, and statuses.

One interceptor, because each costs every call. No exception leaves it but gRPC's own: gRPC would
send the text of any other to the caller.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Protocol

import grpc
import structlog
from google.rpc import status_pb2

from otpc_policy.catalog.access import Access
from otpc_policy.core.caller import Caller
from otpc_policy.ops.audit.trail import AuditedCall, RefusalReason
from otpc_policy.rpc.audited import audited_call, refusal_reason
from otpc_policy.rpc.authorisation import require_method
from otpc_policy.rpc.current_call import CurrentCall, current_call
from otpc_policy.rpc.interceptors.calls import Call, Context, Handler, stream_call, unary_call
from otpc_policy.rpc.interceptors.identity import caller_of, connected_caller
from otpc_policy.rpc.interceptors.in_flight import CallsInFlight
from otpc_policy.rpc.interceptors.late_calls import LateCalls
from otpc_policy.rpc.interceptors.open_calls import STREAM, OpenCalls, OpenCallsCounter
from otpc_policy.rpc.interceptors.request_size import (
    RequestNotReceived,
    with_request_stream,
    within_stream,
)
from otpc_policy.rpc.interceptors.traced import CallTracing, traced
from otpc_policy.rpc.request_id import REQUEST_ID_KEY, identifiers
from otpc_policy.rpc.status import (
    DETAILS_KEY,
    NOT_RECEIVED,
    MethodUnknown,
    code_of,
    is_expected,
    status_of,
)

log = structlog.get_logger("otpc_policy.rpc")

# Their methods are known by name alone; "Check" could be anybody's.
_OWN_SERVICES = ("otpc_policy.", "unknown")

_TRACED_SERVICES = "otpc_policy."
_OK = grpc.StatusCode.OK
_UNKNOWN_CALLER = Caller(peer="unknown")
_NOT_RECEIVED = RefusalReason(code=NOT_RECEIVED[0], reason=NOT_RECEIVED[1])
UNKNOWN_METHOD = ("unknown", "unknown")
"""Service and method under which every call to a method that does not exist is counted."""


class MethodCounters(Protocol):
    """Metrics of the calls of one method. code: the name of a status. trace_id: empty if none.

    seconds: None for a call that lasts as long as its caller likes.
    """

    def call_started(self) -> None: ...
    def call_handled(self, code: str, seconds: float | None, trace_id: str = "") -> None: ...


class RpcCounters(OpenCallsCounter, Protocol):
    """Metrics of calls. Methods are bounded: those that are registered, and UNKNOWN_METHOD."""

    def of_method(self, service: str, method: str) -> MethodCounters: ...


class RefusalLog(Protocol):
    """Records calls that end with a status other than OK."""

    def record_refusal(self, call: AuditedCall, why: RefusalReason) -> None: ...


# Generic in the stubs only.
class CallInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Observes and guards every call.

    access: returns which callers may do what now. None: whoever connects may call every method.
    with_certificates: whether callers may present certificates. Off, nobody has an identity, and no
    call has to be asked for it.
    refusals: gets each call that ends with a status other than OK. log_calls: write one access line
    for each call. open_calls: see OpenCalls. tracing: None where calls leave no spans.
    """

    def __init__(
        self,
        counters: RpcCounters,
        *,
        access: Callable[[], Access] | None = None,
        with_certificates: bool = True,
        refusals: RefusalLog | None = None,
        log_calls: bool = False,
        open_calls: int = 10_000,
        tracing: CallTracing | None = None,
        monotonic: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._counters = counters
        self._access = access
        self._with_certificates = with_certificates
        self._refusals = refusals
        self._log_calls = log_calls
        self._tracing = tracing
        self._monotonic = monotonic
        self._calls = CallsInFlight()
        self._open = OpenCalls(open_calls, counters)
        self._guarded: dict[str, Handler] = {}
        self._still_answered: Collection[str] = ()
        self._late: LateCalls | None = None
        self._unknown = grpc.stream_stream_rpc_method_handler(
            self._guard(*UNKNOWN_METHOD, _no_such_method, is_stream=True, is_refusal=True)
        )

    @property
    def in_flight(self) -> int:
        """Unary calls being answered."""
        return self._calls.count

    async def wait_until_quiet(self, quiet_s: float) -> None:
        """Return when no unary call has begun or ended for quiet_s."""
        await self._calls.wait_until_quiet(quiet_s)

    def refuse_new_calls(self, *, still_answered: Collection[str] = ()) -> LateCalls:
        """Hold and then refuse every call that arrives from now on; return what releases them.

        still_answered: services that are served to the end.
        """
        self._still_answered, self._late = still_answered, LateCalls()
        self._guarded = {}
        return self._late

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Return the guarded handler of a method; it is built once.

        gRPC awaits this in the task of the call, so the handler finds the current call in its
        context. The handler could read the metadata itself, but gRPC would decode it anew.
        """
        method = handler_call_details.method
        request_id, trace_id = identifiers(handler_call_details.invocation_metadata)
        current_call.set(
            CurrentCall(
                path=method,
                request_id=request_id,
                trace_id=trace_id,
                sampled_trace_id=trace_id,
                caller=_UNKNOWN_CALLER,
            )
        )
        guarded = self._guarded.get(method)
        if guarded is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                return self._unknown
            guarded = self._guarded[method] = self._guarded_handler(method, handler)
        return guarded

    def _guarded_handler(self, path: str, handler: Handler) -> Handler:
        _, service, method = path.split("/", 2)
        if self._late is not None and service not in self._still_answered:
            return self._refusing_handler(service, method, handler, self._late)
        if handler.unary_unary is not None:
            call = unary_call(
                handler.unary_unary, handler.request_deserializer, handler.response_serializer
            )
            guarded = self._guard(service, method, call, reads=True)
            return grpc.stream_unary_rpc_method_handler(self._traced(service, method, guarded))
        if handler.unary_stream is not None:
            guarded = self._guard(
                service,
                method,
                stream_call(handler.unary_stream, handler.request_deserializer),
                is_stream=True,
                reads=True,
                lasts=True,
            )
            return grpc.stream_stream_rpc_method_handler(
                self._traced(service, method, guarded),
                response_serializer=handler.response_serializer,
            )
        if handler.stream_stream is not None:
            reading = with_request_stream(handler.stream_stream)
            guarded = self._guard(service, method, stream_call(reading, None), is_stream=True)
            parse = within_stream(handler.request_deserializer, self._counters)
            return grpc.stream_stream_rpc_method_handler(
                self._traced(service, method, guarded), parse, handler.response_serializer
            )
        raise NotImplementedError(f"no method here takes a stream and returns one message: {path}")

    def _refusing_handler(
        self, service: str, method: str, handler: Handler, late: LateCalls
    ) -> Handler:
        is_stream = handler.unary_unary is None
        guarded = self._guard(service, method, late.refuse, is_stream=is_stream, is_refusal=True)
        if not is_stream:
            return grpc.stream_unary_rpc_method_handler(guarded)
        return grpc.stream_stream_rpc_method_handler(guarded)

    def _guard(
        self,
        service: str,
        method: str,
        call: Call,
        *,
        is_stream: bool = False,
        reads: bool = False,
        is_refusal: bool = False,
        lasts: bool = False,
    ) -> Call:
        """Return a call under this frame, which gRPC begins before it has read a request.

        reads: one request, for the call. is_refusal: the call answers every caller the same.
        lasts: as long as its caller likes, which is no latency.
        """
        calls, counted = self._calls, self._counters.of_method(service, method)
        access = None if is_refusal else self._access
        path = (service, method)
        open_calls = self._open
        weight = 0 if is_refusal else STREAM if is_stream else 1
        identify = caller_of if self._with_certificates else connected_caller

        async def guarded(request: Any, context: Context) -> Any:
            current = current_call.get()
            current.started_s = started_s = self._monotonic()
            counted.call_started()
            request_id = current.request_id
            code, why, is_in_flight = _OK, None, False
            try:
                current.caller = identify(context)
                open_calls.hold(current.caller, weight)
                if access is not None:
                    require_method(current.caller, access(), path)
                context.set_trailing_metadata(((REQUEST_ID_KEY, request_id),))
                if reads:
                    request = await open_calls.read(context)
                    current.started_s = started_s = self._monotonic()
                if is_in_flight := not is_stream:
                    calls.begin()
                return await call(request, context)
            except RequestNotReceived:
                self._counters.request_unread("not_received")
                code, why = grpc.StatusCode.UNKNOWN, _NOT_RECEIVED
                raise
            # A write fails where the caller has left, and gRPC has not said so yet.
            except (asyncio.CancelledError, grpc.aio.InternalError):
                code = _why_cancelled(context)
                raise asyncio.CancelledError from None
            except grpc.aio.AbortError:
                code = code_of(context.code())
                raise
            except Exception as error:  # noqa: BLE001  # a status for the caller, a line for a bug
                status = _status_logged(error, path, request_id)
                code, why = code_of(status.code), refusal_reason(status)
                await context.abort(
                    code,
                    status.message,
                    ((REQUEST_ID_KEY, request_id), (DETAILS_KEY, status.SerializeToString())),
                )
            finally:
                seconds = self._monotonic() - started_s
                counted.call_handled(
                    code.name, None if lasts else seconds, current.sampled_trace_id
                )
                if is_in_flight:
                    calls.end()
                if self._refusals is not None and code is not _OK:
                    self._refusals.record_refusal(
                        audited_call(_rpc_name(service, method), seconds),
                        why or RefusalReason(code=code.name),
                    )
                if self._log_calls:
                    log.info(
                        "call",
                        service=service,
                        method=method,
                        code=code.name,
                        seconds=round(seconds, 6),
                        request_id=request_id,
                        peer=current.caller.peer,
                    )

        return guarded

    def _traced(self, service: str, method: str, call: Call) -> Call:
        # Health and reflection would be most of what is traced, and say nothing.
        if self._tracing is None or not service.startswith(_TRACED_SERVICES):
            return call
        return traced(call, self._tracing, f"{service}/{method}", _why_cancelled)


def _status_logged(error: Exception, path: tuple[str, str], request_id: str) -> status_pb2.Status:
    """Return the status for an exception. One that is a bug is logged."""
    if not is_expected(error):
        service, method = path
        log.exception("call failed", service=service, method=method, request_id=request_id)
    return status_of(error, request_id)


def _rpc_name(service: str, method: str) -> str:
    return method if service.startswith(_OWN_SERVICES) else f"{service}/{method}"


async def _no_such_method(_requests: Any, _context: Context) -> None:
    raise MethodUnknown


def _why_cancelled(context: Context) -> grpc.StatusCode:
    remaining_s: float | None = context.time_remaining()
    return (
        grpc.StatusCode.DEADLINE_EXCEEDED
        if remaining_s is not None and remaining_s <= 0
        else grpc.StatusCode.CANCELLED
    )
