"""Details of errors are read within bounds; what cannot be read leaves an error without them."""

from collections.abc import Sequence
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2

from otpc_policy.rpc.status import Reason
from otpc_policy_client import CallError, DeadlineExceeded, NotPermitted, Overloaded
from otpc_policy_client.error_details import call_error, item_error

TRAILER = "grpc-status-details-bin"


class Failed(grpc.RpcError):
    """What gRPC raises."""

    def __init__(self, code: grpc.StatusCode, trailers: Sequence[Any] | None) -> None:
        self._code, self._trailers = code, trailers

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str | None:
        return None

    def trailing_metadata(self) -> Any:
        return self._trailers


def packed(*details: Any, code: int = 8) -> status_pb2.Status:
    status = status_pb2.Status(code=code, message="no")
    for each in details:
        one = AnyMessage()
        one.Pack(each)
        status.details.append(one)
    return status


INFO = error_details_pb2.ErrorInfo(domain="otpc-policy", reason=Reason.OVERLOADED.value)


def read(*trailers: Any, code: grpc.StatusCode = grpc.StatusCode.RESOURCE_EXHAUSTED) -> CallError:
    return call_error(Failed(code, trailers))


def test_reason_metadata_and_retry_are_read() -> None:
    info = error_details_pb2.ErrorInfo()
    info.CopyFrom(INFO)
    info.metadata["resource"] = "queue"
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(1_500)
    found = read(("other", "x"), (TRAILER, packed(info, retry).SerializeToString()))
    assert isinstance(found, Overloaded)
    assert (found.reason, dict(found.metadata)) == ("OVERLOADED", {"resource": "queue"})
    assert found.retry_after_s == 1.5


def test_another_domain_has_no_reason_here() -> None:
    foreign = error_details_pb2.ErrorInfo(domain="proxy.example", reason="OVERLOADED")
    assert read((TRAILER, packed(foreign).SerializeToString())).reason == ""


@pytest.mark.parametrize(
    "trailers",
    [
        (),
        None,
        ((TRAILER, b"\xff\xff\xff"),),
        ((TRAILER, "text"),),
        ((TRAILER, packed(INFO).SerializeToString() + bytes(20_000)),),
        (
            (
                TRAILER,
                status_pb2.Status(
                    details=[AnyMessage(type_url="x/google.rpc.ErrorInfo", value=b"\xff")]
                ).SerializeToString(),
            ),
        ),
    ],
)
def test_what_cannot_be_read_leaves_an_error_without_details(trailers: Any) -> None:
    found = call_error(Failed(grpc.StatusCode.PERMISSION_DENIED, trailers))
    assert type(found) is NotPermitted
    assert (found.reason, found.violations, found.retry_after_s) == ("", (), None)


def test_numbers_and_lengths_are_bounded() -> None:
    wrong = error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(field="f", description="d" * 3_000)
        ]
        * 100
    )
    far = error_details_pb2.RetryInfo()
    far.retry_delay.seconds = 10**11
    assert item_error(packed(far)).retry_after_s == 3_600
    far.retry_delay.seconds = -5
    assert item_error(packed(far)).retry_after_s == 0
    assert item_error(packed(wrong)).violations == ()  # larger than any error of the service
    for each in wrong.field_violations:
        each.description = "d"
    assert len(item_error(packed(wrong)).violations) == 64
    assert item_error(packed(*[far] * 20, INFO)).reason == ""


def test_an_error_without_a_call_and_an_unknown_code_are_errors_too() -> None:
    assert call_error(grpc.RpcError("lost")).status is grpc.StatusCode.UNKNOWN
    assert item_error(status_pb2.Status(code=99)).status is grpc.StatusCode.UNKNOWN
    known = DeadlineExceeded.here("over")
    assert call_error(known) is known
    assert "over" in str(known)
