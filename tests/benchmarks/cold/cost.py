"""The cost of an answer, ours or a tool's."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """cpu_s: of all processes started for it."""

    wall_s: float
    cpu_s: float
    connections: int
    most_open: int
