"""The use case with a clock, names and a scanner that tests move by hand."""

import asyncio
import gc
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from otpc_policy.check import Answer, CheckRequest, FreshnessMode, ResultSource
from otpc_policy.core.addresses import Resolution, VettedAddress
from otpc_policy.core.demand import Demand
from otpc_policy.core.endpoint import Endpoint, parse_endpoint
from otpc_policy.core.errors import (
    Overloaded,
    ServiceUnavailable,
    TargetForbidden,
    UnknownPolicy,
)
from otpc_policy.core.facts import (
    AddressFacts,
    Depth,
    ForbiddenAddress,
    ResolutionFailure,
    ResolutionStatus,
    Support,
)
from otpc_policy.policy.finding import Decision, Effect
from tests.catalog.writing import entry, index
from tests.check.world import (
    BRIEF,
    LIFETIMES,
    SECOND,
    World,
    codes,
    compliant,
    generation,
    memory_store,
    request,
    stale,
    summary,
    turns,
    unknown,
    vetted,
)
from tests.support.facts import HOST, NOW, versions

ONLY, REFRESH = FreshnessMode.CACHE_ONLY, FreshnessMode.REFRESH
DNS_FAILED = "TARGET_DNS_FAILED"
OLD_TLS = versions(TLS_1_0=Support.YES)
MEASURED_ALLOW = (Decision.ALLOW, ResultSource.MEASURED)
CACHED_ALLOW = (Decision.ALLOW, ResultSource.CACHE)
NOTHING_KNOWN = (Decision.INDETERMINATE, ResultSource.NONE)


@pytest.mark.parametrize(
    "status", [ResolutionStatus.RESOLVED, ResolutionStatus.FORBIDDEN, ResolutionStatus.FAILED]
)
async def test_a_resolution_at_hand_is_judged_as_one_that_was_asked_for(
    status: ResolutionStatus,
) -> None:
    resolution = None
    if status is not ResolutionStatus.RESOLVED:
        resolution = Resolution(status=status)
    worlds = [World(resolution=resolution, is_known=is_known) for is_known in (True, False)]
    answers = [await world.checks().check() for world in worlds]
    assert answers[0].judgement.verdict == answers[1].judgement.verdict
    assert summary(answers[0]) == summary(answers[1])


async def test_measured_once_then_answered_from_the_cache_with_the_same_judgement() -> None:
    world = World()
    checks = world.checks()
    first, second = await checks.check(), await checks.check()
    assert (summary(first), summary(second)) == (MEASURED_ALLOW, CACHED_ALLOW)
    assert first.judgement is second.judgement
    assert first.facts() == second.facts()
    assert world.events == [
        ("flight", "began"),
        ("request", "miss"),
        ("scan", "complete"),
        ("request", "hit"),
    ]


async def test_a_hundred_callers_share_one_measurement_and_a_cancelled_one_harms_nobody() -> None:
    world = World(gate=asyncio.Event())
    checks = world.checks()
    callers = [asyncio.create_task(checks.check()) for _ in range(100)]
    await turns()
    callers[0].cancel()
    assert world.gate is not None
    world.gate.set()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    others = [answer for answer in answers[1:] if isinstance(answer, Answer)]
    assert {summary(answer) for answer in others} == {(Decision.ALLOW, ResultSource.SHARED)}
    assert (len(others), world.measured) == (99, ["127.0.0.1"])


async def test_a_caller_out_of_time_gets_check_in_progress_and_the_next_one_the_result() -> None:
    world = World(gate=asyncio.Event())
    checks = world.checks()
    early = await checks.check(wait_s=0)
    assert (summary(early), codes(early)) == (NOTHING_KNOWN, {"CHECK_IN_PROGRESS"})
    assert early.retry_after == SECOND
    assert checks.measurements.in_progress == 1
    assert world.gate is not None
    world.gate.set()
    await turns()
    assert summary(await checks.check(wait_s=0)) == CACHED_ALLOW
    assert checks.measurements.in_progress == 0


