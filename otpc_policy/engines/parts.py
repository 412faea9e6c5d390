"""The parts of a measurement, as an engine reports them, in the trace of this front.

An engine's word about time is worth no more than its other words: the span of the call bounds it,
and nothing else depends on it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from otpc_policy.core.spans import Attribute, Span
from otpc_policy.engines.ports import Engine
from otpc_policy.measurement.methods import MEASURE
from otpc_policy.measurement.span_codec import Part, ReportedSpan

_CONNECTIONS: Final = "otpc_policy.connections"
_NUMBER: Final = "otpc_policy.wave.number"


def attributes_of(engine: Engine) -> Mapping[str, Attribute]:
    """Return the attributes of a call of Measure."""
    return {
        "rpc.system.name": "grpc",
        "rpc.method": MEASURE.removeprefix("/"),
        "otpc_policy.engine.name": engine.name,
    }


def add_parts(measuring: Span, parts: Sequence[ReportedSpan]) -> None:
    """Record parts of a measurement. Waves are numbered in the order in which they began."""
    counts: Counter[Part] = Counter()
    for each in sorted(parts, key=lambda part: part.started_s):
        counts[each.part] += 1
        attributes: dict[str, Attribute] = {}
        if each.connections:
            attributes[_CONNECTIONS] = each.connections
        if each.part is Part.WAVE:
            attributes[_NUMBER] = counts[each.part]
        measuring.past_child(
            each.part.value,
            began_s=each.started_s,
            ended_s=each.started_s + each.duration_s,
            attributes=attributes,
        )
