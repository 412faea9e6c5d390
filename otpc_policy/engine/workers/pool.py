"""Warm handshake workers, one for each target: forked in advance, leased once, then killed."""

import asyncio
import logging
from collections import deque
from typing import Final

from otpc_policy.core.errors import ConfigurationError
from otpc_policy.engine.egress.proxy import ProxyRoute
from otpc_policy.engine.limits import ScanLimits
from otpc_policy.engine.workers.lease import WorkerLease
from otpc_policy.engine.workers.template_process import TemplateProcess
from otpc_policy.engine.workers.worker_lied import WorkerLied
from otpc_policy.engine.workers.worker_process import WorkerLost, WorkerProcess

# After the second failure in a row, the next attempt waits for this long, so that a broken
# installation does not spin.
_RESTART_PAUSE_S: Final = 1.0
_START_PAUSE_S: Final = 0.1
# At the start, a worker that fails as often as this is a broken installation.
_START_ATTEMPTS: Final = 3

_log = logging.getLogger(__name__)


class WorkerPool:
    """Keeps limits.workers of them ready, and more while more are waited for."""

    def __init__(self, limits: ScanLimits) -> None:
        self._limits = limits
        self._template: TemplateProcess | None = None
        self._spare: deque[WorkerProcess] = deque()
        self._living: set[WorkerProcess] = set()
        self._waiting: deque[asyncio.Future[WorkerProcess]] = deque()
        self._wanted = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def workers_alive(self) -> int:
        """Workers that wait for a target, or serve one."""
        return len(self._living)

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """Process ids of these workers."""
        return tuple(worker.pid for worker in self._living)

    @property
    def template_pid(self) -> int | None:
        """Process id of what they are forked from, for tests."""
        return None if self._template is None else self._template.pid

    async def start(self) -> None:
        """Start all workers and wait until they are ready.

        Raises WorkerLost or WorkerLied if one cannot start at several attempts, ConfigurationError
        if the setting demands isolation that the kernel lacks.
        """
        try:
            for _ in range(self._limits.workers):
                worker, missing = await self._first_fork()
                if worker.alive:
                    self._spare.append(worker)
            self._report(missing)
        except BaseException:
            await self.stop()
            raise
        self._keeper = asyncio.create_task(self._keep(), name="scan worker keeper")

    async def stop(self) -> None:
        """End all workers and wait until they are gone. Handshakes under way end as not run."""
        self._stopping = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        for worker in list(self._living):
            worker.kill()
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(WorkerLost("the pool is stopping"))
        self._waiting.clear()
        if self._template is not None:
            await self._template.end()

    def lease(self, route: ProxyRoute | None = None) -> WorkerLease:
        """Return what stands for the worker of one target. End it when the target is measured."""
        return WorkerLease(self.take, route)

    async def take(self) -> WorkerProcess:
        """Return an unused worker. Raises WorkerLost when the pool is stopping."""
        if self._stopping:
            raise WorkerLost("the pool is stopping")
        self._wanted.set()
        while self._spare:
            if (worker := self._spare.popleft()).alive:
                return worker
        waiting: asyncio.Future[WorkerProcess] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            return await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled() and waiting.exception() is None:
                self._spare.append(waiting.result())
            raise
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)

    async def _keep(self) -> None:
        """Fork what is missing whenever workers are taken or lost."""
        has_failed = False
        while True:
            self._wanted.clear()
            missing = self._limits.workers + len(self._waiting) - len(self._spare)
            if missing <= 0:
                await self._wanted.wait()
                continue
            try:
                self._hand_out((await self._fork(await self._living_template()))[0])
                has_failed = False
            except (WorkerLost, WorkerLied, OSError) as failure:
                _log.error("a scan worker did not start; trying again: %s", failure)
                if has_failed:
                    await asyncio.sleep(_RESTART_PAUSE_S)
                has_failed = True

    async def _first_fork(self) -> tuple[WorkerProcess, tuple[str, ...]]:
        """Fork as _fork does; one that is lost before it is ready does not end the start."""
        failures = 0
        while True:
            try:
                return await self._fork(await self._living_template())
            except (WorkerLost, WorkerLied, OSError) as failure:
                failures += 1
                if failures == _START_ATTEMPTS:
                    raise
                _log.error("a scan worker did not start; trying again: %s", failure)
            await asyncio.sleep(_START_PAUSE_S)

    async def _living_template(self) -> TemplateProcess:
        if self._template is None or not self._template.alive:
            if self._template is not None:
                _log.error("the template of the scan workers has ended; starting another")
                await self._template.end()
            self._template = await TemplateProcess.start(self._limits.isolation)
        return self._template

    async def _fork(self, template: TemplateProcess) -> tuple[WorkerProcess, tuple[str, ...]]:
        worker, missing = await template.fork(
            byte_limit=self._limits.connection_bytes, ended=self._forget
        )
        self._living.add(worker)
        return worker, missing

    def _forget(self, worker: WorkerProcess) -> None:
        self._living.discard(worker)
        if worker in self._spare:
            self._spare.remove(worker)
        self._wanted.set()

    def _hand_out(self, worker: WorkerProcess) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(worker)
                return
        self._spare.append(worker)

    def _report(self, missing: tuple[str, ...]) -> None:
        level = self._limits.isolation
        if missing and level == "require":
            problems = [f"scan.isolation: required, but {lacking}" for lacking in missing]
            raise ConfigurationError(problems)
        for lacking in missing:
            _log.warning("scan workers are NOT isolated as they should be: %s", lacking)
        if level == "off":
            _log.warning("scan workers are NOT isolated: scan.isolation is off")
