"""When names are due. Every schedule keeps one contract."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from otpc_policy.fleet.keys import Keyspace
from otpc_policy.fleet.schedule import CLAIM_S, FORGET_S, InMemorySchedule, Schedule
from otpc_policy.fleet.shared_schedule import ScheduleWithFallback, SharedSchedule
from tests.fleet.conftest import MakeReplica
from tests.support.valkey import Valkey


class ScheduleContract:
    """Derive, and set schedule, and wait (moves its clock by seconds)."""

    schedule: Schedule
    wait: Callable[[float], None]

    async def claimed(self, most: int = 100) -> Sequence[str]:
        return (await self.schedule.claim(most)).names

    async def test_what_is_new_is_due_when_it_is_said_to_be(self) -> None:
        await self.schedule.keep({"a": 20.0, "b": 10.0, "c": 0.0})
        assert await self.claimed() == ["c"]
        self.wait(10.5)
        assert await self.claimed() == ["b"]
        self.wait(10.0)
        assert sorted(await self.claimed()) == ["a", "c"]

    async def test_what_is_known_stays_as_it_is(self) -> None:
        await self.schedule.keep({"a": 100.0})
        await self.schedule.keep({"a": 0.0, "b": 0.0})
        assert await self.claimed() == ["b"]

    async def test_the_most_overdue_come_first_and_no_more_than_was_asked_for(self) -> None:
        await self.schedule.keep({"a": 3.0, "b": 1.0, "c": 2.0, "d": 900.0})
        self.wait(10.0)
        first = await self.schedule.claim(2)
        assert (list(first.names), round(first.behind_s)) == (["b", "c"], 7)
        second = await self.schedule.claim(2)
        assert (list(second.names), second.behind_s) == (["a"], 0)

    async def test_asking_for_nothing_says_how_far_it_is_behind(self) -> None:
        await self.schedule.keep({"a": 1.0})
        self.wait(5.0)
        claimed = await self.schedule.claim(0)
        assert (list(claimed.names), round(claimed.behind_s)) == ([], 4)

    async def test_what_was_claimed_comes_back_unless_somebody_says_when_it_is_due(self) -> None:
        await self.schedule.keep({"a": 0.0, "b": 0.0})
        assert sorted(await self.claimed()) == ["a", "b"]
        assert await self.claimed() == []
        await self.schedule.due_in({"a": 500.0})
        self.wait(CLAIM_S + 0.5)
        assert await self.claimed() == ["b"]

    async def test_of_many_who_claim_each_name_has_one(self) -> None:
        await self.schedule.keep({f"n{number}": 0.0 for number in range(50)})
        claimed = await asyncio.gather(*(self.schedule.claim(7) for _ in range(10)))
        names = [name for each in claimed for name in each.names]
        assert len(names) == len(set(names)) == 50

    async def test_sooner_is_never_later(self) -> None:
        await self.schedule.keep({"a": 50.0, "b": 50.0})
        await self.schedule.sooner({"a": 10.0, "b": 100.0})
        due = await self.schedule.due(["a", "b"])
        assert {name: round(seconds) for name, seconds in due.items()} == {"a": 10, "b": 50}

    async def test_what_is_not_known_stays_so(self) -> None:
        await self.schedule.due_in({"a": 0.0})
        await self.schedule.sooner({"a": 0.0})
        assert await self.claimed() == []
        assert await self.schedule.due(["a"]) == {}

    async def test_what_was_dropped_is_not_due(self) -> None:
        await self.schedule.keep({"a": 0.0, "b": 0.0})
        await self.schedule.drop(["a", "never"])
        assert await self.claimed() == ["b"]
        assert set(await self.schedule.due(["a", "b"])) == {"b"}

    async def test_what_nobody_keeps_any_more_is_forgotten(self) -> None:
        await self.schedule.keep({"a": 0.0, "b": 0.0})
        self.wait(FORGET_S - 10)
        await self.schedule.keep({"b": 0.0})
        self.wait(20)
        assert await self.claimed() == ["b"]
        assert set(await self.schedule.due(["a", "b"])) == {"b"}

    async def test_nothing_is_nothing(self) -> None:
        await self.schedule.keep({})
        await self.schedule.due_in({})
        await self.schedule.sooner({})
        await self.schedule.drop([])
        assert await self.schedule.due([]) == {}
        assert await self.claimed() == []

    async def test_thousands_are_kept_at_once(self) -> None:
        names = {f"p{number}.partner.example:443": 1_000.0 for number in range(3_000)}
        await self.schedule.keep(names)
        assert len(await self.schedule.due(list(names))) == 3_000
        await self.schedule.due_in(dict.fromkeys(names, 0.0))
        assert len(await self.claimed(3_000)) == 3_000
        await self.schedule.drop(list(names))
        assert await self.schedule.due(list(names)) == {}


class TestInMemory(ScheduleContract):
    """Of one process."""

    @pytest.fixture(autouse=True)
    def _set_up(self) -> None:
        self.at_s = 5.0
        self.schedule = InMemorySchedule(lambda: self.at_s)

    def wait(self, seconds: float) -> None:
        self.at_s += seconds

    async def test_years_of_renewals_leave_nothing_behind(self) -> None:
        await self.schedule.keep({"a": 0.0})
        for _ in range(5_000):
            await self.schedule.due_in({"a": 100.0})
        assert len(self.schedule._heap) < 200  # type: ignore[attr-defined]


class TestShared(ScheduleContract):
    """In the store, by its clock, which the test moves."""

    @pytest.fixture(autouse=True)
    def _set_up(self, replica: MakeReplica) -> None:
        self.moved_s = 0.0
        first = replica()
        self.schedule = SharedSchedule(
            first.connection, keyspace=first.keyspace, move_s=lambda: self.moved_s
        )

    def wait(self, seconds: float) -> None:
        self.moved_s += seconds

    async def test_replicas_have_one_schedule_and_other_fleets_have_another(
        self, replica: MakeReplica
    ) -> None:
        await self.schedule.keep({"a": 0.0})
        second, stranger = replica(), replica(prefix="test-stranger")
        strange = SharedSchedule(stranger.connection, keyspace=stranger.keyspace)
        assert (await strange.claim(5)).names == []
        other = SharedSchedule(second.connection, keyspace=second.keyspace)
        assert (await other.claim(5)).names == ["a"]
        assert await self.claimed() == []

    async def test_replicas_that_would_measure_otherwise_have_schedules_of_their_own(self) -> None:
        assert Keyspace("p").watch != Keyspace("p", measured_as=str).watch
        assert Keyspace("p").watch != Keyspace("p", watched_from="us-east").watch
        assert Keyspace("p").watch == Keyspace("p").watch

    async def test_names_that_nobody_keeps_are_cleared_away(
        self, replica: MakeReplica, server: Valkey
    ) -> None:
        due, _ = replica().keyspace.watch
        for number in range(250):
            server.ask("ZADD", due, "0", f"written by somebody {number}")
        assert [await self.claimed(10) for _ in range(3)] == [[], [], []]
        assert server.ask("ZCARD", due) == b":0\r\n"

    async def test_it_does_not_outlive_the_replicas_by_more_than_a_day(
        self, replica: MakeReplica, server: Valkey
    ) -> None:
        await self.schedule.keep({"a": 0.0})
        for key in replica().keyspace.watch:
            assert 0 < int(server.ask("PTTL", key)[1:].strip()) <= 86_400_000


class TestFallback:
    """While the store cannot be asked, a replica goes on by itself."""

    async def test_it_goes_on_from_what_it_has_seen_last(self, replica: MakeReplica) -> None:
        at_s = 0.0
        one = replica()
        shared = SharedSchedule(one.connection, keyspace=one.keyspace)
        schedule = ScheduleWithFallback(shared, InMemorySchedule(lambda: at_s))
        await schedule.keep({"a": 0.0, "b": 0.0, "c": 0.0})
        assert sorted((await schedule.claim(5)).names) == ["a", "b", "c"]
        await schedule.due_in({"a": 100.0})
        # Another replica has seen to these.
        await shared.due_in({"b": 200.0, "c": 300.0})
        await schedule.due(["a", "b", "c"])
        one.connection.use_not("of this test")
        assert (await schedule.claim(5)).names == []
        at_s = 250.0
        assert (await schedule.claim(5)).names == ["a", "b"]
        await schedule.due_in({"a": 1_000.0})
        await schedule.sooner({"c": 0.0})
        await schedule.keep({"d": 0.0})
        await schedule.drop(["b"])
        assert sorted((await schedule.claim(5)).names) == ["c", "d"]
        assert set(await schedule.due(["a", "b", "c", "d"])) == {"a", "c", "d"}
        one.connection.use_not("")
        assert (await schedule.claim(5)).names == ["d"]
        assert (await schedule.claim(5)).names == []

    async def test_what_the_store_could_not_be_told_at_the_start_it_is_told_later(
        self, replica: MakeReplica
    ) -> None:
        one = replica()
        shared = SharedSchedule(one.connection, keyspace=one.keyspace)
        schedule = ScheduleWithFallback(shared, InMemorySchedule(lambda: 0.0))
        one.connection.use_not("of this test")
        await schedule.keep({"a": 0.0, "b": 0.0, "c": 500.0})
        await schedule.drop(["b"])
        one.connection.use_not("")
        assert (await schedule.claim(5)).names == ["a"]
        assert set(await shared.due(["a", "b", "c"])) == {"a", "c"}
