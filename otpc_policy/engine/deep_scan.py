"""The DEEP part of a measurement, seen from the parent.

Each part runs in its own process, under one deadline, and is killed when that passes. It runs
after the STANDARD part and only if that found TLS. What the reports prove is decided elsewhere
(see deep_facts).
"""

import asyncio
import logging
import math
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

from otpc_policy.core.addresses import VettedAddress
from otpc_policy.core.endpoint import Endpoint, is_ip_literal
from otpc_policy.core.errors import Overloaded
from otpc_policy.core.facts import (
    AddressFacts,
    ClientAuth,
    DeepFacts,
    Depth,
    Support,
    TlsService,
    TlsVersion,
    Vulnerability,
    VulnerabilityFact,
)
from otpc_policy.core.registries.suites import suite_by_code_point
from otpc_policy.engine.client_certificates import ClientCredentials
from otpc_policy.engine.egress.proxy import EgressProxy
from otpc_policy.engine.facts.deep_comparison import compare
from otpc_policy.engine.facts.deep_facts import DeepEvidence
from otpc_policy.engine.limits import ScanLimits
from otpc_policy.engine.stages import Stage, StageListener, unheard
from otpc_policy.engine.transport.address_slots import Slots
from otpc_policy.engine.workers.deep_messages import (
    LONGEST_REPORT,
    DeepTask,
    Report,
    decode_report,
    encode_task,
)
from otpc_policy.engine.workers.messages import LENGTH_BYTES, frame
from otpc_policy.engine.workers.worker_lied import WorkerLied

_log = logging.getLogger(__name__)

# -P: the current directory is not for imports.
PROGRAM: tuple[str, ...] = ("-P", "-m", "otpc_policy.engine.workers.deep_worker")
_RETRY_AFTER = timedelta(seconds=10)
# The process ends itself a little later than the parent ends it, should the parent be gone.
_ORPHAN_MARGIN_S = 5.0
_UNSTEADY = (
    "the server refused a handshake that it had accepted before: none of its refusals counts"
)


