"""The port behind which all sinks of audit lines are."""

from typing import Protocol


class AuditSink(Protocol):
    """Takes audit lines, on a thread of its own. name: for metrics, from a closed list."""

    @property
    def name(self) -> str:
        """What metrics and lines about losses call this sink."""

    def write(self, lines: str) -> int:
        """Take whole lines, each ended; return how many of them it did not take. May block.

        Raises OSError if it took none.
        """

    def reopen(self) -> None:
        """Open again what was rotated away. Called between two writes."""

    def close(self) -> None:
        """Release what the sink holds. No write follows."""
