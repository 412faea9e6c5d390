"""The parts of a measurement, for traces, as messages of the contract and back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from otpc_policy.measurement.checks import at_most, is_seconds, read_count, require
from otpc_policy.measurement.limits import MAX_CONNECTIONS, MAX_SPANS
from otpc_policy.measurement.v1 import measurement_pb2 as pb


class Part(Enum):
    """A part of a measurement. The values are names of spans."""

    QUEUE = "engine queue"
    WAVE = "wave"
    HANDSHAKE = "handshake"
    HTTP = "http"
    DEEP_QUEUE = "deep queue"
    DEEP = "deep"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedSpan:
    """When a part began, in seconds from the start of the call, and how long it took.

    connections: that it asked for.
    """

    part: Part
    started_s: float
    duration_s: float
    connections: int = 0


_NUMBERS: Final[Mapping[Part, pb.SpanPart.ValueType]] = {
    Part.QUEUE: pb.SPAN_PART_QUEUE,
    Part.WAVE: pb.SPAN_PART_WAVE,
    Part.HANDSHAKE: pb.SPAN_PART_HANDSHAKE,
    Part.HTTP: pb.SPAN_PART_HTTP,
    Part.DEEP_QUEUE: pb.SPAN_PART_DEEP_QUEUE,
    Part.DEEP: pb.SPAN_PART_DEEP,
}
_PARTS: Final[Mapping[int, Part]] = {number: part for part, number in _NUMBERS.items()}


def encode_spans(spans: Iterable[ReportedSpan]) -> list[pb.Span]:
    """Return the messages."""
    return [
        pb.Span(
            part=_NUMBERS[span.part],
            started_s=span.started_s,
            duration_s=span.duration_s,
            connections=span.connections,
        )
        for span in spans
    ]


def decode_spans(messages: Sequence[pb.Span]) -> tuple[ReportedSpan, ...]:
    """Return the spans, but for parts that only a newer engine knows. Raises EngineLied."""
    at_most(messages, MAX_SPANS, "spans")
    for message in messages:
        within = is_seconds(message.started_s) and is_seconds(message.duration_s)
        require(within, "spans: not seconds within a day")
        read_count(message.connections, MAX_CONNECTIONS, "spans.connections")
    return tuple(
        ReportedSpan(
            part=_PARTS[message.part],
            started_s=message.started_s,
            duration_s=message.duration_s,
            connections=message.connections,
        )
        for message in messages
        if message.part in _PARTS
    )
