"""A mapping that never outgrows its bounds: what was used longest ago goes first."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class RecentlyUsed(Generic[K, V]):
    """Values by key, bounded by entries and, where max_weight is given, by their weights together.

    weigh: the weight of a value; it must not change while the value is here.
    For one thread, or one event loop.
    """

    __slots__ = ("_max_entries", "_max_weight", "_values", "_weigh", "_weight")

    def __init__(
        self,
        *,
        max_entries: int,
        max_weight: int = 0,
        weigh: Callable[[V], int] | None = None,
    ) -> None:
        self._max_entries = max_entries
        self._max_weight = max_weight
        self._weigh = weigh
        self._weight = 0
        self._values: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[K]:
        """Return the keys, the one used longest ago first."""
        return iter(self._values)

    def __reversed__(self) -> Iterator[K]:
        """Return the keys, the one used last first."""
        return reversed(self._values)

    @property
    def weight(self) -> int:
        """The weight of everything that is here; 0 without weigh."""
        return self._weight

    def peek(self, key: K) -> V | None:
        """Return the value without using it, or None."""
        return self._values.get(key)

    def get(self, key: K) -> V | None:
        """Return the value and mark it as just used, or None."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        """Keep a value in place of any other under its key, unless it alone exceeds max_weight."""
        self.discard(key)
        if self._weigh is not None:
            weight = self._weigh(value)
            if weight > self._max_weight:
                return
            self._weight += weight
        self._values[key] = value
        while len(self._values) > self._max_entries or self._weight > self._max_weight:
            self._forget(*self._values.popitem(last=False))

    def discard(self, key: K) -> bool:
        """Forget a value; return whether there was one."""
        value = self._values.pop(key, None)
        if value is None:
            return False
        self._forget(key, value)
        return True

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()
        self._weight = 0

    def _forget(self, _key: K, value: V) -> None:
        if self._weigh is not None:
            self._weight -= self._weigh(value)
