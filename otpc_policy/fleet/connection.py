"""A store of one server, or of a primary that sentinels name."""

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

import redis.asyncio

from otpc_policy.check import StoreUnavailable
from otpc_policy.fleet.scripts import Script
from otpc_policy.fleet.server import StoreServer
from otpc_policy.fleet.store import DEADLINE_S, Polled, StoreObserver


class StoreConnection:
    """Satisfies Store."""

    def __init__(
        self,
        client: "redis.asyncio.Redis",
        *,
        observer: StoreObserver,
        clock: Callable[[], float] = monotonic,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._server = StoreServer(client, observer=observer, clock=clock)
        self._deadline_s = deadline_s
        self._why_unusable = ""

    @property
    def failure(self) -> str:
        """See Store."""
        return self._why_unusable or ("it does not answer" if self._server.has_failed else "")

    async def run(self, script: Script, keys: Sequence[str], *arguments: str | bytes | int) -> Any:
        """See Store."""
        if self._why_unusable:
            raise StoreUnavailable(self._why_unusable)
        return await self._server.run(script, keys, arguments, within_s=self._deadline_s)

    async def poll(self, script: Script, calls: Sequence[tuple[str, ...]]) -> Polled:
        """See Store."""
        time, answers = await self._server.poll(script, calls, within_s=self._deadline_s)
        return Polled([time], answers)

    def use_not(self, why: str) -> None:
        """See Store."""
        self._why_unusable = why

    async def close(self) -> None:
        """See Store."""
        await self._server.close()
