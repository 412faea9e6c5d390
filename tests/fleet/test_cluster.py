"""What a cluster does while it changes: servers that die or stand still, slots that move."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from random import Random
from time import monotonic
from typing import Any

import pytest

from otpc_policy.check import FactsKey, Lease, StoreUnavailable
from otpc_policy.fleet.scripts import GET
from otpc_policy.fleet.slot_map import slot_of
from tests.fleet.conftest import MakeReplica
from tests.fleet.world import KEY, Replica, facts, until
from tests.support.valkey import Valkey, ValkeyCluster, lonely_cluster, valkey_cluster

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("cluster")]

# A failover of these clusters takes a second and a half, and the rest of a server a second more.
FAILOVER_S = 6.0


@pytest.fixture
def cluster() -> Iterator[ValkeyCluster]:
    with valkey_cluster("--cluster-require-full-coverage", "no") as running:
        yield running


def keys_of_all(one: Replica, cluster: ValkeyCluster) -> dict[Valkey, FactsKey]:
    """Return a key for each primary that has it."""
    found: dict[Valkey, FactsKey] = {}
    for number in range(200):
        key = KEY._replace(host=f"p{number}.test", server_name=f"p{number}.test")
        found.setdefault(cluster.primary_of(one.keyspace.names(key).facts), key)
        if len(found) == 3:
            return found
    raise AssertionError


async def store(one: Replica, key: FactsKey, number: int) -> None:
    lease = await one.leases.acquire(key, new_enough_s=0)
    assert isinstance(lease, Lease)
    await one.store.put(key, facts(number), lease=lease)
    await one.leases.release(key, lease)


async def answers(ask: Callable[[], Awaitable[Any]]) -> bool:
    try:
        await ask()
    except StoreUnavailable:
        return False
    return True


async def soon(ask: Callable[[], Awaitable[Any]]) -> None:
    """Return once the store answers; fail where it takes longer than a failover."""
    async with asyncio.timeout(FAILOVER_S):
        while not await answers(ask):  # noqa: ASYNC110  # what it waits for is other processes'
            await asyncio.sleep(0.05)


def live(replica: MakeReplica, url: str, **options: Any) -> Replica:
    """A replica with the deadline and the clock of a real one."""
    one = replica(url, is_cluster=True, deadline_s=0.25, **options)
    one.connection._monotonic = asyncio.get_running_loop().time  # type: ignore[attr-defined]
    return one


async def test_a_server_that_dies_costs_its_own_slots_until_it_is_replaced(
    replica: MakeReplica, cluster: ValkeyCluster
) -> None:
    one = live(replica, cluster.url)
    of_server = keys_of_all(one, cluster)
    for number, key in enumerate(of_server.values()):
        await store(one, key, number)
    following = asyncio.create_task(one.notices.run())
    await until(lambda: one.missed == 1)
    # The one by which the cluster was found, too.
    dead = cluster.servers[0]
    dead.kill()
    lost = of_server.pop(dead)
    # Whoever begins now has compared the clocks of those that live, and uses them.
    late = live(replica, cluster.servers[1].url)
    late.connection.use_not("its clock has not been compared yet")
    with pytest.raises(StoreUnavailable, match="a part"):
        await late.notices.follow()
    for key in of_server.values():
        assert (await late.shared.get_many([key]))[0] is not None
    began, refused = monotonic(), 0
    while not await answers(lambda: one.shared.get_many([lost])):
        refused += 1
        for key in of_server.values():
            (found,) = await one.shared.get_many([key])
            assert found is not None
        assert monotonic() - began < FAILOVER_S
        await asyncio.sleep(0.05)
    assert refused
    # Nothing that was confirmed a while before is lost, and it is known that something may be.
    assert (await one.shared.get_many([lost]))[0] is not None
    await until(lambda: one.missed == 2)
    assert one.observed.available == [True, False, True]
    assert one.connection.failure == ""
    following.cancel()


async def test_a_server_that_stands_still_holds_nobody_else_up(
    replica: MakeReplica, cluster: ValkeyCluster
) -> None:
    one = live(replica, cluster.url)
    of_server = keys_of_all(one, cluster)
    for number, key in enumerate(of_server.values()):
        await store(one, key, number)
    still = cluster.servers[1]
    lost = of_server.pop(still)
    still.stop()
    try:
        longest_s = 0.0
        for _ in range(40):
            began = monotonic()
            asked = [one.shared.get_many([key]) for key in of_server.values()]
            assert all(found is not None for (found,) in await asyncio.gather(*asked))
            longest_s = max(longest_s, monotonic() - began)
            waiting = asyncio.create_task(answers(lambda: one.shared.get_many([lost])))
            await asyncio.sleep(0.02)
            await waiting
        assert longest_s < 0.25
    finally:
        still.go_on()
    await soon(lambda: one.shared.get_many([lost]))


async def test_whoever_begins_finds_the_cluster_by_any_server_that_lives(
    replica: MakeReplica, cluster: ValkeyCluster
) -> None:
    from otpc_policy.fleet.clients import StoreClients, address_of
    from otpc_policy.fleet.cluster import ClusterConnection

    dead, living = cluster.servers[0], cluster.servers[4]
    dead.kill()
    one = live(replica, living.url)
    connection = ClusterConnection(
        [address_of(dead.url), address_of(living.url)],
        StoreClients(living.url, deadline_s=0.25).of_server,
        observer=one.observed,
        deadline_s=0.25,
    )
    try:
        await soon(lambda: connection.run(GET, ("{a}1", "{a}2"), 1))
    finally:
        await connection.close()


async def test_slots_that_move_take_what_they_hold_with_them(
    replica: MakeReplica, cluster: ValkeyCluster
) -> None:
    one = live(replica, cluster.url)
    source, target = cluster.servers[:2]
    key = keys_of_all(one, cluster)[source]
    await store(one, key, 1)
    await one.notices.follow()
    slot = str(slot_of(one.keyspace.names(key).facts))
    ids = [each.ask("CLUSTER", "MYID").split(b"\r\n")[1].decode() for each in (source, target)]
    target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
    source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
    held = source.ask("CLUSTER", "GETKEYSINSLOT", slot, "100").split(b"\r\n")[2::2]
    names = [name.decode() for name in held]
    where = ("127.0.0.1", str(target.port))
    # Half of what a script needs is on its way: nobody can run it for a moment.
    assert source.ask("MIGRATE", *where, names[0], "0", "5000") == b"+OK\r\n"
    with pytest.raises(StoreUnavailable, match="moving"):
        await one.leases.acquire(key, new_enough_s=0)
    assert one.observed.available == [True]
    others = ("MIGRATE", *where, "", "0", "5000", "KEYS", *names[1:])
    assert source.ask(*others) == b"+OK\r\n"
    # All of it is at the target, to which the source leads.
    assert await one.shared.get_many([key]) == [facts(1)]
    for each in (target, source):
        assert each.ask("CLUSTER", "SETSLOT", slot, "NODE", ids[1]) == b"+OK\r\n"
    assert await one.shared.get_many([key]) == [facts(1)]
    assert await one.notices.follow() is True, "no notice was missed on the way"
    await store(one, key, 2)
    assert await one.shared.get_many([key]) == [facts(2)]
    assert one.observed.available == [True]
    assert one.missed == 1, "the beginning"


async def test_a_primary_that_comes_back_empty_is_noticed(replica: MakeReplica) -> None:
    """As one without replicas does whose supervisor starts it at once."""
    with lonely_cluster() as server:
        one = live(replica, server.url)
        await store(one, KEY, 1)
        await one.notices.follow()
        assert await one.store.get_many([KEY]) == [facts(1)]
        server.ask("FLUSHALL")
        assert await one.notices.follow() is False
        await one.notices.follow()
        assert await one.store.get_many([KEY]) == [None]


class Load:
    """Replicas that measure, answer and invalidate without end, and what may be answered when.

    stale: answers that are older than they may be, for people.
    """

    # After which a key is asked about again where notices cannot be read, and a second and a half.
    ASKED_AGAIN_S = 6.5

    def __init__(self, replicas: list[Replica], keys: list[FactsKey]) -> None:
        self.replicas, self.keys = replicas, keys
        self.lost_from_s = self.lost_until_s = float("inf")
        # Keys whose server does not answer: of them memory answers whatever it has.
        self.unanswered: set[FactsKey] = set()
        self.stale: list[str] = []
        self.reads = 0
        # By key, for each operation whether the store did it.
        self.done: dict[FactsKey, list[bool]] = {key: [] for key in keys}
        self._number = 0
        # By key: from when on no answer may be older than that of a number.
        self._least: dict[FactsKey, list[tuple[float, int]]] = {key: [] for key in keys}
        # By place of a replica: when it began to read the notices that it has read last.
        self._read_at = [0.0] * len(replicas)
        for at in range(len(replicas)):
            self._watch(at)

    def _watch(self, at: int) -> None:
        notices = self.replicas[at].notices
        follow = notices.follow

        async def watched() -> bool:
            began = monotonic()
            is_whole = await follow()
            if is_whole:
                self._read_at[at] = began
            return is_whole

        notices.follow = watched  # type: ignore[method-assign]

    async def measure(self, one: Replica, random: Random) -> None:
        while True:
            await asyncio.sleep(0.02)
            key = random.choice(self.keys)
            try:
                lease = await one.leases.acquire(key, new_enough_s=0)
                if not isinstance(lease, Lease):
                    continue
                self._number += 1
                number = self._number
                kept = await one.shared.put_if_current(key, facts(number), lease)
                if kept:
                    self._least[key].append((monotonic(), number))
                await one.leases.release(key, lease)
            except StoreUnavailable:
                self.done[key].append(False)
            else:
                self.done[key].append(True)

    async def invalidate(self, one: Replica, random: Random) -> None:
        while True:
            await asyncio.sleep(0.2)
            key, before = random.choice(self.keys), self._number
            try:
                await one.store.discard_endpoint(key.host, 0)
            except StoreUnavailable:
                self.done[key].append(False)
            else:
                self.done[key].append(True)
                self._least[key].append((monotonic(), before + 1))

    async def answer(self, at: int, random: Random) -> None:
        one = self.replicas[at]
        while True:
            await asyncio.sleep(0.005)
            key = random.choice(self.keys)
            # All that was confirmed before is known, or too old to be believed without asking.
            known_s = monotonic() - self.ASKED_AGAIN_S
            if one.store._is_following:
                known_s = max(known_s, self._read_at[at])
            (found,) = await one.store.get_many([key])
            self.reads += 1
            if found is None or key in self.unanswered:
                continue
            number = (found.facts.observed_at - facts().facts.observed_at).total_seconds()
            for confirmed_s, least in self._least[key]:
                is_lost = self.lost_from_s <= confirmed_s <= self.lost_until_s
                if number < least and confirmed_s < known_s and not is_lost:
                    late_s = known_s - confirmed_s
                    self.stale.append(f"{key.host}: {number} < {least}, {late_s:.2f} s")

    async def run(self, seconds: float) -> None:
        """Raises what any of it raises."""
        async with asyncio.timeout(seconds):
            await asyncio.gather(*self._all())

    def _all(self) -> Iterator[Awaitable[None]]:
        for at, one in enumerate(self.replicas):
            yield one.notices.run()
            yield self.measure(one, Random(10 * at))
            yield self.invalidate(one, Random(10 * at + 1))
            yield self.answer(at, Random(10 * at + 2))


async def test_a_primary_that_dies_under_load_costs_no_answer_and_no_invalidation(
    replica: MakeReplica, cluster: ValkeyCluster
) -> None:
    replicas = [live(replica, cluster.url, max_entries=1_000) for _ in range(3)]
    for one in replicas:
        await one.notices.follow()
    names = [f"p{number}.test" for number in range(40)]
    keys = [KEY._replace(host=name, server_name=name) for name in names]
    dead = cluster.servers[1]
    lost = [
        key for key in keys if cluster.primary_of(replicas[0].keyspace.names(key).facts) is dead
    ]
    assert 0 < len(lost) < len(keys)
    load = Load(replicas, keys)

    async def events() -> None:
        await asyncio.sleep(3)
        # What it has confirmed just before may not have reached its replica.
        load.lost_from_s = monotonic() - 0.5
        load.unanswered.update(lost)
        dead.kill()
        load.lost_until_s = monotonic()
        await until(lambda: not all(one.store._is_following for one in replicas))
        await until(lambda: all(one.store._is_following for one in replicas))
        load.unanswered.clear()
        print(f"notices are read again after {monotonic() - load.lost_until_s:.1f} s")

    with pytest.raises(TimeoutError):
        await asyncio.gather(load.run(14), events())
    assert load.stale == []
    assert load.reads > 1_000
    of_dead = [done for key in lost for done in load.done[key]]
    of_living = [done for key in keys if key not in lost for done in load.done[key]]
    print(f"{of_dead.count(False)} of {len(of_dead)} failed, and of the others")
    print(f"{of_living.count(False)} of {len(of_living)}; {load.reads} answers")
    assert of_dead.count(False)
    # A busy machine may be late for one now and then.
    assert of_living.count(False) <= len(of_living) / 50
    assert all(one.observed.available == [True, False, True] for one in replicas)
