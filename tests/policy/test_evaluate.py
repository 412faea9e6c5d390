"""Every rule of otpc-2024-12: what passes, what fails, what is unknown, and the exact boundary."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otpc_policy.catalog.policies import load_builtin_policies
from otpc_policy.core.facts import (
    ClientAuth,
    Depth,
    EndpointFacts,
    Evidence,
    ForbiddenAddress,
    HttpService,
    KeyType,
    ResolutionStatus,
    Support,
    TlsService,
    TlsVersion,
    UnmeasuredAddress,
    Vulnerability,
    VulnerabilityFact,
)
from otpc_policy.pki.trust import TrustEntry
from otpc_policy.policy.evaluate import evaluate, evaluate_chain
from otpc_policy.policy.finding import Decision, Effect, Verdict
from tests.support.certificates import CertificateAuthority, Issued, self_signed
from tests.support.facts import (
    HOST,
    NOW,
    compliant_suites,
    deployment,
    deployments,
    leaf,
    make_address,
    make_facts,
    make_trust,
    no_vulnerabilities,
    root,
    suite,
    versions,
)

POLICIES = load_builtin_policies()
STANDARD, STRICT = POLICIES.get("otpc-2024-12"), POLICIES.get("otpc-2024-12-strict")
YES, NO, UNKNOWN = Support.YES, Support.NO, Support.UNKNOWN
DAY = timedelta(days=1)
ONLY_TLS13 = tuple(fact for fact in compliant_suites() if fact.version is TlsVersion.TLS_1_3)
DEPLOYED_ON_TLS13 = (
    deployment(TlsVersion.TLS_1_3, KeyType.RSA),
    deployment(TlsVersion.TLS_1_3, KeyType.ECDSA),
)
NULL_SUITE = "TLS_RSA_WITH_NULL_SHA256"
EVERYTHING: Mapping[str, Any] = {"depth": Depth.DEEP, "vulnerabilities": no_vulnerabilities()}


def judge(
    facts: EndpointFacts, policy: Any = STANDARD, *entries: TrustEntry, at: datetime = NOW
) -> Verdict:
    return evaluate(facts, policy, trust=make_trust(*entries), now=at)


def served(*chain: bytes, staple: bytes | None = None) -> EndpointFacts:
    return make_facts(deployments=deployments(chain, staple=staple))


def outcome(verdict: Verdict) -> tuple[str, set[tuple[str, str]]]:
    return verdict.decision.value, {
        (finding.code, finding.effect.value) for finding in verdict.findings
    }


def issued(**options: Any) -> tuple[bytes, ...]:
    validity = {"not_before": NOW - DAY, "not_after": NOW + 90 * DAY}
    return root().issue(**{"dns": (HOST,), **validity, **options}).chain_der


def test_a_compliant_endpoint_is_allowed_without_a_finding() -> None:
    assert outcome(judge(make_facts())) == ("ALLOW", set())
    assert outcome(judge(make_facts(**EVERYTHING))) == ("ALLOW", set())


@pytest.mark.parametrize(
    ("overrides", "decision", "findings"),
    [
        (
            {
                "tls": TlsService.PLAINTEXT_HTTP,
                "versions": (),
                "cipher_suites": (),
                "deployments": (),
            },
            "DENY",
            {("TLS_NOT_SERVED", "deny")},
        ),
        ({"reachable": NO}, "INDETERMINATE", {("TARGET_UNREACHABLE", "indeterminate")}),
        ({"reachable": UNKNOWN}, "INDETERMINATE", {("TARGET_UNREACHABLE", "indeterminate")}),
        (
            {"cipher_suites": (*compliant_suites(), suite("TLS_RSA_WITH_AES_128_CBC_SHA"))},
            "ALLOW",
            {("CIPHER_SUITE_NOT_LISTED", "advisory")},
        ),
        (
            {"cipher_suites": (*compliant_suites(), suite(NULL_SUITE))},
            "DENY",
            {("CIPHER_SUITE_INSECURE", "deny"), ("CIPHER_SUITE_NOT_LISTED", "advisory")},
        ),
        (
            {
                "cipher_suites": ONLY_TLS13,
                "versions": versions(TLS_1_2=NO),
                "deployments": DEPLOYED_ON_TLS13,
            },
            "DENY",
            {("CIPHER_SUITE_NONE_REQUIRED", "deny")},
        ),
        ({"http": HttpService.NOT_SERVED}, "DENY", {("HTTPS_NOT_SERVED", "deny")}),
        (
            {"http": HttpService.UNKNOWN},
            "INDETERMINATE",
            {("MEASUREMENT_INCOMPLETE", "indeterminate")},
        ),
        (
            {"http": HttpService.NOT_OBSERVABLE, "client_auth": ClientAuth.REQUIRED},
            "ALLOW",
            {("HTTP_NOT_OBSERVABLE", "advisory")},
        ),
        (
            {"resolution": ResolutionStatus.FAILED, "addresses": ()},
            "INDETERMINATE",
            {("TARGET_DNS_FAILED", "indeterminate")},
        ),
        (
            {"unresolved_families": ("IPv6",)},
            "INDETERMINATE",
            {("TARGET_DNS_FAILED", "indeterminate")},
        ),
        ({"resolution_is_stale": True}, "ALLOW", {("TARGET_DNS_FAILED", "advisory")}),
        (
            {
                "resolution": ResolutionStatus.FORBIDDEN,
                "addresses": (),
                "forbidden": (ForbiddenAddress("10.0.0.1", "private"),),
            },
            "DENY",
            {("TARGET_ADDRESS_FORBIDDEN", "deny")},
        ),
        (
            {"unmeasured": (UnmeasuredAddress("192.0.2.9", "a ninth address"),)},
            "INDETERMINATE",
            {("MEASUREMENT_INCOMPLETE", "indeterminate")},
        ),
        ({"omitted_families": ("IPv6",)}, "ALLOW", {("ADDRESS_FAMILY_NOT_MEASURED", "advisory")}),
        ({"depth": Depth.DEEP}, "INDETERMINATE", {("MEASUREMENT_INCOMPLETE", "indeterminate")}),
    ],
)
def test_what_is_measured_decides(
    overrides: dict[str, Any], decision: str, findings: set[tuple[str, str]]
) -> None:
    assert outcome(judge(make_facts(**overrides))) == (decision, findings)


@pytest.mark.parametrize("version", ["SSL_2_0", "SSL_3_0", "TLS_1_0", "TLS_1_1"])
def test_each_old_version_is_denied_by_name(version: str) -> None:
    verdict = judge(make_facts(versions=versions(**{version: YES})))
    assert verdict.decision is Decision.DENY
    assert [
        TlsVersion[version].label in one.message
        for one in verdict.findings
        if one.code == "TLS_VERSION_BELOW_MINIMUM"
    ] == [True]


def test_every_old_version_has_its_own_finding() -> None:
    verdict = judge(make_facts(versions=versions(TLS_1_0=YES, TLS_1_1=YES)))
    assert sum(finding.code == "TLS_VERSION_BELOW_MINIMUM" for finding in verdict.findings) == 2


def test_a_server_with_tls_1_3_alone_has_no_required_suite() -> None:
    verdict = judge(
        make_facts(
            cipher_suites=ONLY_TLS13, versions=versions(TLS_1_2=NO), deployments=DEPLOYED_ON_TLS13
        )
    )
    assert "TLS 1.3" in next(
        finding.message
        for finding in verdict.findings
        if finding.code == "CIPHER_SUITE_NONE_REQUIRED"
    )


def test_a_required_suite_counts_only_in_a_completed_handshake() -> None:
    chosen = tuple(replace(fact, handshake_completed=False) for fact in compliant_suites())
    assert judge(make_facts(cipher_suites=chosen)).decision is Decision.INDETERMINATE


@pytest.mark.parametrize("vulnerability", list(Vulnerability))
def test_each_vulnerability_is_denied_and_each_unknown_one_is_unknown(
    vulnerability: Vulnerability,
) -> None:
    others = tuple(fact for fact in no_vulnerabilities() if fact.vulnerability is not vulnerability)
    present = make_facts(
        depth=Depth.DEEP, vulnerabilities=(*others, VulnerabilityFact(vulnerability, YES))
    )
    assert outcome(judge(present)) == ("DENY", {("TLS_VULNERABLE", "deny")})
    assert (
        judge(make_facts(depth=Depth.DEEP, vulnerabilities=others)).decision
        is Decision.INDETERMINATE
    )


@pytest.mark.parametrize(
    ("chain", "decision", "findings"),
    [
        (issued(dns=("other.test",)), "DENY", {("CERTIFICATE_NAME_MISMATCH", "deny")}),
        (
            issued(not_before=NOW - 30 * DAY, not_after=NOW - DAY),
            "DENY",
            {("CERTIFICATE_EXPIRED", "deny")},
        ),
        (issued(not_before=NOW + DAY), "DENY", {("CERTIFICATE_NOT_YET_VALID", "deny")}),
        (
            issued(not_before=NOW - 90 * DAY, not_after=NOW + 21 * DAY),
            "ALLOW",
            {("CERTIFICATE_EXPIRES_SOON", "advisory")},
        ),
        (
            issued(not_before=NOW - 90 * DAY, not_after=NOW + 21 * DAY + timedelta(seconds=1)),
            "ALLOW",
            set(),
        ),
        (
            issued(not_before=NOW - 4 * DAY, not_after=NOW + 2 * DAY),
            "ALLOW",
            {("CERTIFICATE_EXPIRES_SOON", "advisory")},
        ),
        (issued(not_before=NOW - 3 * DAY, not_after=NOW + 3 * DAY), "ALLOW", set()),
        (issued(must_staple=True), "DENY", {("CERTIFICATE_STAPLE_MISSING", "deny")}),
        (issued(key="rsa1024"), "DENY", {("CERTIFICATE_KEY_WEAK", "deny")}),
        (issued(key="ec224"), "DENY", {("CERTIFICATE_KEY_WEAK", "deny")}),
        (issued(key="rsa2048"), "ALLOW", set()),
    ],
)
def test_a_certificate_under_a_trusted_root_is_judged(
    chain: tuple[bytes, ...], decision: str, findings: set[tuple[str, str]]
) -> None:
    found = outcome(judge(served(*chain)))
    # A key that the verifier refuses may be called untrusted as well; nothing else may be added.
    assert (found[0], found[1] - {("CERTIFICATE_UNTRUSTED", "deny")}) == (decision, findings)


def test_a_leaf_that_cannot_be_decoded_is_malformed_and_denied() -> None:
    decision, findings = outcome(judge(served(b"no certificate")))
    assert (decision, ("CERTIFICATE_MALFORMED", "deny") in findings) == ("DENY", True)


def names(number: int) -> tuple[str, ...]:
    """HOST and others below it."""
    return (HOST, *(f"n{one}.{HOST}" for one in range(number - 1)))


def fenced(number: int) -> CertificateAuthority:
    """An authority whose constraints permit names below HOST, and that many others."""
    permitted = (*(f"d{one}.example" for one in range(number - 1)), HOST)
    return root().intermediate(
        f"Fenced {number}", permitted_dns=permitted, not_before=NOW - DAY, not_after=NOW + 900 * DAY
    )


VALID: dict[str, Any] = {"not_before": NOW - DAY, "not_after": NOW + 90 * DAY}
TOO_COMPLEX, MISORDERED = (
    ("CERTIFICATE_CHAIN_TOO_COMPLEX", "indeterminate"),
    ("CERTIFICATE_CHAIN_MISORDERED", "advisory"),
)


@cache
def complex_leaf() -> Issued:
    """Each of its labels is a suffix to look for among the subtrees."""
    return fenced(260).issue(dns=deep_names(), **VALID)


def deep_names() -> list[str]:
    """900 names of 121 labels."""
    deep = ".".join(["a"] * 116)
    return [HOST, *(f"{deep}.{number}.{HOST}" for number in range(899))]


@cache
def unread_leaf() -> Issued:
    """It costs too much to be read at all."""
    return root().issue(dns=names(20_000), **VALID)


@pytest.mark.parametrize(
    ("made", "decision", "findings"),
    [
        (lambda: fenced(61).issue(dns=names(1_201), **VALID).chain_der, "ALLOW", set()),
        (lambda: complex_leaf().chain_der, "INDETERMINATE", {TOO_COMPLEX}),
        (lambda: unread_leaf().chain_der, "INDETERMINATE", {TOO_COMPLEX}),
        # What is known of the leaf alone denies all the same.
        (
            lambda: fenced(260).issue(dns=deep_names()[1:], **VALID).chain_der,
            "DENY",
            {TOO_COMPLEX, ("CERTIFICATE_NAME_MISMATCH", "deny")},
        ),
        (
            lambda: (
                fenced(260)
                .issue(dns=deep_names(), not_before=NOW - 30 * DAY, not_after=NOW - DAY)
                .chain_der
            ),
            "DENY",
            {TOO_COMPLEX, ("CERTIFICATE_EXPIRED", "deny")},
        ),
        (
            lambda: (
                root()
                .issue(dns=names(20_000), not_before=NOW - 30 * DAY, not_after=NOW - DAY)
                .chain_der
            ),
            "DENY",
            {TOO_COMPLEX, ("CERTIFICATE_EXPIRED", "deny")},
        ),
        # Its signatures prove that it does not chain to a trusted anchor, whatever it contains.
        (
            lambda: (
                CertificateAuthority.create("Nobody's").issue(dns=names(20_000), **VALID).chain_der
            ),
            "DENY",
            {TOO_COMPLEX, ("CERTIFICATE_UNTRUSTED", "deny")},
        ),
        # What is trusted stays so, whatever else is served.
        (lambda: (*issued(), unread_leaf().der), "ALLOW", {MISORDERED}),
    ],
)
def test_a_chain_that_costs_too_much_is_undecided(
    made: Callable[[], tuple[bytes, ...]], decision: str, findings: set[tuple[str, str]]
) -> None:
    assert outcome(judge(served(*made()))) == (decision, findings)


def test_a_pin_needs_no_path_that_could_cost_too_much() -> None:
    pin = TrustEntry(hosts=(HOST,), certificate_pins=frozenset({complex_leaf().sha256}))
    assert outcome(judge(served(*complex_leaf().chain_der), STANDARD, pin)) == (
        "ALLOW",
        {("CERTIFICATE_TRUSTED_BY_PARTNER_ANCHOR", "advisory")},
    )


def test_no_policy_softens_what_costs_too_much() -> None:
    facts = served(*complex_leaf().chain_der)
    for policy in (STANDARD, STRICT, replace(STANDARD, enforcing=False)):
        assert judge(facts, policy).decision is Decision.INDETERMINATE
    alone = evaluate_chain(
        complex_leaf().chain_der,
        STANDARD,
        server_name=HOST,
        trust=make_trust(),
        request_anchors=(),
        now=NOW,
    )
    assert outcome(alone) == ("INDETERMINATE", {TOO_COMPLEX})
    assert (
        "900 names would have to be compared with 260 subtrees of name constraints"
        in alone.findings[0].message
    )


def test_trust_by_anchor_and_pin_is_advised_and_denied_under_strict() -> None:
    authority = CertificateAuthority.create(
        "Partner", not_before=NOW - DAY, not_after=NOW + 900 * DAY
    )
    chain = authority.issue(dns=(HOST,), not_before=NOW - DAY, not_after=NOW + 90 * DAY).chain_der
    pinned = self_signed(dns=(HOST,), not_before=NOW - DAY, not_after=NOW + 90 * DAY)
    anchor = TrustEntry(hosts=(HOST,), anchors=(authority.der,))
    pin = TrustEntry(hosts=(HOST,), certificate_pins=frozenset({pinned.sha256}))
    for facts, entry in ((served(*chain), anchor), (served(*pinned.chain_der), pin)):
        assert outcome(judge(facts, STANDARD, entry)) == (
            "ALLOW",
            {("CERTIFICATE_TRUSTED_BY_PARTNER_ANCHOR", "advisory")},
        )
        assert outcome(judge(facts, STRICT, entry)) == (
            "DENY",
            {("CERTIFICATE_TRUSTED_BY_PARTNER_ANCHOR", "deny")},
        )
        assert ("CERTIFICATE_UNTRUSTED", "deny") in outcome(judge(facts))[1]
        assert ("CERTIFICATE_UNTRUSTED", "deny") in outcome(
            judge(facts, STANDARD, replace(entry, hosts=("other.test",)))
        )[1]


def test_staples_revoke_and_satisfy_must_staple() -> None:
    one = root().issue(
        dns=(HOST,), must_staple=True, not_before=NOW - DAY, not_after=NOW + 90 * DAY
    )
    times: dict[str, Any] = {
        "this_update": NOW - timedelta(hours=1),
        "next_update": NOW + timedelta(hours=1),
    }
    good = judge(
        served(*one.chain_der, staple=root().ocsp_response(one.certificate, status="good", **times))
    )
    revoked = judge(
        served(
            *one.chain_der, staple=root().ocsp_response(one.certificate, status="revoked", **times)
        )
    )
    assert outcome(good) == ("ALLOW", set())
    assert good.changes_at == NOW + timedelta(hours=1)
    assert ("CERTIFICATE_REVOKED", "deny") in outcome(revoked)[1]


def test_a_verdict_ends_with_the_certificate_of_the_responder() -> None:
    leaf = root().issue(
        dns=(HOST,), must_staple=True, not_before=NOW - DAY, not_after=NOW + 90 * DAY
    )
    responder = root().issue(
        extended_key_usage=("ocsp_signing",), not_before=NOW - DAY, not_after=NOW + DAY
    )
    staple = root().ocsp_response(
        leaf.certificate,
        this_update=NOW - timedelta(hours=1),
        next_update=NOW + 2 * DAY,
        signer=responder,
    )
    facts = served(*leaf.chain_der, staple=staple)
    verdict = judge(facts)
    assert outcome(verdict) == ("ALLOW", set())
    assert verdict.changes_at == NOW + DAY
    later = judge(facts, at=NOW + DAY + timedelta(seconds=1))
    assert ("CERTIFICATE_STAPLE_MISSING", "deny") in outcome(later)[1]


def test_every_deployment_is_judged_and_the_worst_decides() -> None:
    expired = issued(not_before=NOW - 30 * DAY, not_after=NOW - DAY)
    mixed = (*deployments()[:3], deployment(TlsVersion.TLS_1_3, KeyType.ECDSA, chain=expired))
    assert outcome(judge(make_facts(deployments=mixed))) == (
        "DENY",
        {("CERTIFICATE_EXPIRED", "deny")},
    )


def test_a_key_type_that_a_suite_proves_and_no_handshake_obtained_is_unknown() -> None:
    only_ecdsa = tuple(
        deployment for deployment in deployments() if deployment.key_type is KeyType.ECDSA
    )
    assert judge(make_facts(deployments=only_ecdsa)).decision is Decision.INDETERMINATE


def test_the_worst_address_decides() -> None:
    bad = make_address(address="192.0.2.2", http=HttpService.NOT_SERVED)
    verdict = judge(make_facts(addresses=(make_address(), bad)))
    assert (verdict.decision, [finding.address for finding in verdict.findings]) == (
        Decision.DENY,
        ["192.0.2.2"],
    )


def test_a_report_only_policy_allows_what_the_rules_deny_but_never_a_forbidden_address() -> None:
    lenient = replace(STANDARD, enforcing=False)
    verdict = judge(make_facts(http=HttpService.NOT_SERVED), lenient)
    assert (verdict.decision, verdict.evaluated_decision) == (Decision.ALLOW, Decision.DENY)
    forbidden = make_facts(
        resolution=ResolutionStatus.FORBIDDEN,
        addresses=(),
        forbidden=(ForbiddenAddress("10.0.0.1", "private"),),
    )
    assert judge(forbidden, lenient).decision is Decision.DENY


def test_findings_are_ordered_denying_first_then_by_severity_then_by_code() -> None:
    verdict = judge(
        make_facts(
            http=HttpService.NOT_SERVED,
            versions=versions(TLS_1_0=YES),
            cipher_suites=(*compliant_suites(), suite(NULL_SUITE)),
        )
    )
    keys = [
        (finding.effect is not Effect.DENY, -finding.severity, finding.code)
        for finding in verdict.findings
    ]
    assert len(keys) > 3
    assert keys == sorted(keys)


def test_changes_at_is_the_next_instant_at_which_time_alone_changes_the_verdict() -> None:
    verdict = judge(make_facts())
    assert verdict.changes_at is not None
    before, after = (
        judge(make_facts(), at=verdict.changes_at + shift)
        for shift in (timedelta(microseconds=-1), timedelta())
    )
    assert outcome(before) == outcome(verdict)
    assert outcome(after) != outcome(verdict)


def test_a_chain_alone_is_judged_without_a_connection_and_without_a_name_it_is_undecided() -> None:
    def alone(server_name: str | None, chain: tuple[bytes, ...] = leaf().chain_der) -> Verdict:
        return evaluate_chain(
            chain,
            STANDARD,
            server_name=server_name,
            trust=make_trust(),
            request_anchors=(),
            now=NOW,
        )

    assert outcome(alone(HOST)) == ("ALLOW", set())
    assert outcome(alone(None)) == (
        "INDETERMINATE",
        {("CERTIFICATE_NAME_NOT_CHECKED", "indeterminate")},
    )
    assert (
        alone(HOST, issued(must_staple=True)).decision is not Decision.DENY
    )  # a staple cannot be seen here


@settings(deadline=None)
@given(st.integers(0, 200))
def test_suites_that_are_refused_change_nothing(which: int) -> None:
    """They are passed over before any rule is asked.

    Those of otpc-2024-12 and NULL suites among them, over every version.
    """
    facts = _with_one_unknown(which)
    (address,) = facts.addresses
    names = (
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        NULL_SUITE,
        "0xEEEE",
    )
    refused = tuple(
        suite(name, over=version, support=NO) for name in names for version in TlsVersion
    )
    reported = {(fact.version, fact.code_point) for fact in address.cipher_suites}
    more = tuple(fact for fact in refused if (fact.version, fact.code_point) not in reported)
    assert judge(
        replace(facts, addresses=(replace(address, cipher_suites=(*address.cipher_suites, *more)),))
    ) == judge(facts)


def _with_one_unknown(which: int) -> EndpointFacts:
    """The compliant endpoint, measured deeply, with one of its facts unknown."""
    facts = make_address()
    holes: list[dict[str, Any]] = [
        {"tls": TlsService.UNKNOWN},
        {"http": HttpService.UNKNOWN},
        {"reachable": UNKNOWN},
    ]
    for name in ("versions", "cipher_suites", "deployments"):
        entries = getattr(facts, name)
        holes.extend(
            {name: (*entries[:index], _unknown(entries[index]), *entries[index + 1 :])}
            for index in range(len(entries))
        )
        holes.append({name: ()})
    holes.extend(
        {"vulnerabilities": no_vulnerabilities()[:index] + no_vulnerabilities()[index + 1 :]}
        for index in range(len(Vulnerability))
    )
    return make_facts(**{**EVERYTHING, **holes[which % len(holes)]})


def _unknown(fact: Any) -> Any:
    nothing = {"support": UNKNOWN, "evidence": Evidence.NONE}
    extra = (
        {"chain": ()}
        if hasattr(fact, "chain")
        else {"handshake_completed": False}
        if hasattr(fact, "handshake_completed")
        else {}
    )
    return replace(fact, **nothing, **extra)


@settings(deadline=None)
@given(st.integers(0, 200))
def test_no_fact_made_unknown_leaves_an_allow_and_none_softens_a_denial(which: int) -> None:
    facts = _with_one_unknown(which)
    assert judge(facts).decision is not Decision.ALLOW
    denied = replace(
        facts,
        addresses=(
            *facts.addresses,
            make_address(address="192.0.2.2", versions=versions(TLS_1_0=YES), **EVERYTHING),
        ),
    )
    assert judge(denied).decision is Decision.DENY
