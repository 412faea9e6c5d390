"""The span of a call: the root of what this service does for it.

It surrounds the guard from outside, and only where calls are traced.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import grpc
import structlog

from otpc_policy.core.spans import Attribute, Span, working_in
from otpc_policy.core.trace_context import TraceContext, trace_context_in
from otpc_policy.rpc.current_call import CurrentCall, current_call
from otpc_policy.rpc.interceptors.calls import Call, Context
from otpc_policy.rpc.interceptors.request_size import RequestNotReceived
from otpc_policy.rpc.status import code_of

# OpenTelemetry, semantic conventions of gRPC: others are the caller's errors, not the server's.
_FAULTS: Final = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)


class CallTracing(Protocol):
    """Begins the span of a call. caller: the span that the caller made it in."""

    def begin_call(
        self, name: str, caller: TraceContext | None, attributes: Mapping[str, Attribute]
    ) -> Span: ...


def traced(
    call: Call,
    tracing: CallTracing,
    name: str,
    why_cancelled: Callable[[Context], grpc.StatusCode],
) -> Call:
    """Return the call within a span. name: "package.Service/Method".

    why_cancelled: the status of a call that was cancelled.
    """
    attributes = {"rpc.system.name": "grpc", "rpc.method": name}

    async def in_span(request: Any, context: Context) -> Any:
        caller = trace_context_in(context.invocation_metadata())
        span = tracing.begin_call(name, caller, attributes)
        _note(span, current_call.get())
        code = grpc.StatusCode.OK
        with structlog.contextvars.bound_contextvars(trace_id=span.context.trace_id):
            try:
                with working_in(span):
                    return await call(request, context)
            except RequestNotReceived:
                code = grpc.StatusCode.UNKNOWN
                raise
            except asyncio.CancelledError:
                code = why_cancelled(context)
                raise
            except grpc.aio.AbortError:
                code = code_of(context.code())
                raise
            finally:
                span.set("rpc.response.status_code", code.name)
                if code in _FAULTS:
                    span.fail(code.name)
                span.end()

    return in_span


def _note(span: Span, call: CurrentCall) -> None:
    """Have lines about the call, and exemplars, name the trace in which it can be found."""
    call.trace_id = span.context.trace_id
    call.sampled_trace_id = span.context.trace_id if span.is_recorded else ""
    span.set("otpc_policy.request_id", call.request_id)
