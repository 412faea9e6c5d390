"""One hello and what came of it: values that the planner asks with and is answered with."""

from dataclasses import dataclass
from enum import Enum

from otpc_policy.tls.answer import Answer, Incomplete
from otpc_policy.tls.client_hello import ClientHello


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
