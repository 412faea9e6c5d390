"""The pool: whom it asks, when it asks again, and what it never does twice."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from otpc_policy.core.addresses import Resolution
from otpc_policy.core.demand import Claim, Demand
from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.errors import CallerBudgetUsed, Overloaded
from otpc_policy.core.facts import AddressFacts, Depth, ResolutionFailure, ResolutionStatus
from otpc_policy.engines import pool as pool_module
from otpc_policy.engines.errors import EngineFailed, EngineHindered, EngineLost
from otpc_policy.engines.fake import FakeEngine, FakeFleet
from otpc_policy.engines.pool import EnginePool
from otpc_policy.engines.ports import EngineState, Report, Target, Terms
from otpc_policy.engines.rendezvous import ranked
from otpc_policy.measurement.engine_lied import EngineLied
from otpc_policy.measurement.revision import PROBE_REVISION
from tests.engine.serving import LOOPBACK, vetted
from tests.support.facts import make_address

HOST, ADDRESS = parse_endpoint("partner.test"), vetted("127.0.0.1")
STANDARD = HOST, ADDRESS, Depth.STANDARD


def answering(target: Target, _terms: Terms) -> Report:
    return Report(make_address(address=target.address.text, depth=target.depth))


def raising(error: Exception) -> Callable[[Target, Terms], Report]:
    def answer(_target: Target, _terms: Terms) -> Report:
        raise error

    return answer


def two_engines() -> tuple[FakeEngine, FakeEngine]:
    """Two engines, the one that ADDRESS names first."""
    both = [FakeEngine(name=name, answer=answering) for name in ("a", "b")]
    first, second = ranked(ADDRESS.text, both)
    return first, second


@asynccontextmanager
async def pool_of(
    *engines: FakeEngine, **settings: Any
) -> AsyncIterator[tuple[EnginePool, FakeFleet]]:
    fleet = FakeFleet(engines)
    chosen = {"queue_limit": 8, "scan_deadline_s": 20, "deep_deadline_s": 60, "dns_timeout_s": 5}
    pool = EnginePool(fleet, **{**chosen, **settings})
    await pool.start()
    try:
        yield pool, fleet
    finally:
        await pool.stop()
        assert not fleet.is_running


async def until(holds: Callable[[], bool]) -> None:
    """Let other tasks run until something holds."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0)


async def measuring(pool: EnginePool, *engines: FakeEngine) -> "asyncio.Task[AddressFacts]":
    """A measurement that has reached one of the engines."""
    task = asyncio.create_task(pool.measure(*STANDARD))
    await until(lambda: any(one.measured for one in engines))
    return task


async def test_the_address_says_which_engine_measures() -> None:
    first, second = two_engines()
    first.gate.set()
    async with pool_of(second, first) as (pool, _):
        facts = await pool.measure(*STANDARD)
    assert facts.address == ADDRESS.text
    assert (len(first.measured), len(second.measured)) == (1, 0)


async def test_an_engine_that_is_down_is_passed_over_and_comes_back() -> None:
    first, second = two_engines()
    first.gate.set()
    second.gate.set()
    first.is_up = False
    async with pool_of(first, second) as (pool, _):
        await pool.measure(*STANDARD)
        first.is_up = True
        await pool.measure(*STANDARD)
    assert (len(first.measured), len(second.measured)) == (1, 1)


async def test_what_an_engine_loses_is_measured_by_the_next_one() -> None:
    first, second = two_engines()
    second.gate.set()
    async with pool_of(first, second) as (pool, _):
        measurement = await measuring(pool, first)
        first.die()
        assert (await measurement).address == ADDRESS.text
    assert (len(first.measured), len(second.measured)) == (1, 1)


async def test_what_is_lost_twice_is_given_up() -> None:
    """A target that ends engines ends two of them for each caller, and no more."""
    first, second = two_engines()
    third = FakeEngine(name="c", answer=answering)
    async with pool_of(first, second, third) as (pool, _):
        measurement = await measuring(pool, first, second, third)
        while not measurement.done():
            for one in (first, second, third):
                if one.measured:
                    one.die()
            await asyncio.sleep(0.01)
        with pytest.raises(EngineLost):
            await measurement
    assert sum(len(one.measured) for one in (first, second, third)) == 2


