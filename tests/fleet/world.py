"""Replicas over one real store: each with a connection, memory and notices of its own."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import redis.asyncio

from otpc_policy.check import FactsKey, StoredFacts, VerdictChange
from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.facts import Depth
from otpc_policy.fleet.change_records import ChangeRecords
from otpc_policy.fleet.clients import StoreClients, address_of
from otpc_policy.fleet.cluster import ClusterConnection
from otpc_policy.fleet.connection import StoreConnection
from otpc_policy.fleet.facts import SharedFactsStore
from otpc_policy.fleet.keys import Keyspace
from otpc_policy.fleet.leases import SharedLeases
from otpc_policy.fleet.notices import Notices
from otpc_policy.fleet.records import Records
from otpc_policy.fleet.shared_changes import SharedChanges
from otpc_policy.fleet.signing import FleetKey
from otpc_policy.fleet.store import Store
from otpc_policy.fleet.tokens import LeaseTokens
from otpc_policy.policy.finding import Decision
from otpc_policy.store.memory import MemoryFactsStore
from otpc_policy.store.tiered import TieredFactsStore
from tests.check.world import compliant

KEY_BYTES: Final = bytes(range(32))
KEY: Final = FactsKey(
    host="a.test",
    port=443,
    server_name="a.test",
    address="127.0.0.1",
    depth=Depth.STANDARD,
    probe_revision="1",
    perspective="default",
)
NOW: Final = datetime(2026, 3, 1, tzinfo=UTC)


def facts(number: int = 0, **fields: Any) -> StoredFacts:
    """Facts of KEY, the later the higher the number."""
    return StoredFacts.of(compliant("127.0.0.1", NOW + timedelta(seconds=number), **fields))


def shared_changes(
    replica: "Replica", *, key: bytes = KEY_BYTES, move_s: Callable[[], float] = lambda: 0.0
) -> SharedChanges:
    """Return the changes of verdicts as a replica publishes and reads them."""
    return SharedChanges(
        replica.connection,
        keyspace=replica.keyspace,
        records=ChangeRecords(FleetKey((key,)), replica.observed),
        move_s=move_s,
    )


def verdict(decision: Decision = Decision.ALLOW, port: int = 443) -> VerdictChange:
    """A verdict about an endpoint of a.test, found just now."""
    now = datetime.now(UTC)
    return VerdictChange(
        endpoint=parse_endpoint("a.test", port),
        partner_id="",
        decision=decision,
        observed_at=now,
        expires_at=now + timedelta(hours=1),
        changed_at=now,
        revision="abc",
    )


async def until(holds: Callable[[], bool]) -> None:
    """Return when the condition holds; fail when it does not within ten seconds."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  # what it waits for is another process's answer
            await asyncio.sleep(0.01)


@dataclass
class Observed:
    """Whatever a replica counts. monotonic: its clock, moved by hand."""

    asked: list[tuple[str, str]] = field(default_factory=list)
    available: list[bool] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    leases: list[str] = field(default_factory=list)
    ahead_s: list[float] = field(default_factory=list)
    at: float = 1_000.0

    def store_asked(self, operation: str, result: str, seconds: float) -> None:
        assert seconds >= 0
        self.asked.append((operation, result))

    def store_available(self, is_available: bool) -> None:
        self.available.append(is_available)

    def record_refused(self, reason: str) -> None:
        self.refused.append(reason)

    def lease_asked(self, result: str) -> None:
        self.leases.append(result)

    def clock_compared(self, ahead_s: float) -> None:
        self.ahead_s.append(ahead_s)

    def monotonic(self) -> float:
        return self.at

    def gets(self) -> int:
        """How often the shared store was asked for facts."""
        return sum(operation == "get" for operation, _ in self.asked)


class Replica:
    """One of a fleet. keys: of the fleet, the one that signs first. now: its wall clock.

    is_cluster: url is that of one of its servers. how: it reaches the store, as for StoreClients.
    """

    def __init__(
        self,
        url: str,
        prefix: str,
        *,
        keys: tuple[bytes, ...] = (KEY_BYTES,),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        max_entries: int = 100,
        max_bytes: int = 1 << 24,
        most_of_a_host: int = 100,
        lease: timedelta = timedelta(seconds=10),
        name: str = "",
        deadline_s: float = 5.0,
        is_cluster: bool = False,
        connection_type: type[StoreConnection] = StoreConnection,
        **how: Any,
    ) -> None:
        self.observed = Observed()
        clients = StoreClients(url, deadline_s=deadline_s, **how)
        # The hands of tests. Of a cluster they find the servers by the library's own client.
        self.client: Any = clients.of_server()
        self.connection: Store = connection_type(
            self.client,
            observer=self.observed,
            clock=self.observed.monotonic,
            deadline_s=deadline_s,
        )
        if is_cluster:
            seed = address_of(url)
            self.client = redis.asyncio.RedisCluster(host=seed.host, port=seed.port)
            self.connection = ClusterConnection(
                [seed],
                clients.of_server,
                observer=self.observed,
                clock=self.observed.monotonic,
                deadline_s=deadline_s,
                is_permitted=how.get("is_permitted", lambda _host: True),
            )
        self.keyspace = Keyspace(prefix)
        self.records = Records(FleetKey(keys), self.observed)
        self.shared = SharedFactsStore(
            self.connection,
            keyspace=self.keyspace,
            records=self.records,
            lifetime=timedelta(hours=2),
            replica=name or str(id(self)),
            most_of_a_host=most_of_a_host,
        )
        self.leases = SharedLeases(
            self.connection,
            keyspace=self.keyspace,
            records=self.records,
            tokens=LeaseTokens(FleetKey(keys), now=now, longest=timedelta(seconds=80)),
            length=lease,
        )
        self.memory = MemoryFactsStore(max_entries=max_entries, max_bytes=max_bytes)
        self.store = TieredFactsStore(
            self.memory,
            self.shared,
            digest=lambda key: self.keyspace.names(key).digest,
            monotonic=self.observed.monotonic,
            max_entries=4 * max_entries,
        )
        self.discarded: list[tuple[str, int]] = []
        self.missed = 0
        # Of whoever measures.
        self.outdate: Callable[[Collection[tuple[str, int]] | None], None] = lambda _: None
        self.notices = Notices(
            self.connection,
            keyspace=self.keyspace,
            memory=self.store,
            discarded=self._take_discarded,
            now=now,
            observer=self.observed,
            replica=name or str(id(self)),
        )

    async def close(self) -> None:
        await self.connection.close()
        await self.client.aclose()

    def _take_discarded(self, endpoints: Collection[tuple[str, int]] | None) -> None:
        self.outdate(endpoints)
        if endpoints is None:
            self.missed += 1
        else:
            self.discarded += sorted(endpoints)
