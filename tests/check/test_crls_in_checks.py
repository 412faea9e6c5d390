"""Checks and CRLs: an answer never waits for a list, and never outlives what it says."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from otpc_policy.catalog.policies import parse_policy
from otpc_policy.check import (
    Answer,
    CheckRequest,
    CheckService,
    CrlBook,
    ForcedMeasurements,
    Measurements,
    ResultSource,
    Standing,
    Verdicts,
)
from otpc_policy.core.addresses import Resolution
from otpc_policy.core.facts import ResolutionStatus
from otpc_policy.pki.crl import RevocationList
from otpc_policy.policy.finding import Decision
from tests.check.crls import AUTHORITY, LEAF, URL, issue, listing, serving
from tests.check.world import (
    LIFETIMES,
    LIMITS,
    SECOND,
    World,
    codes,
    generation,
    request,
    summary,
    vetted,
)
from tests.support.certificates import Issued
from tests.support.crls import question
from tests.support.facts import NOW

DEMANDING = parse_policy(
    'name = "demanding"\nextends = "otpc-2024-12"\n'
    'rules.certificate.revocation.parameters.proof = "required"\n',
    "demanding.toml",
)
GENERATION = generation(DEMANDING)
UNKNOWN = "CERTIFICATE_REVOCATION_UNKNOWN"


@dataclass
class Checked:
    """The use case over a book of CRLs that the test fills."""

    issued: Issued = LEAF
    world: World = field(init=False)
    book: CrlBook = field(init=False)
    measurements: Measurements = field(init=False)
    service: CheckService = field(init=False)

    def __post_init__(self) -> None:
        found = Resolution(status=ResolutionStatus.RESOLVED, addresses=(vetted("127.0.0.1"),))
        self.world = World(facts=serving(self.issued), resolution=found, is_known=True)
        self.book = CrlBook(monotonic=self.world.monotonic, max_leaves=100, max_bytes=1 << 20)
        self.measurements = self.world.measurements()
        self.service = CheckService(
            measurements=self.measurements,
            verdicts=Verdicts(LIFETIMES, self.book),
            forced=ForcedMeasurements(LIMITS.minimum_refresh_interval),
            clock=self.world,
            observer=self.world,
        )

    async def check(self, asked: CheckRequest | None = None) -> Answer:
        return await self.service.check(asked or request(), GENERATION, wait_s=None)

    async def standing(self, asked: CheckRequest | None = None) -> Standing:
        """Ask twice, and return what the second answer rests on."""
        asked = asked or request()
        await self.check(asked)
        standing = Standing.of(await self.check(asked), asked, GENERATION)
        assert standing is not None
        return standing

    async def stands(self, standing: Standing) -> bool:
        return await self.service.still_stands(standing, GENERATION) is not None

    def bring(self, found: RevocationList) -> None:
        """Bring a list for whoever asked."""
        for source in tuple(self.book._sources.values()):
            self.book.brought(source, found)


async def test_the_first_answer_does_not_wait_and_says_what_it_does_not_know() -> None:
    checked = Checked()
    answer = await checked.check()
    assert summary(answer) == (Decision.ALLOW, ResultSource.MEASURED)
    assert codes(answer) == {UNKNOWN}
    assert [source.url.text for source in checked.book.due()] == [URL]
    checked.bring(listing())
    known = await checked.check()
    assert (summary(known), codes(known)) == ((Decision.ALLOW, ResultSource.CACHE), set())


async def test_a_revocation_between_two_checks_denies_at_once_and_measures_nothing() -> None:
    checked = Checked()
    await checked.check()
    checked.bring(listing())
    standing = await checked.standing()
    assert await checked.stands(standing)
    checked.bring(listing(LEAF, at=NOW))
    assert not await checked.stands(standing)
    answer = await checked.check()
    assert summary(answer) == (Decision.DENY, ResultSource.CACHE)
    assert codes(answer) == {"CERTIFICATE_REVOKED"}
    assert len(checked.world.measured) == 1
    again = await checked.standing()
    assert await checked.stands(again)
    assert again.judgement.verdict.decision is Decision.DENY


async def test_what_becomes_known_of_other_leaves_ends_no_answer() -> None:
    checked = Checked()
    await checked.check()
    checked.bring(listing())
    standing = await checked.standing()
    neighbour, stranger = issue(URL), issue("http://other.example/b.crl")
    for other in (neighbour, stranger):
        checked.book.about(question(other, AUTHORITY))
    checked.bring(listing(neighbour, stranger))
    assert await checked.stands(standing)


async def test_an_answer_ends_with_the_list_it_rests_on() -> None:
    checked = Checked()
    await checked.check()
    ends_at = NOW + timedelta(minutes=5)
    checked.bring(listing(next_update=ends_at))
    standing = await checked.standing()
    assert standing.judgement.expires_at == ends_at
    checked.world.at = ends_at - SECOND
    assert await checked.stands(standing)
    checked.world.at = ends_at
    assert not await checked.stands(standing)
    answer = await checked.check()
    assert codes(answer) == {UNKNOWN}
    assert len(checked.world.measured) == 1


async def test_a_demand_for_proof_is_met_as_soon_as_there_is_some() -> None:
    checked = Checked()
    asked = request(policy_name="demanding")
    first = await checked.check(asked)
    assert summary(first)[0] is Decision.INDETERMINATE
    # The minimum policy judges too, and advises of what this one demands to know.
    assert codes(first) == {"MEASUREMENT_INCOMPLETE", "CERTIFICATE_REVOCATION_UNKNOWN"}
    assert first.retry_after is not None
    checked.bring(listing())
    assert summary(await checked.check(asked)) == (Decision.ALLOW, ResultSource.CACHE)
    failed = Checked()
    await failed.check(asked)
    for source in failed.book.due():
        failed.book.failed(source, "its host does not serve it")
    assert summary(await failed.check(asked))[0] is Decision.INDETERMINATE


async def test_a_list_newer_than_the_facts_counts_for_them() -> None:
    checked = Checked()
    await checked.check()
    checked.world.at = NOW + 30 * SECOND * 60
    checked.bring(listing(at=NOW + 20 * SECOND * 60))
    answer = await checked.check()
    assert (summary(answer), codes(answer)) == ((Decision.ALLOW, ResultSource.CACHE), set())


@pytest.mark.parametrize("crls", [True, False])
async def test_where_nobody_looks_at_lists_nothing_is_said_of_them(crls: bool) -> None:
    checked = Checked(issue() if crls else LEAF)
    if not crls:
        checked.service = checked.world.checks().service
    answer = await checked.check()
    assert (summary(answer)[0], codes(answer)) == (Decision.ALLOW, set())
    assert checked.book.due() == []
