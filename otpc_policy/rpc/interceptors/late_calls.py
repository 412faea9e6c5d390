"""Calls that arrive during a drain: held until the caller knows that its connection ends, refused.

gRPC ends every call that reaches a server after its stop began with a bare CANCELLED, which no
client retries. So the stop waits until calls cease to arrive. Callers that send one call after the
other cease because theirs are held, and a retry after the refusal takes another connection: on the
old one it would only be refused again.
"""

import asyncio
from typing import Any, NoReturn

from otpc_policy.core.errors import ServiceUnavailable
from otpc_policy.rpc.interceptors.calls import Context

# The part of a caller's deadline for which a call is held: the refusal still has to arrive, and the
# caller to go elsewhere.
_HELD_PART = 0.25


class LateCalls:
    """Holds calls until they are released, and refuses each with ServiceUnavailable."""

    def __init__(self) -> None:
        self._released = asyncio.Event()
        self._arrived = asyncio.Event()

    async def refuse(self, _request: Any, context: Context) -> NoReturn:
        """Behave as the handler of a late call. Raises ServiceUnavailable."""
        self._arrived.set()
        remaining_s: float | None = context.time_remaining()
        hold_s = None if remaining_s is None else remaining_s * _HELD_PART
        try:
            async with asyncio.timeout(hold_s):
                await self._released.wait()
        except TimeoutError:
            pass
        raise ServiceUnavailable("the service is draining")

    async def wait_until_none_arrives(self, quiet_s: float) -> None:
        """Return when no call has arrived for quiet_s."""
        while True:
            self._arrived.clear()
            try:
                async with asyncio.timeout(quiet_s):
                    await self._arrived.wait()
            except TimeoutError:
                return

    def release(self) -> None:
        """Refuse the calls that are held, and from now on each as it arrives."""
        self._released.set()
