"""The one table from exceptions to gRPC statuses. Only text written for callers gets through."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from otpc_policy.core.errors import (
    CallerBudgetUsed,
    CursorTooOld,
    InvalidRequest,
    OtpcPolicyError,
    Overloaded,
    PortNotAllowed,
    ReaderTooSlow,
    ServiceUnavailable,
    UnknownPerspective,
    UnknownPolicy,
)

ERROR_DOMAIN = "otpc-policy"
DETAILS_KEY = "grpc-status-details-bin"
# Details travel in trailers, which gRPC limits to 8 KiB by default, so echoed input is shortened.
_MAX_ECHOED_CHARACTERS = 128
_MAX_PROBLEMS, _MAX_PROBLEM_CHARACTERS = 10, 300
# Sixteen anchors, and the other fields of the longest request.
_MAX_VIOLATIONS = 20


class Reason(StrEnum):
    """Values of google.rpc.ErrorInfo.reason with the domain "otpc-policy". They never change."""

    INVALID_REQUEST = "INVALID_REQUEST"
    """The request is invalid; BadRequest lists every violation. Do not retry."""
    UNKNOWN_POLICY = "UNKNOWN_POLICY"
    """The policy is not loaded. Metadata: policy."""
    UNKNOWN_PERSPECTIVE = "UNKNOWN_PERSPECTIVE"
    """Nothing is measured from there. Metadata: perspective, perspectives (those there are, with
    commas between them). Do not retry.
    """
    OVERLOADED = "OVERLOADED"
    """The service has no room for this now; RetryInfo says when to ask again.

    Metadata: budget ("the service's"), resource (a value of core.errors.Budget).
    """
    CALLER_BUDGET_USED = "CALLER_BUDGET_USED"
    """The caller has used up its own share; RetryInfo says when to ask again.

    Metadata: budget ("yours"), resource (as of OVERLOADED).
    """
    PORT_NOT_ALLOWED = "PORT_NOT_ALLOWED"
    """The service measures other ports only. Metadata: port, allowed_ports. Do not retry."""
    REQUEST_TOO_LARGE = "REQUEST_TOO_LARGE"
    """The request is longer than the service reads. Metadata: bytes, limit. Do not retry."""
    REQUEST_MISSING = "REQUEST_MISSING"
    """The call had a head and no request. Do not retry."""
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
    """This process is draining or not ready; another replica may answer. With RetryInfo."""
    CURSOR_TOO_OLD = "CURSOR_TOO_OLD"
    """What has changed since is no longer known, or the caller may see other endpoints by now.

    List again, and go on from that cursor.
    """
    READER_TOO_SLOW = "READER_TOO_SLOW"
    """The caller has not read the stream as fast as it grew. With RetryInfo; go on from the last
    cursor.
    """
    METHOD_UNKNOWN = "METHOD_UNKNOWN"
    """The service has no such method."""
    ADMIN_SERVICE_OFF = "ADMIN_SERVICE_OFF"
    """The administrative service is off here."""
    NOTHING_WATCHED = "NOTHING_WATCHED"
    """The service watches no endpoint of its own accord."""
    CALLER_UNKNOWN = "CALLER_UNKNOWN"
    """The method requires a client certificate with a SPIFFE id, URI or DNS name, and the caller
    presented none.
    """
    CALLER_NOT_PERMITTED = "CALLER_NOT_PERMITTED"
    """No role of the caller permits this. Metadata: caller (its first identity), missing (what the
    nearest role lacks, such as "port 25, refresh"; docs/callers.md lists them).
    """
    CONFIGURATION_REFUSED = "CONFIGURATION_REFUSED"
    """Policies, partners or trust are invalid; PreconditionFailure lists the problems.

    The last good set stays in use.
    """
    HEALTH_SERVICE_UNKNOWN = "HEALTH_SERVICE_UNKNOWN"
    """The health of an unknown service was asked for."""
    INTERNAL = "INTERNAL"
    """A bug. Metadata: request_id, by which the log has the details."""


class RequestTooLarge(OtpcPolicyError):
    """The request is longer than limit, in bytes."""

    def __init__(self, length: int, limit: int) -> None:
        self.length, self.limit = length, limit
        super().__init__(f"{length} bytes; at most {limit} are read")


class RequestMissing(OtpcPolicyError):
    """The call has a head and no request."""


class MethodUnknown(OtpcPolicyError):
    """The caller named a method that does not exist."""


class AdminServiceOff(OtpcPolicyError):
    """The caller asked for administration where it is off."""


class NothingWatched(OtpcPolicyError):
    """The caller asked for changes of verdicts where nothing is watched."""


class CallerUnknown(OtpcPolicyError):
    """The caller presented no identity, and the method requires one."""


class CallerNotPermitted(OtpcPolicyError):
    """The caller is known and may not do this.

    caller: its first identity. missing: what the nearest of its roles does not permit.
    """

    def __init__(self, caller: str = "", missing: Sequence[str] = ()) -> None:
        self.caller = caller
        self.missing = tuple(missing)
        super().__init__(", ".join(missing))


class ConfigurationRefused(OtpcPolicyError):
    """An operator asked for a reload, and the documents are invalid.

    problems: all of them, each with file, line and key.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class HealthServiceUnknown(OtpcPolicyError):
    """The caller asked for the health of an unknown service."""


