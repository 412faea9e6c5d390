"""Warm workers behind one function: handshake(offer). Keeps them alive, recycles them, retries once what one dropped."""

import asyncio
import logging

from otpc_policy.scan.handshake import Ending, HandshakeOffer, HandshakeOutcome
from otpc_policy.scan.limits import ScanLimits
from otpc_policy.scan.worker_process import WorkerLost, WorkerProcess, WorkerStuck

# Requests that one worker carries out at a time; more would each wait longer for its core.
HANDSHAKES_PER_WORKER = 24
# A scan begins with so many; in one worker, the second finds in the caches what the first has brought there, and costs a quarter less.
_TOGETHER = 4
# The worker's socket ends a connection at its deadline. Scheduling and the pipe take milliseconds; after this long it is stuck.
_STUCK_MARGIN_S = 2.0
# A worker that cannot start is tried again after this long, so that a broken installation does not spin.
_RESTART_PAUSE_S = 1.0

_log = logging.getLogger(__name__)


class SslyzePool:
    """A fixed number of worker processes."""

    def __init__(self, limits: ScanLimits) -> None:
        self._limits = limits
        self._workers: list[WorkerProcess] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._slots = asyncio.Semaphore(limits.workers * HANDSHAKES_PER_WORKER)
        self._changed = asyncio.Event()
        self._retiring: set[WorkerProcess] = set()
        self._stopping = False

    @property
    def workers_alive(self) -> int:
        """Workers that can be asked."""
        return sum(worker.alive for worker in self._workers)

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """Process ids of the workers that can be asked."""
        return tuple(worker.pid for worker in self._workers if worker.alive)

    async def start(self) -> None:
        """Start all workers and wait until they are warm. Raises WorkerLost if one cannot start."""
        starts = await asyncio.gather(*(WorkerProcess.start() for _ in range(self._limits.workers)), return_exceptions=True)
        self._workers = [worker for worker in starts if isinstance(worker, WorkerProcess)]
        for failure in starts:
            if isinstance(failure, BaseException):
                await self.stop()
                raise failure
        self._keepers = [asyncio.create_task(self._keep(worker), name="scan worker keeper") for worker in list(self._workers)]

    async def stop(self) -> None:
        """End all workers and wait until they are gone. Handshakes that still wait end as not run."""
        self._stopping = True
        self._changed.set()
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        await asyncio.gather(*(worker.end() for worker in {*self._workers, *self._retiring}))
        self._keepers, self._workers = [], []

    async def handshake(self, offer: HandshakeOffer) -> HandshakeOutcome:
        """Carry out one offer. Never raises for anything that a server or a worker does.

        A worker that was lost under it costs one retry elsewhere; an offer that leaves its worker stuck is not tried again.
        """
        within_s = offer.deadline_s + _STUCK_MARGIN_S
        async with self._slots:
            for _ in range(2):
                worker = await self._least_busy(within_s)
                if worker is None:
                    break
                if worker.asked >= self._limits.recycle_after_handshakes:
                    worker.replaceable.set()
                try:
                    return await worker.ask(offer, within_s=within_s)
                except WorkerStuck:
                    _log.warning("scan worker %d is stuck and is killed", worker.pid)
                    worker.kill()
                    break
                except WorkerLost:
                    continue
        return HandshakeOutcome(ending=Ending.NOT_RUN, detail="no worker could carry it out")

    async def _least_busy(self, within_s: float) -> WorkerProcess | None:
        """Return the worker with the least to do, by handfuls; wait for one to come back if none is there."""
        try:
            async with asyncio.timeout(within_s):
                while not (alive := [worker for worker in self._workers if worker.alive]) and not self._stopping:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return None
        if self._stopping:
            return None
        return min(alive, key=lambda worker: worker.in_flight // _TOGETHER)

    async def _keep(self, worker: WorkerProcess) -> None:
        """Keep one place in the pool filled: replace the worker when it is lost, and before it has grown too much."""
        while True:
            await worker.replaceable.wait()
            successor = await self._start_one()
            self._workers.remove(worker)
            self._workers.append(successor)
            self._changed.set()
            await self._retire(worker)
            worker = successor

    async def _start_one(self) -> WorkerProcess:
        while True:
            try:
                return await WorkerProcess.start()
            except WorkerLost:
                _log.error("a scan worker did not start; trying again")
                await asyncio.sleep(_RESTART_PAUSE_S)

    async def _retire(self, worker: WorkerProcess) -> None:
        """Let a replaced worker finish what it was asked, then end it."""
        self._retiring.add(worker)
        await worker.wait_idle(within_s=self._limits.connection_deadline_s + _STUCK_MARGIN_S)
        await worker.end()
        self._retiring.discard(worker)