async def test_the_only_engine_is_waited_for_when_it_is_started_again() -> None:
    only = FakeEngine(name="a", answer=answering)
    successor = FakeEngine(name="a", answer=answering)
    successor.gate.set()
    async with pool_of(only) as (pool, fleet):
        measurement = await measuring(pool, only)
        only.die()
        await asyncio.sleep(0.1)
        assert not measurement.done()
        fleet.engines = (successor,)
        fleet.changed()
        assert (await measurement).address == ADDRESS.text


async def test_the_second_try_goes_to_an_engine_that_answers() -> None:
    """One that a signal has stopped is up, for all that is known of it while it rests."""
    all_three = [FakeEngine(name=name, answer=answering) for name in ("a", "b", "c")]
    first, second, third = ranked(ADDRESS.text, all_three)
    second.is_silent = True
    third.gate.set()
    async with pool_of(first, second, third) as (pool, _):
        measurement = await measuring(pool, first)
        first.die()
        await measurement
    assert not second.measured


async def test_no_time_no_second_try() -> None:
    first, second = two_engines()
    async with pool_of(first, second, scan_deadline_s=1.0) as (pool, _):
        measurement = await measuring(pool, first)
        first.die()
        with pytest.raises(EngineFailed, match="no time is left"):
            await measurement
    assert not second.measured


async def test_the_second_try_gets_the_time_that_is_left() -> None:
    given: list[Terms] = []

    def noting(target: Target, terms: Terms) -> Report:
        given.append(terms)
        return answering(target, terms)

    first, second = two_engines()
    second.gate.set()
    second.answer = noting
    demands: dict[str, Any] = {
        "required_suites": lambda: ((0xC02F,),),
        "asks_groups": lambda: True,
    }
    async with pool_of(first, second, **demands) as (pool, _):
        measurement = await measuring(pool, first)
        first.die()
        await measurement
    (terms,) = given
    assert terms.asks_groups
    assert 15 < terms.scan_deadline_s < 20
    assert (terms.deep_deadline_s, terms.required_suites) == (60, ((0xC02F,),))


@pytest.mark.parametrize(
    "error", [EngineLied("facts: no time"), EngineFailed("late"), Overloaded(timedelta(seconds=3))]
)
async def test_nothing_else_is_tried_again(error: Exception) -> None:
    first, second = two_engines()
    first.gate.set()
    first.answer = raising(error)
    async with pool_of(first, second) as (pool, _):
        with pytest.raises(type(error)):
            await pool.measure(*STANDARD)
    assert not second.measured
    assert first.condemned == (["it lied: facts: no time"] if isinstance(error, EngineLied) else [])


async def test_an_engine_that_measures_nothing_any_more_is_not_asked_for_ever() -> None:
    """It reports that it lives, and rendezvous hashing would send it the same addresses again."""
    engine = FakeEngine(name="a", answer=raising(EngineFailed("not in time")))
    engine.gate.set()
    hosts = [parse_endpoint(f"{name}.test") for name in "abcd"]
    async with pool_of(engine) as (pool, _):

        async def fails(at: int) -> None:
            with pytest.raises(EngineFailed):
                await pool.measure(hosts[at], ADDRESS, Depth.STANDARD)

        for _ in range(5):
            await fails(0)
        await fails(1)
        assert engine.condemned == [], "no engine might be able to measure that one"
        engine.answer = answering
        await pool.measure(hosts[3], ADDRESS, Depth.STANDARD)
        engine.answer = raising(EngineFailed("not in time"))
        await fails(2)
        await fails(1)
        assert engine.condemned == []
        await fails(0)
        assert engine.condemned == ["it measures nothing: not in time"]


async def test_an_engine_is_not_condemned_for_what_its_machine_lacks() -> None:
    engine = FakeEngine(name="a", answer=raising(EngineHindered("no port")))
    engine.gate.set()
    async with pool_of(engine) as (pool, _):
        for name in "abcdef":
            with pytest.raises(EngineHindered):
                await pool.measure(parse_endpoint(f"{name}.test"), ADDRESS, Depth.STANDARD)
    assert engine.condemned == []


async def test_engines_that_come_and_go_leave_nothing_behind() -> None:
    """Each address that a remote engine ever had is another name."""
    busy = FakeEngine(name="busy", answer=answering)
    async with pool_of(busy) as (pool, fleet):
        under_way = await measuring(pool, busy)
        for number in range(20):
            engine = FakeEngine(name=f"engine-{number}", answer=raising(EngineFailed("late")))
            engine.gate.set()
            fleet.engines = [engine]
            with pytest.raises(EngineFailed):
                await pool.measure(*STANDARD)
        assert set(pool._gates) == {"busy", "engine-19"}
        assert set(pool._failed) == {"engine-19"}
        busy.gate.set()
        await under_way


