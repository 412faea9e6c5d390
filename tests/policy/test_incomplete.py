"""What could not be determined is one sentence for each cause, with the remedy for that cause."""

from dataclasses import replace

import pytest

from otpc_policy.core.facts import (
    DeepFacts,
    Depth,
    EndpointFacts,
    Evidence,
    HttpService,
    Support,
    TlsService,
    TlsVersion,
    TraceStep,
    VersionFact,
)
from otpc_policy.core.remarks import NO_SERVER_NAME, RemarkKind
from otpc_policy.policy.finding import Decision, Finding
from otpc_policy.policy.registry import finding_codes
from tests.policy.judging import UNKNOWN, judge
from tests.support.facts import make_address, make_facts

CAUSES = finding_codes()[UNKNOWN].causes
CLOSED = f"{RemarkKind.EVERY_CLOSED.phrase} (31 connections)"
CONSEQUENCE = "which certificate is given to OpenSSL 3 is not known"


def silent(*remarks: str) -> EndpointFacts:
    """An endpoint that accepted nothing."""
    address = make_address(tls=TlsService.UNKNOWN, http=HttpService.UNKNOWN, remarks=remarks)
    return make_facts(addresses=(replace(address, versions=(), cipher_suites=(), deployments=()),))


def _only(facts: EndpointFacts) -> Finding:
    verdict = judge(facts)
    assert verdict.decision is Decision.INDETERMINATE
    (found,) = (finding for finding in verdict.findings if finding.code == UNKNOWN)
    return found


def test_a_port_that_closes_every_connection_is_one_sentence() -> None:
    found = _only(silent(CLOSED, CONSEQUENCE))
    assert found.message == (
        f"the measurement is incomplete: {CLOSED}; not determined: whether the port speaks TLS"
    )
    assert "PROXY protocol" in found.remediation
    observed = {evidence.observed for evidence in found.evidence}
    assert observed == {
        "tls.served: could not determine whether the port speaks TLS",
        CLOSED,
        CONSEQUENCE,
    }


@pytest.mark.parametrize("kind", RemarkKind)
def test_each_kind_of_remark_has_a_remedy_of_its_own(kind: RemarkKind) -> None:
    found = _only(silent(f"the server: {kind.phrase}"))
    assert found.remediation == CAUSES[kind.name]
    assert len(set(CAUSES.values())) == len(CAUSES)


def test_without_a_cause_what_is_unknown_is_still_one_sentence_with_the_general_remedy() -> None:
    unknown = VersionFact(TlsVersion.TLS_1_0, Support.UNKNOWN, Evidence.NONE)
    address = make_address()
    known = [fact for fact in address.versions if fact.version is not TlsVersion.TLS_1_0]
    address = replace(address, versions=(*known, unknown), http=HttpService.UNKNOWN)
    found = _only(make_facts(addresses=(address,)))
    assert found.rule_id == ""
    assert found.message == (
        "the measurement is incomplete; not determined: whether TLS 1.0 is offered; the cipher"
        " suites accepted over TLS 1.0; whether HTTP is served over TLS"
    )
    assert found.remediation == finding_codes()[UNKNOWN].remedy_text
    rules = {evidence.observed.partition(":")[0] for evidence in found.evidence}
    assert {"tls.minimum_version", "https.served"} <= rules


def test_a_single_unknown_keeps_its_rule_and_its_words() -> None:
    found = _only(make_facts(addresses=(make_address(http=HttpService.UNKNOWN),)))
    assert (found.rule_id, found.message) == (
        "https.served",
        "could not determine whether HTTP is served over TLS",
    )


def test_a_remark_where_all_is_known_still_leaves_the_endpoint_undecided() -> None:
    remark = "protocol violation: the server chose a suite that was not offered"
    found = _only(make_facts(addresses=(make_address(remarks=(remark,)),)))
    assert found.message == f"the measurement is incomplete: {remark}"
    assert found.remediation == CAUSES["VIOLATION"]


def test_what_a_deep_part_could_not_do_explains_what_it_left_open() -> None:
    facts = make_facts(depth=Depth.DEEP)
    (address,) = facts.addresses
    remark = "the DEEP part was ended before it was done; its deadline is 60 s"
    address = replace(address, deep=DeepFacts(remarks=(remark,)))
    found = _only(replace(facts, addresses=(address,)))
    assert remark in found.message
    assert found.remediation == CAUSES["DEADLINE"]


def test_each_address_has_its_own_cause() -> None:
    (first,) = silent(CLOSED).addresses
    (second,) = silent(f"{RemarkKind.EVERY_SILENT.phrase} (3 connections)").addresses
    second = replace(second, address="192.0.2.99")
    verdict = judge(make_facts(addresses=(first, second)))
    remedies = {finding.address: finding.remediation for finding in verdict.findings}
    assert remedies == {
        first.address: CAUSES["EVERY_CLOSED"],
        "192.0.2.99": CAUSES["EVERY_SILENT"],
    }


def _step(offered: str, answer: str) -> TraceStep:
    return TraceStep(
        purpose="", offered=offered, answer=answer, proves="", started_s=0.0, duration_s=0.1
    )


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ((("TLS 1.0: X" + NO_SERVER_NAME, "TLS 1.0, TLS_X"),), " to clients that name no server"),
        (
            (
                ("TLS 1.0: X" + NO_SERVER_NAME, "TLS 1.0, TLS_X"),
                ("TLS 1.0: X", "alert protocol_version (70)"),
            ),
            " to clients that name no server",
        ),
        (
            (
                ("TLS 1.0: X" + NO_SERVER_NAME, "TLS 1.0, TLS_X"),
                ("TLS 1.0: X", "TLS 1.0, TLS_X"),
            ),
            "",
        ),
        ((), ""),
    ],
)
def test_an_old_version_of_the_default_host_alone_is_called_so(
    steps: tuple[tuple[str, str], ...], said: str
) -> None:
    address = make_address()
    known = [fact for fact in address.versions if fact.version is not TlsVersion.TLS_1_0]
    offered = VersionFact(TlsVersion.TLS_1_0, Support.YES, Evidence.SERVER_HELLO)
    address = replace(
        address, versions=(*known, offered), trace=tuple(_step(*step) for step in steps)
    )
    verdict = judge(make_facts(addresses=(address,)))
    (found,) = (f for f in verdict.findings if f.code == "TLS_VERSION_BELOW_MINIMUM")
    assert found.message.startswith(f"TLS 1.0 is offered{said}; only ")
