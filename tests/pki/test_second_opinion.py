"""The second opinion on proven paths: what it says, what explains it, what it costs, and that it
decides nothing.
"""

import ipaddress
from collections.abc import Sequence
from datetime import datetime

import pytest
from cryptography import x509
from prometheus_client import CollectorRegistry

from otpc_policy.ops.metrics.second_opinions import SecondOpinionMetrics
from otpc_policy.pki import second_opinion
from otpc_policy.pki.budget import WorkBudget
from otpc_policy.pki.decoded_certificate import DecodedCertificate
from otpc_policy.pki.judge import judge_chain
from otpc_policy.pki.judgement import TrustSource
from otpc_policy.pki.lenient_decoding import decoding_leniently
from otpc_policy.pki.second_opinion import (
    OPINIONS,
    REASONS,
    Opinion,
    reasons_to_refuse,
    verifier_units,
)
from otpc_policy.pki.signatures import SignatureChecks
from otpc_policy.pki.trust import Trust
from tests.chains.cases import all_cases
from tests.chains.pkits import anchor, pkits_tests
from tests.support.forging import (
    AT,
    ROOT,
    Made,
    alternative_names,
    authority,
    decoded,
    leaf,
    name_constraints,
    organization,
)


def opinion_of(path: Sequence[Made], units: int = 40_000) -> tuple[Opinion, str]:
    checks = SignatureChecks(WorkBudget(units))
    return second_opinion.second_opinion([decoded(made) for made in path], AT, checks=checks)


def differences(before: dict[tuple[Opinion, str], int]) -> dict[tuple[Opinion, str], int]:
    after = OPINIONS.counts()
    return {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key)}


def test_wherever_it_refuses_what_was_proven_the_reason_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All chains of the tables and of PKITS, under the rules for Mozilla's roots."""
    asked: list[tuple[Opinion, str]] = []
    ask = second_opinion._ask

    def remembered(
        path: Sequence[DecodedCertificate], name: x509.verification.Subject, at: datetime
    ) -> tuple[Opinion, str]:
        asked.append(ask(path, name, at))
        return asked[-1]

    monkeypatch.setattr(second_opinion, "_ask", remembered)
    second_opinion._answers.cache_clear()
    chains = [(case.chain, case.roots, case.server_name, case.at) for case in all_cases()]
    pkits = Made(anchor(), ROOT.key, ROOT.name)
    chains += [
        ([test.reissued, *test.rest], [pkits], "partner.test", AT)
        for test in pkits_tests()
        if test.reissued is not None
    ]
    for chain, roots, server_name, at in chains:
        judge_chain(
            chain,
            server_name=server_name,
            stapled_ocsp_response=None,
            trust=Trust(mozilla_roots=tuple(root.der for root in roots)),
            at=at,
        )
    found = {opinion for opinion, _ in asked}
    assert found == {Opinion.AGREES, Opinion.EXPLAINED}
    assert len(asked) > 200
    # A reason that explains nothing any more goes.
    assert {reason for opinion, reason in asked if opinion is Opinion.EXPLAINED} >= {
        "dates",
        "serial_number",
        "names_of_issuers",
        "self_issued",
        "name_constraints",
        "policies",
        "anchor",
    }


def test_it_changes_no_verdict_and_a_refusal_without_a_reason_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(second_opinion, "_accepts", lambda *_: False)
    before = OPINIONS.counts()
    judgement = judge_chain(
        [leaf(ROOT).der],
        server_name="partner.test",
        stapled_ocsp_response=None,
        trust=Trust(mozilla_roots=(ROOT.der,)),
        at=AT,
    )
    assert judgement.trust is TrustSource.MOZILLA_ROOT
    assert differences(before) == {(Opinion.UNEXPLAINED, ""): 1}
    registry = CollectorRegistry()
    SecondOpinionMetrics(registry)
    labels = {"opinion": "unexplained", "reason": ""}
    counted = registry.get_sample_value("otpc_policy_second_opinions_total", labels)
    assert counted == OPINIONS.counts()[Opinion.UNEXPLAINED, ""]
    for reason in REASONS:
        labels = {"opinion": "explained", "reason": reason}
        assert registry.get_sample_value("otpc_policy_second_opinions_total", labels) is not None


def test_what_cannot_be_paid_for_is_not_asked() -> None:
    path = [leaf(ROOT), ROOT]
    assert opinion_of(path, 10) == (Opinion.NOT_ASKED, "")
    assert opinion_of(path) == (Opinion.AGREES, "")


def test_an_ordinary_path_explains_no_refusal() -> None:
    middle = authority("Middle", by=ROOT, plus=[(name_constraints(["partner.test"]), True)])
    with decoding_leniently():
        assert reasons_to_refuse([decoded(made) for made in (leaf(middle), middle, ROOT)]) == []


@pytest.mark.parametrize(("many_names", "many_subtrees"), [(1, 100), (100, 1), (100, 100)])
@pytest.mark.parametrize("kind", ["dns", "mail", "uri", "directory", "address"])
def test_the_verifier_is_paid_for_every_comparison_that_it_makes(
    kind: str, many_names: int, many_subtrees: int
) -> None:
    """It compares each name with each subtree, of whatever kinds: a tenth of a unit each, and more
    for what is long.
    """
    by_kind: dict[str, list[x509.GeneralName]] = {
        "dns": [x509.DNSName(f"a{number}.test") for number in range(100)],
        "mail": [x509.RFC822Name(f"a@{number}.test") for number in range(100)],
        "uri": [x509.UniformResourceIdentifier(f"https://{number}.test/") for number in range(100)],
        "directory": [
            x509.DirectoryName(organization(f"Partner {number}")) for number in range(100)
        ],
        "address": [x509.IPAddress(ipaddress.ip_address(number)) for number in range(100)],
    }
    made = by_kind[kind]
    excluded = [f"x{number}.test" for number in range(many_subtrees)]
    fence = decoded(authority("Fence", plus=[(name_constraints(excluded=excluded), True)]))
    server = decoded(
        leaf(
            ROOT,
            plus=[(alternative_names(("partner.test",), others=made[: many_names - 1]), False)],
        )
    )
    units = verifier_units((server, fence))
    assert units >= many_names * many_subtrees // 10
    long = name_constraints(
        excluded=[f"{'x' * 60}.{'y' * 60}.{number}.test" for number in range(many_subtrees)]
    )
    assert verifier_units((server, decoded(authority("Fence", plus=[(long, True)])))) > units


def test_the_verifier_is_paid_for_the_names_of_authorities_too() -> None:
    """It holds constraints against every certificate below, and against the names of the authority
    itself.
    """
    many = [(alternative_names([f"a{number}.test" for number in range(1000)]), False)]
    fence = name_constraints(excluded=["other.test"])
    server, root = decoded(leaf(ROOT)), decoded(authority("Fence", plus=[(fence, True)]))
    middle, own = (
        decoded(authority("Middle", plus=many)),
        decoded(authority("Fence", plus=[(fence, True), *many])),
    )
    few = verifier_units((server, root))
    assert verifier_units((server, middle, root)) > few + 100
    assert verifier_units((server, own)) > few + 100
    assert verifier_units((server, middle)) == 0
