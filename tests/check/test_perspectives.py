"""One endpoint, judged from two places that see different servers: no answer mixes them."""

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

import pytest

from otpc_policy.check import FreshnessMode, ResultSource, Standing
from otpc_policy.check.caller_limits import CallerBounds, CallerLimits
from otpc_policy.core.addresses import Resolution
from otpc_policy.core.caller import Caller
from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.errors import CallerBudgetUsed, UnknownPerspective
from otpc_policy.core.facts import AddressFacts, ResolutionStatus, Support
from otpc_policy.policy.finding import Decision
from tests.check.world import (
    GENERATION,
    LIMITS,
    Checks,
    World,
    codes,
    compliant,
    memory_store,
    request,
    summary,
    turns,
    unknown,
    vetted,
)
from tests.support.facts import HOST, versions

HERE, THERE = "eu-west", "us-east"
ONLY, REFRESH = FreshnessMode.CACHE_ONLY, FreshnessMode.REFRESH
ALLOWED, DENIED = Decision.ALLOW, Decision.DENY


def faulty(address: str, at: datetime) -> AddressFacts:
    return compliant(address, at, versions=versions(TLS_1_0=Support.YES))


def resolved(text: str) -> Resolution:
    return Resolution(status=ResolutionStatus.RESOLVED, addresses=(vetted(text),))


class Places(NamedTuple):
    """Two places that share a store. Both see the same address, which proves nothing of them."""

    here: World
    there: World
    checks: Checks

    async def decisions(self, mode: FreshnessMode = FreshnessMode.CACHE_FIRST) -> list[Decision]:
        found = []
        for perspective in (HERE, THERE, ""):
            answer = await self.checks.check(request(mode, perspective=perspective))
            assert answer.judgement.perspective == (perspective or HERE)
            assert {each.perspective for each in answer.addresses} <= {perspective or HERE}
            found.append(answer.judgement.verdict.decision)
        return found


def places() -> Places:
    here, there = World(perspective=HERE), World(perspective=THERE, facts=faulty)
    for each in (here, there):
        each.resolution, each.is_known = resolved("127.0.0.1"), True
    return Places(here, there, here.checks(memory_store(), there))


async def test_each_place_has_its_own_verdict_and_a_request_that_names_none_has_the_default() -> (
    None
):
    seen = places()
    assert await seen.decisions() == [ALLOWED, DENIED, ALLOWED]
    assert await seen.decisions() == [ALLOWED, DENIED, ALLOWED], "from the cache"
    assert await seen.decisions(ONLY) == [ALLOWED, DENIED, ALLOWED]
    assert (len(seen.here.measured), len(seen.there.measured)) == (1, 1)


async def test_equal_facts_from_two_places_are_not_the_same_facts() -> None:
    seen = places()
    seen.there.facts = compliant
    answers = [await seen.checks.check(request(perspective=place)) for place in (HERE, THERE)]
    assert [each.source for each in answers] == [ResultSource.MEASURED] * 2
    first, second = (each.judgement.key for each in answers)
    assert first is not None
    assert second is not None
    assert first[0] != second[0]
    assert first[1] != second[1]


async def test_facts_are_of_the_place_that_was_asked_whatever_they_say() -> None:
    seen = places()

    def claiming(address: str, at: datetime) -> AddressFacts:
        return replace(faulty(address, at), perspective=HERE)

    seen.there.facts = claiming
    assert await seen.decisions() == [ALLOWED, DENIED, ALLOWED]
    late = places()
    late.there.gate, late.there.so_far = asyncio.Event(), claiming
    answer = await late.checks.check(request(perspective=THERE), wait_s=0)
    assert summary(answer)[0] is DENIED
    assert {each.perspective for each in answer.addresses} == {THERE}
    await late.checks.service.close()


async def test_a_measurement_of_one_place_is_not_joined_from_another() -> None:
    seen = places()
    seen.here.gate = seen.there.gate = asyncio.Event()
    asked = [request(perspective=place) for place in (HERE, THERE, HERE, THERE)]
    calls = [asyncio.create_task(seen.checks.check(each)) for each in asked]
    await turns()
    assert (len(seen.here.measured), len(seen.there.measured)) == (1, 1)
    seen.here.gate.set()
    decisions = [summary(await call)[0] for call in calls]
    assert decisions == [ALLOWED, DENIED, ALLOWED, DENIED]