async def test_a_caller_out_of_time_while_the_host_is_resolved_is_told_to_ask_again() -> None:
    world = World(resolver_gate=asyncio.Event())
    early = await world.checks().check(wait_s=0)
    assert (summary(early), codes(early)) == (NOTHING_KNOWN, {"CHECK_IN_PROGRESS"})
    assert (early.retry_after, early.judgement.expires_at) == (SECOND, NOW + LIFETIMES.unknown)
    assert (early.facts().addresses, world.measured) == ((), [])


async def test_a_denial_already_proven_stands_while_another_address_is_measured() -> None:
    world = World(facts=partial(compliant, versions=OLD_TLS))
    checks = world.checks()
    denied = await checks.check()
    world.addresses, world.gate = ("127.0.0.1", "127.0.0.2"), asyncio.Event()
    incomplete = await checks.check(wait_s=0)
    decisions = [answer.judgement.verdict.decision for answer in (denied, incomplete)]
    assert decisions == [Decision.DENY, Decision.DENY]
    assert "CHECK_IN_PROGRESS" in codes(incomplete)
    assert [facts.address for facts in incomplete.facts().addresses] == ["127.0.0.1"]
    await checks.service.close()


async def test_what_denies_already_is_told_to_a_caller_out_of_time_and_kept_for_nobody() -> None:
    world = World(gate=asyncio.Event(), so_far=partial(compliant, versions=OLD_TLS))
    checks = world.checks()
    early = await checks.check(wait_s=0)
    assert summary(early) == (Decision.DENY, ResultSource.MEASURED)
    assert codes(early) >= {"CHECK_IN_PROGRESS", "TLS_VERSION_BELOW_MINIMUM"}
    assert early.retry_after is not None
    (judged,) = early.facts().addresses
    assert judged.versions == OLD_TLS
    assert world.gate is not None
    world.gate.set()
    await turns()
    assert summary(await checks.check(wait_s=0)) == CACHED_ALLOW


@pytest.mark.parametrize("so_far", [compliant, unknown])
async def test_a_measurement_under_way_that_denies_nothing_yet_permits_nothing(
    so_far: Callable[[str, datetime], AddressFacts],
) -> None:
    world = World(gate=asyncio.Event(), so_far=so_far)
    checks = world.checks()
    early = await checks.check(wait_s=0)
    assert (summary(early), codes(early)) == (NOTHING_KNOWN, {"CHECK_IN_PROGRESS"})
    await checks.service.close()


async def test_yesterdays_address_never_answers_for_todays() -> None:
    world = World()
    checks = world.checks()
    await checks.check()
    world.addresses = ("127.0.0.2",)
    moved = await checks.check()
    assert moved.judgement.judged_addresses == ("127.0.0.2",)
    assert moved.source is ResultSource.MEASURED
    assert world.measured == ["127.0.0.1", "127.0.0.2"]


async def test_the_worst_address_decides() -> None:
    def facts(address: str, at: datetime) -> AddressFacts:
        return (unknown if address.endswith("2") else compliant)(address, at)

    answer = await World(addresses=("127.0.0.1", "127.0.0.2"), facts=facts).checks().check()
    assert answer.judgement.verdict.decision is Decision.INDETERMINATE


@pytest.mark.parametrize(
    ("facts", "lifetime"), [(compliant, LIFETIMES.allow), (unknown, LIFETIMES.unknown)]
)
async def test_facts_live_as_long_as_the_decision_says_within_ten_percent(
    facts: Any, lifetime: timedelta
) -> None:
    world = World(facts=facts)
    checks = world.checks()
    first = await checks.check()
    lives = first.judgement.expires_at - NOW
    assert 0.9 * lifetime <= lives <= 1.1 * lifetime
    world.at = NOW + lives - timedelta(microseconds=1)
    assert (await checks.check()).source is ResultSource.CACHE
    world.at = NOW + lives
    assert (await checks.check()).source is ResultSource.MEASURED


