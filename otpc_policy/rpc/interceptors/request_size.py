"""How long a request may be, and which requests never arrived.

gRPC refuses a message over its own limit before any handler runs, with a bare RESOURCE_EXHAUSTED.
So its limit is higher than ours: up to there a request is read, and refused with details. Beyond
it, nothing is read, and the call ends without a handler, as does one whose caller gave up; which of
the two it was cannot be told.
"""

import asyncio
from collections.abc import AsyncIterable, Callable
from typing import Any, Final, Protocol

from otpc_policy.rpc.status import RequestTooLarge

MAX_REQUEST_BYTES: Final = 1 << 20
"""A chain of 256 KiB, anchors of the same size, and headroom."""

MAX_RECEIVED_BYTES: Final = 4 << 20
"""What gRPC receives: its own default, to which most clients and proxies keep."""

_CANCELLED_WITHIN_S: Final = 0.05


class UnreadCounter(Protocol):
    """Counts requests that were not read. reason: "too_large" or "not_received"."""

    def request_unread(self, reason: str) -> None: ...


class RequestNotReceived(asyncio.CancelledError):
    """gRPC gave up a stream of requests: a message was over its limit, or the caller left."""


class RequestStream:
    """The requests of a stream, told apart from a stream that gRPC has given up.

    To the reader both end alike. But gRPC cancels a call that it has given up, less than a
    millisecond after the end that the reader sees.
    """

    def __init__(self, requests: AsyncIterable[Any]) -> None:
        self._requests = aiter(requests)

    def __aiter__(self) -> "RequestStream":
        return self

    async def __anext__(self) -> Any:
        """Return the next request. Raises RequestNotReceived, a CancelledError."""
        try:
            return await anext(self._requests)
        except StopAsyncIteration:
            try:
                await asyncio.sleep(_CANCELLED_WITHIN_S)
            except asyncio.CancelledError:
                raise RequestNotReceived from None
            raise


def with_request_stream(behaviour: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return a behaviour that reads its requests through a RequestStream."""
    return lambda requests, context: behaviour(RequestStream(requests), context)


class RequestSizes:
    """Refuses long requests, and reports calls whose request never arrives.

    not_received: called with the task of such a call, in the context that expected the request.
    """

    def __init__(
        self, counter: UnreadCounter, not_received: Callable[["asyncio.Task[Any]"], None]
    ) -> None:
        self._counter = counter
        self._not_received = not_received

    def await_request(self) -> None:
        """Expect the request of the call whose task this is. Call it before gRPC reads it."""
        task = asyncio.current_task()
        if task is not None:
            task.add_done_callback(self._not_received)

    def note_arrival(self) -> None:
        """Note that gRPC has called the handler: it has read the request, whoever refuses it."""
        task = asyncio.current_task()
        if task is not None:
            task.remove_done_callback(self._not_received)

    def check(self, request: Any) -> None:
        """Raise RequestTooLarge if the request is over our limit.

        request: bytes, or an iterator of messages, each of which gRPC bounds by itself.
        """
        if isinstance(request, bytes) and len(request) > MAX_REQUEST_BYTES:
            self._counter.request_unread("too_large")
            raise RequestTooLarge(len(request), MAX_REQUEST_BYTES)
