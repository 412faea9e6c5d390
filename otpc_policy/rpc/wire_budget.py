"""Bytes of answers that are on their way: made, and not yet taken by whoever asked.

A handler has returned long before its answer has left: gRPC keeps the bytes for as long as the
caller does not read. So they are counted until the call is over on the wire, and an answer that
would exceed the caller's share, or all there is, is refused before it is made.
"""

from datetime import timedelta
from typing import Any, Final

from otpc_policy.core.caller import Caller
from otpc_policy.core.errors import Budget, CallerBudgetUsed, Overloaded
from otpc_policy.core.holdings import Holdings, Room
from otpc_policy.rpc.interceptors.calls import Context

# Shorter answers are not counted: a caller that does not read holds one for each stream, which
# takes gRPC itself more than that. No refusal is much shorter.
SHORT_BYTES: Final = 4 * 1024
# A caller that reads takes milliseconds.
_RETRY_AFTER: Final = timedelta(seconds=1)


class WireBudget:
    """Counts answers by caller. total, most_of_a_caller: bytes."""

    def __init__(self, total: int, *, most_of_a_caller: int) -> None:
        self._total, self._most_of_a_caller = total, most_of_a_caller
        self._holdings = Holdings()

    @property
    def held(self) -> int:
        """Bytes that are counted now."""
        return self._holdings.held

    def hold(self, size: int, caller: Caller, context: Context) -> None:
        """Count so many bytes until the call is over. Raises CallerBudgetUsed, Overloaded."""
        if size <= SHORT_BYTES:
            return
        share = caller.share
        self._require_room(size, share)
        self._holdings.count(share, size)

        def is_over(_context: Any) -> None:
            self._holdings.count(share, -size)

        context.add_done_callback(is_over)  # type: ignore[arg-type]  # the stubs name its parameter

    def growing(self, caller: Caller, context: Context) -> "GrowingAnswer":
        """Return an answer that is made piece by piece, and counts as far as it is made."""
        answer = GrowingAnswer(self, caller.share)
        context.add_done_callback(answer.is_over)  # type: ignore[arg-type]  # as above
        return answer

    def count(self, share: tuple[str, str], size: int) -> None:
        """Count so many bytes more, or less. Raises as hold does."""
        if size > 0:
            self._require_room(size, share)
        self._holdings.count(share, size)

    def _require_room(self, size: int, share: tuple[str, str]) -> None:
        most = self._most_of_a_caller
        match self._holdings.room(share, size, total=self._total, most_of_a_member=most):
            case Room.NONE:
                raise Overloaded(_RETRY_AFTER, Budget.BYTES)
            case Room.SHARE_USED:
                raise CallerBudgetUsed(_RETRY_AFTER, Budget.BYTES)


class GrowingAnswer:
    """The bytes of one answer until its call is over. size: so far."""

    def __init__(self, budget: WireBudget, share: tuple[str, str]) -> None:
        self._budget, self._share = budget, share
        self._counted = 0
        self._is_over = False
        self.size = 0

    def resize(self, size: int) -> None:
        """Count this many bytes in place of those so far.

        Raises CallerBudgetUsed, Overloaded, and then counts what it did before.
        """
        counted = size if size > SHORT_BYTES else 0
        if not self._is_over and counted != self._counted:
            self._budget.count(self._share, counted - self._counted)
            self._counted = counted
        self.size = size

    def is_over(self, _context: Any) -> None:
        """Count nothing any more."""
        self.resize(0)
        self._is_over = True


def unlimited() -> WireBudget:
    """Return a budget that nothing exceeds."""
    return WireBudget(1 << 62, most_of_a_caller=1 << 62)
