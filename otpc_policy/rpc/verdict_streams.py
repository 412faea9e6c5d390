"""WatchVerdicts: a stream of changes for each caller that asks, bounded in number, time and size.

A stream keeps nothing but references to changes that all of them share. It ends by itself before
its connection is closed for its age, and at once where the service drains, so that nobody waits for
it; and it ends where its caller does not read, or may see other endpoints than when it began.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Final, Protocol, cast

from google.protobuf.message import DecodeError

from otpc_policy.catalog.access import Permissions
from otpc_policy.catalog.context import Catalog
from otpc_policy.catalog.role import Rpc
from otpc_policy.check import ChangeFeed, StoreUnavailable, VerdictChange
from otpc_policy.core.caller import Caller
from otpc_policy.core.errors import (
    Budget,
    CallerBudgetUsed,
    CursorTooOld,
    Overloaded,
    ReaderTooSlow,
    ServiceUnavailable,
)
from otpc_policy.core.holdings import Holdings, Room
from otpc_policy.recently_used import RecentlyUsed
from otpc_policy.rpc.authorisation import permissions_in, watched_demand
from otpc_policy.rpc.convert import changes_message, checkpoint_message, undecodable
from otpc_policy.rpc.current_call import current_call
from otpc_policy.rpc.interceptors.calls import Context
from otpc_policy.turns import turn
from otpc_policy.v1 import policy_pb2 as pb

CHECKPOINT_S: Final = 10.0
"""How often a stream has a message at least."""
# gRPC takes a message once the caller has room for it. A connection that has died without a word
# is noticed later than that.
_WRITE_S: Final = 20.0
# Of the age that a connection may reach: gRPC closes none before nine tenths of it.
_OLDEST: Final = 0.85
_LEAST_LEFT: Final = 0.1
# While it is not known what has changed, a checkpoint that is due cannot be said.
_UNKNOWN_S: Final = 0.25
_RETRY_AFTER: Final = timedelta(seconds=5)
# Connections whose first stream is remembered.
_KEPT_PEERS: Final = 4_096
# To ask the roles about one takes 20 µs.
_AT_ONCE: Final = 100


class StreamCounters(Protocol):
    """Metrics. stream_ended: reason is one of ops.metrics.changes.END_REASONS."""

    def stream_opened(self) -> None: ...
    def stream_ended(self, reason: str) -> None: ...


class RefusalCounter(Protocol):
    """Counts refusals for want of room. of_caller: it was the caller's own budget."""

    def budget_used_up(self, budget: Budget, *, of_caller: bool) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """total, of_a_caller: streams that are open. age_s: that a connection may reach. grace_s: for
    calls on a connection that has reached it.
    """

    total: int = 256
    of_a_caller: int = 16
    age_s: float = 1_800.0
    grace_s: float = 50.0
    checkpoint_s: float = CHECKPOINT_S
    write_s: float = _WRITE_S


