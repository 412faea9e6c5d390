"""An error as google.rpc.Status, the other way round than error_details."""

from datetime import timedelta
from typing import Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from otpc_policy_client.errors import CallError

TRAILER: Final = "grpc-status-details-bin"


def status_of(error: CallError) -> status_pb2.Status:
    """Return the status that the service would send."""
    details: list[Message] = []
    if error.reason:
        info = error_details_pb2.ErrorInfo(reason=error.reason, domain="otpc-policy")
        info.metadata.update(error.metadata)
        details.append(info)
    if error.violations:
        details.append(
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(
                        field=each.field, description=each.description
                    )
                    for each in error.violations
                ]
            )
        )
    if error.retry_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromTimedelta(timedelta(seconds=error.retry_after_s))
        details.append(retry)
    status = status_pb2.Status(code=error.status.value[0], message=error.text)
    for each in details:
        packed = AnyMessage()
        packed.Pack(each)
        status.details.append(packed)
    return status
