"""The shared store keeps the contract of every store, and believes nothing but its own fleet."""

import dataclasses
import zlib

import pytest

from otpc_policy.check import FactsStore, Lease, StoredFacts
from otpc_policy.fleet.records import MOST_RECORD_BYTES, place_of
from otpc_policy.fleet.signing import FleetKey
from tests.fleet.conftest import MakeReplica
from tests.fleet.world import KEY, KEY_BYTES, facts
from tests.store.contract import StoreContract
from tests.support.valkey import Valkey

OTHER_KEY = bytes(32)


class TestSharedStore(StoreContract):
    @pytest.fixture(autouse=True)
    def _make(self, replica: MakeReplica) -> None:
        self._replica = replica
        self._count = 0

    def store(self, *, max_entries: int = 100) -> FactsStore:
        self._count += 1
        return self._replica(prefix=f"{id(self)}-{self._count}", most_of_a_host=max_entries).shared


class TestTieredStore(StoreContract):
    @pytest.fixture(autouse=True)
    def _make(self, replica: MakeReplica) -> None:
        self._replica = replica
        self._count = 0

    def store(self, *, max_entries: int = 100) -> FactsStore:
        self._count += 1
        made = self._replica(prefix=f"{id(self)}-{self._count}", max_entries=max_entries)
        return made.store


async def test_replicas_read_each_other(replica: MakeReplica) -> None:
    await replica().shared.put(KEY, facts())
    assert await replica().shared.get_many([KEY]) == [facts()]


async def test_two_fleets_share_a_server_by_their_prefixes(replica: MakeReplica) -> None:
    await replica(prefix="one").shared.put(KEY, facts())
    assert await replica(prefix="two").shared.get_many([KEY]) == [None]


async def test_what_another_key_has_signed_is_nothing(replica: MakeReplica) -> None:
    await replica(keys=(OTHER_KEY,)).shared.put(KEY, facts())
    reader = replica()
    assert await reader.shared.get_many([KEY]) == [None]
    assert reader.observed.refused == ["signature"]


async def test_a_new_key_is_put_first_and_the_old_one_still_reads(replica: MakeReplica) -> None:
    old, new = replica(keys=(OTHER_KEY,)), replica(keys=(KEY_BYTES, OTHER_KEY))
    await old.shared.put(KEY, facts())
    assert await new.shared.get_many([KEY]) == [facts()]
    await new.shared.put(KEY, facts(1))
    assert await replica(keys=(KEY_BYTES,)).shared.get_many([KEY]) == [facts(1)]


async def test_a_record_that_was_moved_or_changed_is_nothing(replica: MakeReplica) -> None:
    writer, reader = replica(), replica()
    await writer.shared.put(KEY, facts())
    here = writer.keyspace.names(KEY).facts
    record = await writer.client.hget(here, "v")
    assert isinstance(record, bytes)
    moved = KEY._replace(server_name="b.test")
    await writer.shared.put(moved, facts())
    await writer.client.hset(writer.keyspace.names(moved).facts, "v", record)
    assert await reader.shared.get_many([moved]) == [None]
    for at in (0, 31, 32, 100, len(record) - 1):
        changed = bytearray(record)
        changed[at] ^= 1
        await writer.client.hset(here, "v", bytes(changed))
        assert await reader.shared.get_many([KEY]) == [None]
    for cut in (0, 1, 32, 96, 97, len(record) - 1):
        await writer.client.hset(here, "v", record[:cut])
        assert await reader.shared.get_many([KEY]) == [None]
    assert set(reader.observed.refused) == {"signature", "oversize"}


async def test_signed_content_that_is_not_facts_is_nothing(replica: MakeReplica) -> None:
    writer, reader = replica(), replica()
    await writer.shared.put(KEY, facts())
    for content in (
        b"",
        b"0" * 64,
        b"0" * 64 + zlib.compress(b"{}"),
        b"0" * 64 + zlib.compress(b" " * 2**23),
        b"\xff" * 64 + zlib.compress(b"\xff"),
    ):
        record = FleetKey([KEY_BYTES]).seal(content, place=place_of(KEY))
        await writer.client.hset(writer.keyspace.names(KEY).facts, "v", record)
        assert await reader.shared.get_many([KEY]) == [None]
    assert reader.observed.refused == ["malformed"] * 5


async def test_facts_of_another_place_are_nothing_though_the_fleet_has_signed_them(
    replica: MakeReplica,
) -> None:
    writer, reader = replica(), replica()
    measured = facts().facts
    here = StoredFacts.of(dataclasses.replace(measured, perspective=KEY.perspective))
    there = StoredFacts.of(dataclasses.replace(measured, perspective="elsewhere"))
    await writer.shared.put(KEY, here)
    assert await reader.shared.get_many([KEY]) == [here]
    elsewhere = KEY._replace(host="other.test")
    await writer.shared.put(elsewhere, there)
    assert await reader.shared.get_many([elsewhere]) == [None]
    assert reader.observed.refused == ["malformed"]


async def test_a_record_too_large_is_not_even_fetched(replica: MakeReplica, server: Valkey) -> None:
    writer, reader = replica(), replica()
    name = writer.keyspace.names(KEY).facts
    await writer.shared.put(KEY, facts())
    await writer.client.hset(name, "v", bytes(MOST_RECORD_BYTES + 1))
    assert await reader.shared.get_many([KEY]) == [None]
    assert reader.observed.refused == ["oversize"]


async def test_facts_of_a_lease_that_was_overtaken_are_not_kept(replica: MakeReplica) -> None:
    one = replica()
    first = await one.leases.acquire(KEY, new_enough_s=0)
    assert isinstance(first, Lease)
    await one.leases.release(KEY, first)
    second = await one.leases.acquire(KEY, new_enough_s=0)
    assert isinstance(second, Lease)
    assert await one.shared.put_if_current(KEY, facts(1), first) is False
    assert await one.shared.get_many([KEY]) == [None]
    assert await one.shared.put_if_current(KEY, facts(), second) is True
    assert await one.shared.get_many([KEY]) == [facts()]


async def test_facts_measured_before_an_invalidation_are_not_kept(replica: MakeReplica) -> None:
    measuring, invalidating = replica(), replica()
    lease = await measuring.leases.acquire(KEY, new_enough_s=0)
    assert isinstance(lease, Lease)
    await invalidating.shared.discard_endpoint(KEY.host, 0)
    assert await measuring.shared.put_if_current(KEY, facts(), lease) is False
    await measuring.leases.release(KEY, lease)
    again = await measuring.leases.acquire(KEY, new_enough_s=0)
    assert isinstance(again, Lease)
    assert await measuring.shared.put_if_current(KEY, facts(), again) is True


async def test_records_end_by_themselves(replica: MakeReplica) -> None:
    one = replica()
    await one.shared.put(KEY, facts())
    names = one.keyspace.names(KEY)
    for name in (names.facts, names.host.index):
        assert 7_190_000 < await one.client.pttl(name) <= 7_200_000
