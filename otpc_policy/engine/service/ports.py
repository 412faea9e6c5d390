"""What the service needs of the scanner and the resolver."""

from collections.abc import Callable, Collection
from typing import Protocol

from otpc_policy.core.addresses import Resolution, VettedAddress
from otpc_policy.core.endpoint import Endpoint
from otpc_policy.core.facts import AddressFacts, Depth
from otpc_policy.engine.stages import StageListener, unheard


class EngineScanner(Protocol):
    """Measures, within its own limits. Raises Overloaded.

    share_connections: how many may be open to an address from now on, by all measurements of it.
    glimpse: what a measurement under way has found; None if there is none, or nothing to see.
    """

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
        entered: StageListener = unheard,
    ) -> AddressFacts: ...
    def share_connections(self, address: VettedAddress, connections: int) -> None: ...
    def glimpse(
        self, endpoint: Endpoint, address: VettedAddress, depth: Depth
    ) -> AddressFacts | None: ...
    @property
    def queued(self) -> int: ...
    @property
    def workers_alive(self) -> int: ...


class EngineResolver(Protocol):
    """Turns a canonical host into vetted addresses. Raises Overloaded and ServiceUnavailable.

    fresh: wait for the name servers, even where an earlier answer could stand in. The ttl of what
    it returns is what is left of it.
    """

    async def resolve(self, host: str, *, fresh: bool = False) -> Resolution: ...
