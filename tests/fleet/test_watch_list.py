"""Watched endpoints are measured in time, never in haste, and never before those who ask."""

import asyncio
from datetime import timedelta
from itertools import pairwise

import pytest

from otpc_policy.catalog.partners.index import PartnerIndex
from otpc_policy.core.caller import WATCH_LIST, Caller
from otpc_policy.core.demand import Claim, ScanClass
from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.errors import Overloaded
from otpc_policy.engines.gate import Gate
from otpc_policy.fleet import watch_list
from otpc_policy.fleet.schedule import Claimed
from otpc_policy.policy.finding import Decision
from tests.catalog.writing import document, entry
from tests.check.world import generation, request
from tests.fleet.watching import (
    Engines,
    Watcher,
    allowed,
    denied,
    name,
    ports,
    unknown,
    watch_for,
)

PORT = 1_000


def times(engines: Engines, port: int = PORT) -> list[float]:
    """When an endpoint was measured."""
    return [at_s for at_s, each in engines.begun if each == port]


def gaps(engines: Engines, port: int = PORT) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times(engines, port))]


@pytest.mark.long
async def test_none_of_two_hundred_expires_within_an_hour() -> None:
    engines = Engines()
    engines.found = dict.fromkeys(range(1000, 1200, 10), denied)
    watcher = Watcher(engines, ports(200))

    async def none_has_expired() -> None:
        assert not watcher.expired()

    await watch_for(3_600, watcher, also=none_has_expired)
    assert len(watcher.expires_at) == 200
    # 180 twice, and 20 about every four minutes.
    assert 500 < len(engines.begun) < 800
    assert engines.most_together <= 8
    assert watcher.table.behind_s == 0
    assert {watcher.decision(port) for port in range(1_001, 1_010)} == {Decision.ALLOW}
    assert watcher.decision(1_010) is Decision.DENY
    await watcher.close()


async def test_a_start_is_spread_and_begins_no_more_than_the_rate() -> None:
    engines = Engines(takes_s=1.0)
    watcher = Watcher(engines, ports(100), rate_per_s=5.0, concurrent=64)
    await watch_for(25, watcher)
    begun = [at_s for at_s, _ in engines.begun]
    assert len(begun) == 100
    for at_s in begun:
        # A second's worth may have been saved up.
        assert sum(at_s <= each < at_s + 1 for each in begun) <= 2 * 5
    assert max(begun) > 15
    await watcher.close()


async def test_no_more_are_measured_together_than_the_settings_say() -> None:
    engines = Engines(takes_s=60.0)
    watcher = Watcher(engines, ports(50), rate_per_s=100.0, concurrent=3)
    await watch_for(100, watcher)
    assert engines.most_together == 3
    assert watcher.table.behind_s > 30
    await watcher.close()


@pytest.mark.parametrize(("find", "lifetime_s"), [(allowed, 3_600), (denied, 300)])
async def test_a_verdict_is_renewed_within_its_last_quarter(find: object, lifetime_s: int) -> None:
    engines = Engines(found={PORT: find})  # type: ignore[dict-item]
    watcher = Watcher(engines, ports(1))
    await watch_for(4 * lifetime_s, watcher, step_s=2.0, sweep_every_s=1e9)
    assert len(gaps(engines)) >= 3
    for gap in gaps(engines):
        # Lifetimes vary by a tenth; a measurement takes three seconds.
        assert 0.7 * 0.9 * lifetime_s <= gap <= 0.85 * 1.1 * lifetime_s + 6
    await watcher.close()


async def test_what_fails_is_asked_less_and_less_often_and_soon_again_once_it_is_well() -> None:
    engines = Engines(found={PORT: unknown})
    watcher = Watcher(engines, ports(1))
    await watch_for(4_000, watcher, step_s=1.0)
    for gap, expected in zip(gaps(engines), (30, 60, 120, 240, 480, 600, 600), strict=False):
        assert 0.9 * expected <= gap <= 1.1 * expected + 6
    assert watcher.decision(PORT) is Decision.INDETERMINATE
    engines.found[PORT] = allowed
    await watch_for(700, watcher, step_s=1.0)
    assert watcher.decision(PORT) is Decision.ALLOW
    before = len(engines.begun)
    engines.found[PORT] = unknown
    await watch_for(3_600, watcher, step_s=2.0)
    first = gaps(engines)[before]
    assert 27 <= first <= 39, "the count of failures begins anew"
    await watcher.close()