async def test_expiry_never_passes_a_flip_by_time_alone_which_needs_no_measurement() -> None:
    world = World()
    ends = (await world.checks().check()).judgement.verdict.changes_at
    assert ends is not None
    world.at = ends - timedelta(minutes=1)
    checks = world.checks()
    before = await checks.check()
    assert before.judgement.expires_at == ends
    world.at = ends
    after = await checks.check()
    assert after.source is ResultSource.CACHE
    assert "CERTIFICATE_EXPIRES_SOON" in codes(after)
    assert "CERTIFICATE_EXPIRES_SOON" not in codes(before)


async def test_a_judgement_from_later_is_not_used_by_a_clock_that_was_set_back() -> None:
    world = World()
    flips_at = (await world.checks().check()).judgement.verdict.changes_at
    assert flips_at is not None
    world.at = flips_at - SECOND
    checks = world.checks()
    await checks.check()
    world.at = flips_at
    assert "CERTIFICATE_EXPIRES_SOON" in codes(await checks.check())
    world.at = flips_at - SECOND
    assert "CERTIFICATE_EXPIRES_SOON" not in codes(await checks.check())


async def test_cache_only_never_measures() -> None:
    world = World()
    answer = await world.checks().check(request(ONLY))
    assert (summary(answer), codes(answer)) == (NOTHING_KNOWN, {"NO_CACHED_RESULT"})
    assert world.measured == []


async def test_max_age_refuses_older_facts() -> None:
    world = World()
    checks = world.checks()
    await checks.check()
    world.at = NOW + 20 * SECOND
    assert (await checks.check(request(max_age=20 * SECOND))).source is ResultSource.CACHE
    assert (await checks.check(request(max_age=19 * SECOND))).source is ResultSource.MEASURED


async def test_stale_facts_answer_within_max_stale_while_a_new_measurement_runs() -> None:
    world = World()
    checks = world.checks()
    ends_at = (await checks.check()).judgement.expires_at
    world.at, world.gate = ends_at + SECOND, asyncio.Event()
    stale = await checks.check(request(max_stale=timedelta(minutes=1)))
    assert summary(stale) == (Decision.ALLOW, ResultSource.STALE_CACHE)
    assert world.at < stale.judgement.expires_at <= ends_at + timedelta(minutes=1)
    assert checks.measurements.in_progress == 1
    world.at = ends_at + timedelta(minutes=11)  # past the cap, whatever the caller says
    late = await checks.check(request(max_stale=timedelta(hours=5)), wait_s=0)
    assert codes(late) == {"CHECK_IN_PROGRESS"}
    await checks.service.close()


async def test_stale_facts_answer_only_those_who_accept_them() -> None:
    class Renewing(World):
        """Whose first address is measured once, and then never again to the end."""

        async def measure(
            self, endpoint: Endpoint, address: VettedAddress, depth: Depth, demand: Demand
        ) -> AddressFacts:
            if address.text in self.measured and address.text == "127.0.0.1":
                await asyncio.Event().wait()
            return await super().measure(endpoint, address, depth, demand)

    world = Renewing()
    checks = world.checks()
    ends_at = (await checks.check()).judgement.expires_at
    world.at, world.addresses = ends_at + SECOND, ("127.0.0.1", "127.0.0.2")
    tolerant = request(max_stale=timedelta(minutes=1))
    assert summary(await checks.check(tolerant)) == MEASURED_ALLOW
    assert codes(await checks.check(request(ONLY))) == {"NO_CACHED_RESULT"}
    assert summary(await checks.check(tolerant)) == (Decision.ALLOW, ResultSource.STALE_CACHE)
    await checks.service.close()


