"""Below the minimum policy falls no verdict, whatever policy a request or an entry names."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache
from itertools import product
from typing import Any

import pytest

from otpc_policy.catalog import context as catalog_context
from otpc_policy.catalog.context import Catalog, JudgingContext
from otpc_policy.catalog.policies import load_builtin_policies, parse_policy
from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.facts import ForbiddenAddress, HttpService, Support, TlsVersion
from otpc_policy.pki.trust import TrustEntry
from otpc_policy.policy.evaluate import evaluate
from otpc_policy.policy.finding import Decision, Effect
from otpc_policy.policy.model import Policy, PolicySet
from tests.catalog.writing import entry, index
from tests.support.certificates import self_signed
from tests.support.facts import (
    HOST,
    NOW,
    compliant_suites,
    deployments,
    make_facts,
    make_trust,
    suite,
    versions,
)

OLD_SUITE = "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"
# Worse further on.
ORDER = [Decision.ALLOW, Decision.INDETERMINATE, Decision.DENY]
BUILTIN = load_builtin_policies()
# TLS 1.1 is accepted, and whether HTTP is served is not known. Each policy looks at what it wants.
FACTS = make_facts(
    versions=versions(TLS_1_1=Support.YES),
    cipher_suites=(*compliant_suites(), suite(OLD_SUITE, over=TlsVersion.TLS_1_1)),
    http=HttpService.UNKNOWN,
)
_LOOKS_AT = {Decision.ALLOW: (), Decision.DENY: ("version",), Decision.INDETERMINATE: ("http",)}
DEFAULT, STRICT = "otpc-2024-12", "otpc-2024-12-strict"


@cache
def policy(name: str, says: Decision, *, enforcing: bool = True) -> Policy:
    """A policy whose rules say this of FACTS."""
    looks_at, effect_of = _LOOKS_AT[says], {True: "deny", False: "off"}
    effects = [
        f'rules.{rule}.effects.{code} = "{effect_of[subject in looks_at]}"\n'
        for subject, rule, code in (
            ("version", "tls.minimum_version", "TLS_VERSION_BELOW_MINIMUM"),
            ("http", "https.served", "HTTPS_NOT_SERVED"),
        )
    ]
    effects.append('rules.https.served.effects.HTTP_NOT_OBSERVABLE = "off"\n')
    head = f'name = "{name}"\nextends = "otpc-2024-12"\nenforcing = {str(enforcing).lower()}\n'
    return parse_policy(head + "".join(effects), f"{name}.toml")


def catalog(
    *policies: Policy,
    minimum: str | None = "",
    partners: Sequence[str] = (),
    trust: Sequence[TrustEntry] = (),
) -> Catalog:
    """A catalog with these policies; partners: documents."""
    known = {**BUILTIN.policies, **{each.name: each for each in policies}}
    return Catalog(
        policies=PolicySet(known, BUILTIN.default_name, minimum),
        trust=make_trust(*trust),
        partners=index(*partners),
        revision="r",
    )


def worst(*decisions: Decision) -> Decision:
    return max(decisions, key=ORDER.index)


def decision_alone(says: Decision, *, enforcing: bool) -> Decision:
    return Decision.ALLOW if says is Decision.DENY and not enforcing else says


@pytest.mark.parametrize("asked", ORDER, ids=lambda each: f"asked {each.name}")
@pytest.mark.parametrize("floor", ORDER, ids=lambda each: f"floor {each.name}")
@pytest.mark.parametrize("partner", ORDER, ids=lambda each: f"partner {each.name}")
def test_the_worst_verdict_wins_and_report_only_takes_nothing_away(
    asked: Decision, floor: Decision, partner: Decision
) -> None:
    says = (asked, floor, partner)
    for modes in product((True, False), repeat=3):
        policies = [
            policy(name, each, enforcing=mode)
            for name, each, mode in zip(("asked", "floor", "agreed"), says, modes, strict=True)
        ]
        whole = catalog(
            *policies, minimum="floor", partners=[entry("bank", HOST, rest='policy = "agreed"\n')]
        )
        verdict = whole.context_for(parse_endpoint(HOST), "asked").evaluate(FACTS, NOW)
        assert verdict.evaluated_decision is worst(*says)
        assert verdict.decision is worst(
            *(decision_alone(each, enforcing=mode) for each, mode in zip(says, modes, strict=True))
        ), modes


@pytest.mark.parametrize("says", ORDER)
def test_a_report_only_policy_that_a_caller_names_keeps_the_verdict_of_the_floor(
    says: Decision,
) -> None:
    trial = policy("trial", Decision.DENY, enforcing=False)
    floor = policy("floor", says)
    context = catalog(trial, floor, minimum="floor").context_for(parse_endpoint(HOST), "trial")
    verdict = context.evaluate(FACTS, NOW)
    assert (verdict.decision, verdict.evaluated_decision) == (says, Decision.DENY)


def test_a_report_only_minimum_is_the_operators_leniency() -> None:
    trial = policy("trial", Decision.DENY, enforcing=False)
    context = catalog(trial, minimum="trial").context_for(parse_endpoint(HOST), "trial")
    assert context.minimum_policy is None
    verdict = context.evaluate(FACTS, NOW)
    assert (verdict.decision, verdict.evaluated_decision) == (Decision.ALLOW, Decision.DENY)


def test_without_a_minimum_a_request_is_answered_by_the_policy_that_it_names() -> None:
    lax = policy("lax", Decision.ALLOW)
    for minimum, decision in (("", Decision.DENY), (None, Decision.ALLOW)):
        context = catalog(lax, minimum=minimum).context_for(parse_endpoint(HOST), "lax")
        assert context.evaluate(FACTS, NOW).decision is decision


def test_the_default_policy_is_the_minimum_unless_another_is_named() -> None:
    for minimum, expected in (("", DEFAULT), (STRICT, STRICT)):
        context = catalog(minimum=minimum).context_for(parse_endpoint(HOST), "mozilla-modern")
        assert context.minimum_policy is not None
        assert context.minimum_policy.name == expected
    assert catalog().context_for(parse_endpoint(HOST), "").minimum_policy is None


def test_every_finding_names_the_policies_that_give_it_its_effect() -> None:
    """DENY by one and ADVISORY by the other is DENY, by the one."""
    advising = parse_policy(
        f'name = "advising"\nextends = "{DEFAULT}"\n'
        'rules.tls.minimum_version.effects.TLS_VERSION_BELOW_MINIMUM = "advisory"\n'
        'rules.https.served.effects.HTTPS_NOT_SERVED = "off"\n'
        'rules.https.served.effects.HTTP_NOT_OBSERVABLE = "off"\n'
        'rules.cipher.outside_set.effects.CIPHER_SUITE_NOT_LISTED = "deny"\n',
        "advising.toml",
    )
    context = catalog(advising).context_for(parse_endpoint(HOST), "advising")
    found = {each.code: each.policies for each in context.evaluate(FACTS, NOW).findings}
    assert found == {
        "TLS_VERSION_BELOW_MINIMUM": (DEFAULT,),
        "CIPHER_SUITE_NOT_LISTED": ("advising",),
        "MEASUREMENT_INCOMPLETE": (DEFAULT,),
    }
    both = catalog(policy("own", Decision.DENY)).context_for(parse_endpoint(HOST), "own")
    found = {each.code: each.policies for each in both.evaluate(FACTS, NOW).findings}
    assert found["TLS_VERSION_BELOW_MINIMUM"] == ("own", DEFAULT)
    forbidden = make_facts(forbidden=(ForbiddenAddress("127.0.0.1", "loopback"),))
    (finding,) = both.evaluate(forbidden, NOW).findings
    assert (finding.code, finding.policies) == ("TARGET_ADDRESS_FORBIDDEN", ())


def test_a_chain_in_hand_is_judged_by_the_minimum_too() -> None:
    expired = self_signed(
        dns=(HOST,), not_before=NOW - timedelta(days=90), not_after=NOW - timedelta(days=1)
    )
    lax = parse_policy(
        f'name = "lax"\nextends = "{DEFAULT}"\n'
        'rules.certificate.validity.effects.CERTIFICATE_EXPIRED = "advisory"\n',
        "lax.toml",
    )
    pinned = TrustEntry(hosts=(HOST,), certificate_pins=frozenset({expired.sha256}))
    for minimum, decision in (("", Decision.DENY), (None, Decision.ALLOW)):
        context = catalog(lax, minimum=minimum, trust=[pinned]).context_for_name(HOST, "lax")
        verdict = context.evaluate_chain(
            expired.chain_der, server_name=HOST, request_anchors=(), now=NOW
        )
        assert verdict.decision is decision, verdict


def evaluations(context: JudgingContext, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the policies that are evaluated."""
    names: list[str] = []

    def counted(facts: Any, of: Policy, **how: Any) -> Any:
        names.append(of.name)
        return evaluate(facts, of, **how)

    monkeypatch.setattr(catalog_context, "evaluate", counted)
    context.evaluate(FACTS, NOW)
    return names


