"""The guarded socket of a DEEP measurement: records what the server sent and how it ended."""

from otpc_policy.core.addresses import VettedAddress
from otpc_policy.engine.egress.dialler import connect
from otpc_policy.engine.egress.hindrance import CannotDial
from otpc_policy.engine.egress.proxy import ProxyRoute
from otpc_policy.engine.survey.probe import Ending
from otpc_policy.engine.workers.deep_messages import Trace
from otpc_policy.engine.workers.guarded_socket import ByteLimitReached, GuardedSocket
from otpc_policy.tls.clear_flight import offers_compression, read_flight

# A flight of sixteen certificates, twice over.
_KEPT_BYTES = 65_536


class RecordedSocket(GuardedSocket):
    """A connection to one address that begins with the first byte sent.

    For some suites the TLS libraries have nothing to send.
    route: through a proxy; None for the direct way.
    ending: ANSWERED while the server has not ended the connection itself. received: the start of
    what came in.
    """

    def __init__(
        self,
        address: VettedAddress,
        port: int,
        *,
        deadline_s: float,
        byte_limit: int,
        route: ProxyRoute | None = None,
    ) -> None:
        super().__init__(deadline_s=deadline_s, byte_limit=byte_limit)
        self._target, self._route = (address, port), route
        self.ending = Ending.ANSWERED
        self.received = b""

    def send(self, content: bytes) -> int:
        """Send everything; connect before the first."""
        if not self.connected:
            self._dial()
        try:
            return super().send(content)
        except OSError as error:
            self._ended(error)
            raise

    def recv(self, size: int) -> bytes:
        """Receive up to size bytes."""
        try:
            received = super().recv(size)
        except OSError as error:
            self._ended(error)
            raise
        self.received += received[: max(0, _KEPT_BYTES - len(self.received))]
        if not received:
            self.ending = Ending.CLOSED if self._route is None else Ending.TUNNEL_CLOSED
        return received

    def _dial(self) -> None:
        """Connect; note why that failed."""
        address, port = self._target
        try:
            self.use_connection(connect(address, port, timeout_s=self.left_s(), route=self._route))
        except TimeoutError:
            self.ending = Ending.TIMED_OUT
            raise
        except ConnectionRefusedError:
            self.ending = Ending.REFUSED
            raise
        except CannotDial as error:
            # Nothing was learnt; sslyze knows no exception but OSError.
            self.ending = Ending.NOT_RUN
            raise OSError(str(error)) from None
        except OSError:
            self.ending = Ending.UNREACHABLE
            raise

    def _ended(self, error: OSError) -> None:
        if isinstance(error, TimeoutError):
            self.ending = Ending.TIMED_OUT
        elif isinstance(error, ByteLimitReached):
            self.ending = Ending.BYTE_LIMIT
        else:
            self.ending = Ending.RESET if self._route is None else Ending.TUNNEL_CLOSED


class RecordedConnection:
    """One connection of a DEEP scan: its socket, and how far its handshake came.

    completed: both Finished messages passed. renegotiation_error: how a later handshake
    on it ended, "" if none failed.
    """

    def __init__(self, socket: RecordedSocket) -> None:
        self.socket, self.completed, self.renegotiation_error = socket, False, ""

    def trace(self) -> Trace:
        """Return what there is to say of it."""
        return Trace(
            connected=self.socket.connected,
            ending=self.socket.ending,
            completed=self.completed,
            offers_compression=offers_compression(self.socket.sent),
            flight=read_flight(self.socket.received),
        )
