"""The engine inside the calling process, for a command that measures once and ends.

It satisfies what the use case needs of engines. A service never uses it: there, a scan would hold
up answers, and what reads the bytes of hostile servers would share a process with what decides.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from otpc_policy.core.addresses import AddressVetting, Resolution, VettedAddress
from otpc_policy.core.demand import Demand
from otpc_policy.core.endpoint import Endpoint
from otpc_policy.core.facts import AddressFacts, Depth
from otpc_policy.engine.client_certificates import ClientCertificates
from otpc_policy.engine.configuration import configuration_from
from otpc_policy.engine.egress.proxy_access import ProxyAccess
from otpc_policy.engine.resolving import Uncounted, egress_resolver
from otpc_policy.engine.scanner import SslyzeScanner
from otpc_policy.measurement.revision import PROBE_REVISION


class InProcessEngine:
    """Scanner and resolver in this process. part: as settings.engine_part makes it.

    monotonic: seconds, by which answers of name servers age. required_suites: code points of sets,
    of each of which a handshake must be seen with one suite. asks_groups: of TLS 1.3. seed: of an
    earlier measurement, to be repeated.
    """

    required_suites: Sequence[frozenset[int]] = ()
    asks_groups = False
    seed: bytes | None = None

    def __init__(
        self, part: dict[str, Any], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        configuration = configuration_from(part)
        self._proxy = ProxyAccess(configuration.egress_proxy)
        self._scanner = SslyzeScanner(
            limits=configuration.scan,
            now=lambda: datetime.now(UTC),
            routers=configuration.client_profiles,
            certificates=ClientCertificates(configuration.client_certificates),
            proxy=self._proxy.current,
        )
        vetting = AddressVetting(
            configuration.allow_networks, nat64_prefixes=configuration.nat64_prefixes
        )
        self._resolver = egress_resolver(configuration, vetting, Uncounted(), monotonic=monotonic)

    def probe_revision(self, _address: VettedAddress) -> str:
        """See measurement.revision."""
        return PROBE_REVISION

    @property
    def queued(self) -> int:
        """Measurements that wait for their turn."""
        return self._scanner.queued

    @property
    def workers_alive(self) -> int:
        """Workers that can be asked."""
        return self._scanner.workers_alive

    @property
    def resolving(self) -> int:
        """Names that are being looked up."""
        return self._resolver.outstanding

    @property
    def tasks(self) -> int:
        """None of its own: the event loop is that of this process."""
        return 0

    @property
    def engines_wanted(self) -> int:
        """One: this process."""
        return 1

    @property
    def engines_up(self) -> int:
        """One, while it has a worker."""
        return int(self.workers_alive > 0)

    async def start(self) -> None:
        """Start the workers and wait until they are warm."""
        await self._proxy.start()
        await self._scanner.start()

    async def stop(self) -> None:
        """End look-ups and workers."""
        await self._resolver.close()
        await self._scanner.stop()
        await self._proxy.stop()

    async def measure(
        self,
        endpoint: Endpoint,
        address: VettedAddress,
        depth: Depth,
        demand: Demand | None = None,
    ) -> AddressFacts:
        """Measure one address; demand shares nothing here. Raises Overloaded."""
        return await self._scanner.measure(
            endpoint,
            address,
            depth,
            required_suites=self.required_suites,
            asks_groups=self.asks_groups,
            seed=self.seed,
        )

    async def partial(
        self, endpoint: Endpoint, address: VettedAddress, depth: Depth
    ) -> AddressFacts | None:
        """Return what a measurement under way has found so far."""
        return self._scanner.glimpse(endpoint, address, depth)

    def known(self, host: str) -> Resolution | None:
        """Return the answer that is at hand and still good. host: canonical."""
        return self._resolver.known(host)

    async def resolve(self, host: str, *, fresh: bool = False) -> Resolution:
        """Return what the host resolves to. See EgressResolver."""
        return await self._resolver.resolve(host, fresh=fresh)
