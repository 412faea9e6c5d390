"""Slots and members in the store, by its clock."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from otpc_policy.check import StoreUnavailable
from otpc_policy.fleet.keys import Keyspace
from otpc_policy.fleet.slot_scripts import MEMBERS, SLOTS
from otpc_policy.fleet.slots import MOST_OWNERS, MOST_SLOTS, SlotRequest
from otpc_policy.fleet.store import Store

# How often a replica says that it is there, and for how long that holds.
_SAID_EVERY_S: Final = 5.0
_MEMBER_MS: Final = 15_000
_TRIED_EVERY_S: Final = 0.1


class SharedSlots:
    """Satisfies Slots for one replica. replica: its name, in hexadecimal."""

    def __init__(
        self, store: Store, *, keyspace: Keyspace, replica: str, lifetime_s: float
    ) -> None:
        self.lifetime_s = lifetime_s
        self._store, self._keyspace, self._replica = store, keyspace, replica

    async def ask(self, address: str, request: SlotRequest) -> int:
        """See Slots."""
        found = await self._store.run(
            SLOTS,
            (self._keyspace.slots(address),),
            self._replica,
            request.wanted,
            request.using,
            request.least,
            request.cap,
            request.members,
            int(self.lifetime_s * 1_000),
        )
        return min(max(0, int(found)), request.wanted, MOST_SLOTS)


class Members:
    """How many replicas have engines of their own, this one included.

    count: as last known; 0 before it has ever been.
    """

    def __init__(
        self,
        store: Store,
        *,
        keyspace: Keyspace,
        replica: str,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._store, self._key, self._replica = store, keyspace.members, replica
        self._sleep = sleep
        self.count = 0

    async def run(self) -> None:
        """Be one of them until cancelled."""
        while True:
            with suppress(StoreUnavailable):
                await self.join()
            # At a start the clocks have to be compared first.
            await self._sleep(_SAID_EVERY_S if self.count else _TRIED_EVERY_S)

    async def join(self) -> None:
        """Be one of them for a while. Raises StoreUnavailable."""
        found = await self._store.run(MEMBERS, (self._key,), self._replica, _MEMBER_MS)
        self.count = min(max(1, int(found)), MOST_OWNERS)

    async def leave(self) -> None:
        """Be none of them any more, if the store can be told."""
        with suppress(StoreUnavailable):
            await self._store.run(MEMBERS, (self._key,), self._replica, 0)