@dataclass(frozen=True, slots=True)
class _Row:
    code: grpc.StatusCode
    reason: Reason
    message: str
    details: Callable[[Any], Sequence[Message]] = lambda _: ()
    metadata: Callable[[Any], Mapping[str, str]] = lambda _: {}


def _bad_request(error: InvalidRequest) -> Sequence[Message]:
    violations = (
        error_details_pb2.BadRequest.FieldViolation(
            field=violation.field[:_MAX_ECHOED_CHARACTERS],
            description=violation.description[:_MAX_PROBLEM_CHARACTERS],
        )
        for violation in error.violations[:_MAX_VIOLATIONS]
    )
    return (error_details_pb2.BadRequest(field_violations=violations),)


def _retry_info(error: Overloaded | ServiceUnavailable | ReaderTooSlow) -> Sequence[Message]:
    delay = Duration()
    delay.FromTimedelta(error.retry_after)
    return (error_details_pb2.RetryInfo(retry_delay=delay),)


def _precondition_failure(error: ConfigurationRefused) -> Sequence[Message]:
    """Report the first problems, shortened: all of them are in the log."""
    reported = [problem[:_MAX_PROBLEM_CHARACTERS] for problem in error.problems[:_MAX_PROBLEMS]]
    if len(error.problems) > _MAX_PROBLEMS:
        reported.append(f"and {len(error.problems) - _MAX_PROBLEMS} more; the log has all")
    violations = (
        error_details_pb2.PreconditionFailure.Violation(type="CONFIGURATION", description=problem)
        for problem in reported
    )
    return (error_details_pb2.PreconditionFailure(violations=violations),)


