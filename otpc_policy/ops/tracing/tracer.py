"""Spans made with OpenTelemetry, and which calls are traced.

Whoever calls names the trace, and so may know which trace ids a rule by trace id takes: calls are
drawn by a number of our own. That a caller does not sample its trace is honoured: nobody would see
ours in it.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    set_span_in_context,
)
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace import SpanKind as OtelKind

from otpc_policy import __version__
from otpc_policy.core.spans import Attribute, Span, SpanKind
from otpc_policy.core.trace_context import TraceContext
from otpc_policy.ops.tracing.export import SpanExport

_KINDS: Final[Mapping[SpanKind, OtelKind]] = {
    SpanKind.INTERNAL: OtelKind.INTERNAL,
    SpanKind.SERVER: OtelKind.SERVER,
    SpanKind.CLIENT: OtelKind.CLIENT,
}
# A batch may join a hundred measurements, and a joined one has one link.
_LIMITS: Final = {
    "max_attributes": 32,
    "max_events": 8,
    "max_links": 8,
    "max_span_attributes": 32,
    "max_attribute_length": 256,
    "max_span_attribute_length": 256,
}
_NANOS: Final = 1_000_000_000

# Identifiers of traces that nobody sees, and a draw.
_random = random.Random()  # noqa: S311  # no secrets


class Tracing:
    """Begins the spans of calls, and exports them. Close it.

    sample_ratio: the part of the calls that is traced. callers_may_sample: a caller that samples
    its trace has ours in it at any rate. draw: from 0 inclusive to 1.
    """

    def __init__(
        self,
        export: SpanExport,
        *,
        service_name: str,
        instance: str,
        sample_ratio: float,
        callers_may_sample: bool = False,
        draw: Callable[[], float] = _random.random,
    ) -> None:
        self.export = export
        self._sample_ratio, self._callers_may_sample, self._draw = (
            sample_ratio,
            callers_may_sample,
            draw,
        )
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,
            # Not Resource.create, which reads the environment.
            resource=Resource(
                {
                    "service.name": service_name,
                    "service.version": __version__,
                    "service.instance.id": instance,
                }
            ),
            shutdown_on_exit=False,
            span_limits=SpanLimits(**_LIMITS),
        )
        self._provider.add_span_processor(export)
        self._tracer = self._provider.get_tracer("otpc_policy", __version__)

    def begin_call(
        self, name: str, caller: TraceContext | None, attributes: Mapping[str, Attribute]
    ) -> Span:
        """Begin the span of a call. caller: the span that the caller made it in."""
        if not self._is_sampled(caller):
            return _Unrecorded(caller)
        began = self._tracer.start_span(
            name,
            context=set_span_in_context(NonRecordingSpan(_otel_context(caller)))
            if caller is not None
            else set_span_in_context(NonRecordingSpan(_NO_PARENT)),
            kind=OtelKind.SERVER,
            attributes=attributes,
        )
        return _Recorded(self._tracer, began, "" if caller is None else caller.state)

    def close(self) -> None:
        """Send what waits, for two seconds at most."""
        self._provider.shutdown()

    def _is_sampled(self, caller: TraceContext | None) -> bool:
        if caller is not None:
            if not caller.is_sampled:
                return False
            if self._callers_may_sample:
                return True
        return self._draw() < self._sample_ratio


class _Recorded:
    """A span that will be exported. state: the caller's tracestate. See core.spans.Span."""

    __slots__ = ("_began_ns", "_span", "_tracer", "context")

    is_recorded = True

    def __init__(self, tracer: Tracer, span: OtelSpan, state: str) -> None:
        self._tracer, self._span = tracer, span
        self._began_ns = time.time_ns()
        made = span.get_span_context()
        self.context = TraceContext(
            trace_id=f"{made.trace_id:032x}",
            span_id=f"{made.span_id:016x}",
            is_sampled=True,
            state=state,
        )

    def child(
        self,
        name: str,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        links: Sequence[TraceContext] = (),
        attributes: Mapping[str, Attribute] | None = None,
    ) -> Span:
        span = self._tracer.start_span(
            name,
            context=set_span_in_context(self._span),
            kind=_KINDS[kind],
            links=[Link(_otel_context(each)) for each in links],
            attributes=attributes,
        )
        return _Recorded(self._tracer, span, self.context.state)

    def past_child(
        self, name: str, *, began_s: float, ended_s: float, attributes: Mapping[str, Attribute]
    ) -> None:
        # Whoever reports it may be wrong about time: it was between this span's begin and now.
        now_ns = time.time_ns()
        latest_s = (now_ns - self._began_ns) / _NANOS
        began_s = min(max(began_s, 0.0), latest_s)
        ended_s = min(max(ended_s, began_s), latest_s)
        span = self._tracer.start_span(
            name,
            context=set_span_in_context(self._span),
            attributes=attributes,
            start_time=self._began_ns + int(began_s * _NANOS),
        )
        span.end(self._began_ns + int(ended_s * _NANOS))

    def set(self, name: str, value: Attribute) -> None:
        self._span.set_attribute(name, value)

    def fail(self, error_type: str) -> None:
        self._span.set_attribute("error.type", error_type)
        self._span.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        self._span.end()


class _Unrecorded:
    """A span that nobody will see: it only passes the trace on. See core.spans.Span."""

    __slots__ = ("context",)

    is_recorded = False

    def __init__(self, caller: TraceContext | None) -> None:
        self.context = TraceContext(
            trace_id=_new_id(128) if caller is None else caller.trace_id,
            span_id=_new_id(64),
            is_sampled=False,
            state="" if caller is None else caller.state,
        )

    def child(
        self,
        name: str,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        links: Sequence[TraceContext] = (),
        attributes: Mapping[str, Attribute] | None = None,
    ) -> Span:
        return self

    def past_child(
        self, name: str, *, began_s: float, ended_s: float, attributes: Mapping[str, Attribute]
    ) -> None: ...
    def set(self, name: str, value: Attribute) -> None: ...
    def fail(self, error_type: str) -> None: ...
    def end(self) -> None: ...


_NO_PARENT: Final = SpanContext(trace_id=0, span_id=0, is_remote=False)


def _otel_context(given: TraceContext) -> SpanContext:
    return SpanContext(
        trace_id=int(given.trace_id, 16),
        span_id=int(given.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if given.is_sampled else TraceFlags.DEFAULT),
        trace_state=TraceState.from_header([given.state]) if given.state else None,
    )


def _new_id(bits: int) -> str:
    """Return random bits in hexadecimal, not all zero."""
    return (_random.getrandbits(bits) or 1).to_bytes(bits // 8).hex()
