"""Calls that are open: from their first frame until their answer has left.

gRPC keeps fifteen kilobytes for each, whoever made it, and bounds their number nowhere. So each
caller has a share of the calls that are open, until it has read what they were answered; and a call
whose request does not come ends after a while, the oldest first where there are many of them.
"""

import asyncio
from datetime import timedelta
from typing import Any, Final, Protocol, cast

import grpc

from otpc_policy.core.caller import Caller
from otpc_policy.core.errors import Budget, CallerBudgetUsed, Overloaded
from otpc_policy.core.holdings import Holdings, Room
from otpc_policy.rpc.interceptors.calls import Context
from otpc_policy.rpc.interceptors.request_size import (
    MAX_REQUEST_BYTES,
    RequestNotReceived,
    UnreadCounter,
    given_up_or_ended,
    require_length,
)
from otpc_policy.rpc.status import RequestMissing

STREAM: Final = 4
"""Calls that a stream counts for: gRPC takes more for it, and its handler waits for its caller."""

# What a call takes of gRPC; a request is kept until its answer is made, and counts for as much.
_BYTES_OF_A_CALL: Final = 16 * 1024
# A request follows the head of its call at once.
_EXPECTED_WITHIN_S: Final = 10.0
# Between two looks for those that are late, which walk them all.
_LOOK_S: Final = 0.5
# Of calls whose request has not come; as many as a burst brings at once (app/listen.py). Beyond
# them the oldest one ends.
_MOST_EXPECTED: Final = 10_000
_RETRY_AFTER: Final = timedelta(seconds=1)

_Task = asyncio.Task[object]


class OpenCallsCounter(UnreadCounter, Protocol):
    """Counts refusals for want of room, too. of_caller: it was the caller's own budget."""

    def budget_used_up(self, budget: Budget, *, of_caller: bool) -> None: ...


class OpenCalls:
    """Counts calls by their tasks, which gRPC ends once the answer has left.

    total: calls that may be open.
    """

    def __init__(self, total: int, counter: OpenCallsCounter) -> None:
        self._total, self._counter = total, counter
        self._holdings = Holdings()
        # For whom a call counts, and for how many.
        self._held: dict[_Task, tuple[tuple[str, str], int]] = {}
        # Calls without a request, with the time of their first frame; the oldest first.
        self._expected: dict[_Task, float] = {}
        self._given_up: set[_Task] = set()
        self._look: asyncio.TimerHandle | None = None

    @property
    def held(self) -> int:
        """What the calls that are open count for."""
        return self._holdings.held

    def hold(self, caller: Caller, weight: int) -> None:
        """Count the call of this task until its answer has left.

        weight: 0 for a call that is refused whoever makes it. Raises CallerBudgetUsed, Overloaded.
        """
        if not weight:
            return
        self._take(caller.share, weight)
        task = _current_task()
        self._held[task] = caller.share, weight
        task.add_done_callback(self._ended)

    async def read(self, context: Context) -> bytes:
        """Return the request of the call of this task.

        Raises RequestMissing if none comes, RequestTooLarge if it is over our limit,
        RequestNotReceived if gRPC or the caller gave it up, and as hold does if it is too long for
        what is left.
        """
        task, loop = _current_task(), asyncio.get_running_loop()
        self._expected[task] = loop.time()
        if len(self._expected) > _MOST_EXPECTED:
            self._give_up(next(iter(self._expected)))
        if self._look is None:
            self._look = loop.call_later(_EXPECTED_WITHIN_S, self._give_up_the_late, loop)
        try:
            request: Any = await context.read()
        except asyncio.CancelledError:
            if task in self._given_up:
                task.uncancel()
                raise RequestMissing from None
            raise RequestNotReceived from None
        finally:
            self._expected.pop(task, None)
            self._given_up.discard(task)
        if request is _END_OF_STREAM:
            await given_up_or_ended()
            raise RequestMissing
        require_length(request, MAX_REQUEST_BYTES, self._counter)
        if more := len(request) // _BYTES_OF_A_CALL:
            share, weight = self._held[task]
            self._take(share, more)
            self._held[task] = share, weight + more
        return cast("bytes", request)

    def _take(self, share: tuple[str, str], weight: int) -> None:
        room = self._holdings.room(share, weight, total=self._total)
        if room is not Room.ENOUGH:
            self._counter.budget_used_up(Budget.CALLS, of_caller=room is Room.SHARE_USED)
            refusal = CallerBudgetUsed if room is Room.SHARE_USED else Overloaded
            raise refusal(_RETRY_AFTER, Budget.CALLS)
        self._holdings.count(share, weight)

    def _ended(self, task: _Task) -> None:
        share, weight = self._held.pop(task)
        self._holdings.count(share, -weight)

    def _give_up(self, task: _Task) -> None:
        del self._expected[task]
        self._given_up.add(task)
        task.cancel()

    def _give_up_the_late(self, loop: asyncio.AbstractEventLoop) -> None:
        late_s = loop.time() - _EXPECTED_WITHIN_S
        for task, began_s in list(self._expected.items()):
            if began_s > late_s:
                until_s = max(began_s, late_s + _LOOK_S) + _EXPECTED_WITHIN_S
                self._look = loop.call_at(until_s, self._give_up_the_late, loop)
                return
            self._give_up(task)
        self._look = None


def _current_task() -> _Task:
    return cast("_Task", asyncio.current_task())  # gRPC runs each call in a task of its own


# What reading gives at the end of a stream; the stubs do not know it.
_END_OF_STREAM: Any = grpc.aio.EOF  # type: ignore[attr-defined]
