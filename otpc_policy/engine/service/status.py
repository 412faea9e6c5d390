"""From what went wrong to a gRPC status. No text of an exception passes unless it was written here.

The outermost frame of every call: an exception without a row is a bug, logged here and
reported to nobody.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import grpc
import structlog
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from otpc_policy.core.errors import (
    InvalidRequest,
    Overloaded,
    ServiceUnavailable,
    TargetForbidden,
)
from otpc_policy.core.trace_context import trace_context_in
from otpc_policy.engine.egress.hindrance import CannotDial
from otpc_policy.engine.egress.proxy import ProxyFault
from otpc_policy.measurement.methods import (
    ADDRESS_FORBIDDEN,
    CANNOT_DIAL,
    DETAILS_KEY,
    EGRESS_UNAVAILABLE,
    ERROR_DOMAIN,
    OVERLOADED,
)

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Call: TypeAlias = Callable[[Any, Context], Awaitable[Any]]

# What reading a request gives where there is none any more; the stubs do not know it.
END_OF_STREAM: Any = grpc.aio.EOF  # type: ignore[attr-defined]

_log = structlog.get_logger("otpc_policy.engine")


def guarded(call: Call) -> Call:
    """Return the call with its exceptions made statuses."""

    async def outermost(request: Any, context: Context) -> Any:
        caller = trace_context_in(context.invocation_metadata())
        if caller is not None:
            # gRPC runs each call in a task of its own, and with it this context ends.
            structlog.contextvars.bind_contextvars(trace_id=caller.trace_id)
        try:
            return await call(request, context)
        except (asyncio.CancelledError, grpc.aio.AbortError):
            raise
        except Exception as error:  # noqa: BLE001  # gRPC would send its text to the front
            await _abort(context, error)

    return outermost


async def _abort(context: Context, error: Exception) -> None:
    code, reason, message = _row(error)
    if isinstance(error, CannotDial):
        _log.error("the engine cannot connect", reason=str(error))
    elif code is grpc.StatusCode.INTERNAL:
        _log.error("a call failed", exc_info=error)
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=reason, domain=ERROR_DOMAIN)]
    if isinstance(error, Overloaded):
        delay = Duration()
        delay.FromTimedelta(error.retry_after)
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(code=code.value[0], message=message, details=map(_packed, details))
    trailers: Sequence[tuple[str, bytes]] = ((DETAILS_KEY, status.SerializeToString()),)
    await context.abort(code, message, trailers)


def _row(error: Exception) -> tuple[grpc.StatusCode, str, str]:
    """Return code, reason and text."""
    match error:
        case InvalidRequest() | DecodeError():
            return grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", "the request is invalid"
        case Overloaded():
            text = "the engine has no room for more work now"
            return grpc.StatusCode.RESOURCE_EXHAUSTED, OVERLOADED, text
        case TargetForbidden():
            return grpc.StatusCode.FAILED_PRECONDITION, ADDRESS_FORBIDDEN, str(error)
        case ProxyFault():
            return grpc.StatusCode.INTERNAL, EGRESS_UNAVAILABLE, "the egress proxy cannot be used"
        case CannotDial():
            text = "the engine's machine cannot open the connection"
            return grpc.StatusCode.INTERNAL, CANNOT_DIAL, text
        case ServiceUnavailable():
            return grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE", "the engine is draining"
        case _:
            return grpc.StatusCode.INTERNAL, "INTERNAL", "internal error; the engine's log has it"


def _packed(detail: Message) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(detail)
    return packed
