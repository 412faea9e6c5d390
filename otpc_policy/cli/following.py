"""Following changes of verdicts over streams that end, for `otpc-policy watch`.

List, watch from the list's cursor, go on from the last cursor where a stream ends, and list again
where the service says that the cursor is too old. The client's distribution has the same for
programs (otpc_policy_client.following); the command line runs without it.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import uniform
from typing import Any

import grpc

from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.v1 import policy_pb2_grpc

SILENCE_S = 25.0
"""A stream that has no message for so long is given up: one comes every ten seconds at least."""
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 10.0
# What another attempt does not change.
_FINAL = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNIMPLEMENTED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What a follower of changes is told.

    listed: everything that is watched and known, at the start and wherever changes may have been
    missed; it takes the place of all that was told before. changes: in the order of each endpoint;
    empty for a checkpoint, which says that nothing else has changed up to the cursor. cursor: to go
    on from.
    """

    listed: Sequence[pb.WatchedEndpoint] | None = None
    changes: Sequence[pb.VerdictChange] = ()
    cursor: str


class Progress:
    """Where one who follows is. cursor: "" to begin with a list. most_failures: in a row."""

    def __init__(
        self,
        cursor: str,
        *,
        most_failures: int,
        draw: Callable[[float, float], float] = uniform,
    ) -> None:
        self.cursor = cursor
        self.must_list = not cursor
        self._most_failures, self._draw = most_failures, draw
        self._failures = 0

    def listed(self, pages: Sequence[pb.ListWatchedResponse]) -> Followed | None:
        """Take a list; return what it tells, or None if nothing can be followed from it now."""
        if not pages[0].cursor:
            return None
        self.cursor, self.must_list = pages[0].cursor, False
        endpoints = [endpoint for page in pages for endpoint in page.endpoints]
        return Followed(listed=endpoints, cursor=self.cursor)

    def took(self, message: pb.WatchVerdictsResponse) -> Followed:
        """Take a message of a stream; return what it tells."""
        self.cursor, self._failures = message.cursor, 0
        return Followed(changes=message.changes.changes, cursor=message.cursor)

    def failed(self, error: grpc.RpcError | None = None) -> float:
        """Take the end of a call; return how long to wait before the next one.

        error: None where the service could not say what has changed. Raises the error, or
        ChangesUnknown, where another attempt changes nothing, or too many have failed.
        """
        # Both kinds of errors have it, and their common base does not declare it.
        code = error.code() if isinstance(error, grpc.Call | grpc.aio.AioRpcError) else None
        if code is grpc.StatusCode.OUT_OF_RANGE:
            self.must_list = True
        self._failures += 1
        if code in _FINAL or self._failures > self._most_failures:
            raise error or ChangesUnknown("the service does not know what has changed")
        longest_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(self._failures, 10))
        return self._draw(longest_s / 2, longest_s)


class ChangesUnknown(Exception):
    """The service has a watch list, and does not know what was published about it."""


def follow_verdicts(
    channel: grpc.Channel,
    partner_id: str,
    *,
    timeout_s: float,
    cursor: str,
    most_failures: int,
) -> Iterator[Followed]:
    """Yield what is watched and known, then what changes, for as long as the caller iterates.

    timeout_s: for each page of a list. Raises the last error once most_failures calls in a row have
    failed, and at once where another attempt changes nothing; ChangesUnknown where the service does
    not know either.
    """
    stub: Any = policy_pb2_grpc.PolicyCheckServiceStub(channel)  # type: ignore[no-untyped-call]
    progress = Progress(cursor, most_failures=most_failures)
    while True:
        try:
            if progress.must_list:
                listed = progress.listed(_pages(stub, partner_id, timeout_s))
                if listed is None:
                    # Where nothing is watched, this says so.
                    probe = stub.WatchVerdicts(
                        pb.WatchVerdictsRequest(partner_id=partner_id), timeout=timeout_s
                    )
                    next(probe, None)
                    probe.cancel()
                    time.sleep(progress.failed())
                    continue
                yield listed
            request = pb.WatchVerdictsRequest(cursor=progress.cursor, partner_id=partner_id)
            for message in _until_silent(stub.WatchVerdicts(request)):
                yield progress.took(message)
        except grpc.RpcError as error:
            time.sleep(progress.failed(error))


def _pages(stub: Any, partner_id: str, timeout_s: float) -> Sequence[pb.ListWatchedResponse]:
    pages: list[pb.ListWatchedResponse] = []
    request = pb.ListWatchedRequest(partner_id=partner_id)
    while True:
        pages.append(stub.ListWatched(request, timeout=timeout_s))
        request.page_token = pages[-1].next_page_token
        if not request.page_token:
            return pages


def _until_silent(call: Any) -> Iterator[pb.WatchVerdictsResponse]:
    """Yield the messages of a stream; end it when none has come for too long."""
    timer = _cancelling(call)
    try:
        for message in call:
            timer.cancel()
            yield message
            timer = _cancelling(call)
    finally:
        timer.cancel()
        call.cancel()


def _cancelling(call: Any) -> threading.Timer:
    timer = threading.Timer(SILENCE_S, call.cancel)
    timer.daemon = True
    timer.start()
    return timer