async def test_where_there_is_no_room_it_asks_again_within_seconds_and_counts_no_failure() -> None:
    engines = Engines(raises={PORT: Overloaded(timedelta(seconds=2))}, takes_s=0.0)
    watcher = Watcher(engines, ports(1))
    await watch_for(60, watcher)
    assert engines.events["watch", "busy"] >= 5
    assert all(5 <= gap <= 11 for gap in gaps(engines))
    engines.raises.clear()
    await watch_for(15, watcher)
    assert watcher.decision(PORT) is Decision.ALLOW
    await watcher.close()


async def test_a_bug_in_one_check_keeps_no_other_from_being_measured(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engines = Engines()
    watcher = Watcher(engines, ports(3))
    real = watcher.check

    async def broken(asked: object, *rest: object, **fields: object) -> object:
        if asked.endpoint.port == PORT:  # type: ignore[attr-defined]
            raise ZeroDivisionError
        return await real(asked, *rest, **fields)  # type: ignore[arg-type]

    watcher.check = broken  # type: ignore[method-assign,assignment]
    await watch_for(40, watcher)
    assert engines.events["watch", "failed"] >= 1
    assert {watcher.decision(port) for port in (1_001, 1_002)} == {Decision.ALLOW}
    assert watcher.decision(PORT) is Decision.INDETERMINATE
    assert "the check of a watched endpoint failed" in caplog.text
    await watcher.close()


async def test_measurements_have_the_lowest_class_and_a_share_of_their_own() -> None:
    engines = Engines()
    partners = PartnerIndex([document(entry("bank", f"partner.test:{PORT}"))])
    watcher = Watcher(engines, ports(2), under=generation(partners=partners))
    await watch_for(1, watcher)
    claims = {port: list(demand.claims) for port, demand in engines.demands.items()}
    watch = Claim(share=WATCH_LIST.share, scan_class=ScanClass.WATCH)
    assert claims == {
        PORT: [Claim(share=watch.share, scan_class=ScanClass.WATCH, is_partners=True)],
        PORT + 1: [watch],
    }
    # The reserve is for partners' endpoints, and the share is bounded like a caller's.
    assert not watch.may_use_reserve
    assert not watch.is_own
    await watcher.close()


async def test_whoever_asks_makes_a_waiting_measurement_its_own() -> None:
    engines = Engines()
    watcher = Watcher(engines, ports(1))
    await watch_for(1, watcher)
    asked = request(endpoint=ports(1)[0])
    asking = asyncio.create_task(watcher.checks.check(asked, watcher.generation, wait_s=None))
    await engines.pass_time(0)
    classes = [claim.scan_class for claim in engines.demands[PORT].claims]
    assert classes == [ScanClass.WATCH, ScanClass.INTERACTIVE]
    await engines.pass_time(5)
    assert (await asking).judgement.verdict.decision is Decision.ALLOW
    assert len(engines.begun) == 1
    await watcher.close()


async def test_whoever_asks_comes_first_while_the_engine_is_busy() -> None:
    engines = Engines(gate=Gate(lambda: 4))
    watcher = Watcher(engines, ports(40), rate_per_s=100.0, concurrent=40)
    await watch_for(1, watcher)
    assert len(engines.begun) == 2, "two places are left for whoever comes"
    asking = [
        asyncio.create_task(
            watcher.checks.check(
                request(endpoint=parse_endpoint("partner.test", port)),
                watcher.generation,
                wait_s=None,
                caller=Caller(peer=f"ipv4:192.0.2.{port}:1"),
            )
        )
        for port in range(1, 17)
    ]
    await engines.pass_time(100)
    await asyncio.gather(*asking)
    order = [port for _, port in engines.begun[2:]]
    assert len(order) == 38 + 16
    # In a round, eight of those who ask have their turn, then one of the watched ones.
    last = max(at for at, port in enumerate(order) if port < 17)
    assert sum(port >= 1_000 for port in order[:last]) <= 3
    await watcher.close()


async def test_what_the_watch_list_looks_up_is_no_request() -> None:
    engines = Engines()
    watcher = Watcher(engines, ports(3))
    await watch_for(70, watcher)
    assert engines.events["watch", "allow"] == 3
    assert not any(kind == "request" for kind, _ in engines.events)
    await watcher.close()


async def test_what_was_invalidated_is_measured_within_a_sweep() -> None:
    engines = Engines()
    watcher = Watcher(engines, ports(1))
    await watch_for(60, watcher)
    await watcher.checks.invalidate("partner.test", 0)
    await watch_for(60, watcher)
    assert len(engines.begun) == 2
    assert watcher.decision(PORT) is Decision.ALLOW
    await watcher.close()


async def test_a_denial_that_a_caller_has_found_is_renewed_before_it_expires() -> None:
    engines = Engines()
    watcher = Watcher(engines, ports(1))
    await watch_for(60, watcher)
    engines.found[PORT] = denied
    asked = request(endpoint=ports(1)[0], max_age=timedelta(seconds=1))
    asking = asyncio.create_task(watcher.checks.check(asked, watcher.generation, wait_s=None))
    await engines.pass_time(5)
    assert (await asking).judgement.verdict.decision is Decision.DENY
    await watch_for(330, watcher)
    assert len(engines.begun) == 3
    assert watcher.decision(PORT) is Decision.DENY
    await watcher.close()


async def test_a_verdict_that_has_expired_is_never_shown() -> None:
    engines = Engines()
    watcher = Watcher(engines, ports(1))
    await watch_for(10, watcher)
    assert watcher.decision(PORT) is Decision.ALLOW
    await engines.pass_time(2 * 3_600)
    described = watcher.table.describe(name(PORT))
    assert described is not None
    assert (described.decision, described.codes) == (
        Decision.INDETERMINATE,
        ("NO_CACHED_RESULT",),
    )
    (partner,) = watcher.table.partners()
    assert partner.decisions == {"INDETERMINATE": 1}
    await watcher.close()


async def test_another_generation_is_followed() -> None:
    engines = Engines()
    first = PartnerIndex([document(entry("bank", "partner.test:1000", "partner.test:1001"))])
    then = PartnerIndex([document(entry("bank", "partner.test:1001", "partner.test:1002"))])
    watcher = Watcher(engines, (), under=generation(partners=first), with_partners=True)
    await watch_for(10, watcher)
    assert list(watcher.table.names("bank")) == [name(1_000), name(1_001)]
    watcher.generation = generation(partners=then, revision="second")
    await watch_for(10, watcher)
    assert list(watcher.table.names()) == [name(1_001), name(1_002)]
    assert [port for _, port in engines.begun].count(1_002) == 1
    assert watcher.table.describe(name(1_000)) is None
    before = len(times(engines, 1_000))
    await watch_for(4_000, watcher, step_s=5.0)
    assert len(times(engines, 1_000)) == before
    await watcher.close()


async def test_wildcards_are_not_watched_and_partners_only_if_the_settings_say_so() -> None:
    partners = PartnerIndex(
        [document(entry("bank", "*.bank.example", "api.other.example:8443", "partner.test:1000"))]
    )
    under = generation(partners=partners)
    both = Watcher(Engines(), ports(2), under=under, with_partners=True)
    assert list(both.table.names()) == ["api.other.example:8443", name(1_000), name(1_001)]
    assert list(both.table.names("bank")) == ["api.other.example:8443", name(1_000)]
    listed = Watcher(Engines(), ports(2), under=under)
    assert list(listed.table.names()) == [name(1_000), name(1_001)]
    assert [listed.table.endpoint_of(each) for each in listed.table.names()] == [
        (ports(2)[0], "bank"),
        (ports(2)[1], ""),
    ]


async def test_it_ends_with_what_it_has_begun() -> None:
    engines = Engines()
    watcher = Watcher(engines, ports(5))
    running = asyncio.create_task(watcher.list.run())
    await engines.pass_time(0)
    await engines.pass_time(1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await watcher.checks.close()
    left = {task.get_name() for task in asyncio.all_tasks()} - {asyncio.current_task().get_name()}  # type: ignore[union-attr]
    assert not [task for task in left if "watch" in task]


async def test_whatever_fails_outside_of_checks_is_logged_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch_list, "TICK_S", 0.0)
    engines = Engines(takes_s=0.0)
    watcher = Watcher(engines, ports(1), rate_per_s=100.0)
    real, failures = watcher.schedule.claim, [ZeroDivisionError(), OSError()]

    async def claim(most: int) -> Claimed:
        if failures:
            raise failures.pop()
        return await real(most)

    monkeypatch.setattr(watcher.schedule, "claim", claim)
    running = asyncio.create_task(watcher.list.run())
    while not engines.begun:
        await engines.pass_time(0.1)
    assert caplog.text.count("the watch list failed") == 2
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await watcher.checks.close()


async def test_what_the_schedule_has_lost_is_in_it_again_after_a_sweep() -> None:
    engines = Engines()
    watcher = Watcher(engines, ports(3))
    await watch_for(10, watcher)
    names = [name(1_000), name(1_001), name(1_002)]
    kept = await watcher.schedule.due(names)
    assert len(kept) == 3
    # As a store that was emptied has.
    await watcher.schedule.drop(names)
    await watcher.list.sweep()
    again = await watcher.schedule.due(names)
    left_s = (watcher.expires_at[names[0]] - engines.now()).total_seconds()
    assert all(0.6 * left_s < again[each] < 0.9 * left_s for each in names)
    await watcher.close()
