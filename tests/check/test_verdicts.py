"""Verdicts are made once, hold for a span of time, and keep no facts."""

import gc
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from otpc_policy.catalog.policies import parse_policy
from otpc_policy.check import CheckRequest, Judgement, StoredFacts, Verdicts
from otpc_policy.check.verdicts import Question
from otpc_policy.core.addresses import Resolution
from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.errors import UnknownPolicy
from otpc_policy.core.facts import (
    AddressFacts,
    Depth,
    ForbiddenAddress,
    ResolutionFailure,
    ResolutionStatus,
    Support,
    TlsVersion,
    UnmeasuredAddress,
)
from otpc_policy.pki import judge as pki_judge
from otpc_policy.policy.finding import Decision, Finding
from otpc_policy.policy.service_findings import service_finding
from tests.catalog.writing import entry, index
from tests.check.world import (
    BRIEF,
    GENERATION,
    LIFETIMES,
    SECOND,
    compliant,
    generation,
    request,
    unknown,
    vetted,
)
from tests.support.facts import HOST, NOW, versions

LATER = NOW + 60 * SECOND
ONE = Resolution(status=ResolutionStatus.RESOLVED, addresses=(vetted("127.0.0.1"),))
FACTS = StoredFacts.of(compliant("127.0.0.1", NOW))
SECOND_ADDRESS = StoredFacts.of(compliant("127.0.0.2", NOW))
OLD_TLS = versions(TLS_1_0=Support.YES)
ONLY_TLS13 = parse_policy(
    'name = "only-tls13"\nextends = "otpc-2024-12"\n'
    'rules.tls.minimum_version.parameters.permitted_versions = ["TLS 1.3"]\n',
    "only-tls13.toml",
)
LAX = parse_policy(
    'name = "lax"\nextends = "otpc-2024-12"\n'
    'rules.tls.minimum_version.effects.TLS_VERSION_BELOW_MINIMUM = "advisory"\n',
    "lax.toml",
)
UNDER_WAY = service_finding("CHECK_IN_PROGRESS", "ask again", "127.0.0.2")


def judge(
    verdicts: Verdicts, question: Question, *stored: StoredFacts, now: datetime = LATER
) -> Judgement:
    ends = NOW + timedelta(hours=1)
    return verdicts.judge(question, ONE, stored, expires_at=ends, now=now)


def test_facts_of_one_name_are_judged_once() -> None:
    verdicts = Verdicts(LIFETIMES)
    question = verdicts.question(request(), GENERATION)
    equal = StoredFacts.of(compliant("127.0.0.1", NOW))
    assert verdicts.kept(question, ONE, [FACTS]) is None
    first = judge(verdicts, question, FACTS)
    assert verdicts.kept(question, ONE, [equal]) is first
    assert judge(verdicts, question, equal).verdict is first.verdict


def test_no_more_judgements_are_kept_than_asked_for() -> None:
    verdicts = Verdicts(LIFETIMES, max_kept=1)
    question = verdicts.question(request(), GENERATION)
    other = verdicts.question(request(endpoint=parse_endpoint(HOST, 8443)), GENERATION)
    judge(verdicts, question, FACTS)
    kept = judge(verdicts, other, FACTS)
    assert verdicts.kept(question, ONE, [FACTS]) is None
    assert verdicts.kept(other, ONE, [FACTS]) is kept


@pytest.mark.parametrize(
    "asked",
    [
        request(policy_name="otpc-2024-12-strict"),
        request(endpoint=parse_endpoint(HOST, 8443)),
        request(endpoint=parse_endpoint(HOST, 443, "other.test")),
        request(depth=Depth.DEEP),
    ],
    ids=["policy", "port", "server name", "depth"],
)
def test_whatever_else_is_asked_is_judged_anew(asked: CheckRequest) -> None:
    verdicts = Verdicts(LIFETIMES)
    first = judge(verdicts, verdicts.question(request(), GENERATION), FACTS)
    question = verdicts.question(asked, GENERATION)
    assert verdicts.kept(question, ONE, [FACTS]) is None
    other = judge(verdicts, question, FACTS)
    assert (other.endpoint, other.depth) == (asked.endpoint, asked.depth)
    assert (other.key == first.key, other.verdict is first.verdict) == (False, False)
    assert verdicts.kept(verdicts.question(request(), GENERATION), ONE, [FACTS]) is first


