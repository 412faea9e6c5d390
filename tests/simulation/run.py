"""One run: replicas, callers, faults and invariants under a seed."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, Final

from otpc_policy.check import Answer, CheckRequest, Freshness, FreshnessMode
from otpc_policy.core.caller import Caller
from otpc_policy.core.endpoint import Endpoint
from otpc_policy.core.errors import ServiceUnavailable
from otpc_policy.fleet.scripts import Script
from tests.simulation.engine import Engine, ReplicaClock
from tests.simulation.faults import drawn_faults
from tests.simulation.invariants import EVERY, Disturbance, Invariant
from tests.simulation.isolation import alone
from tests.simulation.link import Link
from tests.simulation.loop import SimulatedLoop, Stuck
from tests.simulation.replica import Replica
from tests.simulation.store import ScriptedStore
from tests.simulation.strikes import Strikes
from tests.simulation.world import Measured, Truth, drawn_truth

HORIZON_S: Final = 150.0
WAIT_S: Final = 6.0
"""How long a caller waits for a measurement."""
_MODES: Final = (*[FreshnessMode.CACHE_FIRST] * 17, *[FreshnessMode.REFRESH] * 2)


@dataclass(slots=True)
class Place:
    """Where a replica is, or was, or will be again."""

    number: int
    starts: int = 0
    replica: Replica | None = None
    is_paused: bool = False
    paused_s: float = 0.0

    @property
    def runs(self) -> bool:
        return self.replica is not None and not self.is_paused


@dataclass(slots=True, eq=False)
class Call:
    """A call that has not been answered. paused_s: of its replica, when it began."""

    replica: str
    place: Place
    began_s: float
    paused_s: float


@dataclass
class Run:
    """seed: everything follows from it. store: makes the store, over its clock."""

    seed: int
    store_of: Callable[[Callable[[], float]], ScriptedStore] = ScriptedStore
    history: list[tuple[float, str]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    disturbances: list[Disturbance] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.loop = SimulatedLoop()
        draw = self.draw = Random(self.seed)
        self.truth: Truth = drawn_truth(draw, HORIZON_S)
        self.places = [Place(number) for number in range(draw.randint(2, 5))]
        self.faults = drawn_faults(draw, HORIZON_S, len(self.places))
        self.store = self.store_of(self.loop.time)
        # Callers keep endpoints fresh as well: without them the watch list is alone.
        self.calls_per_s = draw.choice((0.01, 0.1, 0.5, 1.0))
        self.calls: set[Call] = set()
        self.answers = 0
        self.invariants: Sequence[Invariant] = [each(self) for each in EVERY]
        self.links: dict[int, Link] = {}
        self.clocks: dict[int, ReplicaClock] = {}
        self._strikes = Strikes(self)
        self._end: asyncio.Event

    @property
    def now_s(self) -> float:
        return self.loop.time()

    def note(self, text: str) -> None:
        """Write down what happens."""
        self.history.append((self.loop.time(), text))

    def violated(self, text: str) -> None:
        """End the run: something has happened that must not."""
        self.note(f"VIOLATED {text}")
        self.violations.append(text)
        self._end.set()

    def digest(self) -> str:
        """Return a name for everything that has happened."""
        return hashlib.sha256(repr(self.history).encode()).hexdigest()

    def carry_out(self) -> "Run":
        """Run to the horizon, or to the first violation."""
        asyncio.set_event_loop(self.loop)
        try:
            with alone():
                try:
                    self.loop.run_until_complete(self._live())
                except Stuck as stuck:
                    self.note(f"VIOLATED {stuck}")
                    self.violations.append(str(stuck))
                self._part()
        finally:
            asyncio.set_event_loop(None)
            self.loop.close()
        return self

    async def _live(self) -> None:
        self._end = asyncio.Event()
        for place in self.places:
            self.start(place)
        work = [
            asyncio.create_task(each)
            for each in (
                self._call_for_ever(),
                self._invalidate_for_ever(),
                self._look_for_ever(),
                *(self._strikes.strike(fault) for fault in self.faults),
            )
        ]
        try:
            async with asyncio.timeout(HORIZON_S):
                await self._end.wait()
        except TimeoutError:
            pass
        for task in work:
            if task.done() and not task.cancelled() and task.exception() is not None:
                task.result()
            task.cancel()

    def _part(self) -> None:
        """End every task, of dead replicas too, so that none is left to be thrown away."""
        for link in self.links.values():
            link.is_cut = True
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        self.loop.release_all()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks, timeout=60.0))

    def start(self, place: Place) -> None:
        """Start a replica at a place."""
        place.starts += 1
        name = f"{place.number}.{place.starts}"
        draw = Random(self.draw.random())

        def ran(
            script: Script, keys: tuple[str, ...], arguments: tuple[Any, ...], answer: Any
        ) -> None:
            for each in self.invariants:
                each.ran(name, script, keys, arguments, answer)

        link = self.links[place.number] = Link(self.store, draw, ran)
        clock = self.clocks.setdefault(place.number, ReplicaClock(self.loop))
        engine = Engine(name, self.truth, clock, draw, began=self._measuring, ended=self._measured)

        def answered(endpoint: Endpoint, answer: Answer, began_s: float) -> None:
            self.answers += 1
            for each in self.invariants:
                each.answered(replica, endpoint, answer, began_s)

        def followed(began_s: float, is_first: bool) -> None:
            for each in self.invariants:
                each.followed(name, began_s, is_first)

        replica = place.replica = Replica(
            name,
            loop=self.loop,
            link=link,
            engine=engine,
            clock=clock,
            draw=draw,
            endpoints=self.truth.endpoints,
            note=lambda text: self.note(f"{name} {text}"),
            answered=answered,
            followed=followed,
        )
        self.disturb(place, 0.0)
        self.note(f"{name} starts")
        replica.start()

    def _measuring(self, measured: Measured) -> None:
        self._strikes.measuring(int(measured.replica.partition(".")[0]))
        self.note(f"{measured.replica} measures {measured.endpoint}: {measured.is_good}")
        for each in self.invariants:
            each.measuring(measured)

    def _measured(self, measured: Measured) -> None:
        self.note(f"{measured.replica} has measured {measured.endpoint}")

    def disturb(self, place: Place | None, lasts_s: float, *, sets_clock: bool = False) -> None:
        """Note that something strikes a place, or all of them."""
        until_s = self.now_s + lasts_s
        number = None if place is None else place.number
        self.disturbances.append(Disturbance(self.now_s, until_s, number, sets_clock))

    async def _call_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self.draw.expovariate(self.calls_per_s))
            place = self.draw.choice(self.places)
            endpoint = self.draw.choice(self.truth.endpoints)
            mode = self.draw.choice(_MODES)
            if place.replica is not None:
                replica = place.replica
                call = Call(replica.name, place, self.now_s, place.paused_s)
                self.calls.add(call)
                request = CheckRequest(endpoint=endpoint, freshness=Freshness(mode=mode))
                task = self.loop.start(
                    replica.name, replica.check(request, Caller(peer="caller"), WAIT_S)
                )
                task.add_done_callback(partial(self._called, call))

    def _called(self, call: Call, task: "asyncio.Task[Answer]") -> None:
        self.calls.discard(call)
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            self.violated(f"a call failed: {error!r}")
            return
        verdict = task.result().judgement.verdict
        self.note(f"{call.replica} answers {verdict.decision.name}")

    async def _invalidate_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self.draw.expovariate(1 / 50))
            place = self.draw.choice(self.places)
            host = self.draw.choice(self.truth.endpoints).host
            if place.replica is not None:
                replica, began_s = place.replica, self.now_s
                task = self.loop.start(replica.name, replica.measurements.invalidate(host, 0))
                task.add_done_callback(partial(self._invalidated, host, began_s))

    def _invalidated(self, host: str, began_s: float, task: "asyncio.Task[int]") -> None:
        if task.cancelled() or isinstance(task.exception(), ServiceUnavailable):
            return
        self.note(f"{host} is invalidated: {task.result()}")
        for each in self.invariants:
            each.invalidated(host, began_s)

    async def _look_for_ever(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            for each in self.invariants:
                each.look()