async def test_an_engine_gets_no_more_than_it_measures_at_a_time() -> None:
    only = FakeEngine(name="a", answer=answering, state=EngineState(concurrent_scans=2, queued=5))
    async with pool_of(only, queue_limit=3) as (pool, _):
        running = [asyncio.create_task(pool.measure(*STANDARD)) for _ in range(5)]
        await until(lambda: pool.queued == 3 + 5)
        assert len(only.measured) == 2
        with pytest.raises(Overloaded) as raised:
            await pool.measure(*STANDARD)
        assert raised.value.retry_after == timedelta(seconds=2)
        only.gate.set()
        await asyncio.gather(*running)
        assert pool.queued == 5
    assert len(only.measured) == 5


async def test_a_deep_part_takes_no_place_of_others() -> None:
    only = FakeEngine(
        name="a",
        answer=answering,
        state=EngineState(concurrent_scans=1),
        leaves_standard_part=True,
    )
    async with pool_of(only) as (pool, _):
        running = [
            asyncio.create_task(pool.measure(HOST, ADDRESS, Depth.DEEP)),
            asyncio.create_task(pool.measure(*STANDARD)),
        ]
        await until(lambda: len(only.measured) == 2)
        only.gate.set()
        await asyncio.gather(*running)


async def test_those_who_waited_for_an_engine_that_died_go_to_the_next() -> None:
    first, second = two_engines()
    first.state = EngineState(concurrent_scans=1)
    second.gate.set()
    async with pool_of(first, second) as (pool, _):
        running = [asyncio.create_task(pool.measure(*STANDARD)) for _ in range(4)]
        await until(lambda: pool.queued == 3)
        first.die()
        await asyncio.gather(*running)
    assert (len(first.measured), len(second.measured)) == (1, 4)


async def test_an_engine_that_takes_the_place_of_another_says_how_much_it_takes() -> None:
    """As after a rotation of certificates: the name is the same, the engine is not."""
    former = FakeEngine(name="a", answer=answering, state=EngineState(concurrent_scans=1))
    successor = FakeEngine(name="a", answer=answering, state=EngineState(concurrent_scans=3))
    async with pool_of(former) as (pool, fleet):
        former.gate.set()
        await pool.measure(*STANDARD)
        fleet.engines = (successor,)
        running = [asyncio.create_task(pool.measure(*STANDARD)) for _ in range(3)]
        await until(lambda: len(successor.measured) + pool.queued == 3)
        assert len(successor.measured) == 3
        successor.gate.set()
        await asyncio.gather(*running)


async def test_contradictions_are_counted() -> None:
    only = FakeEngine(name="a", answer=lambda *_: Report(make_address(), ("version", "version")))
    only.gate.set()
    counted: list[str] = []
    async with pool_of(only, contradicted=counted.append) as (pool, _):
        await pool.measure(*STANDARD)
    assert counted == ["version", "version"]


async def test_what_has_been_found_so_far_comes_from_the_engine_that_measures() -> None:
    first, second = two_engines()
    first.so_far, second.so_far = make_address(remarks=("first",)), make_address()
    async with pool_of(first, second) as (pool, _):
        assert await pool.partial(*STANDARD) is None
        measurement = await measuring(pool, first)
        found = await pool.partial(*STANDARD)
        assert found is not None
        assert found.remarks == ("first",)
        first.gate.set()
        await measurement
        assert await pool.partial(*STANDARD) is None


async def test_nobody_waits_long_for_what_has_been_found_so_far() -> None:
    class Slow(FakeEngine):
        async def partial(self, target: Target) -> AddressFacts | None:
            await asyncio.Event().wait()
            return None

    only = Slow(name="a", answer=answering)
    async with pool_of(only) as (pool, _):
        measurement = await measuring(pool, only)
        async with asyncio.timeout(5):
            assert await pool.partial(*STANDARD) is None
        only.gate.set()
        await measurement


