"""An audit trail whose lines stay in the test."""

import json
from collections.abc import Callable
from typing import Any

from otpc_policy.ops.audit.trail import AuditTrail


class KeptLines:
    """A sink that keeps what it is given. instead: is called with the lines in place of that."""

    name = "test"

    def __init__(self, instead: Callable[[str], object] | None = None) -> None:
        self.batches: list[str] = []
        self._take = self.batches.append if instead is None else instead
        self.reopened = self.closed = 0

    def write(self, lines: str) -> int:
        self._take(lines)
        return 0

    def reopen(self) -> None:
        self.reopened += 1

    def close(self) -> None:
        self.closed += 1

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in "".join(self.batches).splitlines()]


def trail_into(take: Callable[[str], object]) -> AuditTrail:
    """Return a trail that hands batches of lines to a function."""
    return AuditTrail([KeptLines(take)])
