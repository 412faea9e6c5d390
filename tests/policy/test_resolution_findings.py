"""A host that does not resolve: why, what to do about it, and what that does to the decision."""

import pytest

from otpc_policy.core.facts import EndpointFacts, ResolutionFailure, ResolutionStatus
from otpc_policy.policy.finding import Decision, Effect
from otpc_policy.policy.registry import finding_codes
from otpc_policy.policy.resolution_findings import resolution_findings, unmeasured_finding
from tests.policy.judging import judge
from tests.support.facts import HOST, make_facts

REGISTERED = finding_codes()["TARGET_DNS_FAILED"]
REASONS = [reason for reason in ResolutionFailure if reason is not ResolutionFailure.NONE]


def failed(failure: ResolutionFailure) -> EndpointFacts:
    return make_facts(resolution=ResolutionStatus.FAILED, addresses=(), resolution_failure=failure)


@pytest.mark.parametrize("failure", REASONS)
def test_each_reason_has_a_message_and_a_remedy_of_its_own(failure: ResolutionFailure) -> None:
    (finding,) = resolution_findings(failed(failure))
    others = [
        next(resolution_findings(failed(reason))) for reason in REASONS if reason is not failure
    ]
    assert finding.message.startswith(f"{HOST} could not be resolved to an address: ")
    assert finding.message not in {one.message for one in others}
    assert finding.remediation == REGISTERED.causes[failure.name]
    assert finding.remediation not in {one.remediation for one in others}


def test_a_reason_without_a_remedy_has_that_of_the_code() -> None:
    (finding,) = resolution_findings(failed(ResolutionFailure.NONE))
    assert finding.message == f"{HOST} could not be resolved to an address"
    assert finding.remediation == REGISTERED.remediation


def test_every_reason_in_the_registry_is_one_that_can_come() -> None:
    assert set(REGISTERED.causes) == {reason.name for reason in REASONS}


def test_a_family_that_did_not_resolve_is_unknown() -> None:
    failure = ResolutionFailure.SERVFAIL
    verdict = judge(make_facts(resolution_failure=failure, unresolved_families=("IPv6",)))
    assert verdict.decision is Decision.INDETERMINATE
    (finding,) = verdict.findings
    assert (finding.code, finding.effect) == ("TARGET_DNS_FAILED", Effect.INDETERMINATE)
    assert "IPv6" in finding.message
    assert "SERVFAIL" in finding.message


def test_addresses_of_an_earlier_answer_keep_the_verdict_and_are_reported() -> None:
    facts = make_facts(resolution_failure=ResolutionFailure.TIMEOUT, resolution_is_stale=True)
    verdict = judge(facts)
    assert verdict.decision is Decision.ALLOW
    (finding,) = verdict.findings
    assert (finding.code, finding.effect) == ("TARGET_DNS_FAILED", Effect.ADVISORY)
    assert "earlier DNS answer" in finding.message


def test_what_is_not_measured_at_an_earlier_address_is_indeterminate_there() -> None:
    finding = unmeasured_finding(HOST, ResolutionFailure.REFUSED, "192.0.2.1")
    assert (finding.effect, finding.address) == (Effect.INDETERMINATE, "192.0.2.1")
    assert finding.remediation == REGISTERED.causes["REFUSED"]