async def test_standing_answers_stand_for_their_own_place() -> None:
    seen = places()
    asked = [request(perspective=place) for place in (HERE, THERE)]
    standings = []
    for each in asked:
        await seen.checks.check(each)
        standing = Standing.of(await seen.checks.check(each), each, GENERATION)
        assert standing is not None
        standings.append(standing)
    here, there = standings
    service = seen.checks.service
    assert await service.still_stands(here, GENERATION)
    assert await service.still_stands(there, GENERATION)
    # The name leads elsewhere, but only for whoever looks from there.
    seen.there.resolution = resolved("127.0.0.2")
    assert await service.still_stands(here, GENERATION)
    assert await service.still_stands(there, GENERATION) is None


async def test_an_invalidation_is_of_every_place() -> None:
    seen = places()
    await seen.decisions()
    assert await seen.checks.service.invalidate(HOST, 443) == 2
    for place in (HERE, THERE):
        answer = await seen.checks.check(request(ONLY, perspective=place))
        assert codes(answer) == {"NO_CACHED_RESULT"}
    assert await seen.decisions() == [ALLOWED, DENIED, ALLOWED]


async def test_an_invalidation_outdates_what_every_place_is_measuring() -> None:
    seen = places()
    seen.here.gate = seen.there.gate = asyncio.Event()
    calls = [
        asyncio.create_task(seen.checks.check(request(perspective=place)))
        for place in (HERE, THERE)
    ]
    await turns()
    await seen.checks.service.invalidate(HOST, 0)
    seen.here.gate.set()
    await asyncio.gather(*calls)
    for place in (HERE, THERE):
        answer = await seen.checks.check(request(ONLY, perspective=place))
        assert codes(answer) == {"NO_CACHED_RESULT"}


async def test_a_place_that_measures_nothing_leaves_the_other_as_it_is() -> None:
    seen = places()
    await seen.decisions()
    seen.there.error = RuntimeError("its engines are down")
    answer = await seen.checks.check(request(REFRESH, perspective=THERE))
    # It is too soon to measure again, and then it fails.
    assert summary(answer)[0] is DENIED
    seen.here.at += LIMITS.minimum_refresh_interval
    seen.there.at = seen.here.at
    answer = await seen.checks.check(request(REFRESH, perspective=THERE))
    assert codes(answer) == {"SCAN_FAILED"}
    assert summary(answer)[0] is Decision.INDETERMINATE
    assert summary(await seen.checks.check(request(ONLY, perspective=HERE)))[0] is ALLOWED


async def test_a_report_of_another_leaf_forces_a_measurement_from_each_place() -> None:
    seen = places()
    await seen.decisions()
    for place, world in ((HERE, seen.here), (THERE, seen.there)):
        for _ in range(2):
            await seen.checks.check(request(perspective=place, observed_leaf=b"l" * 32))
        assert len(world.measured) == 2, "the first, and one for all reports"


async def test_a_place_that_is_not_there_is_refused_by_name() -> None:
    seen = places()
    with pytest.raises(UnknownPerspective) as refused:
        await seen.checks.check(request(perspective="mars"))
    assert refused.value.known == (HERE, THERE)
    assert not seen.here.measured
    assert not seen.there.measured


async def test_what_was_unknown_from_one_place_is_known_from_another() -> None:
    seen = places()
    seen.there.facts = unknown
    assert await seen.decisions() == [ALLOWED, Decision.INDETERMINATE, ALLOWED]


async def test_a_target_counts_from_each_place_and_a_name_is_looked_up_from_each() -> None:
    at = [0.0]
    bounds = CallerBounds(targets_per_hour=1, names=1)
    limits = CallerLimits(bounds, monotonic=lambda: at[0])
    caller = Caller(peer="192.0.2.1:5")
    endpoint, addresses = parse_endpoint(HOST), (vetted("127.0.0.1"),)
    limits.admit(endpoint, addresses, caller, is_partners=False, perspective=HERE)
    limits.admit(endpoint, addresses, caller, is_partners=False, perspective=HERE)
    with pytest.raises(CallerBudgetUsed):
        limits.admit(endpoint, addresses, caller, is_partners=False, perspective=THERE)
    with limits.looking_up(caller, HOST, perspective=HERE):
        with limits.looking_up(caller, HOST, perspective=HERE):
            pass
        with (
            pytest.raises(CallerBudgetUsed),
            limits.looking_up(caller, HOST, perspective=THERE),
        ):
            pass


async def test_closing_ends_what_every_place_measures() -> None:
    seen = places()
    seen.there.gate = asyncio.Event()
    call = asyncio.create_task(seen.checks.check(request(perspective=THERE)))
    await turns()
    await seen.checks.service.close()
    with pytest.raises(Exception, match="draining"):
        await call
