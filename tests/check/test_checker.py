"""The use case with a clock, names and a scanner that tests move by hand."""

import asyncio
import gc
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from ipaddress import ip_network
from typing import Any

import pytest

from otpc_policy.cache.memory import MemoryFactsCache
from otpc_policy.catalog.context import JudgingContext
from otpc_policy.catalog.policies import load_builtin_policies, parse_policy
from otpc_policy.check import CheckAnswer, CheckRequest, EndpointChecker, Freshness, FreshnessMode, Lifetimes, ResultSource
from otpc_policy.check.freshness import facts_key, lifetime_ends_at
from otpc_policy.core.addresses import AddressVetting, Resolution, VettedAddress
from otpc_policy.core.endpoint import Endpoint, parse_endpoint
from otpc_policy.core.errors import Overloaded, ServiceUnavailable
from otpc_policy.core.facts import AddressFacts, Depth, ForbiddenAddress, ResolutionFailure, ResolutionStatus, Support
from otpc_policy.policy.finding import Decision, Effect
from otpc_policy.policy.model import Policy
from tests.catalog.writing import entry, index
from tests.support.facts import HOST, NOW, make_facts, make_trust, versions

POLICIES = load_builtin_policies()
SECOND = timedelta(seconds=1)
DNS_FAILED = "TARGET_DNS_FAILED"
LIFETIMES = Lifetimes(allow=timedelta(hours=1), deny=timedelta(minutes=5), unknown=timedelta(seconds=30))


def vetted(text: str) -> VettedAddress:
    one = AddressVetting([ip_network("127.0.0.0/8")]).vet(text)
    assert isinstance(one, VettedAddress)
    return one


