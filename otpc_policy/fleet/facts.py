"""Facts that all replicas share. Satisfies check.FactsStore; every method asks the server."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from otpc_policy.check import FactsKey, Lease, StoredFacts, StoreUnavailable
from otpc_policy.fleet.keys import Keyspace
from otpc_policy.fleet.records import MOST_RECORD_BYTES, Records
from otpc_policy.fleet.scripts import DISCARD, DISCARD_HOST, GET, PUT
from otpc_policy.fleet.store import Store

# Ports, server names, addresses and depths of one name.
MOST_FACTS_OF_A_HOST: Final = 4_096
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class SharedFactsStore:
    """The newest facts under each key, as signed records.

    lifetime: how long a record is kept at most. Readers decide what is too old, so it is longer
    than any of them uses facts for. replica: this one's name, for its own notices.
    """

    def __init__(
        self,
        connection: Store,
        *,
        keyspace: Keyspace,
        records: Records,
        lifetime: timedelta,
        replica: str = "",
        most_of_a_host: int = MOST_FACTS_OF_A_HOST,
    ) -> None:
        self._connection = connection
        self._keyspace = keyspace
        self._records = records
        self._lifetime_ms = lifetime // timedelta(milliseconds=1)
        self._replica = replica
        self._most_of_a_host = most_of_a_host

    async def get_many(self, keys: Sequence[FactsKey]) -> Sequence[StoredFacts | None]:
        """Return the facts under each key; None where there are none that this fleet has signed."""
        by_shard: dict[str, list[FactsKey]] = defaultdict(list)
        for key in dict.fromkeys(keys):
            by_shard[self._keyspace.names(key).host.notices].append(key)
        answers = await asyncio.gather(*map(self._get, by_shard.values()))
        found = {key: stored for answer in answers for key, stored in answer}
        return [found[key] for key in keys]

    async def put(self, key: FactsKey, stored: StoredFacts, *, lease: Lease | None = None) -> None:
        """Keep facts, unless newer ones are there or the lease has been overtaken."""
        await self.put_if_current(key, stored, lease)

    async def put_if_current(self, key: FactsKey, stored: StoredFacts, lease: Lease | None) -> bool:
        """Do the same; tell whether they were kept.

        Raises StoreUnavailable also for facts too large to be shared. Older ones are forgotten in
        their place, since they are not so any more.
        """
        record = await self._records.write(key, stored)
        if record is None:
            await self._discard(key, stored.facts_id)
            raise StoreUnavailable("the facts are too large to be shared")
        names = self._keyspace.names(key)
        kept = await self._connection.run(
            PUT,
            (names.facts, names.fence, names.host.epoch, names.host.index, names.host.notices),
            record,
            (stored.facts.observed_at - _EPOCH) // timedelta(microseconds=1),
            self._lifetime_ms,
            names.member,
            names.host.stem,
            self._most_of_a_host,
            names.digest,
            stored.facts_id,
            "" if lease is None else lease.fence,
            "" if lease is None else lease.epoch,
        )
        return bool(kept)

    async def discard(self, key: FactsKey) -> None:
        """Forget the facts, if there are any."""
        await self._discard(key, "")

    async def _discard(self, key: FactsKey, replaced_by: str) -> None:
        names = self._keyspace.names(key)
        keys = (names.facts, names.host.index, names.host.notices)
        await self._connection.run(DISCARD, keys, names.member, names.digest, replaced_by)

    async def discard_endpoint(self, host: str, port: int) -> int:
        """Forget the facts of a host, of all ports for port 0, in every replica's memory too."""
        names = self._keyspace.host(host)
        keys = (names.index, names.epoch, names.notices)
        found = await self._connection.run(
            DISCARD_HOST, keys, names.stem, port, host, self._replica
        )
        return int(found)

    async def _get(self, keys: Sequence[FactsKey]) -> Sequence[tuple[FactsKey, StoredFacts | None]]:
        of_keys = [self._keyspace.names(key) for key in keys]
        names = [name for each in of_keys for name in (each.facts, each.host.epoch)]
        records = await self._connection.run(GET, names, MOST_RECORD_BYTES)
        return [
            (key, await self._records.read(key, record))
            for key, record in zip(keys, records, strict=True)
        ]
