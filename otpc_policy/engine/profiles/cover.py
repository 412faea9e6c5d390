"""Draws for several hellos at once, under a cover.

Each hello of a cover draws the same things: coins, orders, numbers. How they fall for all hellos
together is drawn once, so that

- every coin falls both ways, and any two coins fall in each of the four ways, each time for some
  hello, as long as there are no more coins than `columns_of` has for so many hellos; coins beyond
  that fall both ways;
- of every order, the next hello has the reverse, so whatever stands before something else in one
  hello stands after it in another.

So whatever a server tells clients apart by, alone or in twos, is in some hello and not in another.

Source of the columns: D. J. Kleitman and J. Spencer, "Families of k-independent sets" (1973); G. O.
H. Katona, "Two applications of Sperner type theorems" (1973): sets of the same size of which any
two meet, and none of which holds the first element.
"""

import struct
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import combinations
from typing import Final, TypeVar

from otpc_policy.engine.profiles.hello_draw import RandomBytes

_Item = TypeVar("_Item")

_SORT_KEY_BYTES: Final = 4
_NUMBER_BYTES: Final = 2
_TURNS: Final = 64


@cache
def columns_of(hellos: int) -> tuple[int, ...]:
    """Return how coins may fall for so many hellos: one bit each, that of the first hello lowest.

    hellos: two at least. The first never has a bit set. From four hellos on, any two columns have
    each pair of bits.
    """
    if hellos < 4:
        # All that are not the same throughout, each or its opposite.
        return tuple(bits << 1 for bits in range(1, 1 << hellos - 1))
    size = hellos // 2 if hellos % 2 == 0 else (hellos + 1) // 2
    return tuple(
        sum(1 << place for place in places) for places in combinations(range(1, hellos), size)
    )


class Cover:
    """What so many hellos draw.

    hellos: how many. random_bytes: returns so many random bytes. columns: in which ways coins may
    fall (see columns_of).
    """

    def __init__(
        self, random_bytes: RandomBytes, hellos: int, columns: Sequence[int] | None = None
    ) -> None:
        self._random_bytes, self._hellos = random_bytes, hellos
        self._columns = columns_of(hellos) if columns is None else columns
        self._coins: list[int] = []
        self._orders: list[list[tuple[int, ...]]] = []
        self._levels: list[list[int]] = []
        self._turns: list[int] = []
        self._tosses: list[bool] = []

    def draws(self) -> "Iterator[Draw]":
        """Yield what each hello draws."""
        for place in range(self._hellos):
            yield Draw(self, place)

    def coins(self, number: int) -> int:
        """Return how a coin falls for all hellos, one bit each; the first hello's is never set."""
        while number >= len(self._coins):
            self._coins += _shuffled(self._columns, self._random_bytes)
        return self._coins[number]

    def turns(self, number: int) -> bool:
        """Return whether a coin is to be turned for all hellos."""
        while number >= len(self._turns):
            self._turns += [byte & 1 for byte in self._random_bytes(_TURNS)]
        return bool(self._turns[number])

    def toss(self, number: int) -> bool:
        """Return what falls alike for all hellos."""
        while number >= len(self._tosses):
            self._tosses.append(bool(self._random_bytes(1)[0] & 1))
        return self._tosses[number]

    def order(self, number: int, place: int, count: int) -> Sequence[int]:
        """Return the order of so many items for a hello, as their places."""
        while number >= len(self._orders):
            self._orders.append([])
        drawn = self._orders[number]
        while place // 2 >= len(drawn):
            drawn.append(tuple(_shuffled(range(count), self._random_bytes)))
        chosen = drawn[place // 2]
        return chosen[::-1] if place % 2 else chosen

    def levels(self, number: int, count: int) -> Sequence[int]:
        """Return one of so many for each hello but the first: each equally often, or nearly so."""
        while number >= len(self._levels):
            levels = [place % count for place in range(self._hellos - 1)]
            self._levels.append([0, *_shuffled(levels, self._random_bytes)])
        return self._levels[number]

    def number(self, below: int) -> int:
        """Return a number that one hello draws for itself."""
        return int.from_bytes(self._random_bytes(_NUMBER_BYTES), "big") % below


class Draw:
    """What one hello of a cover draws; all of them make the same calls in the same order."""

    def __init__(self, cover: Cover, place: int) -> None:
        self._cover, self._place = cover, place
        self._coins = self._orders = self._levels = self._tosses = 0

    def coin(self) -> bool:
        """Return one of two."""
        number = self._coins
        return self.has() is not self._cover.turns(number)

    def toss(self) -> bool:
        """Return one of two, the same for all hellos of a cover; no coin falls otherwise for it."""
        self._tosses += 1
        return self._cover.toss(self._tosses - 1)

    def has(self) -> bool:
        """Return one of two; the first hello of a cover never has it."""
        self._coins += 1
        return bool(self._cover.coins(self._coins - 1) >> self._place & 1)

    def one_of(self, of_first: _Item, items: Sequence[_Item]) -> _Item:
        """Return the former for the first hello of a cover.

        Of the items each of the other hellos has another one, the earlier ones if there are more.
        """
        self._levels += 1
        level = self._cover.levels(self._levels - 1, len(items))[self._place]
        return items[level] if self._place else of_first

    def some(self, items: Sequence[_Item]) -> list[_Item]:
        """Return some of the items, in their order; none for the first hello of a cover."""
        return [item for item in items if self.has()]

    def order(self, items: Sequence[_Item]) -> list[_Item]:
        """Return the items in an order."""
        self._orders += 1
        places = self._cover.order(self._orders - 1, self._place, len(items))
        return [items[place] for place in places]

    def some_in_order(self, items: Sequence[_Item]) -> list[_Item]:
        """Return some of the items, in an order."""
        chosen = self.some(items)
        return [item for item in self.order(items) if item in chosen]

    def number(self, below: int) -> int:
        """Return a number that has nothing to do with other hellos'."""
        return self._cover.number(below)


def _shuffled(items: Sequence[int], random_bytes: RandomBytes) -> list[int]:
    keys = struct.unpack(f">{len(items)}I", random_bytes(_SORT_KEY_BYTES * len(items)))
    return [items[place] for place in sorted(range(len(items)), key=keys.__getitem__)]
