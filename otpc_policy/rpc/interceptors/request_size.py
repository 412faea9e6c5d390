"""How long a request may be, and which requests never arrived.

gRPC refuses a message over its own limit by itself, with a bare RESOURCE_EXHAUSTED. So its limit is
higher than ours: up to there a request is read, and refused with details. Beyond it, nothing is
read, and the call is cancelled, as is one whose caller gave up; which of the two it was cannot be
told.
"""

import asyncio
from collections.abc import AsyncIterable, Callable
from typing import Any, Final, Protocol

from otpc_policy.rpc.status import RequestTooLarge

MAX_REQUEST_BYTES: Final = 1 << 20
"""A chain of 256 KiB, anchors of the same size, and headroom."""

MAX_STREAMED_BYTES: Final = 16 << 10
"""Each request of a stream, which counts for the same however long they are (open_calls.py).

Reflection repeats a request in its answer, and holds both until the answer has been read.
"""

MAX_RECEIVED_BYTES: Final = 4 << 20
"""What gRPC receives: its own default, to which most clients and proxies keep."""

_CANCELLED_WITHIN_S: Final = 0.05


class UnreadCounter(Protocol):
    """Counts requests that were not read. reason: "too_large" or "not_received"."""

    def request_unread(self, reason: str) -> None: ...


class RequestNotReceived(asyncio.CancelledError):
    """gRPC gave up a request: it was over its limit, or the caller left."""


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
            await given_up_or_ended()
            raise


def require_length(request: bytes, limit: int, counter: UnreadCounter) -> None:
    """Raise RequestTooLarge, and count it, if a request is longer than so many bytes."""
    if len(request) > limit:
        counter.request_unread("too_large")
        raise RequestTooLarge(len(request), limit)


async def given_up_or_ended() -> None:
    """Return if the caller has ended its requests. Raises RequestNotReceived if gRPC gave up."""
    try:
        await asyncio.sleep(_CANCELLED_WITHIN_S)
    except asyncio.CancelledError:
        raise RequestNotReceived from None


def with_request_stream(behaviour: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return a behaviour that reads its requests through a RequestStream."""
    return lambda requests, context: behaviour(RequestStream(requests), context)


def within_stream(
    parse: Callable[[bytes], Any] | None, counter: UnreadCounter
) -> Callable[[bytes], Any]:
    """Return how a request of a stream is parsed. It raises RequestTooLarge for a long one."""

    def parsed(request: bytes) -> Any:
        require_length(request, MAX_STREAMED_BYTES, counter)
        return request if parse is None else parse(request)

    return parsed
