"""Carries hellos: one connection each, all of a wave at once, within the scan's openings. Whatever the server does ends as an outcome.

Bare sockets that wait on the loop's selector, because a stream and its transport cost more than all that is done here, and so do sock_connect and
sock_recv with a timeout around each.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace

from otpc_policy.facts import TlsVersion
from otpc_policy.scan.limits import ScanLimits
from otpc_policy.scan.openings import Openings
from otpc_policy.tls.answer import AnswerReader, Incomplete, ServerHello
from otpc_policy.tls.certificate_hint import certificate_hint
from otpc_policy.tls.client_hello import ENTROPY_BYTES, encode_client_hello
from otpc_policy.tls.probe import Ending, Outcome, Probe

_READ_BYTES = 16_384
_NOT_RUN = Outcome(ending=Ending.NOT_RUN)


class Prober:
    """Carries hellos to one vetted address.

    openings: shared by everything that one scan connects. connections_used: counted here. begun_s: the loop's time to count from.
    """

    def __init__(self, *, address: str, port: int, openings: Openings, limits: ScanLimits, begun_s: float) -> None:
        self._peer = (address, port)
        self._family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._openings, self._limits, self._begun_s = openings, limits, begun_s
        self.connections_used = 0

    async def run(self, probes: Sequence[Probe], outcomes: list[Outcome]) -> None:
        """Carry out a wave. outcomes: filled in the order of the probes as they come, so that a cancelled wave is not lost."""
        outcomes[:] = [_NOT_RUN] * len(probes)
        ahead = [probe for probe in probes if not probe.is_last]
        connected, answered = _Latch(len(ahead)), _Latch(len(ahead))

        async def carry(place: int, probe: Probe) -> None:
            exchange = _Exchange(probe, self._limits)
            try:
                if probe.is_last:
                    await connected.wait()
                async with self._openings as beside:
                    self.connections_used += 1
                    outcome = await exchange.run(self._family, self._peer, self._begun_s, connected, answered)
                outcomes[place] = replace(outcome, beside=beside)
            finally:
                if outcomes[place] is _NOT_RUN:
                    outcomes[place] = exchange.cut_short()
                if not probe.is_last:
                    exchange.connects(connected)
                    answered.count_down()

        async with asyncio.TaskGroup() as tasks:
            for place, probe in enumerate(probes):
                tasks.create_task(carry(place, probe))


class _Latch:
    """Opens when it was counted down to nothing."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._open = asyncio.Event()
        if not count:
            self._open.set()

    def count_down(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._open.set()

    async def wait(self) -> None:
        await self._open.wait()


class _Exchange:
    """One connection."""

    def __init__(self, probe: Probe, limits: ScanLimits) -> None:
        self._probe, self._limits = probe, limits
        self._is_counted = False
        self._connected = False
        self._reader = AnswerReader()
        self._received = b""

    def connects(self, latch: _Latch) -> None:
        """Count this connection as made, or as given up; once."""
        if not self._is_counted:
            self._is_counted = True
            latch.count_down()

    def cut_short(self) -> Outcome:
        """Return what is known of a connection that there was no time for."""
        return Outcome(ending=Ending.NOT_RUN, connected=self._connected)

    async def run(self, family: socket.AddressFamily, peer: tuple[str, int], begun_s: float, connected: _Latch, answered: _Latch) -> Outcome:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        ending = Ending.UNREACHABLE
        try:
            with socket.socket(family, socket.SOCK_STREAM) as connection:
                connection.setblocking(False)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                await self._connect(loop, connection, peer)
                self._connected = True
                if self._probe.is_last:
                    await answered.wait()
                else:
                    self.connects(connected)
                ending = await self._exchange(loop, connection)
        except TimeoutError:
            ending = Ending.TIMED_OUT
        except ConnectionRefusedError:
            ending = Ending.REFUSED
        except OSError:
            ending = Ending.RESET if self._connected else Ending.UNREACHABLE
        return Outcome(
            ending=ending,
            connected=self._connected,
            answer=self._reader.at_end(),
            leaf_hint=self._leaf_hint(),
            started_s=started_s - begun_s,
            duration_s=loop.time() - started_s,
        )

    async def _connect(self, loop: asyncio.AbstractEventLoop, connection: socket.socket, peer: tuple[str, int]) -> None:
        """Raises OSError and TimeoutError."""
        code = connection.connect_ex(peer)
        if code in (errno.EINPROGRESS, errno.EINTR):
            await _wait(loop, loop.add_writer, loop.remove_writer, connection, until_s=loop.time() + self._limits.connection_deadline_s)
            code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))

    async def _exchange(self, loop: asyncio.AbstractEventLoop, connection: socket.socket) -> Ending:
        """Send the hello and read until the answer is whole. Raises OSError and TimeoutError."""
        until_s = loop.time() + self._limits.connection_deadline_s
        hello = encode_client_hello(self._probe.hello, os.urandom(ENTROPY_BYTES))
        while hello:
            try:
                hello = hello[connection.send(hello) :]
            except BlockingIOError:
                await _wait(loop, loop.add_writer, loop.remove_writer, connection, until_s=until_s)
        while len(self._received) < self._limits.connection_bytes:
            await _wait(loop, loop.add_reader, loop.remove_reader, connection, until_s=until_s)
            try:
                content = connection.recv(_READ_BYTES)
            except BlockingIOError:
                continue
            if not content:
                return Ending.CLOSED
            self._received += content
            if not isinstance(self._reader.feed(content), Incomplete):
                return Ending.ANSWERED
        return Ending.BYTE_LIMIT

    def _leaf_hint(self) -> bytes | None:
        """Return the leaf that came in clear with the answer; more bytes are not waited for."""
        answer = self._reader.at_end()
        return certificate_hint(self._received) if isinstance(answer, ServerHello) and answer.version < TlsVersion.TLS_1_3 else None


async def _wait(
    loop: asyncio.AbstractEventLoop, watch: Callable[..., object], unwatch: Callable[[int], object], connection: socket.socket, *, until_s: float
) -> None:
    """Wait until the connection is ready. Raises TimeoutError at until_s, by the loop's time."""
    # The loop looks at sockets before it looks at the clock: who always has one more byte would never be late.
    if loop.time() >= until_s:
        raise TimeoutError
    ready: asyncio.Future[None] = loop.create_future()
    number = connection.fileno()
    watch(number, _wake, ready)
    timer = loop.call_at(until_s, _give_up, ready)
    try:
        await ready
    finally:
        timer.cancel()
        unwatch(number)


def _wake(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)


def _give_up(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_exception(TimeoutError())
