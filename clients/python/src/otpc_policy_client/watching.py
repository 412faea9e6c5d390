"""Following the service's changes of verdicts, without IO.

A change drops what is cached of its endpoint; the next check asks anew. Changes never add anything
to the cache: they are no answers to rely on. The stream only ever shortens what expire_time
permits. So while it is down, or where the service has none, the cache goes on until expire_time,
which is what the service has promised for each answer.

A stream is continued from its last cursor, whoever ended it. What was asked for before the first
message of a stream without a cursor is dropped then, because changes before it are not told. Where
a cursor is too old, the service's list says which verdicts still hold; every other one is dropped.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import grpc

from otpc_policy_client.answer_cache import Endpoint, endpoint_of
from otpc_policy_client.errors import CallError
from otpc_policy_client.v1 import policy_pb2 as pb

_TOO_OLD: Final = "CURSOR_TOO_OLD"
_MAX_CURSOR: Final = 2_048
_FIRST_PAUSE_S: Final = 1.0
_MAX_PAUSE_S: Final = 60.0
# A service that has no such method, or does not permit it, will not have it in a minute.
_FINAL: Final = frozenset(
    {
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
    }
)


@dataclass(frozen=True, slots=True)
class Stream:
    """Open the stream at this cursor, and report what it yields and how it ends."""

    cursor: str


@dataclass(frozen=True, slots=True)
class ListAgain:
    """List what is watched, and report it with listed."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait, then ask next what to do."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The service has no changes for this client. reason: a status."""

    reason: str


@dataclass(frozen=True, slots=True)
class Received:
    """What a message means for the cache. begun: it is the first of a stream without a cursor."""

    changed: tuple[Endpoint, ...] = ()
    begun: bool = False


class Watch:
    """What to do next, and what was heard. spread: between 0 and 1, at random."""

    def __init__(self, spread: float) -> None:
        self._spread = spread
        self._cursor = ""
        self._too_old = False
        self._begins = False
        self._heard = False
        self._failures = 0
        self._pause_s: float | None = None
        self._gave_up = ""

    def next(self) -> Stream | ListAgain | Pause | GiveUp:
        """Return what to do."""
        if self._gave_up:
            return GiveUp(self._gave_up)
        if self._pause_s is not None:
            pause_s, self._pause_s = self._pause_s, None
            return Pause(pause_s)
        if self._too_old:
            return ListAgain()
        self._begins, self._heard = not self._cursor, False
        return Stream(self._cursor)

    def received(self, message: pb.WatchVerdictsResponse) -> Received:
        """Take a message of the stream."""
        self._failures = 0
        self._heard = True
        self._keep(message.cursor)
        begun, self._begins = self._begins, False
        changes = message.changes.changes
        return Received(tuple(endpoint_of(each.host, each.port) for each in changes), begun)

    def listed(self, endpoints: Iterable[pb.WatchedEndpoint], cursor: str) -> dict[Endpoint, int]:
        """Take the list; return decisions by endpoint. cursor: of its first page."""
        self._too_old = False
        self._cursor = ""
        self._keep(cursor)
        if not self._cursor:
            # It is not known what was published: the stream begins anew, a moment later.
            self._back_off(None)
        return {endpoint_of(each.host, each.port): each.decision for each in endpoints}

    def ended(self) -> None:
        """Take the end of a stream that nothing is wrong with: each has one, after a while."""
        if self._heard:
            self._pause_s = self._spread
        else:
            self._back_off(None)

    def failed(self, error: CallError) -> None:
        """Take an error of the stream or of the list."""
        if error.status is grpc.StatusCode.OUT_OF_RANGE or error.reason == _TOO_OLD:
            self._too_old = True
            # A cursor of a list that is too old at once is answered with a pause.
            self._failures += 1
            if self._failures > 1:
                self._back_off(None)
        elif error.status is grpc.StatusCode.INVALID_ARGUMENT and self._cursor:
            # Whoever gave the cursor does not know it any more.
            self._cursor, self._too_old = "", True
            self._back_off(None)
        elif error.status in _FINAL or error.status is grpc.StatusCode.INVALID_ARGUMENT:
            self._gave_up = error.status.name
        else:
            self._back_off(error.retry_after_s)

    def _keep(self, cursor: str) -> None:
        if cursor and len(cursor) <= _MAX_CURSOR:
            self._cursor = cursor

    def _back_off(self, named_s: float | None) -> None:
        doubled = _FIRST_PAUSE_S * 2 ** min(self._failures, 6)
        self._failures += 1
        least_s = 0.0 if named_s is None else min(named_s, _MAX_PAUSE_S)
        self._pause_s = max(least_s, min(doubled, _MAX_PAUSE_S) * (0.5 + self._spread / 2))
