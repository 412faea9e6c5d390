"""An engine for tests: says what the test has it say, and breaks where the test breaks it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from otpc_policy.core.addresses import Resolution
from otpc_policy.core.facts import AddressFacts
from otpc_policy.core.fetching import Fetched, HttpUrl
from otpc_policy.engines.errors import EngineLost
from otpc_policy.engines.ports import Engine, EngineState, Report, Target, Terms


@dataclass(slots=True, kw_only=True)
class FakeEngine:
    """Measures with answer, when the gate is open. Satisfies ports.Engine.

    answer: makes the report, or raises. so_far: what partial returns. found: by host. crls: by URL.
    is_silent: it is up for all that is known, and answers nothing.
    measured, condemned: what it was asked, and why it was condemned. shared: later shares of
    connections.
    """

    name: str
    answer: Callable[[Target, Terms], Report]
    is_up: bool = True
    pid: int | None = None
    restarts: int = 0
    state: EngineState = field(
        default_factory=lambda: EngineState(concurrent_scans=8, workers_alive=1)
    )
    so_far: AddressFacts | None = None
    found: dict[str, Resolution] = field(default_factory=dict)
    crls: dict[str, Fetched | Exception] = field(default_factory=dict)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    measured: list[Target] = field(default_factory=list)
    condemned: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    shared: list[tuple[Target, int]] = field(default_factory=list)
    leaves_standard_part: bool = False
    is_silent: bool = False
    _dies: asyncio.Event = field(default_factory=asyncio.Event)

    async def measure(
        self, target: Target, terms: Terms, *, left_standard_part: Callable[[], None]
    ) -> Report:
        """Wait for the gate, and answer; raise EngineLost where it dies first."""
        self.measured.append(target)
        if self.leaves_standard_part:
            left_standard_part()
        waits = [asyncio.create_task(one.wait()) for one in (self.gate, self._dies)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if self._dies.is_set():
            raise EngineLost("it died")
        return self.answer(target, terms)

    def share_connections(self, target: Target, connections: int) -> None:
        """Keep the number."""
        self.shared.append((target, connections))

    async def partial(self, target: Target) -> AddressFacts | None:
        """Return so_far for what is measured."""
        return self.so_far if target in self.measured else None

    async def resolve(self, host: str, *, fresh: bool, within_s: float) -> Resolution:
        """Return what was put there; raise EngineLost where nothing was."""
        self.asked.append(host)
        if host not in self.found:
            raise EngineLost("it died")
        return self.found[host]

    async def fetch_crl(self, url: HttpUrl, *, max_bytes: int, deadline_s: float) -> Fetched:
        """Return or raise what was put there for the URL; raise EngineLost where nothing was."""
        self.asked.append(url.text)
        if url.text not in self.crls:
            raise EngineLost("it died")
        found = self.crls[url.text]
        if isinstance(found, Exception):
            raise found
        return found

    async def answers(self, *, within_s: float) -> bool:
        """Say so, unless it has died or is_silent."""
        return not (self._dies.is_set() or self.is_silent)

    def condemn(self, why: str) -> None:
        """Take it down."""
        self.condemned.append(why)

    def die(self) -> None:
        """Lose what is measured, and be asked no more."""
        self.is_up = False
        self._dies.set()


@dataclass(slots=True)
class FakeFleet:
    """A fixed list of engines."""

    engines: Sequence[Engine]
    changed: Callable[[], None] = lambda: None
    is_running: bool = False

    async def start(self, changed: Callable[[], None]) -> None:
        """Remember whom to tell."""
        self.changed, self.is_running = changed, True

    async def stop(self) -> None:
        """Stop."""
        self.is_running = False

    def set_log_level(self, level: str) -> None:
        """Do nothing: no process is there."""
