"""Which trace a call belongs to: W3C Trace Context, from whoever calls."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpc_policy.core.trace_context import TraceContext, trace_context_in

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = ("traceparent", f"00-{TRACE}-{SPAN}-01")
FULL = ",".join(f"k{number}=v" for number in range(33))


def test_what_is_read_is_what_is_passed_on() -> None:
    context = trace_context_in([PARENT, ("tracestate", "a=1, t@v=2"), ("tracestate", "c=3")])
    assert context == TraceContext(
        trace_id=TRACE, span_id=SPAN, is_sampled=True, state="a=1,t@v=2,c=3"
    )
    assert context.metadata() == (PARENT, ("tracestate", "a=1,t@v=2,c=3"))
    assert trace_context_in(context.metadata()) == context


@pytest.mark.parametrize(
    ("flags", "is_sampled"), [("00", False), ("01", True), ("02", False), ("ff", True)]
)
def test_only_the_sampled_flag_is_looked_at(flags: str, is_sampled: bool) -> None:
    context = trace_context_in([("traceparent", f"00-{TRACE}-{SPAN}-{flags}")])
    assert context is not None
    assert context.is_sampled is is_sampled
    assert context.metadata()[0][1].endswith("-01" if is_sampled else "-00")


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        (),
        (PARENT, PARENT),
        (("traceparent", b"00"),),
        (("traceparent", f"00-{'0' * 32}-{SPAN}-01"),),
        (("traceparent", f"00-{TRACE}-{'0' * 16}-01"),),
        (("traceparent", f"ff-{TRACE}-{SPAN}-01"),),
        (("traceparent", f"00-{TRACE}-{SPAN}-01-x"),),
        (("traceparent", f"00-{TRACE.upper()}-{SPAN}-01"),),
        (("traceparent", f" 00-{TRACE}-{SPAN}-01"),),
        (("traceparent", f"01-{TRACE}-{SPAN}-01-{'x' * 300}"),),
        (("tracestate", "a=1"),),
    ],
)
def test_what_does_not_parse_names_no_trace(metadata: object) -> None:
    assert trace_context_in(metadata) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "state",
    [
        "a",
        "a=",
        "A=1",
        "a=1,a=2",
        "a=1\n",
        "a=ü",
        "a=1=2",
        FULL,
        "a=" + "x" * 511,
        "a=" + "x" * 257,
    ],
)
def test_an_invalid_tracestate_is_left_out_and_the_trace_stands(state: str) -> None:
    context = trace_context_in([PARENT, ("tracestate", state)])
    assert context is not None
    assert context.state == ""


def test_a_binary_tracestate_is_left_out() -> None:
    context = trace_context_in([PARENT, ("tracestate", b"a=1")])
    assert context is not None
    assert context.state == ""


@given(st.text(max_size=80), st.text(max_size=80))
def test_whatever_comes_what_goes_on_is_valid(parent: str, state: str) -> None:
    context = trace_context_in([("traceparent", parent), PARENT, ("tracestate", state)])
    assert context is None
    context = trace_context_in([PARENT, ("tracestate", state)])
    assert context is not None
    assert trace_context_in(context.metadata()) == context