class VerdictStreams:
    """Answers WatchVerdicts. monotonic: seconds."""

    def __init__(
        self,
        feed: ChangeFeed,
        *,
        generation: Callable[[], Catalog],
        counters: StreamCounters,
        refusals: RefusalCounter,
        limits: StreamLimits,
        draw: Random,
        monotonic: Callable[[], float],
    ) -> None:
        self._feed, self._generation = feed, generation
        self._counters, self._refusals = counters, refusals
        self._limits, self._draw, self._monotonic = limits, draw, monotonic
        self._holdings = Holdings()
        self._tasks: set[asyncio.Task[object]] = set()
        self._peers = RecentlyUsed[str, float](max_entries=_KEPT_PEERS)
        self._is_draining = False

    @property
    def open(self) -> int:
        """Streams that are open."""
        return len(self._tasks)

    def drain(self) -> None:
        """End every stream, and refuse others, with ServiceUnavailable."""
        self._is_draining = True
        for task in self._tasks:
            task.cancel()

    async def watch_verdicts(self, request: bytes, context: Context) -> None:
        """WatchVerdicts."""
        try:
            message = pb.WatchVerdictsRequest.FromString(request)
        except DecodeError:
            raise undecodable("WatchVerdictsRequest") from None
        if self._is_draining:
            raise ServiceUnavailable("the service is draining")
        with self._held(current_call.get().caller):
            # gRPC sends it with the first message otherwise, and then once more where that is
            # cancelled: the status would not arrive.
            await self._in_time(context.send_initial_metadata(()))
            await self._until_its_end(message, context)

    async def _until_its_end(self, message: pb.WatchVerdictsRequest, context: Context) -> None:
        """Stream, and count why it ended. From here on a drain may cancel the task."""
        if self._is_draining:
            raise ServiceUnavailable("the service is draining")
        task = cast("asyncio.Task[object]", asyncio.current_task())  # each call has one of its own
        self._tasks.add(task)
        self._counters.stream_opened()
        reason = "failed"
        try:
            await self._stream(message, context)
            reason = "age"
        except asyncio.CancelledError:
            reason = "drain" if self._is_draining else "caller"
            if self._is_draining:
                task.uncancel()
                raise ServiceUnavailable("the service is draining") from None
            raise
        except StoreUnavailable as error:
            reason = "unavailable"
            raise ServiceUnavailable(str(error)) from None
        except CursorTooOld:
            reason = "too_old"
            raise
        except ReaderTooSlow:
            reason = "slow"
            raise
        finally:
            self._tasks.discard(task)
            self._counters.stream_ended(reason)

    async def _stream(self, message: pb.WatchVerdictsRequest, context: Context) -> None:
        scope = permissions_in(self._generation()).scope
        ends_at = self._monotonic() + self._life_s(context.peer())
        said_at: float | None = None
        async with self._feed.follow(message.cursor, scope) as follower:
            while True:
                now = self._monotonic()
                is_over = now >= ends_at
                says_by = now if said_at is None else said_at + self._limits.checkpoint_s
                least_s = 0.0 if self._feed.is_current else _UNKNOWN_S
                changed = await follower.next(max(least_s, min(says_by, ends_at) - now))
                shown = await self._shown(changed.changes, message.partner_id, scope)
                if shown:
                    await self._write(context, changes_message(shown, changed.cursor))
                    said_at = self._monotonic()
                elif self._feed.is_current and (is_over or self._monotonic() >= says_by):
                    await self._write(context, checkpoint_message(changed.cursor))
                    said_at = self._monotonic()
                if is_over:
                    return

    async def _shown(
        self, changes: Sequence[VerdictChange], partner_id: str, scope: str
    ) -> Sequence[VerdictChange]:
        """Return the changes that the caller may see. Raises CursorTooOld if that has changed."""
        generation = self._generation()
        permissions = permissions_in(generation)
        if permissions.scope != scope:
            raise CursorTooOld
        shown: list[VerdictChange] = []
        for at in range(0, len(changes), _AT_ONCE):
            async with turn():
                shown += (
                    change
                    for change in changes[at : at + _AT_ONCE]
                    if partner_id in ("", change.partner_id)
                    and _may_see(change, generation, permissions)
                )
        return shown

    async def _write(self, context: Context, message: pb.WatchVerdictsResponse) -> None:
        await self._in_time(context.write(message.SerializeToString()))

    async def _in_time(self, written: Awaitable[object]) -> None:
        """Wait until gRPC has taken it. Raises ReaderTooSlow where the caller does not read."""
        try:
            async with asyncio.timeout(self._limits.write_s):
                await written
        except TimeoutError:
            raise ReaderTooSlow from None

    def _life_s(self, peer: str) -> float:
        """Return how long a stream of a connection lasts.

        It ends before its connection is closed for its age. One that begins when that may happen
        at any time is short: calls on such a connection have a time of grace.
        """
        now, limits = self._monotonic(), self._limits
        since = self._peers.get(peer)
        if since is None:
            since = now
            self._peers.put(peer, now)
        left_s = since + _OLDEST * limits.age_s - now
        if left_s < _LEAST_LEFT * limits.age_s:
            left_s = min(limits.age_s, limits.grace_s / 2)
        return self._draw.uniform(0.5, 1.0) * left_s

    @contextmanager
    def _held(self, caller: Caller) -> Iterator[None]:
        """Count a stream of a caller. Raises CallerBudgetUsed, Overloaded."""
        limits, share = self._limits, caller.share
        match self._holdings.room(
            share, 1, total=limits.total, most_of_a_member=limits.of_a_caller
        ):
            case Room.NONE:
                self._refusals.budget_used_up(Budget.STREAMS, of_caller=False)
                raise Overloaded(_RETRY_AFTER, Budget.STREAMS)
            case Room.SHARE_USED:
                self._refusals.budget_used_up(Budget.STREAMS, of_caller=True)
                raise CallerBudgetUsed(_RETRY_AFTER, Budget.STREAMS)
        self._holdings.count(share, 1)
        try:
            yield
        finally:
            self._holdings.count(share, -1)


def _may_see(change: VerdictChange, generation: Catalog, permissions: Permissions) -> bool:
    """Whether a role of the caller names the endpoint; one that is gone as the partner's it was."""
    demand = watched_demand(
        change.endpoint, generation, Rpc.WATCH_VERDICTS, partner_id=change.partner_id
    )
    return not permissions.missing(demand)
