"""How many connections this replica may have open to each address that it measures.

One share of an address serves all measurements of it here, whatever their names and ports: the
engine divides it among them. It costs one request to the store when the first begins, and one a
second until the last has ended.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, Protocol

from otpc_policy.check import StoreUnavailable
from otpc_policy.fleet.slots import MOST_OWNERS, SlotRequest, Slots

_logger = logging.getLogger(__name__)

# A survey alternates between questions and controls: with one connection it takes twice as long.
LEAST: Final = 2
_RENEWED_EVERY_S: Final = 1.0
# How often whoever waits asks again.
_ASKED_EVERY_S: Final = 0.25
# After the last measurement, for its connections to end, and for the next one at the address.
_LINGERS_S: Final = 0.5
# Beyond the deadline of connections, until all are closed that were opened under an earlier answer.
_SETTLING_S: Final = 1.0


def lifetime_s(connection_deadline_s: float) -> float:
    """Return how long slots last that are not asked for again.

    A replica that cannot ask has no more connections open by then than its part without the store.
    """
    return connection_deadline_s + _SETTLING_S + 3 * _RENEWED_EVERY_S


class SlotObserver(Protocol):
    """Counts, for metrics.

    slots_asked: once for each share of an address; result is granted, waited (granted in the end),
    given_up (waited too long) or unavailable (the store was). Without a grant a replica uses its
    part of the cap.
    """

    def slots_asked(self, result: str) -> None: ...


class _Share:
    """The share of one address.

    connections: that may be open now; 0 while none is known. changed: of each measurement. deep:
    how many of them are DEEP, whose connections are taken for a minute. peaks: what held before,
    and until when connections of that time may be open.
    """

    def __init__(self) -> None:
        self.connections = 0
        self.changed: dict[object, Callable[[int], None]] = {}
        self.deep = 0
        self.is_known, self.is_idle = asyncio.Event(), asyncio.Event()
        self.peaks: list[tuple[float, int]] = []
        self.answered_at_s: float | None = None

    def using(self, now_s: float) -> int:
        """Return how many connections may be open."""
        if not self.deep:
            self.peaks = [peak for peak in self.peaks if now_s < peak[0]]
        return max([self.connections, *(number for _, number in self.peaks)])

    def set(self, connections: int, *, settled_at_s: float) -> None:
        if connections < self.connections:
            self.peaks.append((settled_at_s, self.connections))
        self.connections = connections
        # Also where it is what it was: messages to an engine may overtake each other.
        for changed in tuple(self.changed.values()):
            changed(connections)

    def forget(self) -> None:
        self.connections, self.answered_at_s = 0, None
        self.peaks.clear()
        self.is_known.clear()


class AddressShares:
    """Satisfies engines' ConnectionShares. close() it when nothing is measured any more.

    cap: connections to one address, of all replicas together. members: replicas as last known, 0
    where none are; then there may be any number of others.
    """

    def __init__(
        self,
        slots: Slots,
        *,
        cap: int,
        connection_deadline_s: float,
        members: Callable[[], int],
        observer: SlotObserver,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._slots, self._cap, self._known_members = slots, cap, members
        self._least = min(LEAST, cap)
        self._settle_s = connection_deadline_s + _SETTLING_S
        # Whatever ends by itself has ended by then.
        self._longest_wait_s = slots.lifetime_s + 2 * _RENEWED_EVERY_S
        self._observer, self._monotonic, self._sleep = observer, monotonic, sleep
        self._shares: dict[str, tuple[_Share, asyncio.Task[None]]] = {}

    @asynccontextmanager
    async def held(
        self, address: str, *, is_deep: bool, changed: Callable[[int], None]
    ) -> AsyncIterator[int]:
        """Yield how many connections may be open to an address, by all measurements of it here.

        changed: called with the number, again and again while the body runs. Waits for a bounded
        time where other replicas have them all.
        """
        share, measurement = self._share(address), object()
        share.changed[measurement] = changed
        share.deep += is_deep
        share.is_idle.clear()
        try:
            await share.is_known.wait()
            yield share.connections
        finally:
            del share.changed[measurement]
            share.deep -= is_deep
            if not share.changed:
                share.is_idle.set()

    async def close(self) -> None:
        """Let others have all of them."""
        shares, self._shares = self._shares, {}
        for _, keeping in shares.values():
            keeping.cancel()
        await asyncio.gather(*(each for _, each in shares.values()), return_exceptions=True)
        await asyncio.gather(*map(self._release, shares))

    def _share(self, address: str) -> _Share:
        if address not in self._shares:
            share = _Share()
            keeping = asyncio.create_task(self._keep(address, share), name="keep slots")
            self._shares[address] = share, keeping
        return self._shares[address][0]

    async def _keep(self, address: str, share: _Share) -> None:
        """Keep a share up to date until nobody needs it."""
        try:
            while True:
                await self._begin(address, share)
                while not await self._is_over(share):
                    await self._renew(address, share)
                share.forget()
                await self._release(address)
                if not share.changed:
                    return
        except Exception:
            _logger.exception("slots of an address cannot be kept")
            share.set(self._part, settled_at_s=self._monotonic())
            share.is_known.set()
        finally:
            if address in self._shares and self._shares[address][0] is share:
                del self._shares[address]

    async def _begin(self, address: str, share: _Share) -> None:
        began_s, result = self._monotonic(), "granted"
        while True:
            found = await self._ask(address, share)
            if found is None or found:
                break
            if self._monotonic() - began_s >= self._longest_wait_s:
                break
            result = "waited"
            await self._sleep(_ASKED_EVERY_S)
        if not found:
            result = "unavailable" if found is None else "given_up"
        self._set(share, found or self._part)
        share.is_known.set()
        self._observer.slots_asked(result)

    async def _renew(self, address: str, share: _Share) -> None:
        found = await self._ask(address, share)
        if found is not None:
            # Those who lost theirs with the store's data may have taken all.
            self._set(share, found or self._least)
            return
        answered_s = share.answered_at_s
        has_ended = answered_s is None or self._monotonic() - answered_s >= self._slots.lifetime_s
        # Others may use what they were granted until that has ended.
        self._set(share, self._part if has_ended else min(share.connections, self._part))

    async def _ask(self, address: str, share: _Share) -> int | None:
        """Return how many are granted; None where the store cannot say."""
        request = SlotRequest(
            wanted=self._cap,
            using=share.using(self._monotonic()),
            least=self._least,
            cap=self._cap,
            members=self._members(),
        )
        try:
            found = await self._slots.ask(address, request)
        except StoreUnavailable:
            return None
        share.answered_at_s = self._monotonic()
        return found

    async def _release(self, address: str) -> None:
        request = SlotRequest(
            wanted=0, using=0, least=self._least, cap=self._cap, members=self._members()
        )
        with suppress(StoreUnavailable):  # then they end by themselves
            await self._slots.ask(address, request)

    async def _is_over(self, share: _Share) -> bool:
        """Wait for the next renewal, or until nobody has needed the share for a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_RENEWED_EVERY_S):
                await share.is_idle.wait()
        if not share.is_idle.is_set():
            return False
        await self._sleep(_LINGERS_S)
        return share.is_idle.is_set()

    def _set(self, share: _Share, connections: int) -> None:
        share.set(connections, settled_at_s=self._monotonic() + self._settle_s)

    def _members(self) -> int:
        return self._known_members() or MOST_OWNERS

    @property
    def _part(self) -> int:
        """What this replica uses without a grant: its part of the cap."""
        return max(self._least, self._cap // self._members())
