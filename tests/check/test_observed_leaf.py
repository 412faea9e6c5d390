"""A report of another leaf is measured within a bound, and never a pass for what nobody judged."""

import asyncio
import hashlib
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otpc_policy.check import Answer, FreshnessMode, ResultSource
from otpc_policy.core.addresses import Resolution
from otpc_policy.core.errors import Overloaded
from otpc_policy.core.facts import AddressFacts, Depth, ResolutionStatus, Support
from otpc_policy.pki.certificate import view_certificate
from otpc_policy.policy.finding import Decision, Effect
from tests.check.world import (
    BRIEF,
    LIFETIMES,
    LIMITS,
    POLICIES,
    SECOND,
    World,
    codes,
    compliant,
    generation,
    request,
    summary,
    turns,
    unknown,
)
from tests.support.certificates import Issued
from tests.support.facts import HOST, NOW, leaf, root, versions

NOT_JUDGED = "OBSERVED_LEAF_NOT_JUDGED"
INTERVAL = LIMITS.minimum_refresh_interval
RENEWED = root().issue(
    dns=(HOST,), not_before=NOW - timedelta(days=1), not_after=NOW + timedelta(days=90)
)
STRANGE = b"\x07" * 32


def digest(issued: Issued) -> bytes:
    return hashlib.sha256(issued.chain_der[0]).digest()


def with_leaf(issued: Issued, address: str, at: datetime, **overrides: object) -> AddressFacts:
    facts = compliant(address, at, **overrides)
    deployments = tuple(
        replace(each, chain=issued.chain_der) if each.chain else each for each in facts.deployments
    )
    return replace(facts, deployments=deployments)


OLD, NEW = partial(with_leaf, leaf()), partial(with_leaf, RENEWED)


def reports(world: World) -> list[str]:
    return [result for kind, result in world.events if kind == "leaf"]


def leaves(answer: Answer) -> list[bytes]:
    return [each.leaf_sha256 for each in answer.judgement.judged_certificates]


def assert_uncovered(answer: Answer) -> None:
    assert answer.judgement.verdict.decision is Decision.INDETERMINATE
    assert answer.judgement.key is None, "an answer for one caller"
    (finding,) = [each for each in answer.judgement.verdict.findings if each.code == NOT_JUDGED]
    assert finding.effect is Effect.INDETERMINATE
    assert answer.retry_after is not None


async def test_every_judged_leaf_stands_in_the_judgement_once_and_in_order() -> None:
    def facts(address: str, at: datetime) -> AddressFacts:
        return (NEW if address.endswith("2") else OLD)(address, at)

    world = World(addresses=("127.0.0.1", "127.0.0.2"), facts=facts)
    checks = world.checks()
    for _ in range(2):
        answer = await checks.check()
        assert leaves(answer) == sorted([digest(leaf()), digest(RENEWED)])
        assert [each.spki_sha256.hex() for each in answer.judgement.judged_certificates] == [
            view_certificate(issued.chain_der[0]).spki_sha256
            for issued in sorted((leaf(), RENEWED), key=digest)
        ]


async def test_a_leaf_that_cannot_be_decoded_is_named_without_its_key() -> None:
    def facts(address: str, at: datetime) -> AddressFacts:
        made = compliant(address, at)
        return replace(
            made, deployments=tuple(replace(each, chain=(b"junk",)) for each in made.deployments)
        )

    (judged,) = (await World(facts=facts).checks().check()).judgement.judged_certificates
    assert (judged.leaf_sha256, judged.spki_sha256) == (hashlib.sha256(b"junk").digest(), b"")


async def test_a_known_leaf_is_answered_from_the_cache_with_the_same_judgement() -> None:
    world = World(facts=OLD)
    checks = world.checks()
    first = await checks.check()
    again = await checks.check(request(observed_leaf=digest(leaf())))
    assert again.judgement is first.judgement
    assert (len(world.measured), reports(world)) == (1, ["known"])


async def test_a_renewed_leaf_is_measured_at_once_and_then_known_to_everybody() -> None:
    world = World(facts=OLD)
    checks = world.checks()
    await checks.check()
    world.at, world.facts = NOW + SECOND, NEW  # much sooner than a REFRESH would measure
    answer = await checks.check(request(observed_leaf=digest(RENEWED)))
    assert summary(answer) == (Decision.ALLOW, ResultSource.MEASURED)
    assert leaves(answer) == [digest(RENEWED)]
    assert (await checks.check()).judgement is answer.judgement
    await checks.check(request(observed_leaf=digest(RENEWED)))
    assert (len(world.measured), reports(world)) == (2, ["seen", "known"])


