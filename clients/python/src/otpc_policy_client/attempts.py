"""How often a call is made, and when: decisions without IO, for threads and for asyncio alike.

A call has one deadline, whatever happens in it. UNAVAILABLE alone is answered by a second try,
after the time that the service names (RetryInfo) or a short pause: another replica may answer.
There is no third. No other error is tried again: the service has answered, and would answer the
same, or it says that it has no room. Nothing is sent to two replicas at once: each question may
cost a measurement of somebody else's server.

A check whose measurement goes on (CHECK_IN_PROGRESS) is asked for again when the service says so,
as long as the deadline is later than that. Otherwise its answer, INDETERMINATE, is the answer.

The shell asks start what to do. After Wait it waits and asks start again.
"""

from dataclasses import dataclass
from typing import Final

from google.protobuf.message import Message

from otpc_policy_client.error_details import seconds_of
from otpc_policy_client.errors import CallError, DeadlineExceeded, ServiceUnavailable
from otpc_policy_client.v1 import policy_pb2 as pb
from otpc_policy_client.verdict import is_in_progress

_TRIES: Final = 2
# Long enough for a channel to turn to another replica; spread, lest callers come together.
_PAUSE_S: Final = 0.05
_SPREAD_S: Final = 0.1
# A service that names no time or a tiny one is not asked in a loop.
_LEAST_WAIT_S: Final = 0.1
# A question that is put with less time than this is not answered.
_LEAST_TIME_S: Final = 0.005


@dataclass(frozen=True, slots=True)
class Ask:
    """Make the call, with this time-out."""

    timeout_s: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait, then ask start what to do."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class Answered:
    """It is over: return the response. asked_at_s: when it was asked for."""

    response: Message
    asked_at_s: float


class Attempts:
    """The tries of one call. Instants are of clock.elapsed_s.

    spread: between 0 and 1, at random: where in the spread of pauses this call is.
    """

    def __init__(self, *, now: float, timeout_s: float, spread: float) -> None:
        self.deadline = now + timeout_s
        self.tries = 0
        self._spread = spread
        self._failed = 0
        self._asked_at = now

    def start(self, now: float) -> Ask:
        """Return how to make the next call. Raises DeadlineExceeded."""
        left_s = self.deadline - now
        if left_s < _LEAST_TIME_S:
            raise DeadlineExceeded.here("no answer within the time of the call")
        self.tries += 1
        self._asked_at = now
        return Ask(left_s)

    def failed(self, error: CallError, now: float) -> Wait:
        """Return how long to wait for the second try. Raises the error where there is none."""
        self._failed += 1
        if not isinstance(error, ServiceUnavailable) or self._failed >= _TRIES:
            raise error
        named = error.retry_after_s
        delay_s = _PAUSE_S + _SPREAD_S * self._spread if named is None else named
        if now + delay_s + _LEAST_TIME_S > self.deadline:
            raise error
        return Wait(delay_s)

    def answered(self, response: Message, now: float) -> Answered | Wait:
        """Return that it is over, or how long to wait for a measurement that goes on."""
        if isinstance(response, pb.CheckEndpointResponse) and is_in_progress(response):
            delay_s = max(seconds_of(response.retry_after), _LEAST_WAIT_S)
            if now + delay_s + _LEAST_TIME_S <= self.deadline:
                return Wait(delay_s)
        return Answered(response, self._asked_at)
