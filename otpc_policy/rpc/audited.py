"""What the audit trail is told about the call that is being answered."""

import time
from contextvars import ContextVar

from google.rpc import error_details_pb2, status_pb2

from otpc_policy.core.caller import current_caller
from otpc_policy.ops.audit.trail import AuditedCall, RefusalReason
from otpc_policy.rpc.request_id import current_request_id, current_trace_id
from otpc_policy.rpc.status import code_of

# A request with hundreds of faults has its first ones in the line.
_MOST_FIELDS = 10
_MOST_CHARACTERS = 128

call_started_s: ContextVar[float] = ContextVar("call_started_s", default=0.0)
"""When the call began, by time.perf_counter; 0 for none."""


def audited_call(rpc: str, duration_s: float | None = None) -> AuditedCall:
    """Return the current call. duration_s: until now by default."""
    if duration_s is None:
        started_s = call_started_s.get()
        duration_s = time.perf_counter() - started_s if started_s else 0.0
    return AuditedCall(
        current_caller.get(), rpc, current_request_id.get(), current_trace_id.get(), duration_s
    )


def refusal_reason(status: status_pb2.Status, item: int | None = None) -> RefusalReason:
    """Return what the audit line of a status contains. item: position in a batch."""
    reason, metadata, fields = "", {}, []
    info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        if detail.Unpack(info):
            reason = info.reason
            # The line has the request id already.
            metadata = {
                key: value[:_MOST_CHARACTERS]
                for key, value in info.metadata.items()
                if key != "request_id"
            }
        elif detail.Unpack(bad_request):
            faults = bad_request.field_violations[:_MOST_FIELDS]
            fields = [fault.field[:_MOST_CHARACTERS] for fault in faults]
    return RefusalReason(
        code=code_of(status.code).name, reason=reason, metadata=metadata, fields=fields, item=item
    )