async def test_a_leaf_that_a_new_measurement_does_not_see_is_never_allowed() -> None:
    world = World(facts=OLD)
    checks = world.checks()
    allowed = await checks.check()
    world.at = NOW + SECOND
    answer = await checks.check(request(observed_leaf=STRANGE))
    assert_uncovered(answer)
    assert answer.retry_after == INTERVAL
    assert answer.judgement.expires_at <= world.at + LIFETIMES.unknown
    assert STRANGE.hex() in answer.judgement.verdict.findings[0].message
    other = await checks.check()
    assert summary(other) == (Decision.ALLOW, ResultSource.CACHE)
    assert (codes(other), leaves(other)) == (codes(allowed), leaves(allowed))
    assert reports(world) == ["unseen"]


async def test_a_denial_stays_a_denial_and_names_the_leaf_too() -> None:
    world = World(facts=partial(with_leaf, leaf(), versions=versions(TLS_1_0=Support.YES)))
    answer = await world.checks().check(request(observed_leaf=STRANGE))
    assert answer.judgement.verdict.decision is Decision.DENY
    assert {NOT_JUDGED, "TLS_VERSION_BELOW_MINIMUM"} <= codes(answer)


async def test_a_policy_on_trial_does_not_allow_a_leaf_that_was_not_judged() -> None:
    trial = replace(POLICIES.get(""), name="trial", enforcing=False)
    answer = (
        await World(facts=OLD)
        .checks()
        .check(request(policy_name="trial", observed_leaf=STRANGE), generation(BRIEF, trial))
    )
    assert_uncovered(answer)


async def test_random_hashes_cause_one_measurement_in_an_interval() -> None:
    world = World(facts=OLD)
    checks = world.checks()
    await checks.check()
    for number in range(100):
        world.at = NOW + number * INTERVAL / 10
        answer = await checks.check(request(observed_leaf=Random(number).randbytes(32)))
        assert_uncovered(answer)
        assert answer.retry_after is not None
        assert SECOND <= answer.retry_after <= INTERVAL
    assert len(world.measured) == 1 + 10
    assert set(reports(world)) == {"unseen", "limited"}


async def test_reports_of_other_depths_share_the_bound() -> None:
    world = World(facts=OLD)
    checks = world.checks()
    for depth in Depth:
        await checks.check(request(depth=depth))
    for depth in Depth:
        assert_uncovered(await checks.check(request(depth=depth, observed_leaf=STRANGE)))
    assert len(world.measured) == 3


async def test_whoever_reports_during_the_measurement_joins_it() -> None:
    world = World(facts=OLD)
    checks = world.checks()
    await checks.check()
    world.gate, world.facts = asyncio.Event(), NEW
    asked = [digest(RENEWED)] * 5 + [STRANGE] * 5
    callers = [asyncio.create_task(checks.check(request(observed_leaf=each))) for each in asked]
    await turns()
    assert len(world.measured) == 2
    assert summary(await checks.check()) == (Decision.ALLOW, ResultSource.CACHE), (
        "nobody else waits"
    )
    world.gate.set()
    answers = await asyncio.gather(*callers)
    assert {summary(answer)[0] for answer in answers[:5]} == {Decision.ALLOW}
    for answer in answers[5:]:
        assert_uncovered(answer)
    assert len(world.measured) == 2
    # What was joined may have begun before its report.
    assert reports(world) == ["seen"] * 5 + ["limited"] * 5


async def test_a_measurement_that_began_before_the_report_proves_nothing_against_it() -> None:
    world = World(facts=OLD, gate=asyncio.Event())
    checks = world.checks()
    early = asyncio.create_task(checks.check())
    await turns()
    reporting = asyncio.create_task(checks.check(request(observed_leaf=digest(RENEWED))))
    await turns()
    assert world.gate is not None
    world.gate.set()
    await early
    world.facts = NEW
    answer = await reporting
    assert (summary(answer)[0], leaves(answer)) == (Decision.ALLOW, [digest(RENEWED)])
    assert len(world.measured) == 2


async def test_a_measurement_that_the_check_itself_began_is_not_repeated() -> None:
    world = World(facts=OLD)
    answer = await world.checks().check(request(observed_leaf=STRANGE))
    assert_uncovered(answer)
    assert (len(world.measured), reports(world)) == (1, ["unseen"])


