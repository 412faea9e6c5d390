"""Parts of a measurement cross the contract, and an engine's word about them is bounded."""

import math

import pytest

from otpc_policy.measurement.engine_lied import EngineLied
from otpc_policy.measurement.limits import MAX_SPANS
from otpc_policy.measurement.span_codec import Part, ReportedSpan, decode_spans, encode_spans
from otpc_policy.measurement.v1 import measurement_pb2 as pb


def test_every_part_comes_back() -> None:
    spans = tuple(
        ReportedSpan(part=part, started_s=0.25, duration_s=1.5, connections=3) for part in Part
    )
    assert decode_spans(encode_spans(spans)) == spans


def test_a_part_of_a_newer_engine_is_passed_over() -> None:
    known = pb.Span(part=pb.SPAN_PART_WAVE)
    unknown = pb.Span.FromString(b"\x08\x63")
    assert [span.part for span in decode_spans([unknown, known])] == [Part.WAVE]


@pytest.mark.parametrize(
    "spans",
    [
        [pb.Span(part=pb.SPAN_PART_WAVE)] * (MAX_SPANS + 1),
        [pb.Span(started_s=math.nan)],
        [pb.Span(started_s=-0.1)],
        [pb.Span(duration_s=math.inf)],
        [pb.Span(duration_s=1e6)],
        [pb.Span(connections=1_000_000)],
    ],
)
def test_what_no_engine_would_say_is_a_lie(spans: list[pb.Span]) -> None:
    with pytest.raises(EngineLied):
        decode_spans(spans)
