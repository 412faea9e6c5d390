"""A resolver over a scripted name server, with a clock that the test moves."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

from otpc_policy.core.address_selection import AddressSelection, DialledFamilies
from otpc_policy.core.addresses import AddressVetting, Resolution
from otpc_policy.engine.egress.dns import DnsClient
from otpc_policy.engine.egress.hosts_file import HostsFile
from otpc_policy.engine.egress.resolver import EgressResolver
from tests.support.dns_server import DnsServer, Name, dns_server

HOST = "partner.example"
GOOD = Name(a=("127.0.0.1",))


async def until(holds: Callable[[], object], *, within_s: float = 10.0) -> None:
    """Return as soon as it holds."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110  # what is waited for is a thread of c-ares
            await asyncio.sleep(0.02)


@dataclass(slots=True)
class Resolving:
    """now_s: what the resolver takes for the time. counted: what it reported to its observer."""

    server: DnsServer
    now_s: float = 1000.0
    counted: Counter[str] = field(default_factory=Counter)
    resolver: EgressResolver = field(init=False)

    async def resolve(self, host: str = HOST, *, fresh: bool = False) -> Resolution:
        return await self.resolver.resolve(host, fresh=fresh)

    async def addresses(self, host: str = HOST) -> list[str]:
        """Return what would be dialled."""
        return [one.text for one in (await self.resolve(host)).addresses]

    def dns_looked_up(self, result: str) -> None:
        self.counted[result] += 1

    def dns_fell_back(self) -> None:
        self.counted["fell back"] += 1


@asynccontextmanager
async def resolving(
    table: Mapping[str, Name] | None = None,
    *,
    hosts_file: Path = Path("/nonexistent/hosts"),
    static_hosts: Mapping[str, Sequence[str]] | None = None,
    families: DialledFamilies = "routed",
    has_route: Callable[[str], bool] = lambda _: True,
    dns_ttl_s: float = 60.0,
    deadline_s: float = 5.0,
    opened: Sequence[str] = ("127.0.0.0/8", "::1/128"),
    servers: Sequence[str] = (),
) -> AsyncIterator[Resolving]:
    """Resolve by the table alone. servers: those to ask in place of the scripted one."""
    async with dns_server(table) as server:
        world = Resolving(server)
        world.resolver = EgressResolver(
            AddressSelection(
                AddressVetting(map(ip_network, opened)),
                families=families,
                has_route=has_route,
            ),
            DnsClient(
                servers=servers or [server.address],
                deadline_s=deadline_s,
                channel_life_s=dns_ttl_s,
                monotonic=lambda: world.now_s,
            ),
            static_hosts=static_hosts or {},
            hosts_file=HostsFile(hosts_file),
            dns_ttl_s=dns_ttl_s,
            monotonic=lambda: world.now_s,
            observer=world,
        )
        try:
            yield world
        finally:
            await world.resolver.close()
