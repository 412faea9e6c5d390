"""An answer is given again only while check itself would give the same one."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from otpc_policy.check import (
    Answer,
    CheckRequest,
    FreshnessMode,
    ResultSource,
    Standing,
)
from otpc_policy.core.addresses import Resolution
from otpc_policy.core.facts import Depth, ResolutionStatus, Support
from tests.check.world import (
    GENERATION,
    SECOND,
    Checks,
    World,
    compliant,
    generation,
    memory_store,
    request,
    stale,
    unknown,
    vetted,
)
from tests.store.fakes import FailingStore
from tests.support.facts import HOST, versions

OLD_TLS = versions(TLS_1_0=Support.YES)


def resolved(*texts: str) -> Resolution:
    return Resolution(status=ResolutionStatus.RESOLVED, addresses=tuple(map(vetted, texts)))


def known_world() -> World:
    """The resolver has its answer at hand, as it has for a host that is asked about often."""
    return World(resolution=resolved("127.0.0.1", "127.0.0.2"), is_known=True)


async def standing(checks: Checks, asked: CheckRequest) -> tuple[Answer, Standing | None]:
    """Ask twice, and return the second answer and what it rests on."""
    await checks.check(asked)
    answer = await checks.check(asked)
    return answer, Standing.of(answer, asked, GENERATION)


@pytest.mark.parametrize("facts", [compliant, lambda *each: compliant(*each, versions=OLD_TLS)])
@pytest.mark.parametrize(
    "asked",
    [
        request(),
        request(policy_name="brief"),
        request(FreshnessMode.CACHE_ONLY),
        request(depth=Depth.DEEP),
        request(max_age=3 * SECOND, max_stale=5 * SECOND),
    ],
)
async def test_while_it_stands_check_answers_the_same(asked: CheckRequest, facts: object) -> None:
    world = known_world()
    world.facts = facts  # type: ignore[assignment]
    checks = world.checks()
    await checks.check(replace(asked, freshness=request().freshness))
    answer, rests_on = await standing(checks, asked)
    if answer.retry_after is not None:
        assert rests_on is None
        return
    assert rests_on is not None
    ends: list[bool] = []
    for seconds in (0, 1, 3, 4, 50, 60, 70, 3_000, 4_000):
        world.at = answer.evaluated_at + seconds * SECOND
        world.events.clear()
        at = await checks.service.still_stands(rests_on, GENERATION)
        counted = list(world.events)
        ends.append(at is None)
        if at is None:
            assert counted == []
            continue
        assert at == world.at
        world.events.clear()
        again = await checks.check(asked)
        assert again == replace(answer, evaluated_at=at)
        assert again.judgement is rests_on.judgement
        assert counted == world.events == [("request", "hit")]
    assert (ends[0], ends[-1]) == (False, True)
    assert ends == sorted(ends)


@pytest.mark.parametrize(
    "asked",
    [
        request(FreshnessMode.REFRESH),
        request(observed_leaf=b"l" * 32),
    ],
    ids=["demands a measurement", "reports a leaf"],
)
async def test_some_requests_are_checked_each_time(asked: CheckRequest) -> None:
    assert (await standing(known_world().checks(), asked))[1] is None


async def test_an_answer_that_asks_the_caller_to_come_again_is_not_repeated() -> None:
    world = known_world()
    world.facts = unknown
    answer, rests_on = await standing(world.checks(), request())
    assert answer.source is ResultSource.CACHE
    assert (answer.retry_after is not None, rests_on) == (True, None)


async def test_an_answer_on_a_stale_resolution_is_not_repeated() -> None:
    world = known_world()
    checks = world.checks()
    await checks.check()
    world.resolution = world.fresh_resolution = stale("127.0.0.1", "127.0.0.2")
    for _ in range(2):
        assert Standing.of(await checks.check(), request(), GENERATION) is None


async def test_a_measured_answer_is_not_repeated() -> None:
    answer = await known_world().checks().check()
    assert answer.source is ResultSource.MEASURED
    assert Standing.of(answer, request(), GENERATION) is None


def _changes(world: World, checks: Checks) -> dict[str, Callable[[], object]]:
    assert world.resolution is not None
    same = replace(world.resolution)

    def later(by: timedelta) -> Callable[[], None]:
        return lambda: setattr(world, "at", world.at + by)

    return {
        "resolved anew": lambda: setattr(world, "resolution", same),
        "resolved to other addresses": lambda: setattr(world, "resolution", resolved("127.0.0.3")),
        "no resolution at hand": lambda: setattr(world, "is_known", False),
        "another release measures": lambda: setattr(world, "revision", "2"),
        "past its lifetime": later(timedelta(hours=2)),
        "clock set back": later(-SECOND),
    }


@pytest.mark.parametrize("change", _changes(known_world(), known_world().checks()))
async def test_any_change_ends_it(change: str) -> None:
    world = known_world()
    checks = world.checks()
    _, rests_on = await standing(checks, request())
    assert rests_on is not None
    assert await checks.service.still_stands(rests_on, GENERATION) is not None
    _changes(world, checks)[change]()
    assert await checks.service.still_stands(rests_on, GENERATION) is None


async def test_forgotten_facts_end_it_at_once() -> None:
    checks = known_world().checks()
    _, rests_on = await standing(checks, request())
    assert rests_on is not None
    assert await checks.service.invalidate(HOST, 0) == 2
    assert await checks.service.still_stands(rests_on, GENERATION) is None


async def test_newer_facts_that_another_caller_had_measured_end_it() -> None:
    world = known_world()
    checks = world.checks()
    _, rests_on = await standing(checks, request())
    assert rests_on is not None
    world.at += timedelta(minutes=1)
    world.facts = lambda *each: compliant(*each, versions=OLD_TLS)
    await checks.check(request(FreshnessMode.REFRESH))
    assert await checks.service.still_stands(rests_on, GENERATION) is None


async def test_deep_facts_that_serve_in_their_place_end_it() -> None:
    world = known_world()
    checks = world.checks()
    _, rests_on = await standing(checks, request())
    assert rests_on is not None
    world.at += SECOND
    await checks.check(request(depth=Depth.DEEP))
    assert await checks.service.still_stands(rests_on, GENERATION) is None


async def test_a_reload_ends_it_even_if_nothing_changed() -> None:
    checks = known_world().checks()
    _, rests_on = await standing(checks, request())
    assert rests_on is not None
    assert await checks.service.still_stands(rests_on, generation()) is None


async def test_closing_ends_it() -> None:
    checks = known_world().checks()
    _, rests_on = await standing(checks, request())
    assert rests_on is not None
    await checks.service.close()
    assert await checks.service.still_stands(rests_on, GENERATION) is None


async def test_it_ends_with_the_instant_at_which_time_alone_changes_the_verdict() -> None:
    world = known_world()
    flips_at = (await world.checks().check()).judgement.verdict.changes_at
    assert flips_at is not None
    world.at = flips_at - timedelta(minutes=1)
    checks = world.checks()
    _, rests_on = await standing(checks, request())
    assert rests_on is not None
    world.at = flips_at - timedelta(microseconds=1)
    assert await checks.service.still_stands(rests_on, GENERATION) == world.at
    world.at = flips_at
    assert await checks.service.still_stands(rests_on, GENERATION) is None


async def test_a_store_that_cannot_be_asked_ends_it() -> None:
    store = FailingStore(memory_store())
    checks = known_world().checks(store)
    _, rests_on = await standing(checks, request())
    assert rests_on is not None
    store.fails.add("get_many")
    assert await checks.service.still_stands(rests_on, GENERATION) is None
