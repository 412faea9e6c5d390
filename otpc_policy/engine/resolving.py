"""The resolver as the service needs it: every answer with the time that is left of it."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from otpc_policy.core.address_selection import AddressSelection
from otpc_policy.core.addresses import AddressVetting, Resolution
from otpc_policy.engine.configuration import EngineConfiguration
from otpc_policy.engine.egress.dns import DnsClient
from otpc_policy.engine.egress.hosts_file import HostsFile
from otpc_policy.engine.egress.resolver import EgressResolver, LookUpObserver
from otpc_policy.ops.routes import Routes


class RemainingTimeResolver:
    """Gives each answer the rest of its time to live, since fronts keep it for that long.

    With the whole of it, two caches one after the other would let an address answer for twice its
    time.
    """

    def __init__(self, resolver: EgressResolver) -> None:
        self._resolver = resolver

    async def resolve(self, host: str, *, fresh: bool = False) -> Resolution:
        """Return what the host resolves to. As EgressResolver, but for the meaning of ttl."""
        found = await self._resolver.resolve(host, fresh=fresh)
        left = timedelta(seconds=self._resolver.seconds_left(host))
        return replace(found, ttl=min(found.ttl, left))


def _assume_route(_address: str) -> bool:
    return True


class Uncounted:
    """Counts no look-up: the engine of a front, which serves no metrics."""

    def dns_looked_up(self, result: str) -> None:
        """Do nothing."""

    def dns_fell_back(self) -> None:
        """Do nothing."""


def egress_resolver(
    configuration: EngineConfiguration,
    vetting: AddressVetting,
    observer: LookUpObserver,
    *,
    monotonic: Callable[[], float] = time.monotonic,
) -> EgressResolver:
    """Return the resolver that the configuration describes. Close it."""
    return EgressResolver(
        AddressSelection(
            vetting,
            families=configuration.address_families,
            # Where a proxy has a route to is not known here: it is tried.
            has_route=Routes().has_route if configuration.egress_proxy is None else _assume_route,
        ),
        DnsClient(
            servers=configuration.dns_servers,
            deadline_s=configuration.dns_timeout_s,
            channel_life_s=configuration.dns_ttl_s,
            monotonic=monotonic,
        ),
        static_hosts=configuration.static_hosts,
        hosts_file=HostsFile(),
        dns_ttl_s=configuration.dns_ttl_s,
        monotonic=monotonic,
        observer=observer,
    )
