"""Connections that may be open to one address, shared fairly between the names and ports there.

How many there are may change meanwhile: several replicas measure the address, each with engines.

Many partners stand behind one address. Whoever measures alone may use all slots. Where several
endpoints are measured, each has an equal part, whether it uses that now or not: so none finds all
slots taken. A server that says nothing would hold those beyond its part for seconds; so when
another endpoint waits, connections are given up on which such a server has been silent for a while.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

from otpc_policy.core.endpoint import Endpoint

# How often endpoints that hold more than their part are asked, while another one waits.
_ASKED_EVERY_S: Final = 0.1

Surrender = Callable[[int], None]
"""Gives up as many silent connections as it is told to, or as there are."""

_Key = tuple[str, int]
"""Server name and port."""


class Slots(Protocol):
    """Connections that may be opened. An asyncio.Semaphore is one, too."""

    async def acquire(self) -> object: ...
    def release(self) -> None: ...
    def locked(self) -> bool: ...


class AddressSlots:
    """The slots of one address."""

    def __init__(self, total: int) -> None:
        self._most = self._total = self._free = total
        self._held: Counter[_Key] = Counter()
        # By endpoint, with numbers in the order of arrival: hundreds of connections wait at an
        # address with many names, and each that comes or goes must not walk past all of them.
        self._waiting: dict[_Key, dict[asyncio.Future[None], int]] = {}
        self._arrivals = 0
        self._surrenders: dict[SlotsOfScan, Surrender] = {}
        # The endpoints that are being measured: by how many of those above.
        self._measured: Counter[_Key] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def total(self) -> int:
        """Slots that there are."""
        return self._total

    @property
    def taken(self) -> int:
        """Slots that are taken."""
        return self._total - self._free

    @property
    def waiting(self) -> int:
        """Connections that wait for one."""
        return sum(map(len, self._waiting.values()))

    def share(self, connections: int) -> None:
        """Have no more slots than so many from now on, nor more than at first.

        What is taken beyond them stays so until it is given back.
        """
        total = min(self._most, connections)
        self._free += total - self._total
        self._total = total
        self._grant()

    def for_scan(self, endpoint: Endpoint) -> "SlotsOfScan":
        """Return the slots as one scan of an endpoint here sees them."""
        return SlotsOfScan(self, (endpoint.server_name, endpoint.port))

    async def acquire(self, key: _Key) -> None:
        """Wait for a slot."""
        if self._may_take(key):
            self._take(key)
            return
        turn = asyncio.get_running_loop().create_future()
        self._arrivals += 1
        self._waiting.setdefault(key, {})[turn] = self._arrivals
        self._measured[key] += 1
        self._set_timer()
        try:
            await turn
        except asyncio.CancelledError:
            if turn in self._waiting.get(key, ()):
                self._leave(key, turn)
                self._grant()
            elif not turn.cancelled():
                self.release(key)
            raise

    def release(self, key: _Key) -> None:
        """Give a slot back."""
        self._held[key] -= 1
        if not self._held[key]:
            del self._held[key]
        self._end_one(key)
        self._free += 1
        self._grant()

    def locked(self, key: _Key) -> bool:
        """Tell whether an endpoint that asks now has to wait."""
        return not self._may_take(key)

    def on_surrender(self, scan: "SlotsOfScan", surrender: Surrender | None) -> None:
        """Set what a scan does when it is to give up silent connections."""
        if self._surrenders.pop(scan, None) is not None:
            self._end_one(scan.key)
        if surrender is not None:
            self._surrenders[scan] = surrender
            self._measured[scan.key] += 1
        self._grant()

    def _part(self, endpoints: int) -> int:
        return max(1, self._total // max(1, endpoints))

    def _may_take(self, key: _Key) -> bool:
        endpoints = len(self._measured) + (key not in self._measured)
        return self._free > 0 and self._held[key] < self._part(endpoints)

    def _grant(self) -> None:
        """Give free slots to endpoints that wait, the one that holds fewest first."""
        while self._free > 0 and self._waiting:
            key = min(self._waiting, key=self._rank)
            if not self._may_take(key):
                return
            turn = next(iter(self._waiting[key]))
            self._leave(key, turn)
            if not turn.done():  # else whoever waited has just given up
                self._take(key)
                turn.set_result(None)

    def _rank(self, key: _Key) -> tuple[int, int]:
        """Return what an endpoint that waits holds, and when the first that waits for it came."""
        return self._held[key], next(iter(self._waiting[key].values()))

    def _take(self, key: _Key) -> None:
        self._free -= 1
        self._held[key] += 1
        self._measured[key] += 1

    def _leave(self, key: _Key, turn: "asyncio.Future[None]") -> None:
        """Wait no longer."""
        turns = self._waiting[key]
        del turns[turn]
        if not turns:
            del self._waiting[key]
        self._end_one(key)

    def _end_one(self, key: _Key) -> None:
        self._measured[key] -= 1
        if not self._measured[key]:
            del self._measured[key]

    def _set_timer(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_ASKED_EVERY_S, self._ask_for_some)

    def _ask_for_some(self) -> None:
        self._timer = None
        if not self._waiting:
            return
        part = self._part(len(self._measured))
        for scan, surrender in tuple(self._surrenders.items()):
            too_many = self._held[scan.key] - part
            if too_many > 0:
                surrender(too_many)
        if self._waiting:
            self._set_timer()


class SlotsOfScan:
    """The slots of an address, as taken by one scan. Satisfies Slots."""

    def __init__(self, address: AddressSlots, key: tuple[str, int]) -> None:
        self._address, self.key = address, key

    async def acquire(self) -> None:
        """Wait for a slot."""
        await self._address.acquire(self.key)

    def release(self) -> None:
        """Give it back."""
        self._address.release(self.key)

    def locked(self) -> bool:
        """Tell whether acquire has to wait."""
        return self._address.locked(self.key)

    def on_surrender(self, surrender: Surrender | None) -> None:
        """Set what happens when the scan is to give up silent connections; None at its end."""
        self._address.on_surrender(self, surrender)
