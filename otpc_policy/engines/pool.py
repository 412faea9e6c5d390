"""All engines as one scanner and one resolver. Satisfies the use case's ports Scanner and Resolver.

A measurement goes to the engine that its address names (see rendezvous); where that one is down, to
the next. One whose engine dies under it is begun once more elsewhere, in the time that is left. An
engine that lies fails the measurement in which it did, and is not asked again as it is.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Final

import structlog

from otpc_policy.core.addresses import Resolution, VettedAddress
from otpc_policy.core.demand import Claim, Demand
from otpc_policy.core.endpoint import Endpoint
from otpc_policy.core.facts import AddressFacts, Depth
from otpc_policy.core.fetching import Fetched, HttpUrl
from otpc_policy.core.spans import SpanKind, span
from otpc_policy.engines.admission import Admission
from otpc_policy.engines.errors import EngineFailed, EngineHindered, EngineLost
from otpc_policy.engines.gate import Gate
from otpc_policy.engines.parts import add_parts, attributes_of
from otpc_policy.engines.ports import (
    ConnectionShares,
    Engine,
    Fleet,
    LookUpObserver,
    Report,
    Target,
    Terms,
)
from otpc_policy.engines.rendezvous import ranked
from otpc_policy.engines.resolutions import Resolutions
from otpc_policy.engines.standing import EngineStanding, QueueStanding, by_class
from otpc_policy.measurement.engine_lied import EngineLied
from otpc_policy.measurement.revision import PROBE_REVISION

# An engine that died starts anew in about a second, on a busy machine in a few.
_WAIT_FOR_ENGINE_S: Final = 10.0
# The end of a process is known to its parent within milliseconds.
_SETTLING_S: Final = 0.05
# An engine holds its loop for no longer than 50 ms, whatever it measures.
_ANSWER_S: Final = 1.0
# Less than this is not enough to begin a measurement anew: most take half of it.
_LEAST_TIME_S: Final = 1.0
# A caller who waits for what has been found so far has this much of the time kept back for it.
_PARTIAL_S: Final = 0.04
# Targets that an engine fails to measure, one after the other, before it is left alone.
_FAILURES: Final = 3
# An engine gives up on DNS by itself; this is for the way there and back.
_RESOLVE_MARGIN_S: Final = 1.0


class EnginePool:
    """Measures and resolves through a fleet.

    known_host: what a host resolves to where no engine must be asked, else None.
    queue_limit: measurements that may wait for their turn. most_of_a_caller: of those, and of those
    under way. reserved: how many of a number of places are for partners' endpoints.
    required_suites, asks_groups: see Terms.
    contradicted: is told the subject of each contradiction, for metrics. look_ups: counts names.
    shares: of the connections to an address, where other services have engines of their own.
    """

    def __init__(
        self,
        fleet: Fleet,
        *,
        queue_limit: int,
        most_of_a_caller: int = 1_000_000,
        reserved: Callable[[int], int] = lambda _places: 0,
        scan_deadline_s: float,
        deep_deadline_s: float,
        dns_timeout_s: float,
        known_host: Callable[[str], Resolution | None] = lambda _host: None,
        required_suites: Callable[[], Sequence[Sequence[int]]] = tuple,
        asks_groups: Callable[[], bool] = lambda: False,
        contradicted: Callable[[str], None] = lambda _subject: None,
        look_ups: LookUpObserver | None = None,
        shares: ConnectionShares | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fleet = fleet
        self._reserved = reserved
        self._admission = Admission(
            lambda: queue_limit + self._capacity_of_all,
            reserved,
            most_of_a_caller=most_of_a_caller,
        )
        self._scan_deadline_s, self._deep_deadline_s = scan_deadline_s, deep_deadline_s
        self._dns_timeout_s = dns_timeout_s
        self._required_suites, self._asks_groups = required_suites, asks_groups
        self._contradicted = contradicted
        self._shares = shares
        self._gates: dict[str, Gate] = {}
        self._measuring: dict[Target, Engine] = {}
        # By engine, the targets that it failed to measure since it measured any.
        self._failed: dict[str, set[Target]] = {}
        self._probing: dict[str, asyncio.Task[bool]] = {}
        self._changed = asyncio.Event()
        self._resolutions = Resolutions(
            self._ask_for_addresses,
            known_host=known_host,
            monotonic=monotonic,
            observer=look_ups,
        )
        self._log = structlog.get_logger("otpc_policy.engines")

    def probe_revision(self, address: VettedAddress) -> str:
        """Return that of the engine that the address names, the last one it reported.

        Before any engine has reported one, it is this program's.
        """
        engines = self._fleet.engines
        revisions = {one.state.probe_revision for one in engines if one.is_up}
        if len(revisions) == 1 and (revision := revisions.pop()):
            return revision
        reported = [one for one in engines if one.state.probe_revision]
        up = [one for one in reported if one.is_up] or reported
        # Several, while one release takes the place of another.
        return ranked(address.text, up)[0].state.probe_revision if up else PROBE_REVISION

    @property
    def queued(self) -> int:
        """Measurements that wait for their turn, here and in the engines."""
        return self._waiting_here + sum(one.state.queued for one in self._fleet.engines)

    @property
    def workers_alive(self) -> int:
        """Workers of all engines that are up."""
        return sum(one.state.workers_alive for one in self._fleet.engines if one.is_up)

    @property
    def engines_wanted(self) -> int:
        """Engines that there should be."""
        return len(self._fleet.engines)

    @property
    def engines_up(self) -> int:
        """Engines that can be asked."""
        return sum(one.is_up for one in self._fleet.engines)

    @property
    def tasks(self) -> int:
        """Tasks of the event loops of all engines that are up."""
        return sum(one.state.tasks for one in self._fleet.engines if one.is_up)

    def set_log_level(self, level: str) -> None:
        """See ports.Fleet."""
        self._fleet.set_log_level(level)

    def standings(self) -> Sequence[EngineStanding]:
        """Return how each engine stands."""
        return [
            EngineStanding(
                name=one.name,
                is_up=one.is_up,
                pid=one.pid,
                restarts=one.restarts,
                state=one.state,
                failed_targets=len(self._failed.get(one.name, ())),
                most_failures=_FAILURES,
            )
            for one in self._fleet.engines
        ]

    def queues(self) -> Sequence[QueueStanding]:
        """Return how the queue for each engine stands that has had one."""
        return [
            QueueStanding(
                engine=name,
                capacity=self._capacity(name),
                measuring=by_class(gate.claims_inside),
                waiting=by_class(waiting := gate.claims_waiting),
                callers=len({claim.share for claim in (*gate.claims_inside, *waiting)}),
            )
            for name, gate in self._gates.items()
        ]

    def measured_addresses(self) -> Mapping[str, int]:
        """Return by address how many measurements engines carry out now."""
        return Counter(target.address.text for target in self._measuring)

    async def start(self) -> None:
        """Start or find the engines. Raises EngineNotStarted."""
        await self._fleet.start(self._changed.set)

    async def stop(self) -> None:
        """Part with every engine."""
        await self._resolutions.close()
        await self._fleet.stop()

    def known(self, host: str) -> Resolution | None:
        """Return the answer that is at hand and still good. host: canonical."""
        return self._resolutions.known(host)

    @property
    def resolving(self) -> int:
        """Names that engines are being asked for."""
        return self._resolutions.outstanding

    async def resolve(self, host: str, *, fresh: bool = False) -> Resolution:
        """Return what the host resolves to. See check.ports.Resolver."""
        return await self._resolutions.resolve(host, fresh=fresh)

    async def fetch_crl(self, url: HttpUrl, *, max_bytes: int, deadline_s: float) -> Fetched:
        """Fetch a CRL. Whoever asks comes again in time, so nothing is tried twice here.

        Raises EngineLost, EngineFailed, EngineLied, Overloaded.
        """
        engine = await self._engine(url.host)
        try:
            return await engine.fetch_crl(url, max_bytes=max_bytes, deadline_s=deadline_s)
        except EngineLied as lie:
            engine.condemn(f"it lied: {lie}")
            raise

    async def measure(
        self,
        endpoint: Endpoint,
        address: VettedAddress,
        depth: Depth,
        demand: Demand | None = None,
    ) -> AddressFacts:
        """Measure one address. demand: who wants it; by default, this process itself.

        Raises Overloaded, EngineLost, EngineFailed, EngineLied.
        """
        target = Target(endpoint, address, depth)
        wanted = demand if demand is not None else Demand(Claim())
        with self._admission.admitted(wanted):
            return await self._measured_in_turn(target, wanted)

    async def _measured_in_turn(self, target: Target, demand: Demand) -> AddressFacts:
        address, deadline_s = target.address, self._scan_deadline_s
        if target.depth is Depth.DEEP:
            deadline_s += self._deep_deadline_s
        async with self._turn(address.text, demand) as (engine, leave):
            until_s = asyncio.get_running_loop().time() + deadline_s
            try:
                return await self._measured(engine, target, self._scan_deadline_s, leave)
            except EngineLost as lost:
                self._log.info("engine lost", engine=engine.name, reason=str(lost))
        # It has waited for its turn once; the other engine has a queue of its own for too many.
        second = await self._living_engine(address.text, after=engine, within_s=_left_s(until_s))
        terms_s = min(_left_s(until_s), self._scan_deadline_s)
        return await self._measured(second, target, terms_s, _stay)

    async def partial(
        self, endpoint: Endpoint, address: VettedAddress, depth: Depth
    ) -> AddressFacts | None:
        """Return what a measurement under way has found so far; None if nothing is at hand."""
        target = Target(endpoint, address, depth)
        engine = self._measuring.get(target)
        if engine is None:
            return None
        try:
            async with asyncio.timeout(_PARTIAL_S):
                return await engine.partial(target)
        except TimeoutError:
            return None

    async def _measured(
        self, engine: Engine, target: Target, deadline_s: float, leave: Callable[[], None]
    ) -> AddressFacts:
        """Measure at one engine, with a share of the connections to the address."""
        if self._shares is None:
            return await self._measured_with(None, engine, target, deadline_s, leave)
        async with self._shares.held(
            target.address.text,
            is_deep=target.depth is Depth.DEEP,
            changed=partial(engine.share_connections, target),
        ) as connections:
            return await self._measured_with(connections, engine, target, deadline_s, leave)

    async def _measured_with(
        self,
        connections: int | None,
        engine: Engine,
        target: Target,
        deadline_s: float,
        leave: Callable[[], None],
    ) -> AddressFacts:
        terms = Terms(
            scan_deadline_s=deadline_s,
            deep_deadline_s=self._deep_deadline_s,
            required_suites=self._required_suites(),
            asks_groups=self._asks_groups(),
            connections=connections,
        )
        with span("measure", kind=SpanKind.CLIENT, attributes=attributes_of(engine)) as measuring:
            is_recorded = measuring is not None and measuring.is_recorded
            terms = replace(terms, reports_spans=is_recorded)
            report = await self._reported(engine, target, terms, leave)
            if measuring is not None:
                add_parts(measuring, report.spans)
        self._failed.pop(engine.name, None)
        for subject in report.contradictions:
            self._contradicted(subject)
        return report.facts

    async def _reported(
        self, engine: Engine, target: Target, terms: Terms, leave: Callable[[], None]
    ) -> Report:
        self._measuring[target] = engine
        try:
            return await engine.measure(target, terms, left_standard_part=leave)
        except EngineLied as lie:
            engine.condemn(f"it lied: {lie}")
            raise
        except EngineHindered:
            raise
        except EngineFailed as failure:
            self._count_failure(engine, target, failure)
            raise
        finally:
            if self._measuring.get(target) is engine:
                del self._measuring[target]

    def _count_failure(self, engine: Engine, target: Target, failure: EngineFailed) -> None:
        """Condemn an engine that measures nothing any more, though it reports that it lives.

        Its addresses would never be measured. One target alone proves nothing: it may be what no
        engine can measure.
        """
        failed = self._failed.setdefault(engine.name, set())
        failed.add(target)
        if len(failed) >= _FAILURES:
            del self._failed[engine.name]
            engine.condemn(f"it measures nothing: {failure}")

    @asynccontextmanager
    async def _turn(
        self, address: str, demand: Demand
    ) -> AsyncIterator[tuple[Engine, Callable[[], None]]]:
        """Wait for a place at the address's engine. Yield the engine, and what leaves it early.

        Raises EngineLost.
        """
        engine, gate = await self._place(address, demand)

        def leave() -> None:
            gate.leave(demand)

        try:
            yield engine, leave
        finally:
            leave()

    async def _place(self, address: str, demand: Demand) -> tuple[Engine, Gate]:
        while True:
            engine = await self._engine(address)
            gate = self._gate(engine)
            with span("queue"):
                await gate.enter(demand)
            if engine.is_up:
                return engine, gate
            gate.leave(demand)

    def _gate(self, engine: Engine) -> Gate:
        gate = self._gates.get(engine.name)
        if gate is None:
            self._forget_the_gone()
            gate = Gate(lambda: self._capacity(engine.name), self._reserved)
            self._gates[engine.name] = gate
        return gate

    def _forget_the_gone(self) -> None:
        """Drop what is kept of engines that are no more: remote ones come with new addresses."""
        names = {one.name for one in self._fleet.engines}
        self._failed = {name: kept for name, kept in self._failed.items() if name in names}
        self._gates = {
            name: gate for name, gate in self._gates.items() if name in names or not gate.is_idle
        }

    def _capacity(self, name: str) -> int:
        """Return how many measurements an engine takes: the one that has the name now."""
        named = (one for one in self._fleet.engines if one.name == name)
        return max((one.state.concurrent_scans for one in named), default=1)

    @property
    def _capacity_of_all(self) -> int:
        return sum(one.state.concurrent_scans for one in self._fleet.engines)

    @property
    def _waiting_here(self) -> int:
        return sum(gate.waiting for gate in self._gates.values())

    async def _engine(
        self,
        key: str,
        *,
        within_s: float = _WAIT_FOR_ENGINE_S,
    ) -> Engine:
        """Return the first engine for the key that is up; wait for one where none is.

        Raises EngineLost.
        """
        try:
            async with asyncio.timeout(min(within_s, _WAIT_FOR_ENGINE_S)):
                while True:
                    up = [one for one in ranked(key, self._fleet.engines) if one.is_up]
                    if up:
                        return up[0]
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise EngineLost("no engine is up") from None

    async def _living_engine(self, key: str, *, after: Engine, within_s: float) -> Engine:
        """Return the next engine for the key, another one if there is, that answers now.

        What ended one engine may have ended or stopped others, and this is the last try.
        Raises EngineLost.
        """
        try:
            async with asyncio.timeout(within_s):
                while True:
                    await asyncio.sleep(_SETTLING_S)
                    up = [one for one in ranked(key, self._fleet.engines) if one.is_up]
                    for one in sorted(up, key=lambda one: one.name == after.name):
                        with contextlib.suppress(EngineLost):
                            if await one.answers(within_s=_ANSWER_S):
                                return one
        except TimeoutError:
            raise EngineLost("no engine is up") from None

    async def _ask_for_addresses(self, host: str, *, fresh: bool) -> Resolution:
        """Ask one engine, and another one if that is lost. See resolutions.Ask."""
        engine = await self._engine(host, within_s=self._resolve_within_s)
        try:
            return await self._resolved(engine, host, fresh=fresh)
        except EngineLost as lost:
            self._log.warning("engine lost", reason=str(lost))
        within_s = _WAIT_FOR_ENGINE_S
        other = await self._living_engine(host, after=engine, within_s=within_s)
        return await self._resolved(other, host, fresh=fresh)

    async def _resolved(self, engine: Engine, host: str, *, fresh: bool) -> Resolution:
        """Have an engine resolve. Raises EngineLost, too, where it answers nothing any more.

        One that a signal has stopped is up for some seconds yet, for all that is known at rest.
        """
        asking = asyncio.create_task(
            engine.resolve(host, fresh=fresh, within_s=self._resolve_within_s)
        )
        try:
            while not (await asyncio.wait({asking}, timeout=_ANSWER_S))[0]:
                if not await self._answers(engine) and not asking.done():
                    raise EngineLost("the engine does not answer")
            return asking.result()
        except EngineLied as lie:
            engine.condemn(f"it lied: {lie}")
            raise
        finally:
            asking.cancel()
            await asyncio.wait({asking})

    async def _answers(self, engine: Engine) -> bool:
        """Tell whether an engine lives; whoever wants to know meanwhile gets the same answer."""
        probing = self._probing.get(engine.name)
        if probing is None:
            probing = asyncio.create_task(engine.answers(within_s=_ANSWER_S))
            self._probing[engine.name] = probing
            probing.add_done_callback(lambda ended: self._probed(engine.name, ended))
        return await asyncio.shield(probing)

    def _probed(self, name: str, ended: "asyncio.Task[bool]") -> None:
        del self._probing[name]
        if not ended.cancelled():
            ended.exception()  # retrieved here, because whoever asked may have gone

    @property
    def _resolve_within_s(self) -> float:
        return self._dns_timeout_s + _RESOLVE_MARGIN_S


def _left_s(until_s: float) -> float:
    """Return the time that is left. Raises EngineFailed where it is not enough."""
    left_s = until_s - asyncio.get_running_loop().time()
    if left_s < _LEAST_TIME_S:
        raise EngineFailed("no time is left to begin the measurement anew")
    return left_s


def _stay() -> None:
    """Leave nothing: no place is taken."""
