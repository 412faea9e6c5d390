"""Reads the details of an error, within bounds. What cannot be read is left out.

The service sends google.rpc.Status with ErrorInfo, BadRequest, PreconditionFailure and RetryInfo in
the trailer grpc-status-details-bin.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from otpc_policy_client.errors import KINDS, CallError, ErrorDetails, Violation

_TRAILER: Final = "grpc-status-details-bin"
_DOMAIN: Final = "otpc-policy"
# The service's own bounds, which gRPC's of 8 KiB for all trailers stand above.
_MAX_BYTES: Final = 16 * 1024
_MAX_DETAILS: Final = 8
_MAX_METADATA: Final = 32
_MAX_VIOLATIONS: Final = 64
_MAX_CHARACTERS: Final = 1_000
_MAX_RETRY_S: Final = 3_600.0


def call_error(error: grpc.RpcError) -> CallError:
    """Return what gRPC raised as an exception of this client."""
    if isinstance(error, CallError):
        return error
    # Errors of calls are grpc.Call or grpc.aio.AioRpcError; the base class declares neither.
    call: Any = error
    if not hasattr(error, "code"):
        return CallError(grpc.StatusCode.UNKNOWN, str(error)[:_MAX_CHARACTERS])
    return _error(call.code(), call.details(), _from_trailers(call.trailing_metadata()))


def item_error(status: status_pb2.Status) -> CallError:
    """Return the error of one item of a batch."""
    found = next((each for each in grpc.StatusCode if each.value[0] == status.code), None)
    details = status if status.ByteSize() <= _MAX_BYTES else status_pb2.Status()
    return _error(found or grpc.StatusCode.UNKNOWN, status.message, _read(details))


def _error(code: grpc.StatusCode, text: str | None, details: ErrorDetails) -> CallError:
    return KINDS.get(code, CallError)(code, (text or "")[:_MAX_CHARACTERS], details)


def _from_trailers(trailers: Iterable[tuple[str, str | bytes]] | None) -> ErrorDetails:
    for key, value in trailers or ():
        if key == _TRAILER and isinstance(value, bytes) and len(value) <= _MAX_BYTES:
            try:
                return _read(status_pb2.Status.FromString(value))
            except DecodeError:
                break
    return ErrorDetails()


def _read(status: status_pb2.Status) -> ErrorDetails:
    reason, metadata, violations, retry_after_s = "", {}, list[Violation](), None
    for detail in status.details[:_MAX_DETAILS]:
        info = error_details_pb2.ErrorInfo()
        request = error_details_pb2.BadRequest()
        condition = error_details_pb2.PreconditionFailure()
        retry = error_details_pb2.RetryInfo()
        try:
            if detail.Unpack(info) and info.domain == _DOMAIN:
                reason, metadata = _short(info.reason), _metadata(info.metadata)
            elif detail.Unpack(request):
                violations += [
                    Violation(_short(each.field), _short(each.description))
                    for each in request.field_violations[:_MAX_VIOLATIONS]
                ]
            elif detail.Unpack(condition):
                violations += [
                    Violation("", _short(each.description))
                    for each in condition.violations[:_MAX_VIOLATIONS]
                ]
            elif detail.Unpack(retry):
                retry_after_s = seconds_of(retry.retry_delay)
        except DecodeError:
            continue
    return ErrorDetails(
        reason=reason,
        metadata=MappingProxyType(metadata),
        violations=tuple(violations[:_MAX_VIOLATIONS]),
        retry_after_s=retry_after_s,
    )


def seconds_of(duration: Duration) -> float:
    """Return a duration in seconds, between 0 and an hour."""
    return min(max(duration.seconds + duration.nanos / 1e9, 0.0), _MAX_RETRY_S)


def _metadata(sent: Mapping[str, str]) -> dict[str, str]:
    return {_short(key): _short(sent[key]) for key in sorted(sent)[:_MAX_METADATA]}


def _short(text: str) -> str:
    return text[:_MAX_CHARACTERS]
