"""When names are due. Every schedule keeps one contract."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from otpc_policy.fleet.schedule import CLAIM_S, FORGET_S, InMemorySchedule, Schedule


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
