"""One connection that carries one hello. Nothing here waits: whoever watches the socket says when it is ready."""

import os
import socket

from otpc_policy.core.facts import TlsVersion
from otpc_policy.scan.connecting import finish_connecting
from otpc_policy.scan.limits import ScanLimits
from otpc_policy.tls.answer import AnswerReader, Incomplete, ServerHello
from otpc_policy.tls.certificate_hint import certificate_hint
from otpc_policy.tls.client_hello import ENTROPY_BYTES, encode_client_hello
from otpc_policy.tls.probe import Ending, Outcome, Probe

_READ_BYTES = 16_384


class Exchange:
    """A connection from its begin on.

    place: of its probe in the wave. beside: see Outcome. started_s, until_s: its begin, and when it is given up, by one clock.
    is_connected: over TCP. is_spoken: the whole hello has left.
    """

    def __init__(self, connection: socket.socket, probe: Probe, limits: ScanLimits, *, place: int, beside: int, started_s: float) -> None:
        self.connection, self.probe, self.place, self.beside, self.started_s = connection, probe, place, beside, started_s
        self.until_s = started_s + limits.connection_deadline_s
        self.is_connected = self.is_spoken = False
        self._byte_limit = limits.connection_bytes
        self._unsent = b""
        self._received = b""
        self._reader = AnswerReader()

    def finish_connecting(self) -> None:
        """Take note of the end of connecting. Raises OSError if it failed."""
        finish_connecting(self.connection)
        self.is_connected = True

    def speak(self) -> None:
        """Send as much of the hello as the socket takes. Raises OSError."""
        hello = self._unsent or encode_client_hello(self.probe.hello, os.urandom(ENTROPY_BYTES))
        try:
            self._unsent = hello[self.connection.send(hello) :]
        except BlockingIOError:
            self._unsent = hello
        self.is_spoken = not self._unsent

    def listen(self) -> Ending | None:
        """Read what is there; return how the exchange ended, if it has. Raises OSError."""
        try:
            content = self.connection.recv(_READ_BYTES)
        except BlockingIOError:
            return None
        if not content:
            return Ending.CLOSED
        self._received += content
        if not isinstance(self._reader.feed(content), Incomplete):
            return Ending.ANSWERED
        return Ending.BYTE_LIMIT if len(self._received) >= self._byte_limit else None

    def outcome(self, ending: Ending, *, begun_s: float, now_s: float) -> Outcome:
        """Return what came of it. begun_s: when the measurement began."""
        answer = self._reader.at_end()
        # The leaf that came in clear with the answer; more bytes are not waited for.
        has_hint = isinstance(answer, ServerHello) and answer.version < TlsVersion.TLS_1_3
        return Outcome(
            ending=ending,
            connected=self.is_connected,
            answer=answer,
            leaf_hint=certificate_hint(self._received) if has_hint else None,
            beside=self.beside,
            started_s=self.started_s - begun_s,
            duration_s=now_s - self.started_s,
        )


def ending_of(error: OSError, *, is_connected: bool) -> Ending:
    """Return what an error of the socket says."""
    if isinstance(error, TimeoutError):
        return Ending.TIMED_OUT
    if isinstance(error, ConnectionRefusedError):
        return Ending.REFUSED
    return Ending.RESET if is_connected else Ending.UNREACHABLE
