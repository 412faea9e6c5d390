"""One question at a time for each request: the cache, and who asks for what it has not. No IO.

Whoever looks first for what is not kept leads: it asks the service. Others follow: they wait for
the leader, each within its own deadline. A leader that ends without an answer, because it was
cancelled or its own time was over, leaves its followers to look again; one of them leads then. An
error of the service is the error of all. Nothing that a leader meets becomes an answer.

A leader has until its deadline, and a moment. After that it is gone, whatever became of it.

A change that is reported while a question is under way parts the two: its answer is not kept, and
whoever looks afterwards asks anew.

The shell guards it with a lock, or has one thread.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Generic, TypeVar

from otpc_policy_client.answer_cache import (
    AnswerCache,
    CacheLimits,
    Endpoint,
    endpoint_of,
)
from otpc_policy_client.errors import CallError, DeadlineExceeded
from otpc_policy_client.v1 import policy_pb2 as pb
from otpc_policy_client.verdict import Verdict, is_in_progress

# What followers wait for: threading.Event or asyncio.Event.
W = TypeVar("W")


class _Open(Enum):
    NOT_ENDED = "not ended"
    WITHOUT_ANSWER = "without an answer"


# Between a deadline and the leader's word of it.
_GRACE_S: Final = 1.0
_NOT_ENDED: Final = _Open.NOT_ENDED
_WITHOUT_ANSWER: Final = _Open.WITHOUT_ANSWER


@dataclass(eq=False, slots=True)
class Flight(Generic[W]):
    """A question under way. ended: is set when outcome is known. until_s: the leader's time, by
    elapsed_s.

    outcome: of the leader: a verdict, an error of the service, or that there is neither.
    """

    key: bytes
    request: pb.CheckEndpointRequest
    ended: W
    until_s: float
    outcome: Verdict | CallError | _Open = field(default=_NOT_ENDED)
    outdated: bool = False

    def shared(self) -> Verdict | None:
        """Return what followers get; None if they have to look again. Raises a CallError."""
        outcome = self.outcome
        if isinstance(outcome, CallError):
            if isinstance(outcome, DeadlineExceeded):
                return None
            raise outcome.again()
        if not isinstance(outcome, Verdict) or is_in_progress(outcome.response):
            return None
        return None if self.outdated else outcome


@dataclass(frozen=True, slots=True)
class Lead(Generic[W]):
    """Ask the service, and report the end with landed."""

    flight: Flight[W]


@dataclass(frozen=True, slots=True)
class Follow(Generic[W]):
    """Wait for flight.ended, for wait_s at most. Then take flight.shared, or look again."""

    flight: Flight[W]
    wait_s: float


class Lookups(Generic[W]):
    """The cache and the questions under way. new_waiter: makes what followers wait for."""

    def __init__(
        self,
        limits: CacheLimits | None,
        *,
        wall_ns: Callable[[], int],
        new_waiter: Callable[[], W],
    ) -> None:
        self.cache = AnswerCache(limits or CacheLimits(entries=0), wall_ns)
        self._new_waiter = new_waiter
        self._flights: dict[bytes, Flight[W]] = {}

    def look(
        self, key: bytes, request: pb.CheckEndpointRequest, now: float, deadline: float
    ) -> Verdict | Lead[W] | Follow[W]:
        """Return a verdict that stands, or who asks for one. request: must not be changed later.

        deadline: of whoever looks.
        """
        verdict = self.cache.get(key, now)
        if verdict is not None:
            return verdict
        flight = self._flights.get(key)
        if flight is not None and now < flight.until_s:
            return Follow(flight, min(deadline, flight.until_s) - now)
        flight = Flight(key, request, self._new_waiter(), deadline + _GRACE_S)
        self._flights[key] = flight
        return Lead(flight)

    def landed(
        self,
        flight: Flight[W],
        outcome: Verdict | CallError | None,
        *,
        asked_at_s: float,
    ) -> bool:
        """Take the end of a question; return whether its verdict is kept. None: no answer at all.

        The shell sets flight.ended afterwards.
        """
        flight.outcome = _WITHOUT_ANSWER if outcome is None else outcome
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]
        if not isinstance(outcome, Verdict) or flight.outdated:
            return False
        return self.cache.put(flight.key, flight.request, outcome, asked_at_s=asked_at_s)

    def changed(self, endpoint: Endpoint) -> int:
        """Forget what is known of an endpoint; return the number of verdicts."""
        for flight in tuple(self._flights.values()):
            host, port = flight.request.host, flight.request.port
            # The service has a form of its own for a name that is not ASCII.
            if not host.isascii() or endpoint_of(host, port) == endpoint:
                self._outdate(flight)
        return self.cache.drop_endpoint(endpoint)

    def asked_before(self, instant: float) -> int:
        """Forget what was asked for before an instant; return the number of verdicts."""
        for flight in tuple(self._flights.values()):
            self._outdate(flight)
        return self.cache.drop_asked_before(instant)

    def confirmed(self, decisions: Mapping[Endpoint, int]) -> int:
        """Forget what is not confirmed; return the number of verdicts. See keep_confirmed."""
        for flight in tuple(self._flights.values()):
            self._outdate(flight)
        return self.cache.keep_confirmed(decisions)

    def forget(self, key: bytes) -> None:
        """Forget the verdict of a request, and do not keep one that is under way."""
        if flight := self._flights.get(key):
            self._outdate(flight)
        self.cache.drop(key)

    def _outdate(self, flight: Flight[W]) -> None:
        flight.outdated = True
        del self._flights[flight.key]
