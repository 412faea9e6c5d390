"""What judges an endpoint, and that it judges no other."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from otpc_policy.catalog.context import Catalog
from otpc_policy.catalog.partners.index import PartnerIndex
from otpc_policy.catalog.policies import load_builtin_policies, parse_policy
from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.errors import UnknownPolicy
from otpc_policy.core.facts import ClientAuth, Support
from otpc_policy.pki import judge as pki_judge
from otpc_policy.pki.trust import TrustEntry
from otpc_policy.policy.finding import Decision, Effect
from otpc_policy.policy.model import PolicySet
from tests.catalog.writing import PIN, entry, index
from tests.support.certificates import self_signed
from tests.support.facts import HOST, NOW, deployments, make_facts, make_trust, versions

MUTUAL = parse_policy(
    'name = "mutual"\nextends = "otpc-2024-12"\n'
    'rules.client_auth.expected.effects.CLIENT_AUTH_MISSING = "deny"\n',
    "mutual.toml",
)
TRIAL = parse_policy('name = "trial"\nextends = "otpc-2024-12"\nenforcing = false\n', "trial.toml")


def catalog(partners: PartnerIndex | None = None, *entries: TrustEntry) -> Catalog:
    builtin = load_builtin_policies()
    policies = PolicySet(
        {**builtin.policies, "mutual": MUTUAL, "trial": TRIAL}, builtin.default_name
    )
    return Catalog(
        policies=policies,
        trust=make_trust(*entries),
        partners=partners or PartnerIndex(),
        revision="r",
    )


def waiver(code: str, rest: str = "") -> str:
    ends = "ends = 2026-04-01T00:00:00Z\n"
    return f'[[waivers]]\ncode = "{code}"\n{rest}reason = "r"\nowner = "o"\n{ends}'


def pinned(sha256: str, ends: datetime | None = None) -> str:
    return f'[[trusted]]\ncertificate_sha256 = "{sha256}"\nnote = "agreed"\n' + (
        f"ends = {ends.isoformat()}\n" if ends else ""
    )


def test_an_endpoint_that_is_nobodys_is_judged_by_the_requested_policy_and_common_trust() -> None:
    everywhere = TrustEntry(hosts=(HOST,), certificate_pins=frozenset({PIN}))
    elsewhere = TrustEntry(hosts=("other.test",), certificate_pins=frozenset({PIN}))
    context = catalog(None, everywhere, elsewhere).context_for(parse_endpoint(HOST), "")
    assert (context.partner, context.partner_policy, context.trust.entries, context.revision) == (
        None,
        None,
        (everywhere,),
        "r",
    )
    assert [one.name for one in context.policies] == ["otpc-2024-12"]


def test_a_policy_that_is_not_loaded_is_the_callers_fault() -> None:
    with pytest.raises(UnknownPolicy):
        catalog().context_for(parse_endpoint(HOST), "nope")


def test_what_a_partner_trusts_holds_at_its_endpoints_alone() -> None:
    whole = catalog(
        index(
            entry(
                "a",
                "a.test",
                rest=pinned(PIN) + f'[[trusted]]\nspki_sha256 = "{"cd" * 32}"\nnote = "key"\n',
            ),
            entry("b", "b.test"),
        )
    )
    pin, key = whole.context_for(parse_endpoint("a.test"), "").trust.entries
    assert (pin.hosts, pin.certificate_pins, pin.spki_pins, pin.note) == (
        ("a.test",),
        frozenset({PIN}),
        frozenset(),
        "agreed",
    )
    assert (key.certificate_pins, key.spki_pins) == (frozenset(), frozenset({"cd" * 32}))
    for other in (
        parse_endpoint("b.test"),
        parse_endpoint("a.test", 8443),
        parse_endpoint("b.test", 443, "a.test"),
    ):
        assert not whole.context_for(other, "").trust.entries


def test_a_listed_server_name_is_trusted_as_the_host_is_and_another_is_refused() -> None:
    whole = catalog(
        index(entry("a", "a.test", rest='server_names = ["edge.test"]\n' + pinned(PIN)))
    )
    listed, other = (
        parse_endpoint("a.test", 443, "edge.test"),
        parse_endpoint("a.test", 443, "other.test"),
    )
    (statement,) = whole.context_for(listed, "").trust.entries
    assert statement.hosts == ("edge.test",)
    assert whole.context_for(listed, "").refusal(listed) is None
    refusal = whole.context_for(other, "").refusal(other)
    assert refusal is not None
    assert (refusal.code, refusal.effect) == ("SERVER_NAME_NOT_LISTED", Effect.DENY)
    nobody = parse_endpoint("nobody.test", 443, "other.test")
    assert whole.context_for(nobody, "").refusal(nobody) is None


@pytest.mark.parametrize(
    ("requested", "of_partner", "judging", "decision"),
    [
        ("", "", ["otpc-2024-12"], Decision.ALLOW),
        ("", "otpc-2024-12", ["otpc-2024-12"], Decision.ALLOW),
        ("", "otpc-2024-12-strict", ["otpc-2024-12", "otpc-2024-12-strict"], Decision.DENY),
        (
            "otpc-2024-12-strict",
            "otpc-2024-12",
            ["otpc-2024-12-strict", "otpc-2024-12"],
            Decision.DENY,
        ),
        (
            "trial",
            "otpc-2024-12-strict",
            ["trial", "otpc-2024-12", "otpc-2024-12-strict"],
            Decision.DENY,
        ),
        (
            "otpc-2024-12-strict",
            "trial",
            ["otpc-2024-12-strict", "otpc-2024-12", "trial"],
            Decision.DENY,
        ),
    ],
)
def test_both_policies_judge_and_the_worse_wins(
    requested: str, of_partner: str, judging: list[str], decision: Decision
) -> None:
    own = self_signed(
        dns=(HOST,), not_before=NOW - timedelta(days=1), not_after=NOW + timedelta(days=90)
    )
    named = f'policy = "{of_partner}"\n' if of_partner else ""
    context = catalog(index(entry("a", HOST, rest=named + pinned(own.sha256)))).context_for(
        parse_endpoint(HOST), requested
    )
    assert [one.name for one in context.policies] == judging
    assert (
        context.evaluate(make_facts(deployments=deployments(own.chain_der)), NOW).decision
        is decision
    )


def test_two_policies_share_what_is_said_of_a_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a chain costs is not paid for by each of them, whether it is served or in hand."""
    judged: list[object] = []
    judge_chain = pki_judge.judge_chain

    def noted(chain: object, **options: Any) -> object:
        judged.append(chain)
        return judge_chain(chain, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(pki_judge, "judge_chain", noted)
    partners = index(entry("a", HOST, rest='policy = "otpc-2024-12-strict"\n'))
    context = catalog(partners).context_for(parse_endpoint(HOST), "")
    assert len(context.policies) == 2
    facts = make_facts()
    context.evaluate(facts, NOW)
    assert len(judged) == len(set(judged)) > 0
    judged.clear()
    chain = next(one.chain for one in facts.addresses[0].deployments if one.chain)
    context.evaluate_chain(chain, server_name=HOST, request_anchors=(), now=NOW)
    assert judged == [chain]


def test_the_agreement_about_client_certificates_is_judged_if_a_policy_gives_it_an_effect() -> None:
    whole = catalog(index(entry("a", HOST, rest='client_auth = "required"\n')))
    facts = make_facts(client_auth=ClientAuth.NONE)
    assert (
        whole.context_for(parse_endpoint(HOST), "").evaluate(facts, NOW).decision is Decision.ALLOW
    )
    verdict = whole.context_for(parse_endpoint(HOST), "mutual").evaluate(facts, NOW)
    assert (verdict.decision, [one.code for one in verdict.findings]) == (
        Decision.DENY,
        ["CLIENT_AUTH_MISSING"],
    )


def test_a_verdict_changes_at_the_first_end_in_the_entry_and_a_month_before() -> None:
    ends = NOW + timedelta(days=40)
    context = catalog(index(entry("a", HOST, rest=pinned(PIN, ends)))).context_for(
        parse_endpoint(HOST), ""
    )
    assert context.evaluate(make_facts(), NOW).changes_at == ends - timedelta(days=30)
    late = context.evaluate(make_facts(), ends - timedelta(days=1))
    assert late.changes_at == ends
    assert [one.code for one in late.findings if one.effect is Effect.ADVISORY] == [
        "PARTNER_TRUST_ENDS_SOON"
    ]


def test_no_policy_and_no_waiver_softens_a_forbidden_address() -> None:
    from otpc_policy.core.facts import ForbiddenAddress

    context = catalog(index(entry("a", HOST))).context_for(parse_endpoint(HOST), "trial")
    facts = make_facts(forbidden=(ForbiddenAddress("127.0.0.1", "loopback"),))
    assert context.evaluate(facts, NOW).decision is Decision.DENY


def test_a_chain_in_hand_is_judged_with_the_waivers_of_the_partner_of_its_name() -> None:
    expired = self_signed(
        dns=(HOST,), not_before=NOW - timedelta(days=90), not_after=NOW - timedelta(days=1)
    )
    waived = waiver("CERTIFICATE_EXPIRED")
    whole = catalog(index(entry("a", HOST, rest=pinned(expired.sha256) + waived)))
    for name, decision in ((HOST, Decision.ALLOW), ("other.test", Decision.DENY)):
        context = whole.context_for_name(name, "")
        verdict = context.evaluate_chain(
            expired.chain_der, server_name=name, request_anchors=(), now=NOW
        )
        assert verdict.decision is decision, verdict
    assert whole.context_for_name(None, "").partner is None


def test_unknown_stays_unknown_under_any_terms() -> None:
    waived = waiver("TLS_VERSION_BELOW_MINIMUM", 'versions = ["TLS 1.1"]\n')
    context = catalog(index(entry("a", HOST, rest=waived))).context_for(parse_endpoint(HOST), "")
    verdict = context.evaluate(
        make_facts(versions=versions(TLS_1_1=Support.UNKNOWN)), NOW.astimezone(UTC)
    )
    assert verdict.decision is Decision.INDETERMINATE
