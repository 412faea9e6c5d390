"""How many connections one scan opens, in all and concurrently.

In all bounded by the scan's limit; concurrently by the address's slots, and by what the server was
seen to tolerate.
"""

import asyncio

from otpc_policy.engine.transport.address_slots import Slots


class ConnectionsExhausted(Exception):
    """The scan has opened as many connections as it may. What it has not asked stays unknown."""


class Openings:
    """Enter it for each connection, and leave it after that.

    slots: shared by all scans of the address. limit: of concurrent ones of this scan; lowering it
    applies to every later entry. total: of all of this scan.
    """

    def __init__(self, slots: Slots, limit: int, *, total: int) -> None:
        self.limit = limit
        self._slots, self._left = slots, total
        self._open = 0
        self._waiting: list[asyncio.Future[None]] = []

    async def enter(self) -> int:
        """Wait for a turn; return how many are open then, this one included.

        Raises ConnectionsExhausted.
        """
        while True:
            while self._open >= self.limit:
                turn = asyncio.get_running_loop().create_future()
                self._waiting.append(turn)
                await turn
            await self._slots.acquire()
            if self._open < self.limit:
                break
            self._slots.release()
        if not self._left:
            self._slots.release()
            raise ConnectionsExhausted
        self._left -= 1
        self._open += 1
        return self._open

    def leave(self) -> None:
        """Give the turn to another waiter."""
        self._open -= 1
        self._slots.release()
        waiting, self._waiting = self._waiting, []
        for turn in waiting:
            if not turn.done():
                turn.set_result(None)

    async def __aenter__(self) -> int:
        return await self.enter()

    async def __aexit__(self, *_: object) -> None:
        self.leave()
