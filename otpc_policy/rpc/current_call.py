"""The call that is being answered, as logs and the audit trail describe it."""

from contextvars import ContextVar
from dataclasses import dataclass

from otpc_policy.core.caller import WITHIN_THIS_PROCESS, Caller


# In a single context variable: setting one costs as much as reading the attributes of many calls.
@dataclass(slots=True, kw_only=True)
class CurrentCall:
    """A call. The guard fills in the rest as soon as it is known.

    path: of the method. request_id: safe characters only. trace_id: of the caller's trace, or of
    our own; empty without either. sampled_trace_id: the same, unless this service does not sample
    the trace. started_s: by time.perf_counter; 0 until the handler has begun.
    """

    path: str = ""
    request_id: str = ""
    trace_id: str = ""
    sampled_trace_id: str = ""
    caller: Caller = WITHIN_THIS_PROCESS
    started_s: float = 0.0


current_call: ContextVar[CurrentCall] = ContextVar("current_call", default=CurrentCall())  # noqa: B039
