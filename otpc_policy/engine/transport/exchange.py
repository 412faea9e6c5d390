"""One connection that carries one conversation.

Nothing here waits: whoever watches the socket calls when it is ready.
"""

import socket
from contextlib import suppress

from otpc_policy.core.addresses import VettedAddress
from otpc_policy.engine.egress.dialler import finish_connecting
from otpc_policy.engine.egress.proxy import ProxyRoute, Tunnel
from otpc_policy.engine.limits import ScanLimits
from otpc_policy.engine.profiles.hello_draw import RandomBytes
from otpc_policy.engine.survey.probe import AnyHello, Ending, Outcome, Probe
from otpc_policy.engine.transport.conversation import Conversation
from otpc_policy.engine.transport.key_proof import proves_key

_READ_BYTES = 16_384


class Exchange:
    """A connection from its start.

    random_bytes: for what the hello draws. place: of its probe in the wave. concurrent: as in
    Outcome. started_s, until_s: its start, and when it is abandoned, by the same clock.
    is_connected: over TCP, all the way to the address. is_spoken: the whole hello has left.
    is_heard: the server has sent something.
    """

    def __init__(
        self,
        connection: socket.socket,
        probe: Probe[AnyHello],
        limits: ScanLimits,
        *,
        random_bytes: RandomBytes,
        place: int,
        concurrent: int,
        started_s: float,
    ) -> None:
        self.connection, self.probe, self.place, self.concurrent, self.started_s = (
            connection,
            probe,
            place,
            concurrent,
            started_s,
        )
        self.until_s = started_s + limits.connection_deadline_s
        self.is_connected = self.is_spoken = self.is_heard = False
        self._tunnel: Tunnel | None = None
        self._random_bytes = random_bytes
        self._bytes_left = limits.connection_bytes
        self._conversation: Conversation | None = None
        self._unsent = b""

    def go_on_connecting(
        self, address: VettedAddress, port: int, route: ProxyRoute | None
    ) -> int | None:
        """Go on after the socket became ready; return the event to wait for, None once connected.

        Raises OSError if that failed, and CannotDial.
        """
        if self._tunnel is None:
            finish_connecting(self.connection, address, route)
            if route is not None:
                self._tunnel = route.tunnel(address, port)
        event = None if self._tunnel is None else self._tunnel.go_on(self.connection)
        self.is_connected = event is None
        return event

    def speak(self) -> None:
        """Send as much of the pending bytes as the socket takes. Raises OSError."""
        if self._conversation is None:
            self._conversation = Conversation(self.probe.hello, self._random_bytes)
            self._unsent = self._conversation.opening
        with suppress(BlockingIOError):
            self._unsent = self._unsent[self.connection.send(self._unsent) :]
        self.is_spoken = not self._unsent

    def listen(self) -> Ending | None:
        """Read what is there; return how the exchange ended, if it has. Raises OSError.

        Where the server asked for another hello, is_spoken is false until that has left.
        """
        conversation = self._conversation
        if conversation is None:
            return None
        try:
            content = self.connection.recv(_READ_BYTES)
        except BlockingIOError:
            return None
        if not content:
            return Ending.CLOSED
        self.is_heard = True
        self._bytes_left -= len(content)
        self._unsent = conversation.receive(content)
        if conversation.is_over:
            return Ending.ANSWERED
        if self._bytes_left <= 0:
            return Ending.ANSWERED if conversation.is_answered else Ending.BYTE_LIMIT
        self.is_spoken = not self._unsent
        return None

    def outcome(self, ending: Ending, *, begun_s: float, now_s: float) -> Outcome:
        """Return the outcome. begun_s: when the measurement began."""
        started_s, duration_s = self.started_s - begun_s, now_s - self.started_s
        conversation = self._conversation
        if self._tunnel is not None and ending in (Ending.CLOSED, Ending.RESET):
            ending = Ending.TUNNEL_CLOSED
            if conversation is None or not conversation.is_answered:
                self._tunnel.closed()
        if conversation is None:
            return Outcome(
                ending=ending,
                connected=self.is_connected,
                concurrent=self.concurrent,
                started_s=started_s,
                duration_s=duration_s,
            )
        flight = conversation.flight
        return Outcome(
            # A server that breaks off its flight has still answered.
            ending=Ending.ANSWERED if conversation.is_answered else ending,
            connected=self.is_connected,
            answer=conversation.answer_at_end(),
            flight=flight,
            is_cut_off=(
                ending in (Ending.CLOSED, Ending.RESET)
                and flight is not None
                and not flight.is_whole
            ),
            # A flight that breaks off after its signature lets no client complete its handshake.
            key_proven=flight is not None and flight.is_whole and proves_key(flight),
            concurrent=self.concurrent,
            started_s=started_s,
            duration_s=duration_s,
        )


def ending_of(error: OSError, *, is_connected: bool) -> Ending:
    """Return the ending that an error of the socket means."""
    if isinstance(error, TimeoutError):
        return Ending.TIMED_OUT
    if isinstance(error, ConnectionRefusedError):
        return Ending.REFUSED
    return Ending.RESET if is_connected else Ending.UNREACHABLE
