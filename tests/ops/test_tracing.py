"""Spans: which calls are traced, what their spans say, and what becomes of them on the way."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.sdk", reason="needs the extra tracing")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from otpc_policy.core.spans import SpanKind, current_span, span, trace_metadata, within
from otpc_policy.core.trace_context import TraceContext
from otpc_policy.ops.otlp_http import OtlpHttp
from otpc_policy.ops.tracing.export import SpanExport
from otpc_policy.ops.tracing.tracer import Tracing
from tests.support.otlp import ExportedSpan, spans_in
from tests.support.waiting import wait_until

CALLER = TraceContext(trace_id="a" * 32, span_id="b" * 16, is_sampled=True, state="r=1")
SILENT = TraceContext(trace_id="a" * 32, span_id="b" * 16, is_sampled=False)


class Memory:
    """A collector that keeps what it gets. answer: makes each answer, or raises."""

    def __init__(self, answer: Callable[[], bytes] = bytes) -> None:
        self.answer = answer
        self.spans: list[ExportedSpan] = []
        self.requests = 0

    def post(self, body: bytes) -> bytes:
        self.requests += 1
        answer = self.answer()
        self.spans += spans_in(body)
        return answer

    def close(self) -> None: ...


@contextmanager
def tracing_to(
    memory: Memory, *, ratio: float = 1.0, drawn: float = 0.5, callers_may_sample: bool = False
) -> Iterator[Tracing]:
    tracing = Tracing(
        SpanExport(memory, close_wait_s=5),
        service_name="test",
        instance="i",
        sample_ratio=ratio,
        callers_may_sample=callers_may_sample,
        draw=lambda: drawn,
    )
    try:
        yield tracing
    finally:
        tracing.close()


@pytest.mark.parametrize(
    ("caller", "ratio", "callers_may", "is_recorded"),
    [
        (None, 0.6, False, True),
        (None, 0.5, False, False),
        (None, 1.0, True, True),
        # A caller that traces decides only where the operator lets it.
        (CALLER, 0.5, False, False),
        (CALLER, 0.0, False, False),
        (CALLER, 0.6, False, True),
        (CALLER, 0.0, True, True),
        # One that does not is never traced.
        (SILENT, 1.0, False, False),
        (SILENT, 1.0, True, False),
    ],
)
def test_which_calls_are_traced(
    caller: TraceContext | None, ratio: float, callers_may: bool, is_recorded: bool
) -> None:
    memory = Memory()
    with tracing_to(memory, ratio=ratio, callers_may_sample=callers_may) as tracing:
        begun = tracing.begin_call("call", caller, {})
        assert begun.is_recorded is begun.context.is_sampled is is_recorded
        if caller is not None:
            assert begun.context.trace_id == caller.trace_id
            assert begun.context.span_id != caller.span_id
            assert begun.context.state == caller.state
        with within(begun), span("part") as part:
            assert part is not None
            assert trace_metadata() == part.context.metadata()
    assert {each.name for each in memory.spans} == ({"call", "part"} if is_recorded else set())


def test_outside_of_a_call_nothing_is_recorded_or_sent() -> None:
    with span("part") as part:
        assert part is None
        assert current_span() is None
        assert trace_metadata() == ()


def test_a_span_says_what_it_is_and_how_it_ended() -> None:
    memory = Memory()
    with tracing_to(memory) as tracing:
        root = tracing.begin_call("call", CALLER, {"rpc.method": "m"})

        def fails() -> None:
            with span("part", kind=SpanKind.CLIENT, links=[SILENT], attributes={"n": 1}) as part:
                assert part is not None
                part.set("text", "x" * 1000)
            raise ZeroDivisionError("with a secret")

        with pytest.raises(ZeroDivisionError), within(root):
            fails()
    of = {each.name: each for each in memory.spans}
    assert of["call"].is_error
    assert of["call"].attributes == {"rpc.method": "m", "error.type": "ZeroDivisionError"}
    assert "secret" not in repr(memory.spans)
    assert (of["call"].parent_id, of["call"].state) == (CALLER.span_id, "r=1")
    assert of["part"].attributes == {"n": 1, "text": "x" * 256}
    assert of["part"].links == [(SILENT.trace_id, SILENT.span_id)]
    assert of["part"].kind == 3
    assert of["part"].parent_id == of["call"].span_id


def test_what_is_reported_of_the_past_stays_within_the_span() -> None:
    """An engine says when its parts were; its word is not worth a span in the next year."""
    memory = Memory()
    with tracing_to(memory) as tracing:
        root = tracing.begin_call("call", None, {})
        for began_s, ended_s in [(0.0, 1e4), (1e4, 2e4), (-5.0, -4.0), (0.0, 0.0)]:
            root.past_child("past", began_s=began_s, ended_s=ended_s, attributes={})
        root.end()
    (whole,) = [each for each in memory.spans if each.name == "call"]
    past = [each for each in memory.spans if each.name == "past"]
    assert len(past) == 4
    assert all(
        whole.began_ns <= each.began_ns <= each.ended_ns <= whole.ended_ns + 1_000_000
        for each in past
    )


def test_who_is_to_be_exported_waits_for_nothing_and_what_is_lost_is_counted() -> None:
    release = threading.Event()

    def hang() -> bytes:
        release.wait(30)
        return b""

    memory = Memory(hang)
    export = SpanExport(memory, most_waiting=8, close_wait_s=0.1)
    tracing = Tracing(export, service_name="test", instance="i", sample_ratio=1.0)
    tracing.begin_call("first", None, {}).end()
    wait_until(lambda: memory.requests == 1, 5)
    began = time.monotonic()
    for _ in range(20):
        tracing.begin_call("call", None, {}).end()
    assert export.lost["queue_full"] == 12
    tracing.close()
    assert time.monotonic() - began < 2
    # Eight waited, and one was under way.
    assert (export.taken, export.lost["shutdown"]) == (0, 9)
    tracing.begin_call("late", None, {}).end()
    assert export.lost["shutdown"] == 10
    release.set()


def _is_asked(memory: Memory, times: int) -> bool:
    return memory.requests == times


def test_refusals_of_the_collector_are_counted() -> None:
    answers = [
        ExportTraceServiceResponse(
            partial_success=ExportTracePartialSuccess(rejected_spans=1)
        ).SerializeToString(),
        b"\xff not protobuf",
    ]
    memory = Memory(lambda: answers.pop(0))
    with tracing_to(memory) as tracing:
        for expected in (1, 2):
            tracing.begin_call("call", None, {}).end()
            wait_until(partial(_is_asked, memory, expected), 5)
    export = tracing.export
    assert (export.taken, export.lost["rejected"], export.lost["failed"]) == (1, 1, 0)


def test_a_collector_that_is_down_costs_its_batch_and_the_next_one_is_tried() -> None:
    def down() -> bytes:
        raise OSError("refused")

    memory = Memory(down)
    with tracing_to(memory) as tracing:
        tracing.begin_call("call", None, {}).end()
        wait_until(lambda: tracing.export.lost["failed"] == 1, 5)
        memory.answer = bytes
        tracing.begin_call("call", None, {}).end()
    assert tracing.export.taken == 1


def test_no_collector_listens(tmp_path: Path) -> None:
    collector = OtlpHttp(
        "http://127.0.0.1:1/v1/traces",
        default_path="/v1/traces",
        content_type="application/x-protobuf",
        timeout_s=1,
        attempts=2,
        pause=lambda _: None,
    )
    with pytest.raises(OSError, match="refused"):
        collector.post(b"")
