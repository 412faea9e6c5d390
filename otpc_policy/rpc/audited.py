"""What the audit trail is told about the call that is being answered."""

import time

from google.rpc import error_details_pb2, status_pb2

from otpc_policy.ops.audit.trail import AuditedCall, RefusalReason
from otpc_policy.rpc.current_call import current_call
from otpc_policy.rpc.status import code_of

# A request with hundreds of faults has its first ones in the line.
_MOST_FIELDS = 10
_MOST_CHARACTERS = 128


def audited_call(rpc: str, duration_s: float | None = None) -> AuditedCall:
    """Return the current call. duration_s: until now by default."""
    call = current_call.get()
    if duration_s is None:
        duration_s = time.perf_counter() - call.started_s if call.started_s else 0.0
    return AuditedCall(
        call.caller, rpc, call.request_id, call.trace_id, duration_s, call.sampled_trace_id
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
