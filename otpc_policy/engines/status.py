"""From the gRPC status of an engine to an exception of ours."""

import asyncio
from datetime import timedelta
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from otpc_policy.core.errors import EgressUnavailable, Overloaded, TargetForbidden
from otpc_policy.engines.errors import EngineFailed, EngineHindered, EngineLost
from otpc_policy.measurement.engine_lied import EngineLied
from otpc_policy.measurement.methods import (
    ADDRESS_FORBIDDEN,
    CANNOT_DIAL,
    DETAILS_KEY,
    EGRESS_UNAVAILABLE,
    ERROR_DOMAIN,
    OVERLOADED,
)

# Whatever an engine says, callers are sent away for no less and no more than this.
_SOONEST: Final = timedelta(seconds=1)
_LATEST: Final = timedelta(seconds=60)


def error_of(error: grpc.aio.AioRpcError) -> Exception:
    """Return what an engine's status stands for: Overloaded, TargetForbidden, EgressUnavailable,
    EngineLost, EngineFailed or EngineLied.

    A status without our ErrorInfo was made by gRPC: the connection failed, or the engine breaks
    the bounds of a message.
    """
    code = error.code()
    reason, retry_after = _details(error)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        if reason == OVERLOADED:
            return Overloaded(min(max(retry_after, _SOONEST), _LATEST))
        return EngineLied("a message beyond all bounds")
    if code is grpc.StatusCode.UNAVAILABLE or not reason:
        if code is grpc.StatusCode.UNIMPLEMENTED:
            return EngineFailed("the engine does not know the method")
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return EngineFailed("the engine did not answer in time")
        return EngineLost(f"the engine is gone ({code.name})")
    if reason == ADDRESS_FORBIDDEN:
        return TargetForbidden("the engine that is to measure it refuses it")
    if reason == EGRESS_UNAVAILABLE:
        return EgressUnavailable("the egress proxy of its engine cannot be used; the log says why")
    if reason == CANNOT_DIAL:
        return EngineHindered("the engine's machine cannot open the connection")
    return EngineFailed(f"the engine could not do it ({code.name})")


def _details(error: grpc.aio.AioRpcError) -> tuple[str, timedelta]:
    """Return the reason of our ErrorInfo, empty without one, and the delay of RetryInfo."""
    reason, retry_after = "", timedelta()
    trailers: Any = error.trailing_metadata() or ()
    for key, value in trailers:
        if key != DETAILS_KEY or not isinstance(value, bytes):
            continue
        try:
            status = status_pb2.Status.FromString(value)
            for detail in status.details[:8]:
                info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
                if detail.Unpack(info) and info.domain == ERROR_DOMAIN:
                    reason = info.reason
                elif detail.Unpack(retry):
                    delay = retry.retry_delay
                    retry_after = timedelta(seconds=min(max(delay.seconds, 0), 3600))
        except DecodeError:
            return "", timedelta()
    return reason, retry_after


def raise_lost_unless_cancelled() -> None:
    """Raise EngineLost where a call was cancelled and its task was not: its channel is closed."""
    if not is_being_cancelled():
        raise EngineLost("the channel to the engine is closed") from None


def is_being_cancelled() -> bool:
    """Tell whether a CancelledError is for the task itself.

    gRPC raises the same in whoever uses a call that somebody else has cancelled.
    """
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
