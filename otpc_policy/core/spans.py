"""Spans as the modules below `ops` see them: whether anybody records them is not known here.

The span that a task works in is a context variable, so tasks that it begins work in it too. Without
tracing nobody sets it, and `span` then does nothing. What a span is made of stands in ops/tracing.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from typing import Final, Protocol

from otpc_policy.core.trace_context import TraceContext

Attribute = str | int | float | bool
_NONE: Final[Mapping[str, Attribute]] = {}


class SpanKind(Enum):
    """What a span is to the spans around it, in OpenTelemetry's words."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"


class Span(Protocol):
    """A part of the work for a call. It may end after the span that it is a part of.

    is_recorded: somebody will see it; else attributes need not be computed.
    child: begins a part of it. links: spans of other calls that it waits for or shares.
    past_child: records a part that has ended, in seconds since this span began.
    fail: error_type is from a small set, such as the name of a class.
    """

    @property
    def context(self) -> TraceContext: ...
    @property
    def is_recorded(self) -> bool: ...
    def child(
        self,
        name: str,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        links: Sequence[TraceContext] = (),
        attributes: Mapping[str, Attribute] = _NONE,
    ) -> "Span": ...
    def past_child(
        self, name: str, *, began_s: float, ended_s: float, attributes: Mapping[str, Attribute]
    ) -> None: ...
    def set(self, name: str, value: Attribute) -> None: ...
    def fail(self, error_type: str) -> None: ...
    def end(self) -> None: ...


_current: ContextVar[Span | None] = ContextVar("current_span", default=None)


def current_span() -> Span | None:
    """Return the span that this task works in; None without tracing."""
    return _current.get()


def trace_metadata() -> tuple[tuple[str, str], ...]:
    """Return the metadata by which a call that is made now belongs to the trace, if any."""
    span = _current.get()
    return () if span is None else span.context.metadata()


@contextmanager
def working_in(span: Span) -> Iterator[None]:
    """Work in a span, which somebody else ends."""
    token = _current.set(span)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def within(span: Span) -> Iterator[Span]:
    """Work in a span, which ends with the block. An exception makes it a failure."""
    try:
        with working_in(span):
            yield span
    except BaseException as error:
        span.fail(type(error).__name__)
        raise
    finally:
        span.end()


@contextmanager
def span(
    name: str,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    links: Sequence[TraceContext] = (),
    attributes: Mapping[str, Attribute] = _NONE,
) -> Iterator[Span | None]:
    """Work in a part of the current span. Without one, yield None."""
    parent = _current.get()
    if parent is None:
        yield None
        return
    with within(parent.child(name, kind=kind, links=links, attributes=attributes)) as begun:
        yield begun
