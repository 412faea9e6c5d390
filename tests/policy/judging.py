"""What tests of the policy share: judging, policies that differ in a line, and judgements written
by hand.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from otpc_policy.catalog.policies import load_builtin_policies, parse_policy
from otpc_policy.core.facts import ClientAuth, EndpointFacts, KeyType
from otpc_policy.pki.judgement import (
    CertificateView,
    ChainJudgement,
    NameMatch,
    StapleStatus,
    TrustSource,
)
from otpc_policy.pki.trust import Trust
from otpc_policy.policy.evaluate import evaluate
from otpc_policy.policy.finding import Effect, Finding, Verdict
from otpc_policy.policy.model import Policy
from otpc_policy.policy.rule import PresentedChain, Report, Rule, Subject
from otpc_policy.policy.rules import RULES
from tests.support.facts import HOST, NOW, make_trust

UNKNOWN = "MEASUREMENT_INCOMPLETE"


def default_policy() -> Policy:
    return load_builtin_policies().get("")


@cache
def variant(toml: str = "", *, base: str = "otpc-2024-12") -> Policy:
    """A policy that extends a built-in one by these lines."""
    return parse_policy(f'name = "variant"\nextends = "{base}"\n{toml}', "variant.toml")


def only(*rule_ids: str, effect: str = "deny") -> Policy:
    """A policy in which these rules are enabled, with every code at one effect, and all others are
    off.
    """
    lines = [
        f'rules.{rule.id}.effects.{code} = "{effect if rule.id in rule_ids else "off"}"'
        for rule in RULES
        for code in rule.codes
    ]
    return variant("\n".join(lines))


def judge(
    facts: EndpointFacts,
    policy: Policy | None = None,
    *,
    now: datetime = NOW,
    trust: Trust | None = None,
    expected_client_auth: ClientAuth | None = None,
) -> Verdict:
    return evaluate(
        facts,
        policy or default_policy(),
        trust=trust or make_trust(),
        now=now,
        expected_client_auth=expected_client_auth,
    )


def codes(verdict: Verdict, rule_id: str | None = None) -> list[str]:
    """Codes of all findings, or of those that one rule reports, alone or among others."""
    return [
        finding.code
        for finding in verdict.findings
        if rule_id is None or finding.rule_id == rule_id or rule_id in _rules_behind(finding)
    ]


def _rules_behind(finding: Finding) -> set[str]:
    """The rules that a finding of several names in its evidence."""
    return {
        rule_id
        for evidence in finding.evidence
        if evidence.key == "not_determined"
        for rule_id in evidence.observed.partition(": ")[0].split(", ")
    }


def finding(verdict: Verdict, code: str) -> Finding:
    """The only finding with the code."""
    (found,) = (finding for finding in verdict.findings if finding.code == code)
    return found


def denied(verdict: Verdict) -> list[str]:
    return [finding.code for finding in verdict.findings if finding.effect is Effect.DENY]


def make_view(**overrides: Any) -> CertificateView:
    """A compliant leaf; by name what differs."""
    compliant = CertificateView(
        der=b"leaf",
        sha256="aa" * 32,
        spki_sha256="bb" * 32,
        subject=f"CN={HOST}",
        issuer="CN=Root",
        serial_number="1",
        not_before=NOW - timedelta(days=1),
        not_after=NOW + timedelta(days=90),
        subject_alt_names=(HOST,),
        common_names=(HOST,),
        key_type=KeyType.ECDSA,
        key_bits=256,
        key_name="EC secp256r1",
        signature_algorithm="ecdsa-with-SHA256",
        signature_hash="sha256",
        is_self_issued=False,
        must_staple=False,
    )
    return replace(compliant, **overrides)


def make_judgement(*certificates: CertificateView | None, **overrides: Any) -> ChainJudgement:
    """A compliant judgement of these certificates (one leaf without any); by name what differs."""
    served = certificates or (make_view(),)
    compliant = ChainJudgement(
        certificates=served,
        malformed=(),
        path=tuple(range(len(served))),
        name=NameMatch.SUBJECT_ALT_NAME,
        trust=TrustSource.MOZILLA_ROOT,
        trusted_if_valid=True,
        trust_label="CN=Root",
        trust_failure="",
        trust_ends_at=None,
        issuer_missing=False,
        misordered=False,
        staple=StapleStatus.ABSENT,
        staple_detail="no OCSP response was stapled",
        staple_changes_at=None,
    )
    return replace(compliant, **overrides)


def reports(
    rule: Rule,
    judgement: ChainJudgement,
    *,
    policy: Policy | None = None,
    now: datetime = NOW,
    staple_observed: bool = True,
) -> list[Report]:
    """What a rule says of one chain."""
    presented = PresentedChain(
        judgement=judgement,
        addresses=("192.0.2.1",),
        deployments=("ECDSA over TLS 1.2",),
        staple_observed=staple_observed,
    )
    settings = next(one for one in (policy or default_policy()).rules if one.id == rule.id)
    return list(
        rule.judge(Subject(server_name=HOST, chains=(presented,)), settings.parameters, now)
    )


def reported(rule: Rule, judgement: ChainJudgement, **arguments: Any) -> list[str]:
    return [report.code for report in reports(rule, judgement, **arguments)]