async def test_stale_facts_never_cross_a_time_flip() -> None:
    world = World()
    ends = (await world.checks().check()).judgement.verdict.changes_at
    assert ends is not None
    world.at = ends - timedelta(hours=1, minutes=8)
    checks = world.checks()
    await checks.check()
    world.at = ends + SECOND
    answer = await checks.check(request(ONLY, max_stale=timedelta(hours=1)))
    assert codes(answer) == {"NO_CACHED_RESULT"}


async def test_an_unknown_measurement_replaces_an_older_allow() -> None:
    world = World()
    checks = world.checks()
    await checks.check()
    world.at, world.facts = NOW + 60 * SECOND, unknown
    await checks.check(request(REFRESH))
    answer = await checks.check(request(ONLY, max_stale=timedelta(minutes=10)))
    assert answer.judgement.verdict.decision is Decision.INDETERMINATE


async def test_refresh_joins_only_a_flight_begun_after_it() -> None:
    world = World(gate=asyncio.Event())
    checks = world.checks()
    early = asyncio.create_task(checks.check())
    await turns()
    refreshing = [asyncio.create_task(checks.check(request(REFRESH))) for _ in range(5)]
    await turns()
    assert world.measured == ["127.0.0.1"]  # one measurement of a target at a time
    assert world.gate is not None
    world.gate.set()
    await asyncio.gather(early, *refreshing)
    assert world.measured == ["127.0.0.1"] * 2


async def test_a_refresh_too_soon_gets_the_recent_result_and_when_to_ask_again() -> None:
    world = World()
    checks = world.checks()
    await checks.check()
    world.at = NOW + 4 * SECOND
    answer = await checks.check(request(REFRESH))
    assert (answer.source, answer.retry_after) == (ResultSource.CACHE, 6 * SECOND)
    world.at = NOW + 10 * SECOND
    assert (await checks.check(request(REFRESH))).source is ResultSource.MEASURED


async def test_a_measurement_that_raises_is_scan_failed_and_forgets_what_was_known() -> None:
    world = World()
    checks = world.checks()
    await checks.check()
    world.at, world.error = NOW + 60 * SECOND, RuntimeError("a bug")
    failed = await checks.check(request(REFRESH))
    assert (summary(failed), codes(failed)) == (NOTHING_KNOWN, {"SCAN_FAILED"})
    assert codes(await checks.check(request(ONLY))) == {"NO_CACHED_RESULT"}
    assert ("scan", "failed") in world.events


async def test_no_room_is_the_callers_error_to_see() -> None:
    world = World(error=Overloaded(2 * SECOND))
    with pytest.raises(Overloaded) as raised:
        await world.checks().check()
    assert raised.value is world.error
    assert ("scan", "overloaded") in world.events


async def test_a_denial_that_is_proven_needs_no_room_for_the_rest() -> None:
    world = World(facts=partial(compliant, versions=OLD_TLS))
    checks = world.checks()
    await checks.check()
    world.addresses, world.error = ("127.0.0.1", "127.0.0.2"), Overloaded(2 * SECOND)
    answer = await checks.check()
    assert answer.judgement.verdict.decision is Decision.DENY
    assert "SCAN_FAILED" in codes(answer)


@pytest.mark.parametrize(
    ("resolution", "decision", "code"),
    [
        (
            Resolution(status=ResolutionStatus.FAILED),
            Decision.INDETERMINATE,
            "TARGET_DNS_FAILED",
        ),
        (
            Resolution(
                status=ResolutionStatus.FORBIDDEN,
                forbidden=(ForbiddenAddress("10.0.0.1", "private"),),
            ),
            Decision.DENY,
            "TARGET_ADDRESS_FORBIDDEN",
        ),
    ],
)
async def test_a_host_without_an_address_to_dial_is_answered_without_measuring(
    resolution: Resolution, decision: Decision, code: str
) -> None:
    world = World(resolution=resolution)
    answer = await world.checks().check()
    assert (summary(answer), codes(answer)) == ((decision, ResultSource.NONE), {code})
    facts = answer.facts()
    assert (facts.resolution, facts.forbidden) == (resolution.status, resolution.forbidden)
    assert world.measured == []


