"""A store that is a cluster keeps every contract that one server keeps."""

import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from otpc_policy.fleet.shared_schedule import SharedSchedule
from tests.fleet.conftest import MakeReplica
from tests.fleet.test_facts import (  # noqa: F401  # run here over a cluster
    TestSharedStore,
    TestTieredStore,
    test_a_record_that_was_moved_or_changed_is_nothing,
    test_facts_measured_before_an_invalidation_are_not_kept,
    test_facts_of_a_lease_that_was_overtaken_are_not_kept,
    test_records_end_by_themselves,
    test_replicas_read_each_other,
)
from tests.fleet.test_leases import (  # noqa: F401
    TestSharedLeases,
    test_the_server_ends_a_lease_by_its_own_clock,
)
from tests.fleet.test_notices import (  # noqa: F401
    test_a_flood_of_notices_is_not_read_and_everything_is_asked_for_anew,
    test_a_replica_whose_clock_is_wrong_does_without_the_store,
    test_an_invalidation_reaches_every_memory_and_every_flight,
    test_memory_answers_until_a_notice_says_otherwise,
)
from tests.fleet.test_races import (  # noqa: F401
    test_an_invalidation_needs_no_index,
    test_counters_that_the_store_has_lost_do_not_begin_anew,
    test_notices_that_the_store_has_lost_are_noticed,
)
from tests.fleet.test_schedule import ScheduleContract
from tests.fleet.world import Replica
from tests.support.valkey import ValkeyCluster, valkey_cluster

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("cluster")]


@pytest.fixture(scope="module")
def cluster() -> Iterator[ValkeyCluster]:
    with valkey_cluster() as running:
        yield running


@pytest.fixture
async def replica(cluster: ValkeyCluster) -> AsyncIterator[MakeReplica]:
    made: list[Replica] = []
    of_test = f"test-{uuid.uuid4().hex}"

    def make(**options: Any) -> Replica:
        prefix = options.pop("prefix", of_test)
        made.append(Replica(cluster.url, prefix, is_cluster=True, **options))
        return made[-1]

    yield make
    for one in made:
        await one.close()


class TestSharedSchedule(ScheduleContract):
    @pytest.fixture(autouse=True)
    def _set_up(self, replica: MakeReplica) -> None:
        self.moved_s = 0.0
        first = replica()
        self.schedule = SharedSchedule(
            first.connection, keyspace=first.keyspace, move_s=lambda: self.moved_s
        )

    def wait(self, seconds: float) -> None:
        self.moved_s += seconds
