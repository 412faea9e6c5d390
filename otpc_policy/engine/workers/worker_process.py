"""One handshake worker, seen from the scanner: ask it, read what it says, kill it."""

import asyncio
import itertools
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from os import close
from typing import Any, Final

from otpc_policy.engine.workers.handshake import HandshakeOffer, HandshakeOutcome
from otpc_policy.engine.workers.messages import LENGTH_BYTES, encode_request, frame
from otpc_policy.engine.workers.statements import (
    LONGEST_READY,
    decode_ready,
    decode_statement,
    longest_statement,
)
from otpc_policy.engine.workers.worker_lied import WorkerLied

_READ_BYTES: Final = 65_536


class WorkerLost(Exception):
    """The worker ended before it answered."""


class WorkerStuck(Exception):
    """The worker did not answer this request in time."""


class WorkerProcess:
    """A running worker. Owns the channel and the pidfd.

    pid: for logs and tests. byte_limit: of the connections that it will be asked about. ended: is
    called once, when the worker is known to be gone or has been killed. lie: what it said against
    the protocol, whether or not anybody waited for it. Used on the event loop only.
    """

    def __init__(
        self,
        channel: socket.socket,
        pidfd: int,
        pid: int,
        *,
        byte_limit: int,
        ended: Callable[["WorkerProcess"], None],
    ) -> None:
        self._channel, self._pidfd, self._ended = channel, pidfd, ended
        self._byte_limit = byte_limit
        self._numbers = itertools.count()
        self._asked: dict[int, HandshakeOffer] = {}
        self._answers: dict[int, asyncio.Future[HandshakeOutcome]] = {}
        self._received = bytearray()
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[tuple[str, ...]] = self._loop.create_future()
        self.alive = True
        self.lie: WorkerLied | None = None
        self.pid = pid
        self._loop.add_reader(channel, self._read)

    async def wait_ready(self) -> tuple[str, ...]:
        """Wait for its first message; return what the kernel lacks for its isolation.

        Raises WorkerLost or WorkerLied.
        """
        return await self._ready

    async def ask(
        self, offer: HandshakeOffer, connection: socket.socket, *, within_s: float
    ) -> HandshakeOutcome:
        """Have a hello sent on a connection to the offer's address.

        The connection is the worker's from then on and closed here. Raises WorkerLost,
        WorkerStuck or WorkerLied; only after the last two must the worker still be killed.
        """
        number = next(self._numbers)
        answer: asyncio.Future[HandshakeOutcome] = self._loop.create_future()
        try:
            if not self.alive:
                raise WorkerLost("the worker has ended")
            self._send(frame(encode_request(number, offer)), connection)
        finally:
            connection.close()
        self._asked[number], self._answers[number] = offer, answer
        try:
            async with asyncio.timeout(within_s):
                return await answer
        except TimeoutError:
            raise WorkerStuck from None

    def kill(self) -> None:
        """End it at once, whatever it is doing; what waits for it gets WorkerLost."""
        self._fail(WorkerLost("the worker was killed"))

    def _send(self, message: bytes, connection: socket.socket) -> None:
        try:
            sent = socket.send_fds(self._channel, [message], [connection.fileno()])
        except BlockingIOError:
            sent = 0
        except OSError:
            self.kill()
            raise WorkerLost("the worker has ended") from None
        if sent != len(message):
            # The channel holds far more requests than one scan has under way.
            raise WorkerStuck

    def _read(self) -> None:
        try:
            content = self._channel.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            content = b""
        if not content:
            self._fail(WorkerLost("the worker ended before it answered"))
            return
        self._received += content
        try:
            self._take_messages()
        except WorkerLied as lie:
            self.lie = lie
            self._fail(lie)

    def _take_messages(self) -> None:
        while len(self._received) >= LENGTH_BYTES:
            length = int.from_bytes(self._received[:LENGTH_BYTES], "big")
            if length > (
                longest_statement(self._byte_limit) if self._ready.done() else LONGEST_READY
            ):
                raise WorkerLied("message: longer than any honest one")
            if len(self._received) < LENGTH_BYTES + length:
                return
            message = bytes(self._received[LENGTH_BYTES : LENGTH_BYTES + length])
            del self._received[: LENGTH_BYTES + length]
            self._take(message)

    def _take(self, message: bytes) -> None:
        if not self._ready.done():
            self._ready.set_result(decode_ready(message))
            return
        number, outcome = decode_statement(message, self._asked)
        del self._asked[number]
        answer = self._answers.pop(number)
        if not answer.done():  # whoever asked may have been cancelled
            answer.set_result(outcome)

    def _fail(self, failure: Exception) -> None:
        if not self.alive:
            return
        self.alive = False
        self._loop.remove_reader(self._channel)
        self._channel.close()
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        close(self._pidfd)
        pending: list[asyncio.Future[Any]] = [self._ready, *self._answers.values()]
        for waiting in pending:
            if not waiting.done():
                waiting.set_exception(failure)
                waiting.exception()  # nobody may be waiting any more
        self._asked.clear()
        self._answers.clear()
        self._ended(self)