async def test_cached_facts_answer_at_earlier_addresses_and_the_answer_says_so() -> None:
    world = World()
    checks = world.checks()
    await checks.check()
    world.at, world.resolution, world.is_known = NOW + 60 * SECOND, stale(), True
    for _ in range(2):
        answer = await checks.check()
        assert summary(answer) == CACHED_ALLOW
        findings = answer.judgement.verdict.findings
        (finding,) = [each for each in findings if each.code == DNS_FAILED]
        assert (finding.effect, "SERVFAIL" in finding.message) == (Effect.ADVISORY, True)
        assert answer.judgement.expires_at == world.at + 5 * SECOND, "no longer than the addresses"
        assert answer.facts().resolution_is_stale
    assert (world.measured, world.asked_fresh) == (["127.0.0.1"], 0)
    world.at += 5 * SECOND
    again = await checks.check()
    assert again.judgement.expires_at == world.at + 5 * SECOND
    world.resolution = None
    answer = await checks.check()
    assert (summary(answer), codes(answer)) == (CACHED_ALLOW, set())


@pytest.mark.parametrize(
    "asked",
    [
        request(),
        request(REFRESH),
        request(max_age=5 * SECOND),
        request(max_stale=5 * SECOND),
    ],
    ids=["expired", "refresh", "too old", "too stale"],
)
async def test_nothing_is_measured_at_earlier_addresses(asked: CheckRequest) -> None:
    world = World()
    checks = world.checks()
    await checks.check()
    world.at, world.resolution = NOW + timedelta(hours=2), stale()
    answer = await checks.check(asked)
    assert (summary(answer), codes(answer)) == (NOTHING_KNOWN, {DNS_FAILED})
    assert world.measured == ["127.0.0.1"], "only before"
    assert world.asked_fresh == 1, "the name servers were waited for"
    assert answer.judgement.expires_at == world.at + 5 * SECOND
    assert checks.measurements.in_progress == 0


async def test_who_accepts_stale_facts_gets_them_at_earlier_addresses_too() -> None:
    world = World()
    checks = world.checks()
    first = await checks.check()
    world.at, world.resolution = first.judgement.expires_at + SECOND, stale()
    answer = await checks.check(request(max_stale=timedelta(minutes=10)))
    assert summary(answer) == (Decision.ALLOW, ResultSource.STALE_CACHE)
    assert DNS_FAILED in codes(answer)
    assert (world.measured, checks.measurements.in_progress) == (["127.0.0.1"], 0)


async def test_an_earlier_address_without_facts_leaves_the_name_unjudged() -> None:
    world = World()
    checks = world.checks()
    await checks.check()
    world.resolution = stale("127.0.0.1", "127.0.0.2")
    answer = await checks.check()
    assert answer.judgement.verdict.decision is Decision.INDETERMINATE
    findings = answer.judgement.verdict.findings
    unmeasured = [each for each in findings if each.address == "127.0.0.2"]
    assert [(each.code, each.effect) for each in unmeasured] == [(DNS_FAILED, Effect.INDETERMINATE)]


async def test_a_name_that_resolves_after_all_is_measured() -> None:
    answered = Resolution(status=ResolutionStatus.RESOLVED, addresses=(vetted("127.0.0.2"),))
    world = World(resolution=stale(), is_known=True, fresh_resolution=answered)
    answer = await world.checks().check()
    assert summary(answer) == MEASURED_ALLOW
    assert (world.measured, codes(answer)) == (["127.0.0.2"], set())


