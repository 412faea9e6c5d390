"""Following changes of verdicts over streams that end: what to do next, without IO.

List, watch from the list's cursor, go on from the last cursor where a stream ends, and list again
where the service says that the cursor is too old.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import uniform

import grpc

from otpc_policy_client.errors import CallError, PolicyClientError
from otpc_policy_client.v1 import policy_pb2 as pb

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

    def listed(self, endpoints: Sequence[pb.WatchedEndpoint], cursor: str) -> Followed | None:
        """Take a list; return what it tells, or None if nothing can be followed from it now.

        cursor: of its first page.
        """
        if not cursor:
            return None
        self.cursor, self.must_list = cursor, False
        return Followed(listed=endpoints, cursor=self.cursor)

    def took(self, message: pb.WatchVerdictsResponse) -> Followed:
        """Take a message of a stream; return what it tells."""
        self.cursor, self._failures = message.cursor, 0
        return Followed(changes=message.changes.changes, cursor=message.cursor)

    def failed(self, error: CallError | None = None) -> float:
        """Take the end of a call; return how long to wait before the next one.

        error: None where the service could not say what has changed. Raises the error, or
        ChangesUnknown, where another attempt changes nothing, or too many have failed.
        """
        code = None if error is None else error.status
        if code is grpc.StatusCode.OUT_OF_RANGE:
            self.must_list = True
        self._failures += 1
        if code in _FINAL or self._failures > self._most_failures:
            raise error or ChangesUnknown("the service does not know what has changed")
        longest_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(self._failures, 10))
        return self._draw(longest_s / 2, longest_s)


class ChangesUnknown(PolicyClientError):
    """The service has a watch list, and does not know what was published about it."""