class DeepScanner:
    """Deepens STANDARD facts. contradicted: called with each subject in dispute, for metrics."""

    def __init__(
        self, limits: ScanLimits, *, contradicted: Callable[[str], None] = lambda _: None
    ) -> None:
        self._limits, self._contradicted = limits, contradicted
        self._turns = asyncio.Semaphore(limits.concurrent_deep_scans)
        self._queued = 0
        self._processes: set[asyncio.subprocess.Process] = set()

    @property
    def pids(self) -> tuple[int, ...]:
        """Processes of scans under way, for tests and logs."""
        return tuple(process.pid for process in self._processes)

    @property
    def queued(self) -> int:
        """DEEP parts that wait for their turn."""
        return self._queued

    async def deepen(
        self,
        facts: AddressFacts,
        endpoint: Endpoint,
        address: VettedAddress,
        slots: Slots,
        *,
        credentials: ClientCredentials | None = None,
        proxy: EgressProxy | None = None,
        deadline_s: float | None = None,
        entered: StageListener = unheard,
    ) -> AddressFacts:
        """Return the facts with depth DEEP.

        facts: the STANDARD facts about this endpoint at this address. slots: connections that may
        still be opened to it. credentials: for a server that demands a client certificate; no other
        process gets them. proxy: None for the direct way. deadline_s: replaces the limit if it is
        shorter. entered: called with each stage as it begins.
        Raises Overloaded when too many wait; whatever the server or the process does becomes facts.
        """
        if facts.tls is not TlsService.SERVED:
            return replace(
                facts,
                depth=Depth.DEEP,
                vulnerabilities=tuple(
                    VulnerabilityFact(vulnerability, Support.UNKNOWN)
                    for vulnerability in Vulnerability
                ),
                deep=DeepFacts(),
            )
        deadline_s = min(self._limits.deep_deadline_s, deadline_s or math.inf)
        loop = asyncio.get_running_loop()
        started = loop.time()
        reports: list[Report] = []
        entered(Stage.DEEP_QUEUED)
        async with self._turn(), _some_of(slots, self._limits.deep_connections) as connections:
            entered(Stage.DEEP_BEGUN)
            task = self._task(facts, endpoint, address, connections, deadline_s)
            if facts.client_auth is ClientAuth.REQUIRED:
                task = replace(task, credentials=credentials)
            task = replace(task, proxy=proxy)
            ended_well = await self._carry_out(task, reports, deadline_s)
        comparison = compare(
            facts, DeepEvidence(facts, self._limits.deep_commands, reports).suite_claims()
        )
        # A disputed fact must not prove safety: from here on the compared facts count.
        evidence = DeepEvidence(comparison.facts, self._limits.deep_commands, reports)
        for contradiction in comparison.contradictions:
            self._contradicted(contradiction.subject)
        took = timedelta(seconds=loop.time() - started)
        remarks = (
            ()
            if ended_well
            else (f"the DEEP part was ended before it was done; its deadline is {deadline_s:g} s",)
        )
        if ended_well and not evidence.steady:
            remarks = (_UNSTEADY,)
        return replace(
            comparison.facts,
            depth=Depth.DEEP,
            vulnerabilities=evidence.vulnerabilities(),
            connections_used=facts.connections_used + evidence.connections_used,
            duration=facts.duration + took,
            deep=replace(
                evidence.deep_facts(),
                contradictions=tuple(
                    contradiction.text for contradiction in comparison.contradictions
                ),
                duration=took,
                remarks=remarks,
            ),
        )

    def _task(
        self,
        facts: AddressFacts,
        endpoint: Endpoint,
        address: VettedAddress,
        connections: int,
        deadline_s: float,
    ) -> DeepTask:
        accepted: dict[TlsVersion, list[str]] = {}
        for fact in facts.cipher_suites:
            suite = suite_by_code_point(fact.code_point)
            if fact.support is Support.YES and suite is not None and suite.openssl_name:
                accepted.setdefault(fact.version, []).append(suite.openssl_name)
        return DeepTask(
            address=address,
            port=endpoint.port,
            server_name=None if is_ip_literal(endpoint.server_name) else endpoint.server_name,
            commands=self._limits.deep_commands,
            cipher_suites=tuple((version, tuple(names)) for version, names in accepted.items()),
            client_auth=facts.client_auth,
            connections=connections,
            deadline_s=deadline_s + _ORPHAN_MARGIN_S,
            connection_deadline_s=self._limits.connection_deadline_s,
            connection_bytes=self._limits.connection_bytes,
        )

    async def _carry_out(self, task: DeepTask, reports: list[Report], deadline_s: float) -> bool:
        """Run the process and collect its reports, whole ones only.

        Return whether it ended by itself, everything reported. Raises WorkerLied.
        """
        process: asyncio.subprocess.Process | None = None
        try:
            async with asyncio.timeout(deadline_s):
                # As the template of the workers: see there.
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, *PROGRAM, self._limits.isolation),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    env={},
                    process_group=0,
                )
                self._processes.add(process)
                return await _converse(process, task, reports)
        except TimeoutError:
            return False
        except OSError as error:
            _log.error("a DEEP scan could not be carried out", exc_info=error)
            return False
        except WorkerLied as lie:
            _log.error("the process of a DEEP scan violates the protocol: %s", lie)
            raise
        finally:
            if process is not None:
                await self._end(process)

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """Leave no process behind, whatever it is doing."""
        self._processes.discard(process)
        if process.returncode is None:
            process.kill()
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()
        if process.stdout is not None:
            await process.stdout.read()  # so that its transport is closed too

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._turns.locked() and self._queued >= self._limits.queue_limit:
            raise Overloaded(_RETRY_AFTER)
        self._queued += 1
        try:
            await self._turns.acquire()
        finally:
            self._queued -= 1
        try:
            yield
        finally:
            self._turns.release()


async def _converse(
    process: asyncio.subprocess.Process, task: DeepTask, reports: list[Report]
) -> bool:
    if process.stdin is None or process.stdout is None:
        return False
    process.stdin.write(frame(encode_task(task)))
    try:
        while True:
            length = int.from_bytes(await process.stdout.readexactly(LENGTH_BYTES), "big")
            if length > LONGEST_REPORT:
                raise WorkerLied("report: longer than any honest one")
            report = decode_report(await process.stdout.readexactly(length), task.target)
            _check_expected(report, reports, task)
            reports.append(report)
    except asyncio.IncompleteReadError as end:
        return not end.partial and await process.wait() == 0
    except ConnectionError:
        return False


def _check_expected(report: Report, earlier: Sequence[Report], task: DeepTask) -> None:
    """Each command reports once, between two controls. Raises WorkerLied."""
    same = sum(reported.command is report.command for reported in earlier)
    is_control = report.command is None
    if same >= (2 if is_control else 1) or not (is_control or report.command in task.commands):
        raise WorkerLied("report: of a command that was not asked for, or has reported")


@asynccontextmanager
async def _some_of(slots: Slots, wanted: int) -> AsyncIterator[int]:
    """Take up to so many free slots, but at least one.

    Only the first is waited for, so that two scans never wait for each other.
    """
    await slots.acquire()
    taken = 1
    try:
        while taken < wanted and not slots.locked():
            await slots.acquire()
            taken += 1
        yield taken
    finally:
        for _ in range(taken):
            slots.release()