def test_a_new_generation_judges_anew_and_lets_go_of_what_the_one_before_judged() -> None:
    verdicts = Verdicts(LIFETIMES)
    first = judge(verdicts, verdicts.question(request(), GENERATION), FACTS)
    question = verdicts.question(request(), generation(revision="second"))
    assert verdicts.kept(question, ONE, [FACTS]) is None
    second = judge(verdicts, question, FACTS)
    assert (first.configuration_revision, second.configuration_revision) == ("first", "second")
    assert second.verdict is not first.verdict
    assert verdicts.kept(verdicts.question(request(), GENERATION), ONE, [FACTS]) is None


def test_a_generation_that_was_loaded_again_unchanged_keeps_what_was_judged() -> None:
    verdicts = Verdicts(LIFETIMES)
    first = judge(verdicts, verdicts.question(request(), generation()), FACTS)
    question = verdicts.question(request(), generation())
    assert verdicts.kept(question, ONE, [FACTS]) is first


@pytest.mark.parametrize(
    ("resolution", "stored"),
    [
        (ONE, [None]),
        (ONE, [SECOND_ADDRESS]),
        (ONE, [FACTS, SECOND_ADDRESS]),
        (replace(ONE, left_out=(UnmeasuredAddress("::1", "no route"),)), [FACTS]),
        (replace(ONE, omitted_families=("IPv6",)), [FACTS]),
        (replace(ONE, failure=ResolutionFailure.SERVFAIL), [FACTS]),
        (replace(ONE, unresolved_families=("IPv6",)), [FACTS]),
        (replace(ONE, is_stale=True), [FACTS]),
    ],
)
def test_a_kept_judgement_rests_on_exactly_what_it_is_found_by(
    resolution: Resolution, stored: list[StoredFacts | None]
) -> None:
    verdicts = Verdicts(LIFETIMES)
    question = verdicts.question(request(), GENERATION)
    judge(verdicts, question, FACTS)
    assert verdicts.kept(question, resolution, stored) is None