async def test_a_name_that_turns_out_not_to_exist_is_answered_without_measuring() -> None:
    gone = Resolution(status=ResolutionStatus.FAILED, failure=ResolutionFailure.NXDOMAIN)
    world = World(resolution=stale(), is_known=True, fresh_resolution=gone)
    answer = await world.checks().check()
    assert (summary(answer), codes(answer)) == (NOTHING_KNOWN, {DNS_FAILED})
    assert answer.facts().resolution_failure is ResolutionFailure.NXDOMAIN
    assert world.measured == []


async def test_who_has_no_time_for_the_name_servers_is_told_to_ask_again() -> None:
    world = World(resolution=stale(), is_known=True, resolver_gate=asyncio.Event())
    early = await world.checks().check(wait_s=0)
    assert (summary(early), codes(early)) == (NOTHING_KNOWN, {"CHECK_IN_PROGRESS"})
    assert (early.retry_after, world.measured) == (SECOND, [])


async def test_a_family_that_did_not_resolve_is_never_allowed() -> None:
    partly = replace(stale(), is_stale=False, unresolved_families=("IPv6",))
    world = World(resolution=partly)
    checks = world.checks()
    answers = [await checks.check() for _ in range(2)]
    decisions = [each.judgement.verdict.decision for each in answers]
    assert decisions == [Decision.INDETERMINATE] * 2
    assert codes(answers[0]) == {DNS_FAILED}
    assert answers[0].facts().unresolved_families == ("IPv6",)
    world.resolution = None
    assert summary(await checks.check())[0] is Decision.ALLOW


async def test_after_close_begins_checks_are_refused_and_flights_end() -> None:
    world = World(gate=asyncio.Event())
    checks = world.checks()
    waiting = asyncio.create_task(checks.check())
    await turns()
    await checks.service.close()
    for attempt in (waiting, checks.check()):
        with pytest.raises(ServiceUnavailable):
            await attempt
    assert checks.measurements.in_progress == 0


async def test_a_check_that_was_resolving_as_close_began_starts_no_measurement() -> None:
    world = World(resolver_gate=asyncio.Event())
    checks = world.checks()
    resolving = asyncio.create_task(checks.check())
    await turns()
    await checks.service.close()
    assert world.resolver_gate is not None
    world.resolver_gate.set()
    with pytest.raises(ServiceUnavailable):
        await resolving
    assert world.measured == []


async def test_an_unreachable_address_is_unknown() -> None:
    silent = partial(compliant, reachable=Support.NO, versions=(), cipher_suites=(), deployments=())
    world = World(facts=silent)
    answer = await world.checks().check()
    assert answer.judgement.verdict.decision is Decision.INDETERMINATE
    assert "TARGET_UNREACHABLE" in codes(answer)
    assert ("scan", "unreachable") in world.events


async def test_lifetimes_of_a_policy_document_go_before_those_of_the_settings() -> None:
    world = World()
    checks = world.checks()
    impatient = request(policy_name=BRIEF.name)
    answer = await checks.check(impatient)
    assert answer.judgement.expires_at <= NOW + 66 * SECOND
    world.at = NOW + 67 * SECOND
    assert summary(await checks.check()) == CACHED_ALLOW
    assert summary(await checks.check(impatient)) == MEASURED_ALLOW


async def test_forgotten_facts_are_measured_again_after_the_measurement_under_way() -> None:
    world = World(gate=asyncio.Event())
    assert world.gate is not None
    checks = world.checks()
    early = asyncio.create_task(checks.check())
    await turns()
    assert await checks.service.invalidate(HOST, 443) == 0
    late = asyncio.create_task(checks.check())
    await turns()
    # The one under way answers who waits for it; the other begins when it has landed.
    assert world.measured == ["127.0.0.1"]
    world.gate.set()
    assert [summary(await task) for task in (early, late)] == [MEASURED_ALLOW] * 2
    assert world.measured == ["127.0.0.1"] * 2
    assert summary(await checks.check()) == CACHED_ALLOW
    named = ((HOST, 8443), ("other.test", 0), (HOST, 0), (HOST, 0))
    assert [await checks.service.invalidate(*which) for which in named] == [0, 0, 1, 0]
    assert summary(await checks.check()) == MEASURED_ALLOW


