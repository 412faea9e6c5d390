"""One worker process, seen from the parent: start it, ask it, end it. What to ask is not decided here."""

import asyncio
import itertools
import sys

from otpc_policy.scan.handshake import HandshakeOffer, HandshakeOutcome
from otpc_policy.scan.messages import LENGTH_BYTES, MAX_MESSAGE, READY, decode_outcome, encode_offer, frame

# Importing sslyze takes about 0.3 s; a machine that starts several processes at once may need ten times that, and a margin.
_START_S = 30.0
# How long a worker may take to end after its stdin closed, before it is killed.
_END_S = 2.0


class WorkerLost(Exception):
    """The worker ended, or stopped making sense, before it answered."""


class WorkerStuck(Exception):
    """The worker did not answer this request in time."""


class WorkerProcess:
    """A running worker.

    alive: it can be asked. asked: requests so far. replaceable: set when it is lost, or by the pool when it has served enough.
    """

    def __init__(self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._process, self._reader, self._writer = process, reader, writer
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[HandshakeOutcome]] = {}
        self._unsent: list[bytes] = []
        self._listening: asyncio.Task[None] | None = None
        self.alive = False
        self.asked = 0
        self.replaceable = asyncio.Event()

    @classmethod
    async def start(cls) -> "WorkerProcess":
        """Start a worker and wait until it is warm. Raises WorkerLost if it does not get there."""
        # A session of its own, so that the terminal's interrupt reaches the parent alone. -P: the current directory is not for imports.
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "otpc_policy.scan.sslyze_worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=2**20,
        )
        if process.stdin is None or process.stdout is None:
            raise WorkerLost("the worker has no pipes")
        worker = cls(process, process.stdout, process.stdin)
        try:
            async with asyncio.timeout(_START_S):
                ready = await worker._read_message()
        except (TimeoutError, asyncio.IncompleteReadError, WorkerLost):
            ready = b""
        except asyncio.CancelledError:
            await worker.end(grace_s=0)
            raise
        if ready != READY:
            await worker.end(grace_s=0)
            raise WorkerLost("the worker did not start")
        worker.alive = True
        worker._listening = asyncio.create_task(worker._listen(), name="scan worker answers")
        return worker

    @property
    def pid(self) -> int:
        """Process id, for logs and tests."""
        return self._process.pid

    @property
    def in_flight(self) -> int:
        """Requests that wait for an answer."""
        return len(self._waiting)

    async def ask(self, offer: HandshakeOffer, *, within_s: float) -> HandshakeOutcome:
        """Have one offer carried out. Raises WorkerLost or WorkerStuck."""
        if not self.alive:
            raise WorkerLost("the worker has ended")
        number = next(self._numbers)
        self.asked += 1
        answer: asyncio.Future[HandshakeOutcome] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._send(frame(encode_offer(number, offer)))
            async with asyncio.timeout(within_s):
                return await answer
        except TimeoutError:
            raise WorkerStuck from None
        finally:
            self._waiting.pop(number, None)

    def _send(self, message: bytes) -> None:
        """Send it together with all that is asked in this turn of the loop: each write wakes the worker."""
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent.append(message)

    def _flush(self) -> None:
        self._writer.write(b"".join(self._unsent))
        self._unsent.clear()

    def kill(self) -> None:
        """End it at once; everything that waits for it gets WorkerLost."""
        self.alive = False
        if self._process.returncode is None:
            self._process.kill()

    async def wait_idle(self, *, within_s: float) -> None:
        """Wait until nothing waits for it, or the time is over."""
        if self._waiting:
            await asyncio.wait(list(self._waiting.values()), timeout=within_s)

    async def end(self, *, grace_s: float = _END_S) -> None:
        """Close its stdin, wait until it is gone, and leave no process or transport behind."""
        self.alive = False
        self._writer.close()
        try:
            async with asyncio.timeout(grace_s):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()
        if self._listening is not None:
            await asyncio.wait([self._listening])
        else:
            await self._reader.read()

    async def _listen(self) -> None:
        try:
            while True:
                number, outcome = decode_outcome(await self._read_message())
                answer = self._waiting.get(number)
                if answer is not None and not answer.done():
                    answer.set_result(outcome)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # it has ended; killing it now would take its exit status from asyncio's watcher
        except (WorkerLost, ValueError, KeyError, TypeError):
            self.kill()  # a worker that talks nonsense is not to be believed again
        finally:
            self.alive = False
            self.replaceable.set()
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(WorkerLost("the worker ended before it answered"))

    async def _read_message(self) -> bytes:
        length = int.from_bytes(await self._reader.readexactly(LENGTH_BYTES), "big")
        if length > MAX_MESSAGE:
            raise WorkerLost("a message beyond all bounds")
        return await self._reader.readexactly(length)
