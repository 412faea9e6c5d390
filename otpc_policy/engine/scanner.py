"""Measures one address: hellos, handshakes and the HTTP question, joined into facts.

Implements check.Scanner.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from weakref import WeakValueDictionary

from otpc_policy.core.addresses import VettedAddress
from otpc_policy.core.endpoint import Endpoint
from otpc_policy.core.errors import Overloaded
from otpc_policy.core.facts import AddressFacts, Depth, Support, TlsService
from otpc_policy.engine.address_scan import AddressScan
from otpc_policy.engine.client_certificates import ClientCertificates
from otpc_policy.engine.deep_scan import DeepScanner
from otpc_policy.engine.egress.hindrance import CannotDial
from otpc_policy.engine.egress.proxy import EgressProxy
from otpc_policy.engine.facts.deployments import deployment_facts
from otpc_policy.engine.facts.groups import group_facts, key_exchange_facts
from otpc_policy.engine.facts.handshake_facts import handshake_facts
from otpc_policy.engine.facts.measured import Measured
from otpc_policy.engine.facts.offers import cipher_suite_facts, version_facts
from otpc_policy.engine.facts.remarks import intolerances, remarks
from otpc_policy.engine.limits import ScanLimits
from otpc_policy.engine.profiles.clients import ClientProfile
from otpc_policy.engine.stages import Stage, StageListener, unheard
from otpc_policy.engine.survey.probe import Ending
from otpc_policy.engine.transport.address_slots import AddressSlots
from otpc_policy.engine.transport.openings import ConnectionsExhausted
from otpc_policy.engine.workers.pool import WorkerPool
from otpc_policy.measurement.revision import PROBE_REVISION
from otpc_policy.tls.answer import PlainHttp

# A scan takes a second or a few; a caller that comes back sooner finds the same queue.
_RETRY_AFTER = timedelta(seconds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningScan:
    """A measurement under way, for people who look at it. connections: made so far."""

    endpoint: Endpoint
    address: str
    depth: Depth
    age_s: float
    connections: int


class SslyzeScanner:
    """Owns the worker processes.

    now: the wall clock that dates the facts. deep: carries out DEEP parts; by default a scanner
    that reports no contradictions. routers: the clients that every measurement asks as; by default,
    each draws a recorded one. certificates: for partners that demand one.
    proxy: the one that all connections go through now, None for the direct way.
    """

    def __init__(
        self,
        *,
        limits: ScanLimits,
        now: Callable[[], datetime],
        deep: DeepScanner | None = None,
        routers: Sequence[ClientProfile] = (),
        certificates: ClientCertificates | None = None,
        proxy: Callable[[], EgressProxy | None] = lambda: None,
    ) -> None:
        self._proxy = proxy
        self._limits, self._now, self._routers = limits, now, routers
        self._deep = deep if deep is not None else DeepScanner(limits)
        self._certificates = ClientCertificates() if certificates is None else certificates
        self._pool = WorkerPool(limits)
        self._scans = asyncio.Semaphore(limits.concurrent_scans)
        self._queued = 0
        self._slots_of: WeakValueDictionary[str, AddressSlots] = WeakValueDictionary()
        self._running: dict[tuple[Endpoint, str, Depth], tuple[AddressScan, float]] = {}

    @property
    def ready(self) -> bool:
        """At least one worker can be asked."""
        return self._pool.workers_alive > 0

    @property
    def queued(self) -> int:
        """Scans, and DEEP parts of scans, that wait for their turn."""
        return self._queued + self._deep.queued

    @property
    def workers_alive(self) -> int:
        """Workers that can be asked."""
        return self._pool.workers_alive

    def running(self) -> Sequence[RunningScan]:
        """Return the measurements that have their turn."""
        now_s = asyncio.get_running_loop().time()
        return [
            RunningScan(
                endpoint=endpoint,
                address=address,
                depth=depth,
                age_s=now_s - started,
                connections=scan.connections_used,
            )
            for (endpoint, address, depth), (scan, started) in self._running.items()
        ]

    def slots(self) -> Iterator[tuple[str, AddressSlots]]:
        """Yield the slots of each address that is measured."""
        yield from tuple(self._slots_of.items())

    async def start(self) -> None:
        """Start the workers and wait until they are warm."""
        await self._pool.start()

    async def stop(self) -> None:
        """End the workers. Scans that still run lose them and end as unknown."""
        await self._pool.stop()

    async def measure(
        self,
        endpoint: Endpoint,
        address: VettedAddress,
        depth: Depth,
        *,
        scan_deadline_s: float | None = None,
        deep_deadline_s: float | None = None,
        required_suites: Collection[frozenset[int]] = (),
        asks_groups: bool = False,
        connections: Callable[[], int | None] = lambda: None,
        seed: bytes | None = None,
        entered: StageListener = unheard,
    ) -> AddressFacts:
        """Measure one address. Whatever the server does becomes facts.

        scan_deadline_s, deep_deadline_s: in place of the limits, if they are shorter.
        required_suites: code points of sets, of each of which a suite that the server accepts is to
        be seen in a completed handshake. asks_groups: also which groups of TLS 1.3 are accepted; at
        DEEP they are asked for anyway. connections: as of share_connections, when the scan begins;
        None for as many as the limits allow. seed: SEED_BYTES, to draw the clients and hellos of an
        earlier measurement again; by default the system's. entered: is called with each stage as
        it begins. Raises Overloaded when the queue is full, and CannotDial where this machine lacks
        what it takes to connect and nothing else is known. What is known then is kept.
        """
        deadline_s = min(self._limits.scan_deadline_s, scan_deadline_s or math.inf)
        async with self._turn(entered):
            loop = asyncio.get_running_loop()
            started = loop.time()
            credentials, proxy = self._certificates.for_endpoint(endpoint), self._proxy()
            of_address = self._slots_of.setdefault(
                address.text, AddressSlots(self._limits.connections_per_address)
            )
            if (share := connections()) is not None:
                of_address.share(share)
            slots = of_address.for_scan(endpoint)
            scan = AddressScan(
                pool=self._pool,
                limits=self._limits,
                slots=slots,
                endpoint=endpoint,
                address=address,
                required_suites=required_suites,
                asks_groups=asks_groups or depth is Depth.DEEP,
                seed=seed,
                routers=self._routers,
                credentials=credentials,
                proxy=proxy,
            )
            cut_short: tuple[str, ...] = ()
            hindrance: CannotDial | None = None
            key = (endpoint, address.text, depth)
            self._running.setdefault(key, (scan, started))
            try:
                async with asyncio.timeout(deadline_s):
                    await scan.run()
            except TimeoutError:
                cut_short = (f"the scan reached its deadline of {deadline_s:g} s",)
            except ConnectionsExhausted:
                limit = self._limits.connections_per_scan
                cut_short = (f"the scan reached its limit of {limit} connections",)
            except CannotDial as error:
                hindrance = error
                cut_short = (f"the scan ended early by a fault of this service: {error}",)
            finally:
                if self._running.get(key, (None, 0.0))[0] is scan:
                    del self._running[key]
            scan.raise_if_lied()
            facts = _facts(
                scan,
                depth,
                observed_at=self._now(),
                duration=timedelta(seconds=loop.time() - started),
            )
            if hindrance is not None and facts.reachable is not Support.YES:
                # Facts would say that the partner does not answer.
                raise hindrance
            facts = replace(facts, remarks=(*facts.remarks, *scan.remarks, *cut_short))
        # Outside the turn: a DEEP part that waits for its own must not delay STANDARD scans.
        if depth is Depth.STANDARD:
            return facts
        return await self._deep.deepen(
            facts,
            endpoint,
            address,
            slots,
            credentials=credentials,
            proxy=proxy,
            deadline_s=deep_deadline_s,
            entered=entered,
        )

    def share_connections(self, address: VettedAddress, connections: int) -> None:
        """Open no more connections to an address at a time from now on, in all scans of it."""
        of_address = self._slots_of.get(address.text)
        if of_address is not None:
            of_address.share(connections)

    def glimpse(
        self, endpoint: Endpoint, address: VettedAddress, depth: Depth
    ) -> AddressFacts | None:
        """Return what a running measurement has found so far; None if none is running.

        What it has not asked yet is unknown.
        """
        scan, started = self._running.get((endpoint, address.text, depth), (None, 0.0))
        if scan is None:
            return None
        duration = timedelta(seconds=asyncio.get_running_loop().time() - started)
        return _facts(scan, depth, observed_at=self._now(), duration=duration)

    @asynccontextmanager
    async def _turn(self, entered: StageListener) -> AsyncIterator[None]:
        must_wait = self._scans.locked()
        if must_wait and self._queued >= self._limits.queue_limit:
            raise Overloaded(_RETRY_AFTER)
        if must_wait:
            entered(Stage.QUEUED)
        self._queued += 1
        try:
            await self._scans.acquire()
        finally:
            self._queued -= 1
        if must_wait:
            entered(Stage.BEGUN)
        try:
            yield
        finally:
            self._scans.release()


def _facts(
    scan: AddressScan, depth: Depth, *, observed_at: datetime, duration: timedelta
) -> AddressFacts:
    measured = scan.measured()
    facts = AddressFacts(
        address=scan.address.text,
        observed_at=observed_at,
        duration=duration,
        connections_used=scan.connections_used,
        depth=depth,
        reachable=_reachable(measured),
        tls=_tls_service(measured, is_proxied=scan.is_proxied),
        intolerances=intolerances(measured),
        trace=scan.trace(),
        probe_revision=PROBE_REVISION,
        seed=scan.seed.hex(),
    )
    if not measured.accepted:
        return replace(facts, remarks=remarks(measured, (), ()))
    versions, suites = version_facts(measured), cipher_suite_facts(measured)
    return replace(
        facts,
        versions=versions,
        cipher_suites=suites,
        deployments=deployment_facts(measured, versions),
        client_auth=scan.client_auth,
        http=scan.http,
        remarks=remarks(measured, versions, suites),
        groups=group_facts(measured),
        key_exchanges=key_exchange_facts(measured),
        handshake=handshake_facts(measured),
    )


def _reachable(measured: Measured) -> Support:
    outcomes = [record.outcome for log in measured.surveys for record in log.records]
    outcomes += [record.outcome for record in measured.clients.records]
    if any(outcome.connected for outcome in outcomes) or measured.completed:
        return Support.YES
    return (
        Support.NO
        if outcomes and all(outcome.ending is Ending.REFUSED for outcome in outcomes)
        else Support.UNKNOWN
    )


def _tls_service(measured: Measured, *, is_proxied: bool) -> TlsService:
    if measured.accepted:
        return TlsService.SERVED
    if is_proxied:
        # Some proxies open a tunnel first, and put their error page into it when they fail.
        return TlsService.UNKNOWN
    speaks_http = any(
        isinstance(record.outcome.answer, PlainHttp)
        for log in measured.surveys
        for record in log.records
    )
    return TlsService.PLAINTEXT_HTTP if speaks_http else TlsService.UNKNOWN