def test_all_verdicts_of_one_instant_share_what_is_said_of_the_chains(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Addresses alone and together, under way too: all that a partner presents has one budget."""
    judged: list[object] = []
    judge_chain = pki_judge.judge_chain

    def noted(chain: object, **options: Any) -> object:
        judged.append(chain)
        return judge_chain(chain, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(pki_judge, "judge_chain", noted)
    verdicts = Verdicts(LIFETIMES)
    question = verdicts.question(request(), GENERATION)
    for stored in (FACTS, SECOND_ADDRESS):
        verdicts.lifetime(question, stored, LATER)
        verdicts.denies(question, stored.facts, LATER)
    judge(verdicts, question, FACTS, SECOND_ADDRESS)
    at_first = len(judged)
    assert at_first == len(set(judged)) > 0
    judge(verdicts, question, FACTS, SECOND_ADDRESS, now=LATER + 600 * SECOND)
    assert len(judged) == at_first, "the verdict still holds"
    verdicts.denies(question, FACTS.facts, LATER + 600 * SECOND)
    assert len(judged) == 2 * at_first, "another instant is judged anew"


def test_a_verdict_holds_from_its_instant_until_time_changes_it() -> None:
    verdicts = Verdicts(LIFETIMES)
    question = verdicts.question(request(), GENERATION)
    changes_at = verdicts.lifetime(question, FACTS, LATER).changes_at
    assert changes_at is not None
    instants = (LATER, changes_at - timedelta(microseconds=1), changes_at, LATER)
    first, last, changed, earlier = (
        judge(verdicts, question, FACTS, now=now).verdict for now in instants
    )
    assert (last is first, changed == first, earlier == first) == (True, False, True)


def test_no_judgement_outlives_the_instant_at_which_time_changes_it() -> None:
    verdicts = Verdicts(LIFETIMES)
    question = verdicts.question(request(), GENERATION)
    changes_at = verdicts.lifetime(question, FACTS, LATER).changes_at
    assert changes_at is not None
    ends = (changes_at - SECOND, changes_at + SECOND)
    judgements = [verdicts.judge(question, ONE, [FACTS], expires_at=end, now=LATER) for end in ends]
    assert [each.expires_at for each in judgements] == [changes_at - SECOND, changes_at]


@pytest.mark.parametrize(
    ("facts", "decision", "lifetime"),
    [
        (compliant("127.0.0.1", NOW), Decision.ALLOW, LIFETIMES.allow),
        (compliant("127.0.0.1", NOW, versions=OLD_TLS), Decision.DENY, LIFETIMES.deny),
        (unknown("127.0.0.1", NOW), Decision.INDETERMINATE, LIFETIMES.unknown),
    ],
)
def test_facts_live_by_what_is_made_of_their_address_alone(
    facts: AddressFacts, decision: Decision, lifetime: timedelta
) -> None:
    verdicts = Verdicts(LIFETIMES)
    question = verdicts.question(request(), GENERATION)
    stored = StoredFacts.of(facts)
    assert judge(verdicts, question, stored).verdict.decision is decision
    assert verdicts.lifetime(question, stored, LATER).length == lifetime


def test_lifetimes_are_those_of_the_policy_that_was_asked_for() -> None:
    verdicts = Verdicts(LIFETIMES)
    question = verdicts.question(request(policy_name=BRIEF.name), GENERATION)
    assert verdicts.lifetime(question, FACTS, LATER).length == timedelta(minutes=1)


def test_lifetimes_and_terms_are_the_strictest_of_all_policies_that_apply() -> None:
    """Even of those that need not be evaluated, because another implies them."""
    whole = generation(BRIEF, ONLY_TLS13)
    minimum = replace(whole, policies=replace(whole.policies, minimum_name=BRIEF.name))
    verdicts = Verdicts(LIFETIMES)
    question = verdicts.question(request(), minimum)
    assert [each.name for each in question.context.judging] == ["otpc-2024-12"]
    assert verdicts.lifetime(question, FACTS, LATER).length == timedelta(minutes=1)
    asked = verdicts.question(request(policy_name=ONLY_TLS13.name), minimum)
    judgement = judge(verdicts, asked, FACTS)
    assert judgement.minimum_policy is BRIEF
    assert judgement.terms.versions == (TlsVersion.TLS_1_3,)
    usual = judge(verdicts, verdicts.question(request(), minimum), FACTS)
    assert set(judgement.terms.cipher_suites) < set(usual.terms.cipher_suites)


def test_another_minimum_judges_anew() -> None:
    verdicts = Verdicts(LIFETIMES)
    denying = StoredFacts.of(compliant("127.0.0.1", NOW, versions=OLD_TLS))
    asked = request(policy_name=LAX.name)
    with_minimum = generation(LAX)
    first = judge(verdicts, verdicts.question(asked, with_minimum), denying)
    assert verdicts.kept(verdicts.question(asked, with_minimum), ONE, [denying]) is first
    free = replace(
        with_minimum,
        policies=replace(with_minimum.policies, minimum_name=None),
        revision="without a minimum",
    )
    question = verdicts.question(asked, free)
    assert verdicts.kept(question, ONE, [denying]) is None
    decisions = [each.verdict.decision for each in (first, judge(verdicts, question, denying))]
    assert decisions == [Decision.DENY, Decision.INDETERMINATE]


def test_the_worst_address_decides_and_the_oldest_dates_the_judgement() -> None:
    verdicts = Verdicts(LIFETIMES)
    question = verdicts.question(request(), GENERATION)
    older = StoredFacts.of(unknown("127.0.0.2", NOW - SECOND))
    judgement = judge(verdicts, question, FACTS, older)
    assert judgement.verdict.decision is Decision.INDETERMINATE
    assert judgement.observed_at == NOW - SECOND
    assert judgement.judged_addresses == ("127.0.0.1", "127.0.0.2")


@pytest.mark.parametrize(
    ("seen", "decision"), [({}, Decision.INDETERMINATE), ({"versions": OLD_TLS}, Decision.DENY)]
)
def test_a_missing_address_leaves_a_denial_and_nothing_better_than_indeterminate(
    seen: dict[str, object], decision: Decision
) -> None:
    verdicts = Verdicts(LIFETIMES)
    question = verdicts.question(request(), GENERATION)
    stored = StoredFacts.of(compliant("127.0.0.1", NOW, **seen))
    judgement = verdicts.judge(
        question, ONE, [stored], findings=[UNDER_WAY], expires_at=LATER, now=LATER
    )
    assert judgement.verdict.decision is decision
    assert UNDER_WAY in judgement.verdict.findings
    assert (judgement.key, verdicts.kept(question, ONE, [stored])) == (None, None)


def test_facts_of_a_measurement_under_way_and_stale_ones_are_judged_for_one_caller_only() -> None:
    verdicts = Verdicts(LIFETIMES)
    question = verdicts.question(request(), GENERATION)
    denying = compliant("127.0.0.2", NOW, versions=OLD_TLS)
    assert [verdicts.denies(question, each, LATER) for each in (denying, FACTS.facts)] == [
        True,
        False,
    ]
    partial = verdicts.judge(question, ONE, [FACTS], so_far=[denying], expires_at=LATER, now=LATER)
    stale = verdicts.judge(question, ONE, [FACTS], expires_at=LATER, now=LATER, keep=False)
    assert partial.verdict.decision is Decision.DENY
    assert (partial.key, stale.key, verdicts.kept(question, ONE, [FACTS])) == (None, None, None)


def test_a_host_without_an_address_is_judged_by_why() -> None:
    verdicts = Verdicts(LIFETIMES)
    question = verdicts.question(request(), GENERATION)
    forbidden = Resolution(
        status=ResolutionStatus.FORBIDDEN, forbidden=(ForbiddenAddress("10.0.0.1", "private"),)
    )
    judgement = verdicts.judge(question, forbidden, (), expires_at=LATER, now=NOW)
    assert judgement.verdict.decision is Decision.DENY
    assert (judgement.key, judgement.observed_at, judgement.judged_addresses) == (None, None, ())


def test_without_anything_to_judge_the_findings_say_why() -> None:
    verdicts = Verdicts(LIFETIMES)
    question = verdicts.question(request(), GENERATION)
    judgement = verdicts.judge(question, None, (), findings=[UNDER_WAY], expires_at=LATER, now=NOW)
    assert judgement.verdict.decision is Decision.INDETERMINATE
    assert judgement.verdict.findings == (UNDER_WAY,)


def test_a_server_name_that_the_partner_does_not_list_is_refused_unmeasured() -> None:
    verdicts = Verdicts(LIFETIMES)
    asked = request(endpoint=parse_endpoint(HOST, 443, "other.test"))
    question = verdicts.question(asked, generation(partners=index(entry("bank", HOST))))
    assert isinstance(question.refusal, Finding)
    judgement = verdicts.refuse(question, question.refusal, NOW)
    assert [finding.code for finding in judgement.verdict.findings] == ["SERVER_NAME_NOT_LISTED"]
    assert (judgement.verdict.decision, judgement.partner_id) == (Decision.DENY, "bank")
    assert judgement.expires_at == NOW + LIFETIMES.deny


def test_an_unknown_policy_is_the_callers_error() -> None:
    with pytest.raises(UnknownPolicy):
        Verdicts(LIFETIMES).question(request(policy_name="none"), GENERATION)


def test_verdicts_keep_no_facts() -> None:
    verdicts = Verdicts(LIFETIMES)
    question = verdicts.question(request(), GENERATION)
    facts = StoredFacts.of(compliant("127.9.9.1", NOW))
    judgement = judge(verdicts, question, facts)
    facts_id = facts.facts_id
    del facts
    gc.collect()
    left = [each for each in gc.get_objects() if isinstance(each, AddressFacts)]
    assert not [each for each in left if each.address == "127.9.9.1"]
    again = StoredFacts.of(compliant("127.9.9.1", NOW))
    assert again.facts_id == facts_id
    assert verdicts.kept(question, ONE, [again]) is judgement


def test_a_judgement_ends_when_the_policy_no_longer_permits_what_it_did() -> None:
    """And so do the terms of the connection, which are those of their instant."""
    end = LATER + 10 * SECOND
    phasing_out = parse_policy(
        'name = "phasing-out"\nextends = "otpc-2024-12"\n[rules.tls.minimum_version.parameters]\n'
        f'permitted_versions = [{{ name = "TLS 1.2", until = {end:%Y-%m-%dT%H:%M:%SZ} }},'
        ' "TLS 1.3"]\n',
        "phasing-out.toml",
    )
    verdicts = Verdicts(LIFETIMES)
    question = verdicts.question(request(policy_name="phasing-out"), generation(phasing_out))
    before = judge(verdicts, question, FACTS)
    assert (before.verdict.decision, before.expires_at) == (Decision.ALLOW, end)
    assert TlsVersion.TLS_1_2 in before.terms.versions
    after = judge(verdicts, question, FACTS, now=end)
    assert after.verdict.decision is Decision.DENY
    assert TlsVersion.TLS_1_2 not in after.terms.versions