_TABLE: Mapping[type[Exception], _Row] = {
    InvalidRequest: _Row(
        grpc.StatusCode.INVALID_ARGUMENT,
        Reason.INVALID_REQUEST,
        "the request is invalid; the details list every violation",
        details=_bad_request,
    ),
    UnknownPolicy: _Row(
        grpc.StatusCode.NOT_FOUND,
        Reason.UNKNOWN_POLICY,
        "unknown policy; ListPolicies lists those that are loaded",
        metadata=lambda error: {"policy": error.name[:_MAX_ECHOED_CHARACTERS]},
    ),
    UnknownPerspective: _Row(
        grpc.StatusCode.INVALID_ARGUMENT,
        Reason.UNKNOWN_PERSPECTIVE,
        "unknown perspective; the details list those there are",
        metadata=lambda error: {
            "perspective": error.name[:_MAX_ECHOED_CHARACTERS],
            "perspectives": ",".join(error.known),
        },
    ),
    Overloaded: _Row(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        Reason.OVERLOADED,
        "the service has no room for this now; ask again later",
        details=_retry_info,
        metadata=lambda error: {"budget": "the service's", "resource": error.budget.value},
    ),
    CallerBudgetUsed: _Row(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        Reason.CALLER_BUDGET_USED,
        "your share is used up; ask again later",
        details=_retry_info,
        metadata=lambda error: {"budget": "yours", "resource": error.budget.value},
    ),
    PortNotAllowed: _Row(
        grpc.StatusCode.PERMISSION_DENIED,
        Reason.PORT_NOT_ALLOWED,
        "this service does not measure that port, unless a partner's entry names it",
        metadata=lambda error: {
            "port": str(error.port),
            "allowed_ports": ",".join(map(str, error.allowed))[:_MAX_ECHOED_CHARACTERS],
        },
    ),
    RequestTooLarge: _Row(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        Reason.REQUEST_TOO_LARGE,
        "the request is too large; the details tell the limit",
        metadata=lambda error: {"bytes": str(error.length), "limit": str(error.limit)},
    ),
    RequestMissing: _Row(
        grpc.StatusCode.INVALID_ARGUMENT,
        Reason.REQUEST_MISSING,
        "the call ended, or kept silent, without a request",
    ),
    ServiceUnavailable: _Row(
        grpc.StatusCode.UNAVAILABLE,
        Reason.SERVICE_UNAVAILABLE,
        "this process is draining or not ready; another replica may answer",
        details=_retry_info,
    ),
    CursorTooOld: _Row(
        grpc.StatusCode.OUT_OF_RANGE,
        Reason.CURSOR_TOO_OLD,
        "what has changed since that cursor is no longer known; list again, and go on from there",
    ),
    ReaderTooSlow: _Row(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        Reason.READER_TOO_SLOW,
        "the stream grew faster than it was read; go on from the last cursor",
        details=_retry_info,
    ),
    MethodUnknown: _Row(grpc.StatusCode.UNIMPLEMENTED, Reason.METHOD_UNKNOWN, "unknown method"),
    AdminServiceOff: _Row(
        grpc.StatusCode.UNIMPLEMENTED, Reason.ADMIN_SERVICE_OFF, "the administrative service is off"
    ),
    NothingWatched: _Row(
        grpc.StatusCode.UNIMPLEMENTED,
        Reason.NOTHING_WATCHED,
        "this service watches no endpoint, so there are no changes to follow",
    ),
    CallerUnknown: _Row(
        grpc.StatusCode.UNAUTHENTICATED,
        Reason.CALLER_UNKNOWN,
        "a client certificate with a SPIFFE id, a URI or a DNS name is required",
    ),
    CallerNotPermitted: _Row(
        grpc.StatusCode.PERMISSION_DENIED,
        Reason.CALLER_NOT_PERMITTED,
        "no role of this caller permits that; the details name what is missing",
        metadata=lambda error: {
            "caller": error.caller[:_MAX_ECHOED_CHARACTERS],
            "missing": ", ".join(error.missing)[: 2 * _MAX_ECHOED_CHARACTERS],
        },
    ),
    ConfigurationRefused: _Row(
        grpc.StatusCode.FAILED_PRECONDITION,
        Reason.CONFIGURATION_REFUSED,
        "the configuration is invalid and the last good one stays; the details list the problems",
        details=_precondition_failure,
    ),
    HealthServiceUnknown: _Row(
        grpc.StatusCode.NOT_FOUND, Reason.HEALTH_SERVICE_UNKNOWN, "unknown service"
    ),
}
_BUG = _Row(
    grpc.StatusCode.INTERNAL,
    Reason.INTERNAL,
    "internal error; the operator finds it in the log under the request id",
)
NOT_RECEIVED: tuple[str, str] = (grpc.StatusCode.UNKNOWN.name, "REQUEST_NOT_RECEIVED")
"""Code and reason of a call that gRPC ended before its request was read.

Which status the caller got is not known: RESOURCE_EXHAUSTED if the request was too long for gRPC,
another one if the caller gave up.
"""
REFUSAL_KINDS: tuple[tuple[str, str], ...] = (
    *((row.code.name, str(row.reason)) for row in (*_TABLE.values(), _BUG)),
    (grpc.StatusCode.CANCELLED.name, ""),
    (grpc.StatusCode.DEADLINE_EXCEEDED.name, ""),
    NOT_RECEIVED,
)
"""Code and reason of every refusal that is expected."""

_CODES: Mapping[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def is_expected(error: BaseException) -> bool:
    """Whether the table has a row for the error; anything else is a bug and must be logged."""
    return any(kind in _TABLE for kind in type(error).__mro__)


def status_of(error: BaseException, request_id: str) -> status_pb2.Status:
    """Return the status for an error: ErrorInfo always, further details as the table says."""
    row = next((_TABLE[kind] for kind in type(error).__mro__ if kind in _TABLE), _BUG)
    info = error_details_pb2.ErrorInfo(
        reason=row.reason,
        domain=ERROR_DOMAIN,
        metadata={"request_id": request_id, **row.metadata(error)},
    )
    status = status_pb2.Status(code=row.code.value[0], message=row.message)
    for detail in (info, *row.details(error)):
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def code_of(status: int | grpc.StatusCode | None) -> grpc.StatusCode:
    """Return the status code of a number: OK for None, UNKNOWN for a number without a name."""
    if isinstance(status, grpc.StatusCode):
        return status
    return _CODES.get(status or 0, grpc.StatusCode.UNKNOWN)
