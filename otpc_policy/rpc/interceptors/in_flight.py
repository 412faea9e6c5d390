"""Which unary calls are being answered, for a drain that waits for them."""

import asyncio


class CallsInFlight:
    """Counts unary calls. Streams are not counted: a health watch lasts as long as its caller."""

    def __init__(self) -> None:
        self._count = 0
        self._idle: asyncio.Event | None = None

    @property
    def count(self) -> int:
        """Calls that have begun and not ended."""
        return self._count

    def begin(self) -> None:
        """Count a call that begins."""
        self._count += 1

    def end(self) -> None:
        """Count a call that ended, whatever its status."""
        self._count -= 1
        if not self._count and self._idle is not None:
            self._idle.set()
            self._idle = None

    async def wait_until_quiet(self, quiet_s: float) -> None:
        """Return when no call has begun or ended for quiet_s.

        To be idle for an instant is not enough: a response leaves after its handler has ended, and
        the handler of a call that gRPC has already accepted may begin late.
        """
        while True:
            self._idle = asyncio.Event()
            try:
                async with asyncio.timeout(None if self._count else quiet_s):
                    await self._idle.wait()
            except TimeoutError:
                if not self._count:
                    return
