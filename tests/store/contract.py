"""What every store of facts promises. A test module derives from StoreContract for each tier.

A tier passes if whoever checks cannot tell it from another one, but by its speed.
"""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from otpc_policy.check import FactsKey, FactsStore, FreshnessMode, ResultSource, StoredFacts
from otpc_policy.core.facts import Depth
from otpc_policy.policy.finding import Decision
from tests.check.world import SECOND, World, compliant, request, summary
from tests.store.fakes import FailingStore
from tests.support.facts import NOW

KEY = FactsKey(
    host="a.test",
    port=443,
    server_name="a.test",
    address="127.0.0.1",
    depth=Depth.STANDARD,
    probe_revision="1",
    perspective="default",
)
# Keys that a careless encoding could mistake for KEY, or for one another.
OTHERS: dict[str, dict[str, Any]] = {
    "host": {"host": "b.test"},
    "subdomain": {"host": "x.a.test"},
    "superdomain": {"host": "test"},
    "port": {"port": 4430},
    "server name": {"server_name": "b.test"},
    "address": {"address": "127.0.0.11"},
    "IPv6": {"address": "::1"},
    "depth": {"depth": Depth.DEEP},
    "probe revision": {"probe_revision": "11"},
    "perspective": {"perspective": "elsewhere"},
    "moved boundary": {"server_name": "a.tes", "address": "t127.0.0.1"},
}


def facts(at: timedelta = timedelta(), address: str = "127.0.0.1", **fields: Any) -> StoredFacts:
    """Facts observed at NOW plus at."""
    return StoredFacts.of(compliant(address, NOW + at, **fields))


class StoreContract:
    """Derive, and implement store()."""

    def store(self, *, max_entries: int = 100) -> FactsStore:
        """Return an empty store that keeps at most so many facts."""
        raise NotImplementedError

    async def test_what_was_put_comes_back_with_its_name(self) -> None:
        store, stored = self.store(), facts(remarks=("ünïcode \n",))
        assert await store.get_many([KEY]) == [None]
        await store.put(KEY, stored)
        (back,) = await store.get_many([KEY])
        assert back is not None
        assert (back.facts, back.facts_id) == (stored.facts, stored.facts_id)

    async def test_no_key_is_found_by_another(self) -> None:
        store = self.store()
        keys = [KEY, *(KEY._replace(**changed) for changed in OTHERS.values())]
        kept = [facts(address=f"192.0.2.{number}") for number in range(len(keys))]
        for key, stored in zip(keys, kept, strict=True):
            assert await store.get_many([key]) == [None]
            await store.put(key, stored)
        assert await store.get_many(keys) == kept

    async def test_the_answer_is_in_the_order_of_the_keys(self) -> None:
        store, stored = self.store(), facts()
        await store.put(KEY, stored)
        missing = KEY._replace(port=1)
        assert await store.get_many([missing, KEY, missing, KEY]) == [None, stored, None, stored]
        assert await store.get_many([]) == []

    async def test_newer_facts_replace_older_ones_and_never_the_reverse(self) -> None:
        store, older, newer = self.store(), facts(), facts(SECOND)
        await store.put(KEY, older)
        await store.put(KEY, newer)
        await store.put(KEY, older)
        assert await store.get_many([KEY]) == [newer]

    async def test_of_one_instant_the_last_facts_stay(self) -> None:
        store, last = self.store(), facts(remarks=("last",))
        await store.put(KEY, facts())
        await store.put(KEY, last)
        assert await store.get_many([KEY]) == [last]

    @pytest.mark.parametrize("age_days", [-1, 1, 4_000])
    async def test_facts_of_any_age_come_back_because_their_reader_decides_what_is_old(
        self, age_days: int
    ) -> None:
        store, stored = self.store(), facts(timedelta(days=-age_days))
        await store.put(KEY, stored)
        assert await store.get_many([KEY]) == [stored]

    async def test_however_much_is_put_the_bound_holds_and_the_last_is_there(self) -> None:
        store = self.store(max_entries=3)
        keys = [KEY._replace(port=port) for port in range(1, 21)]
        for number, key in enumerate(keys):
            await store.put(key, facts(number * SECOND))
        found = await store.get_many(keys)
        assert 0 < sum(stored is not None for stored in found) <= 3
        assert found[-1] == facts(19 * SECOND)

    async def test_discarding_forgets_one_key_and_may_be_repeated(self) -> None:
        store, other = self.store(), KEY._replace(port=1)
        for key in (KEY, other):
            await store.put(key, facts())
        await store.discard(KEY)
        await store.discard(KEY)
        assert await store.get_many([KEY, other]) == [None, facts()]

    async def test_an_endpoint_is_forgotten_whole_and_no_other_one(self) -> None:
        store = self.store()
        keys = [KEY, *(KEY._replace(**changed) for changed in OTHERS.values())]
        for key in keys:
            await store.put(key, facts())
        same_port = [key for key in keys if (key.host, key.port) == ("a.test", 443)]
        assert await store.discard_endpoint("a.test", 8443) == 0
        assert await store.discard_endpoint("a.test", 443) == len(same_port) == 8
        assert await store.discard_endpoint("a.test", 0) == 1
        assert await store.discard_endpoint("a.test", 0) == 0
        left = [key for key, stored in zip(keys, await store.get_many(keys), strict=True) if stored]
        assert [key.host for key in left] == ["b.test", "x.a.test", "test"]

    async def test_many_may_ask_at_once(self) -> None:
        store = self.store(max_entries=200)
        keys = [KEY._replace(port=port) for port in range(1, 101)]
        kept = [facts(number * SECOND) for number in range(100)]
        await asyncio.gather(*map(store.put, keys, kept))
        asked = [store.get_many([key, *keys[:2]]) for key in keys]
        answers = await asyncio.gather(*asked)
        assert [answer[0] for answer in answers] == kept
        assert all(answer[1:] == kept[:2] for answer in answers)

    async def test_a_check_is_measured_once_and_then_answered_from_the_store(self) -> None:
        world = World()
        checks = world.checks(self.store())
        first, second = await checks.check(), await checks.check()
        assert summary(first) == (Decision.ALLOW, ResultSource.MEASURED)
        assert summary(second) == (Decision.ALLOW, ResultSource.CACHE)
        assert second.facts() == first.facts()

    @pytest.mark.parametrize("fails", ["get_many", "put", "discard"])
    @pytest.mark.parametrize("mode", [FreshnessMode.CACHE_FIRST, FreshnessMode.REFRESH])
    async def test_a_check_survives_a_store_that_fails(
        self, fails: str, mode: FreshnessMode
    ) -> None:
        world, store = World(), FailingStore(self.store(), fails)
        checks = world.checks(store)
        for _ in range(2):
            assert summary(await checks.check(request(mode)))[0] is Decision.ALLOW
            world.at += 60 * SECOND
        world.error = RuntimeError("a bug")
        failed = await checks.check(request(FreshnessMode.REFRESH))
        assert summary(failed) == (Decision.INDETERMINATE, ResultSource.NONE)
        store.fails.clear()
        world.error = None
        assert summary(await checks.check(request(mode)))[0] is Decision.ALLOW
        assert summary(await checks.check()) == (Decision.ALLOW, ResultSource.CACHE)
