"""Who wants a measurement: those who wait for it, and those whose older facts it replaces."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import partial

import pytest

from otpc_policy.catalog.partners.index import PartnerIndex
from otpc_policy.check import FreshnessMode
from otpc_policy.check import measurements as module
from otpc_policy.core.caller import WATCH_LIST, Caller
from otpc_policy.core.demand import Claim, ScanClass
from tests.catalog.writing import document
from tests.check.world import GENERATION, SECOND, Checks, World, generation, request, turns
from tests.support.facts import HOST

A, B = (Caller(peer=f"ipv4:192.0.2.1:{port}") for port in (1000, 2000))
CLAIM_A, CLAIM_B = (Claim(share=caller.share) for caller in (A, B))


def asking(
    checks: Checks, caller: Caller, *, wait_s: float | None = None
) -> "asyncio.Task[object]":
    ask = partial(checks.service.check, request(), GENERATION)
    return asyncio.create_task(ask(wait_s=wait_s, caller=caller))


def claims(world: World) -> Sequence[Claim]:
    (demand,) = world.demands
    return list(demand.claims)


@pytest.fixture
def world() -> World:
    return World(gate=asyncio.Event())


async def hang_up(*tasks: "asyncio.Task[object]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_each_caller_that_waits_has_a_claim_until_it_hangs_up(world: World) -> None:
    checks = world.checks()
    first, second, again = asking(checks, A), asking(checks, B), asking(checks, A)
    await turns()
    assert claims(world) == [CLAIM_A, CLAIM_B]
    await hang_up(first)
    assert claims(world) == [CLAIM_A, CLAIM_B]
    await hang_up(again)
    assert claims(world) == [CLAIM_B]
    await hang_up(second)
    assert claims(world) == []
    await checks.service.close()


async def test_a_caller_whose_time_is_over_keeps_its_claim_until_it_has_asked_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_KEEPS_ITS_TURN_S", 0.05)
    checks = world.checks()
    await asking(checks, A, wait_s=0.01)
    assert claims(world) == [CLAIM_A]
    second = asking(checks, A)
    await asyncio.sleep(0.1)
    assert claims(world) == [CLAIM_A]
    await hang_up(second)
    assert claims(world) == []
    await checks.service.close()


async def test_what_replaces_facts_that_answered_is_wanted_without_anybody_waiting() -> None:
    world = World()
    checks = world.checks()
    ends_at = (await checks.check()).judgement.expires_at
    world.at, world.gate = ends_at + SECOND, asyncio.Event()
    stale = request(max_stale=timedelta(minutes=10))
    await checks.service.check(stale, GENERATION, wait_s=None, caller=A)
    await turns()
    refresh = Claim(share=A.share, scan_class=ScanClass.REFRESH)
    assert claims(world) == [refresh]
    late = asking(checks, B)
    await turns()
    assert claims(world) == [refresh, CLAIM_B]
    await hang_up(late)
    assert claims(world) == [refresh]
    await checks.service.close()


async def test_what_was_dropped_counts_as_dropped_and_is_measured_anew(world: World) -> None:
    checks = world.checks()
    first = asking(checks, A)
    await turns()
    await hang_up(first)
    world.demands[0].drop()
    second = asking(checks, B)
    await turns()
    assert world.gate is not None
    world.gate.set()
    await second
    assert [event for event in world.events if event[0] == "scan"] == [
        ("scan", "dropped"),
        ("scan", "complete"),
    ]


async def test_claims_on_partners_endpoints_say_so(world: World) -> None:
    text = f'id = "bank"\nowner = "bank@example.com"\nendpoints = ["{HOST}"]\n'
    partners = generation(partners=PartnerIndex([document(text)]))
    checks = world.checks()
    ask = checks.service.check(request(), partners, wait_s=None, caller=A)
    first = asyncio.create_task(ask)
    await turns()
    assert claims(world) == [Claim(share=A.share, is_partners=True)]
    await hang_up(first)
    assert claims(world) == []
    await checks.service.close()


async def test_what_is_waited_for_has_the_class_that_was_asked_for(world: World) -> None:
    checks = world.checks()
    asked = request(FreshnessMode.REFRESH)
    watching = asyncio.create_task(
        checks.service.check(
            asked, GENERATION, wait_s=None, caller=WATCH_LIST, scan_class=ScanClass.WATCH
        )
    )
    await turns()
    assert claims(world) == [Claim(share=WATCH_LIST.share, scan_class=ScanClass.WATCH)]
    assert not [kind for kind, _ in world.events if kind == "request"]
    await hang_up(watching)
    assert claims(world) == []
    await checks.service.close()
