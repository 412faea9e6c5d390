"""The trace of a measurement as a message of the contract and back: in columns, each text once."""

import sys
from collections.abc import Iterable, Sequence

from otpc_policy.core.facts import TraceStep
from otpc_policy.measurement.checks import at_most, is_seconds, is_text, require
from otpc_policy.measurement.limits import MAX_TEXT_CHARACTERS, MAX_TRACE_STEPS
from otpc_policy.measurement.v1 import measurement_pb2 as pb


def encode_trace(steps: Sequence[TraceStep]) -> pb.Trace:
    """Return the message."""
    places: dict[str, int] = {}

    def column(texts: Iterable[str]) -> list[int]:
        return [places.setdefault(text, len(places)) for text in texts]

    message = pb.Trace(
        purposes=column(step.purpose for step in steps),
        offers=column(step.offered for step in steps),
        answers=column(step.answer for step in steps),
        proofs=column(step.proves for step in steps),
        started_s=[step.started_s for step in steps],
        duration_s=[step.duration_s for step in steps],
    )
    message.texts.extend(places)
    return message


def decode_trace(message: pb.Trace) -> tuple[TraceStep, ...]:
    """Return the steps. Raises EngineLied."""
    at_most(message.started_s, MAX_TRACE_STEPS, "trace")
    at_most(message.texts, 4 * MAX_TRACE_STEPS, "trace.texts")
    # All at once: a trace has a hundred of them, and is read for every measurement.
    require(is_text("".join(message.texts)), "trace.texts: not printable")
    require(max(map(len, message.texts), default=0) <= MAX_TEXT_CHARACTERS, "trace.texts: too long")
    # They come from few templates: all facts that are kept share them.
    texts = [*map(sys.intern, message.texts)]
    steps = len(message.started_s)

    def column(places: Sequence[int]) -> list[str]:
        require(len(places) == steps, "trace: columns of unequal length")
        require(max(places, default=-1) < len(texts), "trace: no such text")
        return [texts[place] for place in places]

    require(len(message.duration_s) == steps, "trace: columns of unequal length")
    seconds = (*message.started_s, *message.duration_s)
    require(all(map(is_seconds, seconds)), "trace: not seconds within a day")
    return tuple(
        TraceStep(
            purpose=purpose,
            offered=offered,
            answer=answer,
            proves=proves,
            started_s=started_s,
            duration_s=duration_s,
        )
        for purpose, offered, answer, proves, started_s, duration_s in zip(
            column(message.purposes),
            column(message.offers),
            column(message.answers),
            column(message.proofs),
            message.started_s,
            message.duration_s,
            strict=True,
        )
    )
