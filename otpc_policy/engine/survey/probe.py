"""One hello and its outcome, as values; the record joins both with what the answer proves alone."""

from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Generic, TypeVar

from otpc_policy.engine.profiles.clients import ProfileHello
from otpc_policy.engine.survey.reading import Reaction, Reading, read_answer
from otpc_policy.tls.answer import Answer, Incomplete
from otpc_policy.tls.client_hello import ClientHello
from otpc_policy.tls.flight import ServerFlight


class Purpose(Enum):
    """What a connection is for. The value is for people.

    CONTROL and CLOSING_CONTROL offer a suite that is expected or known to be accepted: refusals
    count only between them.
    REVEAL proves what it is accepted for; its refusal proves nothing.
    """

    CONTROL = "control before refusals, and proof of its last suite"
    CONTACT = "first contact with a short hello"
    VERSION = "is this version offered"
    REMAINDER = "is anything accepted of all that is left"
    LANE = "which of these suites is accepted"
    CLIENT = "what a client that sends such a hello is given"
    GROUP = "over which of these groups are keys exchanged"
    REVEAL = "is a client with such a hello accepted"
    CLOSING_CONTROL = "control behind the refusals"
    CONFIRMATION = "is it refused too with no other connection open"


class Ending(Enum):
    """How a connection that carried one hello ended.

    ANSWERED: the first answer is complete. CLOSED, RESET, TIMED_OUT, BYTE_LIMIT: the connection
    ended before that. REFUSED, UNREACHABLE: TCP never connected; TIMED_OUT may mean that too.
    NOT_RUN: there was no time for it. TUNNEL_CLOSED: CLOSED or RESET behind a proxy, which may have
    done it, so that it proves nothing however often it happens.
    """

    ANSWERED = "answered"
    CLOSED = "closed"
    RESET = "reset"
    TIMED_OUT = "timed out"
    BYTE_LIMIT = "sent too much"
    REFUSED = "connection refused"
    UNREACHABLE = "unreachable"
    NOT_RUN = "no time"
    TUNNEL_CLOSED = "closed, by the proxy or behind it"


AnyHello = ClientHello | ProfileHello
Hello_co = TypeVar("Hello_co", bound=AnyHello, covariant=True)
_NOTHING = Incomplete()


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe(Generic[Hello_co]):
    """One connection to make.

    is_last: it is connected only after every other probe of its wave, and its hello is sent only
    after they are answered.
    """

    hello: Hello_co
    purpose: Purpose
    is_last: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a probe.

    connected: TCP connected. flight: what could be read after a ServerHello. is_cut_off: the server
    closed or reset the connection in the middle of that. key_proven: the flight's signature was
    verified with its leaf's key.
    concurrent: connections that the scan had open when this one began, itself included.
    started_s, duration_s: seconds, the first from the start of the measurement.
    """

    ending: Ending
    connected: bool = False
    answer: Answer = _NOTHING
    flight: ServerFlight | None = None
    is_cut_off: bool = False
    key_proven: bool = False
    concurrent: int = 1
    started_s: float = 0.0
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Generic[Hello_co]):
    """One probe, its outcome, and what that proves alone.

    wave: counts from 0. offered: its suites, for look-up.
    """

    wave: int
    probe: Probe[Hello_co]
    outcome: Outcome
    reading: Reading
    offered: frozenset[int] = field(repr=False)

    @property
    def hello(self) -> Hello_co:
        """What was sent."""
        return self.probe.hello

    @property
    def chose(self) -> bool:
        """The server chose something that was offered."""
        return self.reading.reaction is Reaction.CHOSE

    @property
    def refused(self) -> bool:
        """The server refused or closed; that counts only between controls."""
        return self.reading.reaction in (Reaction.REFUSED, Reaction.CLOSED)

    def is_sent_after(self, other: "Record[AnyHello]") -> bool:
        """It was sent after the other had been answered. Both are of one series of waves."""
        is_sent_last = self.probe.is_last and not other.probe.is_last
        return self.wave > other.wave or (self.wave == other.wave and is_sent_last)


def read_record(wave: int, probe: Probe[Hello_co], outcome: Outcome) -> Record[Hello_co]:
    """Interpret the outcome of a probe of this wave."""
    hello, offered = probe.hello, _as_set(probe.hello.cipher_suites)
    closed = outcome.connected and outcome.ending in (Ending.CLOSED, Ending.RESET)
    reading = read_answer(
        outcome.answer,
        highest=hello.version,
        offered=offered,
        closed=closed,
        otherwise=_otherwise(outcome),
    )
    return Record(wave=wave, probe=probe, outcome=outcome, reading=reading, offered=offered)


# Most servers are offered the same lists, and building a set of hundreds takes four times as long
# as finding it.
@lru_cache(maxsize=64)
def _as_set(suites: tuple[int, ...]) -> frozenset[int]:
    return frozenset(suites)


def _otherwise(outcome: Outcome) -> str:
    if outcome.ending is Ending.NOT_RUN:
        return "there was no time to wait for an answer"
    return (
        f"the server did not answer ({outcome.ending.value})"
        if outcome.connected
        else f"no TCP connection ({outcome.ending.value})"
    )
