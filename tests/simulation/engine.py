"""The engine of a simulated replica, and its clocks: it measures the world as it is."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from random import Random
from typing import Final

from otpc_policy.core.addresses import Resolution, VettedAddress
from otpc_policy.core.demand import Demand
from otpc_policy.core.endpoint import Endpoint
from otpc_policy.core.facts import AddressFacts, Depth, HttpService, ResolutionStatus
from otpc_policy.engines.errors import EngineFailed
from otpc_policy.policy.finding import Decision
from tests.check.world import vetted
from tests.simulation.loop import SimulatedLoop
from tests.simulation.world import MOST_MEASURING_S, Measured, Truth, instant
from tests.support.facts import make_address

LATE_S: Final = 20.0
"""An engine's answer that comes later than this is none any more: scan.scan_deadline_s."""

_ADDRESS: Final = vetted("127.0.0.1")
_RESOLVED: Final = Resolution(status=ResolutionStatus.RESOLVED, addresses=(_ADDRESS,))
_FACTS: Final = replace(make_address(), versions=(), cipher_suites=(), deployments=())
# One bit of the facts has the verdict.
_GOOD, _BAD = HttpService.SERVED, HttpService.NOT_SERVED


@dataclass(slots=True)
class ReplicaClock:
    """The clocks of a replica: a wall clock that may be wrong, and one that nobody sets."""

    loop: SimulatedLoop
    ahead_s: float = 0.0

    def now(self) -> datetime:
        return instant(self.loop.time() + self.ahead_s)

    def monotonic(self) -> float:
        return self.loop.time()


class Engine:
    """Measures the world for one replica. Satisfies check's Resolver and Scanner.

    began, ended: are told of each measurement.
    """

    def __init__(
        self,
        name: str,
        truth: Truth,
        clock: ReplicaClock,
        draw: Random,
        *,
        began: Callable[[Measured], None],
        ended: Callable[[Measured], None],
    ) -> None:
        self._name, self._truth, self._clock, self._draw = name, truth, clock, draw
        self._began, self._ended = began, ended

    def known(self, _host: str) -> Resolution | None:
        return _RESOLVED

    async def resolve(self, _host: str, *, fresh: bool = False) -> Resolution:
        return _RESOLVED

    def probe_revision(self, _address: VettedAddress) -> str:
        return "1"

    async def partial(self, _endpoint: Endpoint, _address: VettedAddress, _depth: Depth) -> None:
        return None

    async def measure(
        self, endpoint: Endpoint, address: VettedAddress, depth: Depth, demand: Demand
    ) -> AddressFacts:
        began_s = self._clock.monotonic()
        made = self._truth.begin(self._name, endpoint, began_s)
        self._began(made)
        try:
            await asyncio.sleep(self._draw.uniform(0.2, MOST_MEASURING_S))
            made.dated_s = self._clock.monotonic()
            made.offset_s = self._clock.ahead_s
            if made.dated_s - began_s > LATE_S:
                raise EngineFailed("the engine did not end the measurement in time")
        finally:
            made.ended_s = self._clock.monotonic()
            self._ended(made)
        return replace(
            _FACTS,
            address=address.text,
            depth=depth,
            observed_at=self._clock.now(),
            http=_GOOD if made.is_good else _BAD,
            probe_revision="1",
            seed=f"{made.number:032x}",
        )


def decision_of(facts: AddressFacts) -> Decision:
    """Return the verdict about what was measured."""
    return Decision.ALLOW if facts.http is _GOOD else Decision.DENY
