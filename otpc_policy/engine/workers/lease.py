"""One target's worker: dials for it, retries what it dropped once, and ends it with the target."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from socket import socket
from typing import Final

from otpc_policy.engine.egress.dialler import connect_soon
from otpc_policy.engine.egress.proxy import ProxyRoute
from otpc_policy.engine.workers.handshake import HandshakeEnding, HandshakeOffer, HandshakeOutcome
from otpc_policy.engine.workers.worker_lied import WorkerLied
from otpc_policy.engine.workers.worker_process import WorkerLost, WorkerProcess, WorkerStuck

# The worker ends a connection at its deadline. Scheduling and the channel take milliseconds; after
# this long it is stuck.
_STUCK_MARGIN_S: Final = 2.0

_log = logging.getLogger(__name__)


class WorkerLease:
    """take: returns a worker that has served nobody; it is called when one is needed.

    route: through a proxy; None for the direct way.
    """

    def __init__(
        self, take: Callable[[], Awaitable[WorkerProcess]], route: ProxyRoute | None = None
    ) -> None:
        self._take, self._route = take, route
        self._worker: WorkerProcess | None = None
        self._is_taking = asyncio.Lock()
        self._has_ended = False

    async def handshake(self, offer: HandshakeOffer) -> HandshakeOutcome:
        """Carry out one offer, all of them to the same target.

        Whatever the server does, and a worker that is lost or stuck, ends as an outcome: one that
        was lost costs one retry with another; an offer that leaves its worker stuck is not tried
        again. Raises WorkerLied.
        """
        for _ in range(2):
            try:
                async with asyncio.timeout(offer.hello.deadline_s + _STUCK_MARGIN_S):
                    worker = await self._current()
            except (WorkerLost, TimeoutError):
                break
            started_s = asyncio.get_running_loop().time()
            connection = await _dial(offer, self._route)
            dialled_s = asyncio.get_running_loop().time() - started_s
            if isinstance(connection, HandshakeOutcome):
                return replace(connection, duration_s=dialled_s)
            try:
                outcome = await self._ask(worker, offer, connection, dialled_s)
            except WorkerLost:
                continue
            except WorkerStuck:
                _log.warning("scan worker %d is stuck and is killed", worker.pid)
                worker.kill()
                break
            except WorkerLied as lie:
                _log.error("scan worker %d violates the protocol: %s", worker.pid, lie)
                raise
            return replace(outcome, duration_s=dialled_s + outcome.duration_s)
        return HandshakeOutcome(
            ending=HandshakeEnding.NOT_RUN, detail="no worker could carry it out"
        )

    def raise_if_lied(self) -> None:
        """Raise WorkerLied if the worker violated the protocol, be it after its last answer."""
        if self._worker is not None and self._worker.lie is not None:
            raise self._worker.lie

    def end(self) -> None:
        """Kill the worker: whatever the target has made of it ends here."""
        self._has_ended = True
        if self._worker is not None:
            self._worker.kill()

    async def _current(self) -> WorkerProcess:
        async with self._is_taking:
            self.raise_if_lied()
            if self._worker is None or not self._worker.alive:
                self._worker = await self._take()
                if self._has_ended:
                    self._worker.kill()
            return self._worker

    async def _ask(
        self, worker: WorkerProcess, offer: HandshakeOffer, connection: socket, dialled_s: float
    ) -> HandshakeOutcome:
        left_s = offer.hello.deadline_s - dialled_s
        offer = replace(offer, hello=replace(offer.hello, deadline_s=left_s))
        return await worker.ask(offer, connection, within_s=left_s + _STUCK_MARGIN_S)


async def _dial(offer: HandshakeOffer, route: ProxyRoute | None) -> socket | HandshakeOutcome:
    """Return a connection, or how the attempt ended."""
    try:
        async with asyncio.timeout(offer.hello.deadline_s):
            return await connect_soon(offer.address, offer.port, route)
    except TimeoutError:
        return HandshakeOutcome(ending=HandshakeEnding.TIMED_OUT)
    except ConnectionRefusedError:
        return HandshakeOutcome(ending=HandshakeEnding.REFUSED)
    except OSError as error:
        return HandshakeOutcome(ending=HandshakeEnding.UNREACHABLE, detail=str(error))
