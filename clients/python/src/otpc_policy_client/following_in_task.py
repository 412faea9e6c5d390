"""Follows changes of verdicts in a task. What it does about them is decided in watching.py."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc

from otpc_policy_client.clock import elapsed_s
from otpc_policy_client.error_details import call_error
from otpc_policy_client.errors import DeadlineExceeded
from otpc_policy_client.following import SILENCE_S
from otpc_policy_client.lookups import Lookups
from otpc_policy_client.observing import Observer, VerdictsDropped, WatchStateChanged, notify
from otpc_policy_client.stubs import Calls
from otpc_policy_client.v1 import policy_pb2 as pb
from otpc_policy_client.watching import GiveUp, ListAgain, Pause, Stream, Watch

_LOG = logging.getLogger(__name__)
_CLOSING_S = 2.0

ListWatched = Callable[[], Awaitable[tuple[Sequence[pb.WatchedEndpoint], str]]]
"""Returns what is watched and the cursor of the list. Raises grpc.RpcError."""


class TaskFollower:
    """Drops verdicts that have changed. It belongs to one event loop."""

    def __init__(
        self,
        calls: Calls,
        lookups: Lookups[asyncio.Event],
        list_watched: ListWatched,
        observer: Observer | None,
    ) -> None:
        self._calls = calls
        self._lookups = lookups
        self._list_watched = list_watched
        self._observer = observer
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def start(self) -> None:
        """Begin, unless it has begun or is closed."""
        if self._task is None and not self._closed:
            self._task = asyncio.create_task(self._follow(), name="otpc-policy-client")

    async def close(self) -> None:
        """End."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=_CLOSING_S)

    async def _follow(self) -> None:
        try:
            await self._follow_changes()
        except Exception:
            # Nothing is followed then, and the cache goes on until each answer expires.
            _LOG.exception("changes of verdicts are no longer followed")
            notify(self._observer, WatchStateChanged(state="ended", reason="UNKNOWN"))

    async def _follow_changes(self) -> None:
        watch = Watch(random.random())  # noqa: S311 - it spreads calls, and keeps no secret
        while True:
            step = watch.next()
            if isinstance(step, GiveUp):
                notify(self._observer, WatchStateChanged(state="ended", reason=step.reason))
                return
            if isinstance(step, Pause):
                await asyncio.sleep(step.delay_s)
                continue
            try:
                if isinstance(step, ListAgain):
                    endpoints, cursor = await self._list_watched()
                    self._notify_dropped(self._lookups.confirmed(watch.listed(endpoints, cursor)))
                else:
                    await self._read(watch, step)
                    watch.ended()
            except grpc.RpcError as error:
                failure = call_error(error)
                watch.failed(failure)
                event = WatchStateChanged(state="interrupted", reason=failure.status.name)
                notify(self._observer, event)

    async def _read(self, watch: Watch, step: Stream) -> None:
        stream = self._calls.follow("WatchVerdicts", pb.WatchVerdictsRequest(cursor=step.cursor))
        messages, number = aiter(stream), 0
        try:
            while (message := await _next(messages)) is not None:
                if number == 0:
                    notify(self._observer, WatchStateChanged(state="following"))
                number += 1
                received = watch.received(message)
                dropped = sum(map(self._lookups.changed, received.changed))
                if received.begun:
                    dropped += self._lookups.asked_before(elapsed_s())
                self._notify_dropped(dropped)
        finally:
            stream.cancel()

    def _notify_dropped(self, count: int) -> None:
        if count:
            notify(self._observer, VerdictsDropped(count=count))


async def _next(messages: Any) -> pb.WatchVerdictsResponse | None:
    """Return the next message, None at the end. Raises DeadlineExceeded after long silence."""
    try:
        async with asyncio.timeout(SILENCE_S):
            message: pb.WatchVerdictsResponse | None = await anext(messages, None)
            return message
    except TimeoutError:
        raise DeadlineExceeded.here("the stream of changes is silent") from None
