"""Three replicas and a real store: each watched endpoint is measured by one of them, in time."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import pytest

from otpc_policy.fleet.schedule import InMemorySchedule
from otpc_policy.fleet.shared_schedule import ScheduleWithFallback, SharedSchedule
from tests.check.world import memory_store
from tests.fleet.conftest import MakeReplica
from tests.fleet.watching import Engines, Watcher, denied, ports, watch_for
from tests.support.valkey import Valkey


def three(engines: Engines, replica: MakeReplica, number: int) -> Sequence[Watcher]:
    """Replicas that share facts, the schedule, and what is known of the last verdicts."""
    store = memory_store(10_000)
    expires_at: dict[str, datetime] = {}
    watchers = []
    for seed in range(3):
        one = replica(name=str(seed))
        shared = SharedSchedule(one.connection, keyspace=one.keyspace, move_s=lambda: engines.at_s)
        watchers.append(
            Watcher(
                engines,
                ports(number),
                store=store,
                schedule=ScheduleWithFallback(shared, InMemorySchedule(engines.monotonic)),
                expires_at=expires_at,
                seed=seed,
            )
        )
    return watchers


@pytest.mark.long
async def test_none_expires_within_an_hour_in_which_a_replica_dies(replica: MakeReplica) -> None:
    engines = Engines(takes_s=10.0)
    engines.found = dict.fromkeys(range(1_000, 1_200, 10), denied)
    first, second, dies = three(engines, replica, 200)

    async def none_has_expired() -> None:
        assert not first.expired()

    # The end is one of many: when it comes, the replica is measuring something.
    await watch_for(1_200, first, second, dies, step_s=2.0, also=none_has_expired)
    while not dies.list._running:
        await watch_for(6, first, second, dies, step_s=2.0, also=none_has_expired)
    await dies.close()
    await watch_for(2_400, first, second, step_s=2.0, also=none_has_expired)
    assert len(first.expires_at) == 200
    # As often as one replica alone would have measured.
    assert 500 < len(engines.begun) < 800
    assert Counter(port for _, port in engines.begun).keys() == set(range(1_000, 1_200))
    for watcher in (first, second):
        # Whoever measured, each knows.
        (together,) = watcher.table.partners()
        assert together.decisions == {"ALLOW": 180, "DENY": 20}
        await watcher.close()


async def test_what_a_replica_that_died_had_claimed_another_measures(replica: MakeReplica) -> None:
    engines = Engines(takes_s=1e6)
    first, second, dies = three(engines, replica, 3)
    await watch_for(2, dies)
    assert len(engines.begun) == 3
    await dies.close()
    engines.takes_s = 1.0
    await watch_for(10, first, second)
    assert len(engines.begun) == 3
    await watch_for(10, first, second)
    assert len(engines.begun) == 6
    await watch_for(60, first, second)
    assert len(engines.begun) == 6
    for watcher in (first, second):
        await watcher.close()


async def test_a_long_measurement_is_not_taken_over_while_its_replica_lives(
    replica: MakeReplica,
) -> None:
    engines = Engines(takes_s=60.0)
    first, second, third = three(engines, replica, 1)
    await watch_for(58, first, second, third)
    assert len(engines.begun) == 1
    for watcher in (first, second, third):
        await watcher.close()


async def test_without_the_store_each_goes_on_by_itself(replica: MakeReplica) -> None:
    engines = Engines()
    watchers = three(engines, replica, 5)
    await watch_for(60, *watchers)
    assert len(engines.begun) == 5
    for watcher in watchers:
        schedule = watcher.schedule
        assert isinstance(schedule, ScheduleWithFallback)
        schedule._shared._connection.use_not("of this test")  # type: ignore[attr-defined]
    # All of them measure, within the hour; what they share otherwise are facts and leases.
    await watch_for(3_600, *watchers, step_s=2.0)
    assert not watchers[0].expired()
    assert all(count >= 2 for count in Counter(port for _, port in engines.begun).values())
    for watcher in watchers:
        await watcher.close()


async def test_whoever_writes_into_the_schedule_has_nothing_else_measured_and_puts_nothing_off(
    replica: MakeReplica, server: Valkey
) -> None:
    engines = Engines()
    first, *others = three(engines, replica, 1)
    await watch_for(20, first)
    due, kept = replica().keyspace.watch
    for name in ("stranger.test:443", "\x00", "x" * 1_000):
        server.ask("ZADD", due, "0", name)
        server.ask("ZADD", kept, "9e15", name)
    server.ask("ZADD", due, "9e15", "partner.test:1000")

    async def none_has_expired() -> None:
        assert not first.expired()

    # Engines fail the test that are asked for another host.
    await watch_for(3_600, first, step_s=2.0, also=none_has_expired)
    assert {port for _, port in engines.begun} == {1_000}
    assert len(engines.begun) == 2
    for watcher in (first, *others):
        await watcher.close()


async def test_a_replica_that_starts_measures_nothing_that_is_not_due(replica: MakeReplica) -> None:
    engines = Engines()
    first, second, starts = three(engines, replica, 40)
    await watch_for(60, first, second)
    assert len(engines.begun) == 40
    await watch_for(300, starts)
    assert len(engines.begun) == 40
    assert starts.table.partners()[0].decisions == {"ALLOW": 40}
    for watcher in (first, second, starts):
        await watcher.close()
