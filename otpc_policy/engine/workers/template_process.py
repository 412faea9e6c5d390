"""The template of handshake workers, seen from the scanner: start it, have it fork, end it."""

import asyncio
import os
import socket
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from otpc_policy.engine.isolation import Isolation
from otpc_policy.engine.workers.messages import FORK, READY
from otpc_policy.engine.workers.worker_process import WorkerLost, WorkerProcess

# -P: the current directory is not for imports.
PROGRAM: tuple[str, ...] = ("-P", "-m", "otpc_policy.engine.workers.template")
# The imports take 0.15 s; a machine that starts several processes at once may need thirty times
# that, and a margin.
_START_S: Final = 30.0
# A fork takes milliseconds. A template that does not answer for this long is stuck.
_FORK_S: Final = 5.0
# How long it may take to end after its standard input closed, before it is killed.
_END_S: Final = 2.0
_DIGITS: Final = 32


class TemplateProcess:
    """A running template. alive: it can be asked to fork."""

    def __init__(self, process: asyncio.subprocess.Process, control: socket.socket) -> None:
        self._process, self._control = process, control
        self._loop = asyncio.get_running_loop()
        # One for each request under way, in order.
        self._forks: deque[asyncio.Future[tuple[int, int]]] = deque()
        self.alive = True
        self._loop.add_reader(control, self._read)

    @classmethod
    async def start(cls, level: Isolation) -> "TemplateProcess":
        """Start it and wait until everything is imported. Raises WorkerLost."""
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control.setblocking(False)
        with theirs:
            try:
                # A group of its own, so that the terminal's interrupt reaches the scanner alone. No
                # session: in that of the engine it gives way to others as the engine does.
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, *PROGRAM, level),
                    stdin=theirs.fileno(),
                    stdout=asyncio.subprocess.DEVNULL,
                    env={},
                    process_group=0,
                )
            except BaseException:
                control.close()
                raise
        try:
            async with asyncio.timeout(_START_S):
                ready = await asyncio.get_running_loop().sock_recv(control, len(READY))
        except BaseException as failure:
            await _kill(process, control)
            if isinstance(failure, TimeoutError | OSError):
                raise WorkerLost("the template of the workers did not start") from None
            raise
        if ready != READY:
            await _kill(process, control)
            raise WorkerLost("the template of the workers did not start")
        return cls(process, control)

    @property
    def pid(self) -> int:
        """Process id, for logs and tests."""
        return self._process.pid

    async def fork(
        self, *, byte_limit: int, ended: Callable[[WorkerProcess], None]
    ) -> tuple[WorkerProcess, tuple[str, ...]]:
        """Return a worker that waits for requests, and what the kernel lacks for its isolation.

        byte_limit, ended: as for WorkerProcess. Raises WorkerLost, after which the template may
        have ended; WorkerLied.
        """
        channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        channel.setblocking(False)
        forked: asyncio.Future[tuple[int, int]] = self._loop.create_future()
        worker: WorkerProcess | None = None
        try:
            async with asyncio.timeout(_FORK_S):
                with theirs:
                    self._request(theirs, forked)
                pid, pidfd = await forked
                worker = WorkerProcess(channel, pidfd, pid, byte_limit=byte_limit, ended=ended)
                return worker, await worker.wait_ready()
        except BaseException as failure:
            if worker is not None:
                worker.kill()
            else:
                channel.close()  # what has been forked meanwhile ends by that
            if isinstance(failure, TimeoutError):
                self.kill()
                raise WorkerLost("the template of the workers is stuck") from None
            raise

    def kill(self) -> None:
        """End it at once, and all workers with it."""
        self._lose()
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def end(self) -> None:
        """Close its standard input, and wait until it and its workers are gone."""
        self._lose()
        try:
            async with asyncio.timeout(_END_S):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()

    def _request(self, theirs: socket.socket, forked: asyncio.Future[tuple[int, int]]) -> None:
        if not self.alive:
            raise WorkerLost("the template of the workers has ended")
        try:
            socket.send_fds(self._control, [FORK], [theirs.fileno()])
        except OSError:
            # Full: it has not read for long.
            self.kill()
            raise WorkerLost("the template of the workers has ended, or is stuck") from None
        self._forks.append(forked)

    def _read(self) -> None:
        try:
            content, descriptors, _, _ = socket.recv_fds(self._control, _DIGITS, 1)
        except BlockingIOError:
            return
        except OSError:
            content, descriptors = b"", []
        if not content:
            # It has ended; killing it now would take its exit status from asyncio's watcher.
            self._lose()
            return
        if not self._forks or len(descriptors) != 1:
            for descriptor in descriptors:
                os.close(descriptor)
            self.kill()
            return
        forked = self._forks.popleft()
        if forked.done():  # nobody waits any more; the worker ends with its channel
            os.close(descriptors[0])
        else:
            forked.set_result((int(content), descriptors[0]))

    def _lose(self) -> None:
        if not self.alive:
            return
        self.alive = False
        self._loop.remove_reader(self._control)
        self._control.close()
        for forked in self._forks:
            if not forked.done():
                forked.set_exception(WorkerLost("the template of the workers has ended"))
                forked.exception()
        self._forks.clear()


async def _kill(process: asyncio.subprocess.Process, control: socket.socket) -> None:
    control.close()
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
    await process.wait()
