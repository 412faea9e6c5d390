"""What a server sent in clear, record by record, read without trusting any length in it.

Pure; never raises. A vulnerability test counts only if the server went along with the handshake up
to the test; this determines how far it did.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from otpc_policy.core.facts import Support

_CHANGE_CIPHER_SPEC, _ALERT, _HANDSHAKE, _APPLICATION_DATA = 20, 21, 22, 23
_SERVER_HELLO, _SERVER_HELLO_DONE = 2, 14
_RENEGOTIATION_INFO = 0xFF01
_FATAL = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearFlight:
    """The part of a handshake that is not encrypted.

    hello: a complete ServerHello arrived. compression, secure_renegotiation: what it chose, UNKNOWN
    without one. hello_done: ServerHelloDone arrived, so the flight is complete (never in TLS 1.3).
    refusal: a fatal alert in place of the ServerHello. alerts: those after ServerHelloDone.
    """

    hello: bool = False
    compression: Support = Support.UNKNOWN
    secure_renegotiation: Support = Support.UNKNOWN
    hello_done: bool = False
    refusal: int | None = None
    alerts: tuple[int, ...] = ()


def read_flight(received: bytes) -> ClearFlight:
    """Interpret these bytes, which start at the first, as the server's first flight."""
    flight = ClearFlight()
    messages = bytearray()
    for kind, body in _records(received):
        if kind == _ALERT and len(body) == 2:
            if flight.hello_done:
                flight = replace(flight, alerts=(*flight.alerts, body[1]))
            elif not flight.hello and not messages and body[0] == _FATAL:
                return replace(flight, refusal=body[1])
        elif kind == _HANDSHAKE:
            messages += body
            flight, used = _handshake(flight, bytes(messages))
            del messages[:used]
        elif kind in (_CHANGE_CIPHER_SPEC, _APPLICATION_DATA):
            break  # from here on it is encrypted
    return flight


def offers_compression(hello: bytes) -> bool:
    """This ClientHello, as sent, offers DEFLATE. Source: RFC 5246 7.4.1.2, RFC 3749."""
    place = 5 + 4 + 2 + 32
    place += 1 + int.from_bytes(hello[place : place + 1], "big")
    place += 2 + int.from_bytes(hello[place : place + 2], "big")
    count = int.from_bytes(hello[place : place + 1], "big")
    return 1 in hello[place + 1 : place + 1 + count]


def _records(received: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and body of every complete record."""
    place = 0
    while len(received) - place >= 5 and received[place + 1] == 3:
        end = place + 5 + int.from_bytes(received[place + 3 : place + 5], "big")
        if end > len(received):
            return
        yield received[place], received[place + 5 : end]
        place = end


def _handshake(flight: ClearFlight, messages: bytes) -> tuple[ClearFlight, int]:
    """Read complete handshake messages; return how many bytes they take."""
    place = 0
    while len(messages) - place >= 4:
        end = place + 4 + int.from_bytes(messages[place + 1 : place + 4], "big")
        if end > len(messages):
            break
        if messages[place] == _SERVER_HELLO and not flight.hello:
            flight = _hello(flight, messages[place + 4 : end])
        elif messages[place] == _SERVER_HELLO_DONE and flight.hello:
            flight = replace(flight, hello_done=True)
        place = end
    return flight, place


def _hello(flight: ClearFlight, body: bytes) -> ClearFlight:
    session_id = int.from_bytes(body[34:35], "big")
    place = 35 + session_id + 2
    if session_id > 32 or len(body) <= place:
        return flight
    extensions = set()
    compressed, place = body[place] != 0, place + 3
    while len(body) - place >= 4:
        extensions.add(int.from_bytes(body[place : place + 2], "big"))
        place += 4 + int.from_bytes(body[place + 2 : place + 4], "big")
    return replace(
        flight,
        hello=True,
        compression=Support.YES if compressed else Support.NO,
        secure_renegotiation=Support.YES if _RENEGOTIATION_INFO in extensions else Support.NO,
    )
