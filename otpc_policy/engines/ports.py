"""What an engine is to the front, wherever it runs."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from otpc_policy.core.addresses import Resolution, VettedAddress
from otpc_policy.core.endpoint import Endpoint
from otpc_policy.core.facts import AddressFacts, Depth
from otpc_policy.core.fetching import Fetched, HttpUrl
from otpc_policy.measurement.span_codec import ReportedSpan


@dataclass(frozen=True, slots=True)
class Target:
    """What is measured."""

    endpoint: Endpoint
    address: VettedAddress
    depth: Depth


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How it is measured. Times in seconds, each from the begin of its part.

    required_suites: code points of sets, of each of which a handshake must be seen with one suite.
    asks_groups: also which groups of TLS 1.3 are accepted; at DEEP they are asked about anyway.
    reports_spans: for a trace. connections: that may be open to the address, by all measurements of
    it; None for as many as the engine's settings allow.
    """

    scan_deadline_s: float
    deep_deadline_s: float
    required_suites: Sequence[Sequence[int]] = ()
    asks_groups: bool = False
    reports_spans: bool = False
    connections: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineState:
    """What an engine reports of itself.

    concurrent_scans: what it measures at a time. tasks: of its event loop. perspective: where it
    measures from; empty if it does not say.
    """

    probe_revision: str = ""
    queued: int = 0
    workers_alive: int = 0
    concurrent_scans: int = 1
    is_draining: bool = False
    tasks: int = 0
    perspective: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What a measurement found.

    contradictions: "version" or "cipher_suite", one for each. spans: how it spent its time, where
    the terms ask for it and the engine's release knows.
    """

    facts: AddressFacts
    contradictions: tuple[str, ...] = ()
    spans: tuple[ReportedSpan, ...] = ()


class Engine(Protocol):
    """One engine. name: the same on every front that may use it, and over its restarts.

    is_up: it can be asked. state: what it reported last; all zero while it is not up. pid: of its
    process; None where that is elsewhere, or there is none. restarts: how often another process, or
    another connection, has taken the place of one that was lost.
    """

    @property
    def name(self) -> str: ...
    @property
    def is_up(self) -> bool: ...
    @property
    def state(self) -> EngineState: ...
    @property
    def pid(self) -> int | None: ...
    @property
    def restarts(self) -> int: ...

    async def measure(
        self, target: Target, terms: Terms, *, left_standard_part: Callable[[], None]
    ) -> Report:
        """Measure one address. left_standard_part: is called when only the DEEP part is left.

        Raises Overloaded, EngineLost, EngineFailed, EngineLied.
        """

    def share_connections(self, target: Target, connections: int) -> None:
        """Change how many connections may be open to the address of a measurement under way."""

    async def partial(self, target: Target) -> AddressFacts | None:
        """Return what a measurement under way has found so far; None if there is nothing."""

    async def resolve(self, host: str, *, fresh: bool, within_s: float) -> Resolution:
        """Return what a host resolves to. Raises EngineLost, EngineFailed, EngineLied."""

    async def fetch_crl(self, url: HttpUrl, *, max_bytes: int, deadline_s: float) -> Fetched:
        """Fetch a CRL, off the path of every check.

        Raises EngineLost, EngineFailed (an engine of an older release cannot), EngineLied,
        Overloaded.
        """

    async def answers(self, *, within_s: float) -> bool:
        """Tell whether the engine lives, by asking it. Raises EngineLost where it is down."""

    def condemn(self, why: str) -> None:
        """Have nothing more to do with the engine as it is. why: for the log."""


class ConnectionShares(Protocol):
    """How many connections may be open to an address, where other services measure it too.

    held: the number for as long as the context lasts; changed is called with every later one. Waits
    for a bounded time.
    """

    def held(
        self, address: str, *, is_deep: bool, changed: Callable[[int], None]
    ) -> AbstractAsyncContextManager[int]: ...


class LookUpObserver(Protocol):
    """Counts names that engines were asked for, for metrics.

    dns_looked_up: result "answered", "overloaded", or a ResolutionFailure in lower case.
    dns_fell_back: addresses of an earlier answer took its place.
    """

    def dns_looked_up(self, result: str) -> None: ...
    def dns_fell_back(self) -> None: ...


class Fleet(Protocol):
    """Where engines come from.

    engines: all there should be, up or not. changed: is called whenever one comes up or goes.
    """

    @property
    def engines(self) -> Sequence[Engine]: ...

    async def start(self, changed: Callable[[], None]) -> None:
        """Find or start them. Raises EngineNotStarted where none of our own comes up."""

    async def stop(self) -> None:
        """Part with all of them. Leaves no process behind."""

    def set_log_level(self, level: str) -> None:
        """Have those that are processes of ours log from another level on."""