@pytest.mark.parametrize(
    ("asked", "minimum", "evaluated"),
    [
        ("", "", [DEFAULT]),
        (DEFAULT, "", [DEFAULT]),
        # Its demands are proven to be among those of the policy that was asked for.
        (STRICT, "", [STRICT]),
        ("", STRICT, [DEFAULT, STRICT]),
        ("mozilla-modern", "", ["mozilla-modern", DEFAULT]),
        ("mozilla-modern", None, ["mozilla-modern"]),
        # Report-only implies nothing that enforces.
        ("trial", "", ["trial", DEFAULT]),
    ],
)
def test_the_minimum_costs_one_evaluation_or_none(
    asked: str, minimum: str | None, evaluated: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = replace(BUILTIN.get(STRICT), name="trial", enforcing=False, revision="trial")
    context = catalog(trial, minimum=minimum).context_for(parse_endpoint(HOST), asked)
    assert evaluations(context, monkeypatch) == evaluated


def test_lifetimes_and_terms_are_those_of_every_policy_even_if_it_need_not_judge() -> None:
    context = catalog().context_for(parse_endpoint(HOST), STRICT)
    assert [each.name for each in context.policies] == [STRICT, DEFAULT]
    assert [each.name for each in context.judging] == [STRICT]


# -- Partners that the server name leads to --------------------------------------------------------

ALIAS, ADDRESS = "alias.test", "203.0.113.9"
DEMANDING = f'policy = "{STRICT}"\n'


def ids(context: JudgingContext) -> tuple[str, ...]:
    owner = () if context.partner is None else (context.partner.id,)
    return (*owner, *(named.id for named in context.named_partners))


@pytest.mark.parametrize(
    ("host", "port", "server_name", "found"),
    [
        (HOST, 443, "", ("bank",)),
        (ADDRESS, 443, HOST, ("bank",)),
        (ALIAS, 443, HOST, ("bank",)),
        # The port counts, as it does for hosts.
        (ADDRESS, 8443, HOST, ()),
        (ADDRESS, 443, "one.wild.test", ("wild",)),
        (ADDRESS, 443, "two.one.wild.test", ()),
        # A name that is listed, at the ports of the entry; by whatever host.
        (ADDRESS, 8443, "edge.test", ("lists", "also")),
        ("edge.test", 8443, "", ("lists", "also")),
        (ADDRESS, 443, "edge.test", ()),
        # The host belongs to one partner, the name to another: both apply.
        ("lists.test", 8443, "edge.test", ("lists",)),
        ("lists.test", 8443, "other.test", ("lists", "other")),
        (ALIAS, 443, "nobody.test", ()),
    ],
)
def test_a_partner_is_found_by_server_name_too(
    host: str, port: int, server_name: str, found: tuple[str, ...]
) -> None:
    listed = 'server_names = ["edge.test", "other.test"]\n'
    whole = catalog(
        partners=[
            entry("bank", HOST),
            entry("wild", "*.wild.test"),
            entry("lists", "lists.test:8443", rest=listed),
            entry("also", "also.test:8443", rest='server_names = ["edge.test"]\n'),
            entry("other", "other.test:8443"),
        ]
    )
    context = whole.context_for(parse_endpoint(host, port, server_name), "")
    assert ids(context) == found
    assert (context.partner is None) == (host not in (HOST, "lists.test"))


@pytest.mark.parametrize("host", [HOST, ADDRESS, ALIAS])
def test_the_policy_of_the_partner_judges_however_its_endpoint_is_named(host: str) -> None:
    unlisted = make_facts(
        deployments=deployments(pinned_leaf().chain_der), server_name=HOST, host=host
    )
    common = TrustEntry(hosts=(HOST,), certificate_pins=frozenset({pinned_leaf().sha256}))
    for rest, decision in ((DEMANDING, Decision.DENY), ("", Decision.ALLOW)):
        whole = catalog(partners=[entry("bank", HOST, rest=rest)], trust=[common])
        context = whole.context_for(parse_endpoint(host, 443, HOST), "")
        assert context.evaluate(unlisted, NOW).decision is decision


def test_the_policies_of_both_partners_judge() -> None:
    listing = 'server_names = ["other.test"]\npolicy = "first"\n'
    whole = catalog(
        policy("first", Decision.ALLOW),
        policy("second", Decision.DENY),
        minimum=None,
        partners=[
            entry("host", HOST, rest=listing),
            entry("name", "other.test", rest='policy = "second"\n'),
        ],
    )
    endpoint = parse_endpoint(HOST, 443, "other.test")
    context = whole.context_for(endpoint, "first")
    assert context.refusal(endpoint) is None
    assert [each.name for each in context.policies] == ["first", "second"]
    assert context.evaluate(replace(FACTS, server_name="other.test"), NOW).decision is Decision.DENY


@cache
def pinned_leaf() -> Any:
    return self_signed(
        dns=(HOST,), not_before=NOW - timedelta(days=1), not_after=NOW + timedelta(days=90)
    )


WAIVER = """\
[[waivers]]
code = "TLS_VERSION_BELOW_MINIMUM"
versions = ["TLS 1.1"]
reason = "agreed"
owner = "o"
ends = 2026-04-01T00:00:00Z
"""


@pytest.mark.parametrize(
    ("host", "effect"), [(HOST, Effect.WAIVED), (ADDRESS, Effect.DENY), (ALIAS, Effect.DENY)]
)
def test_waivers_hold_at_the_partners_own_endpoints_alone(host: str, effect: Effect) -> None:
    """Whoever asks chooses the server name, and could give it to any host."""
    whole = catalog(partners=[entry("bank", HOST, rest=WAIVER)])
    facts = make_facts(host=host, server_name=HOST, versions=versions(TLS_1_1=Support.YES))
    verdict = whole.context_for(parse_endpoint(host, 443, HOST), "").evaluate(facts, NOW)
    found = {each.code: each.effect for each in verdict.findings}
    assert found["TLS_VERSION_BELOW_MINIMUM"] is effect
    # What ends in an entry is reported where it applies.
    assert ("PARTNER_WAIVER_ENDS_SOON" in found) == (host == HOST)


@pytest.mark.parametrize("host", [ADDRESS, ALIAS])
def test_trust_holds_at_the_partners_own_endpoints_alone(host: str) -> None:
    pin = f'[[trusted]]\ncertificate_sha256 = "{pinned_leaf().sha256}"\nnote = "agreed"\n'
    whole = catalog(partners=[entry("bank", HOST, rest=pin)])
    facts = make_facts(
        host=host, server_name=HOST, deployments=deployments(pinned_leaf().chain_der)
    )
    context = whole.context_for(parse_endpoint(host, 443, HOST), "")
    assert not context.trust.entries
    assert context.evaluate(facts, NOW).decision is Decision.DENY
