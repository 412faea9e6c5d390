"""Changes of one process, for tests of those who follow them."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from otpc_policy.check import VerdictChange
from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.errors import Budget
from otpc_policy.fleet.change_tail import ChangeTail
from otpc_policy.fleet.changes import How, InMemoryChanges, Outcome
from otpc_policy.fleet.cursors import Cursors
from otpc_policy.fleet.signing import FleetKey
from otpc_policy.policy.finding import Decision


class Feed:
    """What is published and followed. Each verdict is newer than the one before."""

    def __init__(
        self,
        *,
        key: bytes = bytes(32),
        most_kept: int = 20_000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.changes = InMemoryChanges(lambda: datetime.now(UTC), most_kept=most_kept)
        self.tail = ChangeTail(
            self.changes,
            cursors=Cursors(FleetKey([key]), history="history", shards=1),
            monotonic=monotonic,
            observer=self,
            interval_s=0.01,
        )

    def changes_followed(self, is_current: bool) -> None:
        pass

    async def publish(
        self,
        host: str,
        decision: Decision | None,
        *,
        port: int = 443,
        partner_id: str = "",
        codes: tuple[str, ...] = ("CODE",),
    ) -> None:
        """Publish, and have it known."""
        now = datetime.now(UTC)
        change = VerdictChange(
            endpoint=parse_endpoint(host, port),
            partner_id=partner_id,
            decision=decision,
            codes=() if decision is Decision.ALLOW else codes,
            observed_at=now,
            expires_at=now + timedelta(hours=1),
            changed_at=now,
            revision="abc",
        )
        how = How.REMOVED if decision is None else How.FOUND
        assert await self.changes.publish(change, how) is Outcome.PUBLISHED
        await self.tail.follow_once()


class Streamed:
    """Counts streams and refusals."""

    def __init__(self) -> None:
        self.opened = 0
        self.ended: list[str] = []
        self.refused: list[tuple[Budget, bool]] = []

    def stream_opened(self) -> None:
        self.opened += 1

    def stream_ended(self, reason: str) -> None:
        self.ended.append(reason)

    def budget_used_up(self, budget: Budget, *, of_caller: bool) -> None:
        self.refused.append((budget, of_caller))
