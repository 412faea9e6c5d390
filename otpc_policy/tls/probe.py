"""One hello and what came of it: values that the planner asks with and is answered with, and what the answer says alone."""

from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache

from otpc_policy.tls.answer import Answer, Incomplete
from otpc_policy.tls.client_hello import ClientHello
from otpc_policy.tls.reading import Reaction, Reading, read_answer


class Purpose(Enum):
    """What a connection is for. The value is for people.

    CONTROL and CLOSING_CONTROL hold a suite that is expected or known to be accepted: refusals count only between them.
    """

    CONTROL = "control before refusals, and proof of its last suite"
    CONTACT = "first contact with a short hello"
    VERSION = "is this version offered"
    REMAINDER = "is anything accepted of all that is left"
    LANE = "which of these suites is accepted"
    KEY_TYPE = "is there a certificate of this key type"
    CLOSING_CONTROL = "control behind the refusals"
    CONFIRMATION = "is it refused too with no other connection open"


class Ending(Enum):
    """How a connection ended that carried one hello.

    ANSWERED: the first answer is whole. CLOSED, RESET, TIMED_OUT, BYTE_LIMIT: the connection ended before that.
    REFUSED, UNREACHABLE: TCP never connected; TIMED_OUT may mean that too. NOT_RUN: there was no time for it.
    """

    ANSWERED = "answered"
    CLOSED = "closed"
    RESET = "reset"
    TIMED_OUT = "timed out"
    BYTE_LIMIT = "sent too much"
    REFUSED = "connection refused"
    UNREACHABLE = "unreachable"
    NOT_RUN = "no time"


_NOTHING = Incomplete()


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One connection to make.

    is_last: it is connected only when every other probe of its wave is, and its hello is sent only when they are answered.
    """

    hello: ClientHello
    purpose: Purpose
    is_last: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a probe.

    connected: TCP connected. leaf_hint: DER of the leaf that a server up to TLS 1.2 sends in clear, if it came along; proves nothing.
    beside: how many connections the scan had open when this one began, itself included.
    started_s, duration_s: seconds, the first from the start of the measurement.
    """

    ending: Ending
    connected: bool = False
    answer: Answer = _NOTHING
    leaf_hint: bytes | None = None
    beside: int = 1
    started_s: float = 0.0
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One probe, what came of it, and what that says alone. wave: counts from 0. offered: its suites, for look-up."""

    wave: int
    probe: Probe
    outcome: Outcome
    reading: Reading
    offered: frozenset[int] = field(repr=False)

    @property
    def chose(self) -> bool:
        """The server chose something that was offered."""
        return self.reading.reaction is Reaction.CHOSE

    @property
    def refused(self) -> bool:
        """The server refused or closed, which counts only between controls."""
        return self.reading.reaction in (Reaction.REFUSED, Reaction.CLOSED)


def read_record(wave: int, probe: Probe, outcome: Outcome) -> Record:
    """Return what came of a probe of this wave, read."""
    hello, offered = probe.hello, _as_set(probe.hello.cipher_suites)
    closed = outcome.connected and outcome.ending in (Ending.CLOSED, Ending.RESET)
    reading = read_answer(outcome.answer, highest=hello.version, offered=offered, key_type=hello.key_type, closed=closed, otherwise=_otherwise(outcome))
    return Record(wave=wave, probe=probe, outcome=outcome, reading=reading, offered=offered)


# Most servers are offered the same lists; a set of hundreds takes four times as long to make as to find.
@lru_cache(maxsize=64)
def _as_set(suites: tuple[int, ...]) -> frozenset[int]:
    return frozenset(suites)


def _otherwise(outcome: Outcome) -> str:
    if outcome.ending is Ending.NOT_RUN:
        return "there was no time to wait for an answer"
    return f"the server did not answer ({outcome.ending.value})" if outcome.connected else f"no TCP connection ({outcome.ending.value})"
