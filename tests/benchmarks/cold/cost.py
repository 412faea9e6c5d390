"""What one answer cost, whoever gave it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """cpu_s: of all processes that were started for it."""

    wall_s: float
    cpu_s: float
    connections: int
    most_open: int
