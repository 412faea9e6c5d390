"""How long a request may be, and which requests never arrived.

gRPC refuses a message over its own limit before any handler runs, with a bare RESOURCE_EXHAUSTED.
So its limit is higher than ours: up to there a request is read, and refused with details. Beyond
it, nothing is read, and the call ends without a handler; that can only be counted.
"""

import asyncio
from typing import Any, Final, Protocol

from otpc_policy.rpc.status import RequestTooLarge

MAX_REQUEST_BYTES: Final = 1 << 20
"""A chain of 256 KiB, anchors of the same size, and headroom."""

MAX_RECEIVED_BYTES: Final = 4 << 20
"""What gRPC receives: its own default, to which most clients and proxies keep."""


class UnreadCounter(Protocol):
    """Counts requests that were not read. reason: "too_large" or "not_received"."""

    def request_unread(self, reason: str) -> None: ...


class RequestSizes:
    """Refuses long requests, and counts these and those that never arrive."""

    def __init__(self, counter: UnreadCounter) -> None:
        self._counter = counter
        self._awaited: set[asyncio.Task[Any]] = set()

    def await_request(self) -> None:
        """Expect the request of the call whose task this is. Call it before gRPC reads it."""
        task = asyncio.current_task()
        if task is not None:
            self._awaited.add(task)
            task.add_done_callback(self._call_ended)

    def note_arrival(self) -> None:
        """Note that gRPC has called the handler: it has read the request, whoever refuses it."""
        self._awaited.discard(asyncio.current_task())

    def check(self, request: Any) -> None:
        """Raise RequestTooLarge if the request is over our limit.

        request: bytes, or an iterator of messages, each of which gRPC bounds by itself.
        """
        if isinstance(request, bytes) and len(request) > MAX_REQUEST_BYTES:
            self._counter.request_unread("too_large")
            raise RequestTooLarge(len(request), MAX_REQUEST_BYTES)

    def _call_ended(self, task: "asyncio.Task[Any]") -> None:
        if task in self._awaited:
            self._awaited.discard(task)
            self._counter.request_unread("not_received")