@dataclass
class World:
    """Clock, resolver, scanner and observer in one; a test changes what they say.

    gate: when set, measurements wait for it. facts: what is measured at an address. error: what a measurement raises.
    so_far: what one under way has found. is_known: the resolver has its answer at hand, and must not be asked.
    asked_fresh: how often it was asked to wait for the name servers.
    """

    at: datetime = NOW
    addresses: tuple[str, ...] = ("127.0.0.1",)
    resolution: Resolution | None = None
    gate: asyncio.Event | None = None
    facts: Callable[[str, datetime], AddressFacts] = field(default_factory=lambda: compliant)
    error: Exception | None = None
    so_far: Callable[[str, datetime], AddressFacts] | None = None
    is_known: bool = False
    asked_fresh: int = 0
    measured: list[str] = field(default_factory=list)
    events: list[tuple[str, str]] = field(default_factory=list)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def known(self, host: str) -> Resolution | None:
        return self.resolved(host) if self.is_known else None

    async def resolve(self, host: str, *, fresh: bool = False) -> Resolution:
        assert fresh or not self.is_known
        self.asked_fresh += fresh
        return self.resolved(host)

    def resolved(self, host: str) -> Resolution:
        assert host == HOST
        return self.resolution or Resolution(status=ResolutionStatus.RESOLVED, addresses=tuple(vetted(one) for one in self.addresses))

    async def measure(self, endpoint: Endpoint, address: VettedAddress, depth: Depth) -> AddressFacts:
        assert (endpoint.host, depth) == (HOST, Depth.STANDARD)
        self.measured.append(address.text)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return self.facts(address.text, self.at)

    def glimpse(self, endpoint: Endpoint, address: VettedAddress, depth: Depth) -> AddressFacts | None:
        return None if self.so_far is None else self.so_far(address.text, self.at)

    def cache_request(self, *, tier: str, result: str) -> None:
        self.events.append((tier, result))

    def flight(self, result: str) -> None:
        self.events.append(("flight", result))

    def scan_finished(self, *, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        self.events.append(("scan", outcome))

    def checker(self, *, cache_entries: int = 100) -> EndpointChecker:
        return EndpointChecker(
            resolver=self,
            scanner=self,
            cache=MemoryFactsCache(max_entries=cache_entries, max_bytes=1 << 24),
            clock=self,
            lifetimes=LIFETIMES,
            observer=self,
            max_stale=timedelta(minutes=10),
            minimum_refresh_interval=timedelta(seconds=10),
        )


def compliant(address: str, at: datetime, **overrides: Any) -> AddressFacts:
    return replace(make_facts().addresses[0], address=address, observed_at=at, **overrides)


def unknown(address: str, at: datetime) -> AddressFacts:
    return compliant(address, at, versions=(), cipher_suites=(), deployments=())


def request(mode: FreshnessMode = FreshnessMode.CACHE_FIRST, **freshness: timedelta) -> CheckRequest:
    return CheckRequest(endpoint=parse_endpoint(HOST), terms=terms(), freshness=Freshness(mode=mode, **freshness), depth=Depth.STANDARD)


def terms(policy: Policy | None = None) -> JudgingContext:
    return JudgingContext(policy=policy or POLICIES.get(""), trust=make_trust())


def summary(answer: CheckAnswer) -> tuple[Decision, ResultSource]:
    return answer.judged.verdict.decision, answer.source


def codes(answer: CheckAnswer) -> set[str]:
    return {finding.code for finding in answer.judged.verdict.findings}


async def turns() -> None:
    """Let every task run as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize("status", [ResolutionStatus.RESOLVED, ResolutionStatus.FORBIDDEN, ResolutionStatus.FAILED])
async def test_a_resolution_that_is_at_hand_is_judged_as_one_that_was_asked_for(status: ResolutionStatus) -> None:
    resolution = None if status is ResolutionStatus.RESOLVED else Resolution(status=status)
    answers = [await World(resolution=resolution, is_known=is_known).checker().check(request(), wait_s=None) for is_known in (True, False)]
    assert answers[0].judged.verdict == answers[1].judged.verdict
    assert summary(answers[0]) == summary(answers[1])


async def test_measured_once_then_answered_from_the_cache_with_the_same_object() -> None:
    world = World()
    checker = world.checker()
    first = await checker.check(request(), wait_s=None)
    second = await checker.check(request(), wait_s=None)
    assert (summary(first), summary(second)) == ((Decision.ALLOW, ResultSource.MEASURED), (Decision.ALLOW, ResultSource.CACHE))
    assert first.judged is second.judged
    assert world.events == [("flight", "began"), ("memory", "miss"), ("scan", "complete"), ("memory", "hit")]


async def test_a_hundred_callers_share_one_measurement_and_a_cancelled_one_harms_nobody() -> None:
    world = World(gate=asyncio.Event())
    checker = world.checker()
    callers = [asyncio.create_task(checker.check(request(), wait_s=None)) for _ in range(100)]
    await turns()
    callers[0].cancel()
    assert world.gate is not None
    world.gate.set()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert {summary(one)[0] for one in answers[1:] if isinstance(one, CheckAnswer)} == {Decision.ALLOW}
    assert world.measured == ["127.0.0.1"]


async def test_a_caller_out_of_time_gets_check_in_progress_and_the_next_one_the_result() -> None:
    world = World(gate=asyncio.Event())
    checker = world.checker()
    early = await checker.check(request(), wait_s=0)
    assert (summary(early), codes(early)) == ((Decision.INDETERMINATE, ResultSource.NONE), {"CHECK_IN_PROGRESS"})
    assert early.retry_after is not None
    assert checker.flights_in_progress == 1
    assert world.gate is not None
    world.gate.set()
    await turns()
    assert summary(await checker.check(request(), wait_s=0)) == (Decision.ALLOW, ResultSource.CACHE)
    assert checker.flights_in_progress == 0


async def test_a_denial_already_proven_stands_while_another_address_is_measured() -> None:
    world = World(facts=lambda address, at: compliant(address, at, versions=versions(TLS_1_0=Support.YES)))
    checker = world.checker()
    denied = await checker.check(request(), wait_s=None)
    world.addresses, world.gate = ("127.0.0.1", "127.0.0.2"), asyncio.Event()
    incomplete = await checker.check(request(), wait_s=0)
    assert (denied.judged.verdict.decision, incomplete.judged.verdict.decision) == (Decision.DENY, Decision.DENY)
    assert "CHECK_IN_PROGRESS" in codes(incomplete)
    await checker.close()


async def test_what_denies_already_is_told_to_a_caller_out_of_time_and_kept_for_nobody() -> None:
    denying = partial(compliant, versions=versions(TLS_1_0=Support.YES))
    world = World(gate=asyncio.Event(), so_far=denying)
    checker = world.checker()
    early = await checker.check(request(), wait_s=0)
    assert early.judged.verdict.decision is Decision.DENY
    assert codes(early) >= {"CHECK_IN_PROGRESS", "TLS_VERSION_BELOW_MINIMUM"}
    assert early.retry_after is not None
    assert world.gate is not None
    world.gate.set()
    await turns()
    assert summary(await checker.check(request(), wait_s=0)) == (Decision.ALLOW, ResultSource.CACHE)


@pytest.mark.parametrize("so_far", [compliant, unknown])
async def test_a_measurement_under_way_that_denies_nothing_yet_permits_nothing(so_far: Callable[[str, datetime], AddressFacts]) -> None:
    world = World(gate=asyncio.Event(), so_far=so_far)
    checker = world.checker()
    early = await checker.check(request(), wait_s=0)
    assert (summary(early), codes(early)) == ((Decision.INDETERMINATE, ResultSource.NONE), {"CHECK_IN_PROGRESS"})
    await checker.close()


async def test_yesterdays_address_never_answers_for_todays() -> None:
    world = World()
    checker = world.checker()
    await checker.check(request(), wait_s=None)
    world.addresses = ("127.0.0.2",)
    moved = await checker.check(request(), wait_s=None)
    assert (moved.judged.judged_addresses, moved.source) == (("127.0.0.2",), ResultSource.MEASURED)
    assert world.measured == ["127.0.0.1", "127.0.0.2"]


async def test_the_worst_address_decides() -> None:
    world = World(addresses=("127.0.0.1", "127.0.0.2"), facts=lambda address, at: (unknown if address.endswith("2") else compliant)(address, at))
    assert (await world.checker().check(request(), wait_s=None)).judged.verdict.decision is Decision.INDETERMINATE


@pytest.mark.parametrize(("facts", "lifetime"), [(compliant, LIFETIMES.allow), (unknown, LIFETIMES.unknown)])
async def test_facts_live_as_long_as_the_decision_says_within_ten_percent(facts: Any, lifetime: timedelta) -> None:
    world = World(facts=facts)
    checker = world.checker()
    first = await checker.check(request(), wait_s=None)
    lives = first.judged.expires_at - NOW
    assert 0.9 * lifetime <= lives <= 1.1 * lifetime
    world.at = NOW + lives - timedelta(microseconds=1)
    assert (await checker.check(request(), wait_s=None)).source is ResultSource.CACHE
    world.at = NOW + lives
    assert (await checker.check(request(), wait_s=None)).source is ResultSource.MEASURED


async def test_expiry_never_passes_the_instant_at_which_time_flips_a_rule_and_the_flip_needs_no_measurement() -> None:
    world = World()
    ends = (await world.checker().check(request(), wait_s=None)).judged.verdict.changes_at
    assert ends is not None
    world.at = ends - timedelta(minutes=1)
    checker = world.checker()
    before = await checker.check(request(), wait_s=None)
    assert before.judged.expires_at == ends
    world.at = ends
    after = await checker.check(request(), wait_s=None)
    assert after.source is ResultSource.CACHE
    assert "CERTIFICATE_EXPIRES_SOON" in codes(after)
    assert "CERTIFICATE_EXPIRES_SOON" not in codes(before)


async def test_cache_only_never_measures() -> None:
    world = World()
    answer = await world.checker().check(request(FreshnessMode.CACHE_ONLY), wait_s=None)
    assert (summary(answer), codes(answer)) == ((Decision.INDETERMINATE, ResultSource.NONE), {"NO_CACHED_RESULT"})
    assert world.measured == []


async def test_max_age_refuses_older_facts() -> None:
    world = World()
    checker = world.checker()
    await checker.check(request(), wait_s=None)
    world.at = NOW + 20 * SECOND
    assert (await checker.check(request(max_age=20 * SECOND), wait_s=None)).source is ResultSource.CACHE
    assert (await checker.check(request(max_age=19 * SECOND), wait_s=None)).source is ResultSource.MEASURED


async def test_stale_facts_answer_within_max_stale_while_a_new_measurement_runs() -> None:
    world = World()
    checker = world.checker()
    first = await checker.check(request(), wait_s=None)
    world.at, world.gate = first.judged.expires_at + SECOND, asyncio.Event()
    stale = await checker.check(request(max_stale=timedelta(minutes=1)), wait_s=None)
    assert summary(stale) == (Decision.ALLOW, ResultSource.STALE_CACHE)
    assert world.at < stale.judged.expires_at <= first.judged.expires_at + timedelta(minutes=1)
    assert checker.flights_in_progress == 1
    world.at = first.judged.expires_at + timedelta(minutes=11)  # past the cap, whatever the caller says
    assert codes(await checker.check(request(max_stale=timedelta(hours=5)), wait_s=0)) == {"CHECK_IN_PROGRESS"}
    await checker.close()


async def test_stale_facts_never_cross_a_time_flip() -> None:
    world = World()
    ends = (await world.checker().check(request(), wait_s=None)).judged.verdict.changes_at
    assert ends is not None
    world.at = ends - timedelta(hours=1, minutes=8)
    checker = world.checker()
    await checker.check(request(), wait_s=None)
    world.at = ends + SECOND
    answer = await checker.check(request(FreshnessMode.CACHE_ONLY, max_stale=timedelta(hours=1)), wait_s=None)
    assert codes(answer) == {"NO_CACHED_RESULT"}


async def test_an_unknown_measurement_replaces_an_older_allow() -> None:
    world = World()
    checker = world.checker()
    await checker.check(request(), wait_s=None)
    world.at, world.facts = NOW + 60 * SECOND, unknown
    await checker.check(request(FreshnessMode.REFRESH), wait_s=None)
    answer = await checker.check(request(FreshnessMode.CACHE_ONLY, max_stale=timedelta(minutes=10)), wait_s=None)
    assert answer.judged.verdict.decision is Decision.INDETERMINATE


async def test_refresh_joins_only_a_flight_begun_after_it() -> None:
    world = World(gate=asyncio.Event())
    checker = world.checker()
    early = asyncio.create_task(checker.check(request(), wait_s=None))
    await turns()
    refreshing = [asyncio.create_task(checker.check(request(FreshnessMode.REFRESH), wait_s=None)) for _ in range(5)]
    await turns()
    assert world.measured == ["127.0.0.1"]  # one scan of a target at a time
    assert world.gate is not None
    world.gate.set()
    await asyncio.gather(early, *refreshing)
    assert world.measured == ["127.0.0.1"] * 2


async def test_a_refresh_too_soon_gets_the_recent_result_and_when_to_ask_again() -> None:
    world = World()
    checker = world.checker()
    await checker.check(request(), wait_s=None)
    world.at = NOW + 4 * SECOND
    answer = await checker.check(request(FreshnessMode.REFRESH), wait_s=None)
    assert (answer.source, answer.retry_after) == (ResultSource.CACHE, 6 * SECOND)
    world.at = NOW + 10 * SECOND
    assert (await checker.check(request(FreshnessMode.REFRESH), wait_s=None)).source is ResultSource.MEASURED


async def test_a_measurement_that_raises_is_scan_failed_and_forgets_what_was_known() -> None:
    world = World()
    checker = world.checker()
    await checker.check(request(), wait_s=None)
    world.at, world.error = NOW + 60 * SECOND, RuntimeError("a bug")
    failed = await checker.check(request(FreshnessMode.REFRESH), wait_s=None)
    assert (summary(failed), codes(failed)) == ((Decision.INDETERMINATE, ResultSource.NONE), {"SCAN_FAILED"})
    assert codes(await checker.check(request(FreshnessMode.CACHE_ONLY), wait_s=None)) == {"NO_CACHED_RESULT"}
    assert ("scan", "failed") in world.events


async def test_no_room_is_the_callers_error_to_see() -> None:
    world = World(error=Overloaded(2 * SECOND))
    with pytest.raises(Overloaded):
        await world.checker().check(request(), wait_s=None)
    assert ("scan", "overloaded") in world.events


@pytest.mark.parametrize(
    ("resolution", "decision", "code"),
    [
        (Resolution(status=ResolutionStatus.FAILED), Decision.INDETERMINATE, "TARGET_DNS_FAILED"),
        (Resolution(status=ResolutionStatus.FORBIDDEN, forbidden=(ForbiddenAddress("10.0.0.1", "private"),)), Decision.DENY, "TARGET_ADDRESS_FORBIDDEN"),
    ],
)
async def test_a_host_without_an_address_to_dial_is_answered_without_measuring(resolution: Resolution, decision: Decision, code: str) -> None:
    world = World(resolution=resolution)
    answer = await world.checker().check(request(), wait_s=None)
    assert (summary(answer), codes(answer)) == ((decision, ResultSource.NONE), {code})
    assert world.measured == []


def stale(*texts: str) -> Resolution:
    """The addresses of an earlier answer, while the name server says SERVFAIL."""
    return Resolution(
        status=ResolutionStatus.RESOLVED,
        addresses=tuple(map(vetted, texts or ("127.0.0.1",))),
        failure=ResolutionFailure.SERVFAIL,
        is_stale=True,
        ttl=5 * SECOND,
    )


async def test_cached_facts_answer_at_earlier_addresses_and_the_answer_says_so() -> None:
    world = World()
    checker = world.checker()
    await checker.check(request(), wait_s=None)
    world.at, world.resolution, world.is_known = NOW + 60 * SECOND, stale(), True
    for _ in range(2):
        answer = await checker.check(request(), wait_s=None)
        assert summary(answer) == (Decision.ALLOW, ResultSource.CACHE)
        (finding,) = [one for one in answer.judged.verdict.findings if one.code == DNS_FAILED]
        assert (finding.effect, "SERVFAIL" in finding.message) == (Effect.ADVISORY, True)
        assert answer.judged.expires_at <= world.at + 5 * SECOND, "no longer than the addresses"
    assert (world.measured, world.asked_fresh) == (["127.0.0.1"], 0)
    world.resolution = None
    answer = await checker.check(request(), wait_s=None)
    assert (summary(answer), codes(answer)) == ((Decision.ALLOW, ResultSource.CACHE), set())


@pytest.mark.parametrize(
    "asked",
    [
        request(),
        request(FreshnessMode.REFRESH),
        request(max_age=5 * SECOND),
        request(max_stale=5 * SECOND),
    ],
    ids=["expired", "refresh", "too old", "too stale"],
)
async def test_nothing_is_measured_at_earlier_addresses(asked: CheckRequest) -> None:
    world = World()
    checker = world.checker()
    await checker.check(request(), wait_s=None)
    world.at, world.resolution = NOW + timedelta(hours=2), stale()
    answer = await checker.check(asked, wait_s=None)
    assert summary(answer) == (Decision.INDETERMINATE, ResultSource.NONE)
    assert codes(answer) == {DNS_FAILED}
    assert world.measured == ["127.0.0.1"], "only before"
    assert world.asked_fresh == 1, "the name servers were waited for"
    assert checker.flights_in_progress == 0


async def test_who_accepts_stale_facts_gets_them_at_earlier_addresses_too() -> None:
    world = World()
    checker = world.checker()
    await checker.check(request(), wait_s=None)
    world.at, world.resolution = NOW + timedelta(hours=1, minutes=7), stale()
    answer = await checker.check(request(max_stale=timedelta(minutes=10)), wait_s=None)
    assert summary(answer) == (Decision.ALLOW, ResultSource.STALE_CACHE)
    assert DNS_FAILED in codes(answer)
    assert (world.measured, checker.flights_in_progress) == (["127.0.0.1"], 0)


async def test_an_earlier_address_without_facts_leaves_the_name_unjudged() -> None:
    world = World()
    checker = world.checker()
    await checker.check(request(), wait_s=None)
    world.resolution = stale("127.0.0.1", "127.0.0.2")
    answer = await checker.check(request(), wait_s=None)
    assert answer.judged.verdict.decision is Decision.INDETERMINATE
    unmeasured = [one for one in answer.judged.verdict.findings if one.address == "127.0.0.2"]
    assert [(one.code, one.effect) for one in unmeasured] == [(DNS_FAILED, Effect.INDETERMINATE)]


async def test_a_name_that_resolves_after_all_is_measured() -> None:
    world = World(resolution=stale(), is_known=True)
    answered = Resolution(status=ResolutionStatus.RESOLVED, addresses=(vetted("127.0.0.2"),))

    async def resolve(host: str, *, fresh: bool = False) -> Resolution:
        assert fresh
        return answered

    world.resolve = resolve  # type: ignore[method-assign]
    answer = await world.checker().check(request(), wait_s=None)
    assert summary(answer) == (Decision.ALLOW, ResultSource.MEASURED)
    assert (world.measured, codes(answer)) == (["127.0.0.2"], set())


async def test_a_family_that_did_not_resolve_is_never_allowed() -> None:
    partly = replace(stale(), is_stale=False, unresolved_families=("IPv6",))
    world = World(resolution=partly)
    checker = world.checker()
    answers = [await checker.check(request(), wait_s=None) for _ in range(2)]
    assert [summary(one)[0] for one in answers] == [Decision.INDETERMINATE] * 2
    assert codes(answers[0]) == {DNS_FAILED}
    world.resolution = None
    assert summary(await checker.check(request(), wait_s=None))[0] is Decision.ALLOW


async def test_after_close_begins_checks_are_refused_and_flights_end() -> None:
    world = World(gate=asyncio.Event())
    checker = world.checker()
    waiting = asyncio.create_task(checker.check(request(), wait_s=None))
    await turns()
    await checker.close()
    with pytest.raises(ServiceUnavailable):
        await waiting
    with pytest.raises(ServiceUnavailable):
        await checker.check(request(), wait_s=None)
    assert checker.flights_in_progress == 0


async def test_an_unreachable_address_is_unknown() -> None:
    world = World(facts=lambda address, at: compliant(address, at, reachable=Support.NO, versions=(), cipher_suites=(), deployments=()))
    answer = await world.checker().check(request(), wait_s=None)
    assert (answer.judged.verdict.decision, "TARGET_UNREACHABLE" in codes(answer)) == (Decision.INDETERMINATE, True)
    assert ("scan", "unreachable") in world.events


def test_keys_of_different_endpoints_differ_and_jitter_is_the_same_for_the_same_facts() -> None:
    one, other = parse_endpoint("a.test", 443, "b.test"), parse_endpoint("a.test", 443)
    assert facts_key(one, "127.0.0.1", Depth.STANDARD) != facts_key(other, "127.0.0.1", Depth.STANDARD)
    key, facts = facts_key(one, "127.0.0.1", Depth.STANDARD), compliant("127.0.0.1", NOW)
    assert lifetime_ends_at(key, facts, LIFETIMES.allow) == lifetime_ends_at(key, facts, LIFETIMES.allow)


async def test_lifetimes_of_a_policy_document_go_before_those_of_the_settings() -> None:
    world = World()
    checker = world.checker()
    brief = parse_policy('name = "brief"\nextends = "otpc-2024-12"\nlifetimes.allow_s = 60\n', "brief.toml")
    impatient = replace(request(), terms=terms(brief))
    answer = await checker.check(impatient, wait_s=None)
    assert answer.judged.expires_at <= NOW + 66 * SECOND
    world.at = NOW + 67 * SECOND
    assert summary(await checker.check(request(), wait_s=None)) == (Decision.ALLOW, ResultSource.CACHE)
    assert summary(await checker.check(impatient, wait_s=None)) == (Decision.ALLOW, ResultSource.MEASURED)
    assert LIFETIMES.under(brief) == Lifetimes(allow=timedelta(minutes=1), deny=LIFETIMES.deny, unknown=LIFETIMES.unknown)


async def test_forgotten_facts_are_measured_again_and_a_measurement_under_way_answers_only_those_who_wait() -> None:
    world = World(gate=asyncio.Event())
    assert world.gate is not None
    checker = world.checker()
    early = asyncio.create_task(checker.check(request(), wait_s=None))
    await turns()
    assert checker.invalidate(HOST, 443) == 0
    late = asyncio.create_task(checker.check(request(), wait_s=None))
    await turns()
    # One measurement of a target at a time: the second begins when the outdated one has landed.
    assert world.measured == ["127.0.0.1"]
    world.gate.set()
    assert (await early).judged is not (await late).judged
    assert world.measured == ["127.0.0.1"] * 2
    assert summary(await checker.check(request(), wait_s=None))[1] is ResultSource.CACHE
    assert [checker.invalidate(*which) for which in ((HOST, 8443), ("other.test", 0), (HOST, 0), (HOST, 0))] == [0, 0, 1, 0]
    assert summary(await checker.check(request(), wait_s=None))[1] is ResultSource.MEASURED


async def test_an_outdated_measurement_is_not_kept() -> None:
    world = World(gate=asyncio.Event())
    assert world.gate is not None
    checker = world.checker()
    early = asyncio.create_task(checker.check(request(), wait_s=None))
    await turns()
    checker.invalidate(HOST, 0)
    world.gate.set()
    assert summary(await early) == (Decision.ALLOW, ResultSource.MEASURED)
    only_cached = await checker.check(request(FreshnessMode.CACHE_ONLY), wait_s=None)
    assert codes(only_cached) == {"NO_CACHED_RESULT"}


async def test_no_judgement_keeps_facts_that_the_cache_has_dropped() -> None:
    world = World(addresses=("127.9.9.1", "127.9.9.2"))
    checker = world.checker(cache_entries=4)

    def alive() -> list[str]:
        gc.collect()
        return sorted(one.address for one in gc.get_objects() if isinstance(one, AddressFacts) and one.address.startswith("127.9.9."))

    for number in range(5):
        asked = replace(request(), endpoint=parse_endpoint(HOST, 443, f"name{number}.test"))
        assert (await checker.check(asked, wait_s=None)).source is ResultSource.MEASURED
    assert alive() == ["127.9.9.1"] * 2 + ["127.9.9.2"] * 2
    assert (await checker.check(asked, wait_s=None)).judged is (await checker.check(asked, wait_s=None)).judged
    checker.invalidate(HOST, 0)
    assert alive() == []


async def test_new_terms_judge_the_same_facts_anew() -> None:
    world = World()
    checker = world.checker()
    first = await checker.check(request(), wait_s=None)
    stricter = replace(request(), terms=replace(terms(POLICIES.get("otpc-2024-12-strict")), revision="second"))
    renewed = replace(request(), terms=replace(terms(), revision="second"))
    for one in (stricter, renewed):
        answer = await checker.check(one, wait_s=None)
        assert (answer.source, answer.judged is first.judged) == (ResultSource.CACHE, False)
        assert (answer.judged.policy, answer.judged.configuration_revision) == (one.terms.policy, "second")
    assert world.measured == ["127.0.0.1"]


async def test_a_server_name_that_is_not_listed_is_denied_unresolved_and_unmeasured() -> None:
    world = World()
    endpoint = parse_endpoint(HOST, 443, "other.test")
    (partner,) = index(entry("bank", HOST)).partners
    asked = CheckRequest(endpoint=endpoint, terms=replace(terms(), partner=partner), freshness=Freshness(), depth=Depth.STANDARD)
    answer = await world.checker().check(asked, wait_s=None)
    assert (summary(answer), codes(answer)) == ((Decision.DENY, ResultSource.NONE), {"SERVER_NAME_NOT_LISTED"})
    assert (world.measured, answer.judged.partner_id, answer.judged.judged_addresses) == ([], "bank", ())
    assert answer.judged.expires_at == NOW + LIFETIMES.deny


async def test_of_two_policies_the_shorter_lifetimes_hold() -> None:
    brief = parse_policy('name = "brief"\nextends = "otpc-2024-12"\nlifetimes.allow_s = 60\n', "brief.toml")
    under = LIFETIMES.under(POLICIES.get(""), brief)
    assert (under.allow, under.deny) == (timedelta(seconds=60), LIFETIMES.deny)