async def test_an_outdated_measurement_is_not_kept() -> None:
    world = World(gate=asyncio.Event())
    assert world.gate is not None
    checks = world.checks()
    early = asyncio.create_task(checks.check())
    await turns()
    await checks.service.invalidate(HOST, 0)
    world.gate.set()
    assert summary(await early) == MEASURED_ALLOW
    assert codes(await checks.check(request(ONLY))) == {"NO_CACHED_RESULT"}


async def test_nothing_keeps_facts_that_the_store_has_dropped() -> None:
    world = World(addresses=("127.9.9.1", "127.9.9.2"))
    checks = world.checks(memory_store(max_entries=4))

    def alive() -> list[str]:
        gc.collect()
        facts = [each for each in gc.get_objects() if isinstance(each, AddressFacts)]
        addresses = [each.address for each in facts]
        return sorted(each for each in addresses if each.startswith("127.9.9."))

    for number in range(5):
        asked = request(endpoint=parse_endpoint(HOST, 443, f"name{number}.test"))
        assert (await checks.check(asked)).source is ResultSource.MEASURED
    assert alive() == ["127.9.9.1"] * 2 + ["127.9.9.2"] * 2
    assert (await checks.check(asked)).judgement is (await checks.check(asked)).judgement
    await checks.service.invalidate(HOST, 0)
    assert alive() == []


async def test_a_new_generation_judges_the_same_facts_anew() -> None:
    world = World()
    checks = world.checks()
    first = await checks.check()
    second = generation(revision="second")
    for asked in (request(policy_name="otpc-2024-12-strict"), request()):
        answer = await checks.check(asked, second)
        judgement = answer.judgement
        assert (answer.source, judgement is first.judgement) == (ResultSource.CACHE, False)
        assert judgement.policy == second.policies.get(asked.policy_name)
        assert judgement.configuration_revision == "second"
    assert world.measured == ["127.0.0.1"]


async def test_a_server_name_that_is_not_listed_is_denied_unresolved_and_unmeasured() -> None:
    world = World()
    asked = request(endpoint=parse_endpoint(HOST, 443, "other.test"))
    under = generation(partners=index(entry("bank", HOST)))
    answer = await world.checks().check(asked, under)
    assert summary(answer) == (Decision.DENY, ResultSource.NONE)
    assert codes(answer) == {"SERVER_NAME_NOT_LISTED"}
    judgement = answer.judgement
    assert (judgement.partner_id, judgement.judged_addresses) == ("bank", ())
    assert (judgement.expires_at, world.measured) == (NOW + LIFETIMES.deny, [])


async def test_an_unknown_policy_is_the_callers_error() -> None:
    world = World()
    with pytest.raises(UnknownPolicy):
        await world.checks().check(request(policy_name="none"))
    assert world.measured == []


async def test_an_address_where_the_service_itself_listens_is_forbidden() -> None:
    world = World(own_listeners={("127.0.0.1", 443)})
    answer = await world.checks().check()
    assert (summary(answer), codes(answer)) == (
        (Decision.DENY, ResultSource.NONE),
        {"TARGET_ADDRESS_FORBIDDEN"},
    )
    assert world.measured == []


async def test_an_address_that_the_engine_may_not_dial_is_forbidden() -> None:
    world = World()
    checks = world.checks()
    await checks.check()
    world.at += timedelta(minutes=1)
    world.error = TargetForbidden("private")
    answer = await checks.check(request(FreshnessMode.REFRESH))
    assert answer.judgement.verdict.decision is Decision.DENY
    (finding,) = answer.judgement.verdict.findings
    assert finding.code == "TARGET_ADDRESS_FORBIDDEN"
    assert finding.message.endswith("may not be dialled: private")