async def test_workers_and_queues_are_those_of_all_engines() -> None:
    states = [EngineState(concurrent_scans=1, workers_alive=2, queued=3)] * 2
    engines = [FakeEngine(name=f"{n}", answer=answering, state=one) for n, one in enumerate(states)]
    async with pool_of(*engines) as (pool, _):
        assert (pool.workers_alive, pool.queued) == (4, 6)
        engines[0].is_up = False
        assert pool.workers_alive == 2


# -- revisions -----------------------------------------------------------------------------------


def of_revisions(*revisions: str) -> list[FakeEngine]:
    return [
        FakeEngine(
            name=f"engine-{number}", answer=answering, state=EngineState(probe_revision=revision)
        )
        for number, revision in enumerate(revisions)
    ]


async def test_the_revision_is_that_of_the_engine_which_would_measure() -> None:
    engines = of_revisions("1", "2", "3")
    async with pool_of(*engines) as (pool, _):
        for number in range(1, 20):
            address = vetted(f"127.0.0.{number}")
            first, second, _third = ranked(address.text, engines)
            assert pool.probe_revision(address) == first.state.probe_revision
            first.is_up = False
            assert pool.probe_revision(address) == second.state.probe_revision
            first.is_up = True


async def test_without_an_engine_the_last_revision_reported_stands() -> None:
    (only,) = engines = of_revisions("7")
    async with pool_of(*engines) as (pool, _):
        only.is_up = False
        assert pool.probe_revision(ADDRESS) == "7"
    async with pool_of(*of_revisions("")) as (pool, _):
        assert pool.probe_revision(ADDRESS) == PROBE_REVISION


# -- names ---------------------------------------------------------------------------------------


async def test_an_answer_is_kept_for_as_long_as_the_engine_allows() -> None:
    now_s = 100.0
    only = FakeEngine(name="a", answer=answering, found={"partner.test": LOOPBACK})
    async with pool_of(only, monotonic=lambda: now_s) as (pool, _):
        assert pool.known("partner.test") is None
        both = tuple(
            await asyncio.gather(pool.resolve("partner.test"), pool.resolve("partner.test"))
        )
        assert both == (LOOPBACK, LOOPBACK)
        now_s += LOOPBACK.ttl.total_seconds() - 0.1
        assert await pool.resolve("partner.test") == LOOPBACK
        assert pool.known("partner.test") == LOOPBACK
        assert only.asked == ["partner.test"]
        now_s += 0.2
        assert pool.known("partner.test") is None
        await pool.resolve("partner.test")
    assert only.asked == ["partner.test"] * 2


async def test_nobody_is_asked_for_what_is_known() -> None:
    only = FakeEngine(name="a", answer=answering)
    known = {"static.test": LOOPBACK}
    async with pool_of(only, known_host=known.get) as (pool, _):
        assert await pool.resolve("static.test") == LOOPBACK
        assert pool.known("static.test") == LOOPBACK
    assert only.asked == []


async def test_a_caller_who_leaves_does_not_end_the_question_of_others() -> None:
    class Slow(FakeEngine):
        async def resolve(self, host: str, *, fresh: bool, within_s: float) -> Resolution:
            await self.gate.wait()
            return LOOPBACK

    only = Slow(name="a", answer=answering)
    async with pool_of(only) as (pool, _):
        leaver, stayer = (asyncio.create_task(pool.resolve("partner.test")) for _ in range(2))
        await asyncio.sleep(0)
        leaver.cancel()
        only.gate.set()
        assert await stayer == LOOPBACK


async def test_a_name_is_asked_of_another_engine_where_one_is_lost() -> None:
    engines = [FakeEngine(name=name, answer=answering) for name in ("a", "b")]
    first, second = ranked("partner.test", engines)
    second.found = {"partner.test": LOOPBACK}
    async with pool_of(*engines) as (pool, _):
        assert await pool.resolve("partner.test") == LOOPBACK
    assert (first.asked, second.asked) == (["partner.test"], ["partner.test"])


class Stopped(FakeEngine):
    """A signal has stopped it, and nothing is known of that yet."""

    async def resolve(self, host: str, *, fresh: bool, within_s: float) -> Resolution:
        self.asked.append(host)
        await asyncio.sleep(within_s)
        raise EngineFailed("the engine did not answer in time")


