"""What the use case needs from outside, as Protocols. Adapters satisfy them; nothing here knows an adapter."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from otpc_policy.core.addresses import Resolution, VettedAddress
from otpc_policy.core.endpoint import Endpoint
from otpc_policy.core.facts import AddressFacts, Depth


class Resolver(Protocol):
    """Turns a canonical host into vetted addresses. A name without addresses is an answer, not an error.

    known: the answer that resolve would give without waiting; None if it would ask. resolve:
    raises Overloaded where there is no room. A stale answer may serve cached facts and never a
    measurement; with fresh it waits for the name servers, and is stale only where they fail.
    """

    def known(self, host: str) -> Resolution | None: ...
    async def resolve(self, host: str, *, fresh: bool = False) -> Resolution: ...


class Scanner(Protocol):
    """Measures one address. Raises Overloaded where it has no room; anything else it raises is a bug.

    glimpse: what a measurement under way has found so far, all else unknown; None if none is under way.
    """

    async def measure(self, endpoint: Endpoint, address: VettedAddress, depth: Depth) -> AddressFacts: ...
    def glimpse(self, endpoint: Endpoint, address: VettedAddress, depth: Depth) -> AddressFacts | None: ...


class FactsCache(Protocol):
    """Keeps the newest facts for each key. It never judges and never ages: lifetimes are computed on read.

    put, discard, discard_all: return the facts that are not kept any more, among them those that put did not take.
    """

    def get(self, key: bytes) -> AddressFacts | None: ...
    def put(self, key: bytes, facts: AddressFacts) -> Sequence[AddressFacts]: ...
    def discard(self, key: bytes) -> Sequence[AddressFacts]: ...
    def discard_all(self, prefix: bytes) -> Sequence[AddressFacts]: ...


class Clock(Protocol):
    """Wall clock in aware UTC, and seconds that only go up."""

    def now(self) -> datetime: ...
    def monotonic(self) -> float: ...


class CheckObserver(Protocol):
    """Is told what happened, for metrics.

    cache_request: tier "memory"; result "hit", "stale", "miss" or "refresh". flight: "began" or "joined".
    scan_finished: outcome "complete", "incomplete", "unreachable", "overloaded" or "failed".
    """

    def cache_request(self, *, tier: str, result: str) -> None: ...
    def flight(self, result: str) -> None: ...
    def scan_finished(self, *, outcome: str, seconds: float) -> None: ...