async def test_a_caller_out_of_time_is_not_allowed_and_finds_the_result_later() -> None:
    world = World(facts=OLD)
    checks = world.checks()
    await checks.check()
    world.gate, world.facts = asyncio.Event(), NEW
    report = request(observed_leaf=digest(RENEWED))
    early = await checks.check(report, wait_s=0)
    assert_uncovered(early)
    assert (codes(early) >= {"CHECK_IN_PROGRESS"}, early.retry_after) == (True, SECOND)
    world.gate.set()
    await turns()
    assert summary(await checks.check(report)) == (Decision.ALLOW, ResultSource.CACHE)
    assert (len(world.measured), reports(world)) == (2, ["unfinished", "known"])


async def test_cache_only_measures_nothing_for_a_report_either() -> None:
    world = World(facts=OLD)
    checks = world.checks()
    await checks.check()
    for _ in range(2):
        assert_uncovered(
            await checks.check(request(FreshnessMode.CACHE_ONLY, observed_leaf=STRANGE))
        )
    assert (len(world.measured), reports(world)) == (1, ["limited"] * 2)
    # Nor does it use up what another caller may cause.
    await checks.check(request(observed_leaf=STRANGE))
    assert len(world.measured) == 2


async def test_stale_facts_without_the_leaf_do_not_answer_a_report() -> None:
    world = World(facts=OLD)
    checks = world.checks()
    ends_at = (await checks.check()).judgement.expires_at
    world.at, world.facts = ends_at + SECOND, NEW
    answer = await checks.check(
        request(observed_leaf=digest(RENEWED), max_stale=timedelta(minutes=1))
    )
    assert (summary(answer)[0], leaves(answer)) == (Decision.ALLOW, [digest(RENEWED)])


async def test_a_host_without_addresses_says_nothing_about_the_leaf() -> None:
    world = World(resolution=Resolution(status=ResolutionStatus.FAILED))
    answer = await world.checks().check(request(observed_leaf=STRANGE))
    assert_uncovered(answer)
    assert (world.measured, reports(world)) == ([], ["unfinished"])


async def test_facts_that_prove_nothing_do_not_cover_a_leaf() -> None:
    world = World(facts=OLD)
    checks = world.checks()
    await checks.check()
    world.facts = unknown
    answer = await checks.check(request(observed_leaf=digest(RENEWED)))
    assert_uncovered(answer)


async def test_no_room_for_the_measurement_is_the_callers_error_and_uses_up_the_interval() -> None:
    world = World(facts=OLD)
    checks = world.checks()
    await checks.check()
    world.error = Overloaded(2 * SECOND)
    with pytest.raises(Overloaded):
        await checks.check(request(observed_leaf=STRANGE))
    assert_uncovered(await checks.check(request(observed_leaf=STRANGE)))
    assert len(world.measured) == 2


_STEPS = st.lists(
    st.tuples(
        st.sampled_from([leaf(), RENEWED]),
        st.sampled_from([None, digest(leaf()), digest(RENEWED), STRANGE]),
        st.sampled_from(
            [FreshnessMode.CACHE_FIRST, FreshnessMode.CACHE_ONLY, FreshnessMode.REFRESH]
        ),
        st.integers(0, 4_000),
    ),
    max_size=12,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_STEPS)
def test_whatever_happens_an_allow_names_the_leaves_of_its_own_facts_and_covers_the_report(
    steps: list[tuple[Issued, bytes | None, FreshnessMode, int]],
) -> None:
    asyncio.run(_holds(steps))


async def _holds(steps: list[tuple[Issued, bytes | None, FreshnessMode, int]]) -> None:
    world = World(addresses=("127.0.0.1", "127.0.0.2"))
    checks = world.checks()
    for served, reported, mode, seconds in steps:
        world.at += seconds * SECOND
        world.facts = partial(with_leaf, served)
        answer = await checks.check(request(mode, observed_leaf=reported))
        of_facts = {
            hashlib.sha256(deployment.chain[0]).digest()
            for address in answer.facts().addresses
            for deployment in address.deployments
            if deployment.chain
        }
        assert leaves(answer) == sorted(of_facts)
        if reported is None:
            assert NOT_JUDGED not in codes(answer), "callers that report nothing see nothing new"
        elif answer.judgement.verdict.decision is Decision.ALLOW:
            assert reported in of_facts
