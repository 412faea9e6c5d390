"""The audit trail: what records decisions, refusals and events of the configuration.

Recording happens on the event loop, in the middle of answers, so a decision must cost only a few
microseconds: its line is the caller's part, kept ready, its own part, and the part that all
decisions from one judgement share. Lines are handed to the sinks in batches.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

from otpc_policy.core.caller import Caller
from otpc_policy.ops.audit.outlet import Outlet
from otpc_policy.ops.audit.port import AuditSink
from otpc_policy.ops.audit.refusal_bounds import RefusalBounds, RefusalKind
from otpc_policy.ops.audit.schema import SCHEMA, caller_fields, line_of, who_called
from otpc_policy.ops.timestamps import rfc3339

# Waking a thread for each line would cost more than the response.
_HAND_OVER_AFTER_S: Final = 0.1
_LINES_PER_BATCH: Final = 1_000
_PARTS_PER_LINE: Final = 3
_SUMMARY_S: Final = 1.0
_REFUSAL_LINES_PER_S: Final = 100.0


class AuditedCall(NamedTuple):
    """What every line about a call has. Made for each decision, which a dataclass is too slow for.

    request_id: safe characters only. trace_id: of the caller's trace or our own; empty without.
    sampled_trace_id: the same where the trace can be looked up.
    """

    caller: Caller
    rpc: str
    request_id: str
    trace_id: str
    duration_s: float
    sampled_trace_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalReason:
    """Why a call, or an item of a batch, was refused.

    code: a gRPC status by name. reason: of its ErrorInfo; empty without one. metadata: of that,
    shortened. fields: paths of the request that are at fault. item: position in the batch.
    """

    code: str
    reason: str = ""
    metadata: Mapping[str, str] | None = None
    fields: Sequence[str] = ()
    item: int | None = None


class EventLog(Protocol):
    """Where events of the configuration go."""

    def debug(self, event: str, **fields: Any) -> Any: ...
    def info(self, event: str, **fields: Any) -> Any: ...
    def warning(self, event: str, **fields: Any) -> Any: ...
    def error(self, event: str, **fields: Any) -> Any: ...
    def exception(self, event: str, **fields: Any) -> Any: ...


class AuditTrail:
    """Records lines and hands them to every sink.

    allow_rate: the part of the ALLOW decisions that gets a line, from 0 to 1. All else does.
    refusal_lines_per_s: of one caller; refusals beyond are summarised every second.

    Decisions and refusals are recorded on the event loop, events of the configuration on any
    thread. A process that is killed loses the lines of the last tenth of a second.
    """

    def __init__(
        self,
        sinks: Iterable[AuditSink],
        *,
        allow_rate: float = 1.0,
        refusal_lines_per_s: float = _REFUSAL_LINES_PER_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outlets = [Outlet(sink) for sink in sinks]
        self._allow_rate = allow_rate
        self._rate_field = "" if allow_rate >= 1 else f'"sample_rate":{allow_rate:g},'
        self._bounds = RefusalBounds(refusal_lines_per_s, monotonic=monotonic)
        # Lines in three parts each. Joined here, every line would be a copy of its constant part,
        # held until it is handed over.
        self._parts: list[str] = []
        self._hand_over: asyncio.TimerHandle | None = None
        self._summary: asyncio.TimerHandle | None = None
        self._random = random.Random()  # noqa: S311  # a sample, no secret
        self.summarised = 0
        """Refusals without a line of their own."""
        self.refusals: Counter[tuple[str, str]] = Counter()
        """All refusals, by code and reason."""

    @property
    def outlets(self) -> Sequence[Outlet]:
        """The ways to the sinks, with their counts."""
        return self._outlets

    @property
    def dropped(self) -> int:
        """Lines that did not reach a sink, summed up over sinks."""
        return sum(outlet.lost for outlet in self._outlets)

    def record_decision(
        self,
        call: AuditedCall,
        *,
        at: datetime,
        check_id: str,
        source: str,
        constant: str,
        is_sampled: bool = False,
        observed_leaf: bytes | None = None,
    ) -> None:
        """Record a decision.

        at: UTC. source: from a closed list. check_id: safe characters only. constant: from
        constant_fields. is_sampled: a line for a part of such decisions is enough. observed_leaf:
        SHA-256 of the leaf that the caller reports; None if it reports none.
        """
        rate = ""
        if is_sampled and self._allow_rate < 1:
            if self._random.random() >= self._allow_rate:
                return
            rate = self._rate_field
        reported = (
            "" if observed_leaf is None else f'"observed_leaf_sha256":"{observed_leaf.hex()}",'
        )
        trace = f'"trace_id":"{call.trace_id}",' if call.trace_id else ""
        own = (
            f'{{"schema":{SCHEMA},"time":"{rfc3339(at)}","level":"info","event":"decision",'
            f'{caller_fields(call.caller)},"rpc":"{call.rpc}","duration_s":{call.duration_s:.6f},'
            f'"request_id":"{call.request_id}",{trace}"check_id":"{check_id}","source":"{source}",'
            f"{rate}{reported}"
        )
        self._add(own, constant, "}\n")

    def record_refusal(self, call: AuditedCall, why: RefusalReason) -> None:
        """Record a call, or an item of a batch, that ended with a status other than OK."""
        self.refusals[why.code, why.reason] += 1
        if not self._bounds.may_have_line(call.caller.share[0]):
            self.summarised += 1
            self._bounds.summarise(
                RefusalKind(call.caller.share[0], call.rpc, why.code, why.reason)
            )
            if self._summary is None:
                self._summary = asyncio.get_running_loop().call_later(_SUMMARY_S, self._summarise)
            return
        fields: dict[str, Any] = {
            **who_called(call.caller),
            "rpc": call.rpc,
            "duration_s": round(call.duration_s, 6),
            "request_id": call.request_id,
        }
        if call.trace_id:
            fields["trace_id"] = call.trace_id
        fields["code"] = why.code
        optional = {"reason": why.reason, "metadata": why.metadata, "fields": list(why.fields)}
        fields |= {name: value for name, value in optional.items() if value}
        if why.item is not None:
            fields["item"] = why.item
        level = "error" if why.code == "INTERNAL" else "warning"
        self._add(line_of(level, "refusal", fields), "", "")

    def record_event(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        """Record an event of the configuration. From any thread."""
        line = line_of(level, event, fields)
        for outlet in self._outlets:
            outlet.put(line, 1)

    def event_log(self, also: EventLog | None = None) -> EventLog:
        """Return what records events of the configuration. also: gets them as well."""
        return _Events(self, also)

    def reopen(self) -> None:
        """Have every sink open again what was rotated."""
        self._hand_over_lines()
        for outlet in self._outlets:
            outlet.reopen()

    def close(self) -> int:
        """Write what is left, for four seconds a sink at most; return how many lines are lost.

        The trail can be used again afterwards.
        """
        if self._summary is not None:
            self._summary.cancel()
            self._summarise()
        self._hand_over_lines()
        return sum(outlet.close() for outlet in self._outlets)

    def _add(self, *parts: str) -> None:
        self._parts += parts
        if len(self._parts) >= _LINES_PER_BATCH * _PARTS_PER_LINE:
            self._hand_over_lines()
        elif self._hand_over is None:
            self._hand_over = asyncio.get_running_loop().call_later(
                _HAND_OVER_AFTER_S, self._hand_over_lines
            )

    def _hand_over_lines(self) -> None:
        if self._hand_over is not None:
            self._hand_over.cancel()
            self._hand_over = None
        if self._parts:
            parts, self._parts = self._parts, []
            lines, count = "".join(parts), len(parts) // _PARTS_PER_LINE
            for outlet in self._outlets:
                outlet.put(lines, count)

    def _summarise(self) -> None:
        self._summary = None
        for kind, count in self._bounds.take_summaries():
            fields = {
                "caller": kind.caller,
                "rpc": kind.rpc,
                "code": kind.code,
                "reason": kind.reason,
                "count": count,
            }
            self._add(line_of("warning", "refusals_summarised", fields), "", "")


class _Events:
    """An EventLog whose events are audit lines. What is for debugging is none."""

    def __init__(self, trail: AuditTrail, also: EventLog | None) -> None:
        self._trail, self._also = trail, also

    def debug(self, event: str, **fields: Any) -> None:
        if self._also is not None:
            self._also.debug(event, **fields)

    def info(self, event: str, **fields: Any) -> None:
        self._record("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._record("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self._record("error", event, fields)

    def exception(self, event: str, **fields: Any) -> None:
        """Record the event; the traceback is for the log alone."""
        self._trail.record_event("error", event, fields)
        if self._also is not None:
            self._also.exception(event, **fields)

    def _record(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        self._trail.record_event(level, event, fields)
        if self._also is not None:
            getattr(self._also, level)(event, **fields)
