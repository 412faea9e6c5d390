"""Connections that replicas may have open to one address together: the port, and one process's own.

Theory of operation. Every owner has a number of slots, and the numbers never add up to more than
the cap. An owner asks again and again while it measures, and is told a target. A target that is
larger than what it has is its own at once. A smaller one is for others who have less than their
part: the owner opens no connection beyond it from then on, and says so when those that were open
have ended; only then are its slots free. Each member of the fleet that has asked for none yet has
`least` kept back for it, so that nobody waits as long as the members are known.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

# Bounds of what is read of the store, and of what is believed.
MOST_OWNERS: Final = 64
MOST_SLOTS: Final = 999


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotRequest:
    """What an owner asks for.

    wanted: how many slots, 0 to have none any more. using: how many connections it may have open
    now, by earlier answers. least: fewer are of no use. cap: of all owners. members: of the fleet.
    """

    wanted: int
    using: int
    least: int
    cap: int
    members: int


class Slots(Protocol):
    """Slots by address. What is not asked for again ends after lifetime_s, of dead owners too.

    ask: how many connections the owner may have open from now on; 0 while fewer than least are
    free, which is remembered. Returns within a bound, or raises StoreUnavailable.
    """

    lifetime_s: float

    async def ask(self, address: str, request: SlotRequest) -> int: ...


@dataclass(frozen=True, slots=True)
class Holding:
    """What another owner has, and wants."""

    slots: int
    wanted: int


def target(request: SlotRequest, others: Sequence[Holding]) -> int:
    """Return how many connections an owner may have open. The script SLOTS is the same."""
    part = max(request.least, request.cap // (len(others) + 1))
    kept_back = request.least * max(0, request.members - len(others) - 1)
    free = max(0, request.cap - sum(other.slots for other in others))
    found = min(request.wanted, max(free - kept_back, min(free, request.least)))
    if any(other.slots < min(other.wanted, part) for other in others):
        found = min(found, part)
    return found if found >= request.least else 0


class InMemorySlots:
    """Slots for whoever shares this object, by the names of owners. monotonic: seconds."""

    def __init__(self, monotonic: Callable[[], float], *, lifetime_s: float) -> None:
        self.lifetime_s = lifetime_s
        self._monotonic = monotonic
        self._held: dict[str, dict[str, tuple[Holding, float]]] = {}

    def of(self, owner: str) -> "InMemorySlotsOfOwner":
        """Return them as one owner sees them."""
        return InMemorySlotsOfOwner(self, owner)

    def ask(self, owner: str, address: str, request: SlotRequest) -> int:
        """See Slots."""
        now = self._monotonic()
        held = {
            name: (holding, ends_at)
            for name, (holding, ends_at) in self._held.pop(address, {}).items()
            if now < ends_at and name != owner
        }
        found = 0
        if request.wanted:
            found = target(request, [holding for holding, _ in held.values()])
            kept = Holding(max(found, request.using), request.wanted)
            held[owner] = kept, now + self.lifetime_s
        if held:
            self._held[address] = held
        return found


class InMemorySlotsOfOwner:
    """Satisfies Slots."""

    def __init__(self, slots: InMemorySlots, owner: str) -> None:
        self._slots, self._owner = slots, owner
        self.lifetime_s = slots.lifetime_s

    async def ask(self, address: str, request: SlotRequest) -> int:
        """See Slots."""
        return self._slots.ask(self._owner, address, request)