async def test_a_name_is_asked_of_another_engine_where_one_was_stopped() -> None:
    engines = [Stopped(name=name, answer=answering, is_silent=True) for name in ("a", "b")]
    first, second = ranked("partner.test", engines)
    sound = FakeEngine(name=second.name, answer=answering, found={"partner.test": LOOPBACK})
    async with pool_of(first, sound) as (pool, _):
        async with asyncio.timeout(4):
            assert await pool.resolve("partner.test") == LOOPBACK
    assert (first.asked, sound.asked) == (["partner.test"], ["partner.test"])


async def test_a_name_that_takes_long_is_waited_for_while_its_engine_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool_module, "_ANSWER_S", 0.1)

    class Slow(FakeEngine):
        async def resolve(self, host: str, *, fresh: bool, within_s: float) -> Resolution:
            self.asked.append(host)
            await asyncio.sleep(0.25)
            return LOOPBACK

    engines = [Slow(name=name, answer=answering) for name in ("a", "b")]
    async with pool_of(*engines) as (pool, _):
        assert await pool.resolve("partner.test") == LOOPBACK
    assert sorted(len(one.asked) for one in engines) == [0, 1]


async def test_without_an_engine_an_earlier_answer_is_at_hand_soon() -> None:
    now_s = 100.0
    only = FakeEngine(name="a", answer=answering, found={"partner.test": LOOPBACK})
    async with pool_of(only, monotonic=lambda: now_s) as (pool, _):
        await pool.resolve("partner.test")
        only.is_up = False
        now_s += 61.0
        async with asyncio.timeout(2):
            found = await pool.resolve("partner.test")
        assert (found.addresses, found.is_stale) == (LOOPBACK.addresses, True)
        async with asyncio.timeout(0.5):  # the question is open: nobody else need wait for it
            assert (await pool.resolve("partner.test")).is_stale


@pytest.mark.parametrize("error", [EngineLied("host: another"), EngineFailed("late")])
async def test_a_name_that_nobody_resolves_has_failed(error: Exception) -> None:
    class Failing(FakeEngine):
        async def resolve(self, host: str, *, fresh: bool, within_s: float) -> Resolution:
            raise error

    only = Failing(name="a", answer=answering)
    async with pool_of(only) as (pool, _):
        found = await pool.resolve("partner.test")
    assert (found.status, found.failure) == (ResolutionStatus.FAILED, ResolutionFailure.OTHER)
    assert bool(only.condemned) is isinstance(error, EngineLied)


def test_facts_are_about_the_address_that_was_asked_about() -> None:
    """The fake answers as an engine does; this holds the fake."""
    target = Target(HOST, ADDRESS, Depth.DEEP)
    terms = Terms(scan_deadline_s=1, deep_deadline_s=1)
    assert answering(target, terms).facts == replace(
        make_address(), address="127.0.0.1", depth=Depth.DEEP
    )


# -- shares --------------------------------------------------------------------------------------


async def test_a_crowd_of_one_caller_neither_holds_up_nor_refuses_another() -> None:
    only = FakeEngine(name="a", answer=answering, state=EngineState(concurrent_scans=8))
    crowd = Demand(Claim(share=("a", "a")))
    async with pool_of(only, queue_limit=40, most_of_a_caller=1_000) as (pool, _):
        running = [
            asyncio.create_task(pool.measure(*STANDARD, Demand(*crowd.claims))) for _ in range(200)
        ]
        await until(lambda: sum(task.done() for task in running) == 200 - 32)
        refused = [task.exception() for task in running if task.done()]
        assert {type(error) for error in refused} == {CallerBudgetUsed}
        assert len(only.measured) == 5
        other = Demand(Claim(share=("b", "b")))
        running.append(asyncio.create_task(pool.measure(*STANDARD, other)))
        await until(lambda: len(only.measured) == 6)
        only.gate.set()
        await asyncio.gather(*running, return_exceptions=True)
        assert pool.queued == 0


async def test_what_nobody_waits_for_never_reaches_an_engine() -> None:
    only = FakeEngine(name="a", answer=answering, state=EngineState(concurrent_scans=1))
    demand = Demand(Claim(share=("b", "b")))
    async with pool_of(only) as (pool, _):
        running = await measuring(pool, only)
        waiting = asyncio.create_task(pool.measure(*STANDARD, demand))
        demand.dropped = waiting.cancel
        await until(lambda: pool.queued == 1)
        demand.withdraw(Claim(share=("b", "b")))
        await until(waiting.done)
        assert (waiting.cancelled(), pool.queued) == (True, 0)
        only.gate.set()
        await running
    assert len(only.measured) == 1
