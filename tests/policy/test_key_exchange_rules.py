"""group.required, group.outside_set, key_exchange.minimum: pass, fail, unknown, boundary."""

from datetime import timedelta

import pytest

from otpc_policy.catalog.policies import load_builtin_policies
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.core.facts import (
    CurveFact,
    DeepFacts,
    Depth,
    Evidence,
    GroupFact,
    KeyExchangeFact,
    Support,
    TlsVersion,
)
from otpc_policy.core.registries.groups import (
    CLIENT_GROUPS,
    GroupKind,
    group_bits,
    group_by_name,
    group_kind,
    group_name,
)
from otpc_policy.policy.finding import Decision
from otpc_policy.policy.judged_groups import judges_groups
from otpc_policy.policy.model import Policy
from otpc_policy.policy.rules import RULES
from tests.policy.judging import UNKNOWN, codes, finding, judge, variant
from tests.support.facts import make_facts, suite, versions

YES, NO, OPEN = Support.YES, Support.NO, Support.UNKNOWN
TLS12, TLS13 = TlsVersion.TLS_1_2, TlsVersion.TLS_1_3
EVIDENCE = {YES: Evidence.SERVER_HELLO, NO: Evidence.ALERT, OPEN: Evidence.NONE}
P256 = KeyExchangeFact(version=TLS12, group=23, bits=256)
DHE = "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"


def dh(bits: int) -> KeyExchangeFact:
    return KeyExchangeFact(version=TLS12, group=None, bits=bits)


def groups(*accepted: str, **others: Support) -> tuple[GroupFact, ...]:
    """All groups: those accepted, others by name, the rest refused."""
    supports = {group_name(group): NO for group in CLIENT_GROUPS}
    supports |= {**dict.fromkeys(accepted, YES), **others}
    return tuple(
        GroupFact(code_point=group_by_name(name) or 0, support=found, evidence=EVIDENCE[found])
        for name, found in supports.items()
    )


def only(rule_id: str, lines: str = "") -> Policy:
    """A policy in which this rule denies and every other one is off."""
    effects = [
        f'rules.{rule.id}.effects.{code} = "{"deny" if rule.id == rule_id else "off"}"'
        for rule in RULES
        for code in rule.codes
    ]
    return variant("\n".join((*effects, lines)))


def listing(rule_id: str, *names: str) -> Policy:
    return only(rule_id, f"rules.{rule_id}.parameters.groups = {list(names)}")


HYBRID = listing("group.required", "X25519MLKEM768")
CURVES = listing("group.required", "x25519", "secp384r1")


@pytest.mark.parametrize(
    ("policy", "facts", "expected"),
    [
        (CURVES, {"groups": groups("secp384r1")}, []),
        (CURVES, {"groups": groups("x25519", secp384r1=OPEN)}, []),
        (CURVES, {"groups": groups("secp256r1", secp384r1=OPEN)}, [UNKNOWN]),
        (CURVES, {"groups": groups("secp256r1")}, ["GROUP_NONE_REQUIRED"]),
        (CURVES, {"groups": ()}, [UNKNOWN]),
        (HYBRID, {"groups": groups("x25519")}, ["GROUP_NONE_REQUIRED"]),
        (HYBRID, {"groups": groups("X25519MLKEM768")}, []),
        (HYBRID, {"versions": versions(TLS_1_3=OPEN), "groups": groups("x25519")}, [UNKNOWN]),
        # TLS 1.2 has no hybrids, and of curves the one is known that was chosen.
        (HYBRID, {"versions": versions(TLS_1_3=NO)}, ["GROUP_NONE_REQUIRED"]),
        (CURVES, {"versions": versions(TLS_1_3=NO), "key_exchanges": (P256,)}, [UNKNOWN]),
        (
            listing("group.required", "secp256r1"),
            {"versions": versions(TLS_1_3=NO), "key_exchanges": (P256,)},
            [],
        ),
        # What TLS 1.2 does is no excuse where TLS 1.3 is offered.
        (
            listing("group.required", "secp256r1"),
            {"groups": groups("x25519"), "key_exchanges": (P256,)},
            ["GROUP_NONE_REQUIRED"],
        ),
        (HYBRID, {"versions": ()}, [UNKNOWN]),
    ],
)
def test_one_of_the_required_groups_must_be_accepted(
    policy: Policy, facts: dict[str, object], expected: list[str]
) -> None:
    assert codes(judge(make_facts(**facts), policy)) == expected


def test_the_finding_names_what_is_accepted_and_what_is_required() -> None:
    found = finding(
        judge(make_facts(groups=groups("x25519", "secp256r1")), HYBRID), "GROUP_NONE_REQUIRED"
    )
    assert found.message == "the server accepts x25519, secp256r1; one of X25519MLKEM768 required"
    assert "ssl_ecdh_curve" in found.remediation


def test_a_deep_measurement_knows_the_curves_of_a_server_without_tls_1_3() -> None:
    for support, expected in ((YES, []), (NO, ["GROUP_NONE_REQUIRED"]), (OPEN, [UNKNOWN])):
        deep = DeepFacts(
            curves=(CurveFact("x25519", support), CurveFact("secp384r1", NO)),
            duration=timedelta(seconds=1),
        )
        facts = make_facts(versions=versions(TLS_1_3=NO), deep=deep)
        assert codes(judge(facts, CURVES)) == expected


SET = listing("group.outside_set", "x25519", "secp256r1", "X25519MLKEM768")
OUTSIDE = "GROUP_NOT_LISTED"


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"groups": groups("x25519", "secp256r1"), "key_exchanges": (P256,)}, []),
        ({"groups": groups("x25519", X25519MLKEM768=OPEN), "key_exchanges": (P256,)}, []),
        ({"groups": groups("x25519", "x448"), "key_exchanges": (P256,)}, [OUTSIDE]),
        ({"groups": groups("x25519", x448=OPEN), "key_exchanges": (P256,)}, [UNKNOWN]),
        ({"groups": groups("ffdhe2048", x448=OPEN), "key_exchanges": (P256,)}, [OUTSIDE, UNKNOWN]),
        ({"groups": (), "key_exchanges": (P256,)}, [UNKNOWN]),
        # The compliant suites are of ECDHE, so some curve is used at TLS 1.2.
        ({"groups": groups("x25519")}, [UNKNOWN]),
        (
            {
                "groups": groups("x25519"),
                "key_exchanges": (P256, KeyExchangeFact(version=TLS12, group=22, bits=256)),
            },
            [OUTSIDE],
        ),
        ({"versions": versions(TLS_1_3=NO), "key_exchanges": (P256,)}, []),
        ({"versions": versions(TLS_1_3=OPEN), "key_exchanges": (P256,)}, [UNKNOWN]),
        (
            {
                "versions": versions(TLS_1_2=NO),
                "cipher_suites": (suite("TLS_AES_128_GCM_SHA256", over=TLS13),),
                "groups": groups("x25519"),
            },
            [],
        ),
    ],
)
def test_no_group_outside_the_set_may_be_accepted(
    facts: dict[str, object], expected: list[str]
) -> None:
    assert codes(judge(make_facts(**facts), SET)) == expected


def test_a_group_that_was_not_among_those_asked_about_is_unknown() -> None:
    """As from an engine that asks about fewer."""
    some = tuple(fact for fact in groups("x25519") if fact.code_point != 260)
    verdict = judge(make_facts(groups=some, key_exchanges=(P256,)), SET)
    assert finding(verdict, UNKNOWN).message == (
        "could not determine whether the server accepts ffdhe8192"
    )


def minimum(dh_bits: int = 2048, ec_bits: int = 255) -> Policy:
    return only(
        "key_exchange.minimum",
        f"rules.key_exchange.minimum.parameters.dh_minimum_bits = {dh_bits}\n"
        f"rules.key_exchange.minimum.parameters.ec_minimum_bits = {ec_bits}",
    )


WEAK = "KEY_EXCHANGE_WEAK"
WITH_DHE = {"cipher_suites": (suite("TLS_AES_128_GCM_SHA256", over=TLS13), suite(DHE))}


@pytest.mark.parametrize(
    ("policy", "facts", "expected"),
    [
        (minimum(), {"key_exchanges": (P256,)}, []),
        (minimum(), {**WITH_DHE, "key_exchanges": (dh(2048),)}, []),
        (minimum(), {**WITH_DHE, "key_exchanges": (dh(2047),)}, [WEAK]),
        (minimum(), {**WITH_DHE, "key_exchanges": ()}, [UNKNOWN]),
        (minimum(), {**WITH_DHE, "key_exchanges": (P256,)}, [UNKNOWN]),
        (minimum(ec_bits=256), {"key_exchanges": (P256,), "groups": groups("secp256r1")}, []),
        (minimum(ec_bits=257), {"key_exchanges": (P256,), "groups": groups("x448")}, [WEAK]),
        (minimum(ec_bits=256), {"key_exchanges": (P256,), "groups": groups("x25519")}, [WEAK]),
        (
            minimum(ec_bits=256),
            {"key_exchanges": (P256,), "groups": groups(x25519=OPEN)},
            [UNKNOWN],
        ),
        (minimum(ec_bits=256), {"key_exchanges": (P256,), "groups": groups(x448=OPEN)}, []),
        (minimum(3072), {"key_exchanges": (P256,), "groups": groups("ffdhe3072")}, []),
        (minimum(3072), {"key_exchanges": (P256,), "groups": groups("ffdhe2048")}, [WEAK]),
        (minimum(3072), {"key_exchanges": (P256,)}, [UNKNOWN]),
        (
            minimum(8193, 600),
            {
                "groups": groups("X25519MLKEM768"),
                "versions": versions(TLS_1_2=NO),
                "cipher_suites": (suite("TLS_AES_128_GCM_SHA256", over=TLS13),),
            },
            [],
        ),
        (minimum(), {"key_exchanges": (P256,), "versions": versions(TLS_1_1=OPEN)}, [UNKNOWN]),
        # Signatures of older versions are not verified, so nothing is known of their parameters.
        (
            minimum(),
            {
                "key_exchanges": (P256,),
                "versions": versions(TLS_1_0=YES),
                "cipher_suites": (
                    suite("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
                    suite("TLS_DHE_RSA_WITH_AES_128_CBC_SHA", over=TlsVersion.TLS_1_0),
                ),
            },
            [UNKNOWN],
        ),
        (minimum(), {"versions": ()}, [UNKNOWN]),
    ],
)
def test_ephemeral_keys_must_have_the_minimum(
    policy: Policy, facts: dict[str, object], expected: list[str]
) -> None:
    assert codes(judge(make_facts(**facts), policy)) == expected


def test_static_rsa_has_no_ephemeral_keys() -> None:
    facts = make_facts(
        cipher_suites=(
            suite("TLS_RSA_WITH_AES_128_GCM_SHA256"),
            suite("TLS_AES_128_GCM_SHA256", over=TLS13),
        )
    )
    assert judge(facts, minimum()).decision is Decision.ALLOW


def test_a_weak_key_exchange_is_described() -> None:
    facts = make_facts(
        cipher_suites=(suite(DHE), suite("TLS_AES_128_GCM_SHA256", over=TLS13)),
        key_exchanges=(dh(1024),),
        deep=DeepFacts(curves=(CurveFact("sect163k1", YES), CurveFact("brainpoolp256r1", YES))),
    )
    assert finding(judge(facts, minimum()), WEAK).message == (
        "the server exchanges keys over a finite field of 1024 bits (TLS 1.2), sect163k1 (DEEP);"
        " 2048 bits required of a finite field, 255 of a curve"
    )


@pytest.mark.parametrize(
    ("policy", "is_asked"),
    [
        *((policy, False) for policy in load_builtin_policies().ordered()),
        (minimum(), False),
        (minimum(2049), True),
        (minimum(ec_bits=256), True),
        (SET, True),
        (HYBRID, True),
    ],
)
def test_groups_are_asked_about_where_a_policy_judges_them(policy: Policy, is_asked: bool) -> None:
    """They cost connections, so the policies that are always loaded leave them out."""
    assert judges_groups([policy]) is is_asked
    assert judges_groups([*load_builtin_policies().ordered(), policy]) is is_asked


def test_the_rules_are_off_in_the_default_policy() -> None:
    weak = make_facts(
        groups=groups("ffdhe2048", "x448"),
        key_exchanges=(dh(512), P256),
    )
    assert judge(weak).decision is Decision.ALLOW


@pytest.mark.parametrize(
    ("rule_id", "name", "problem"),
    [
        ("group.required", "P-256", "write 'secp256r1'"),
        ("group.required", "brainpoolP256r1tls13", "is not measured"),
        ("group.required", "x2551", "is not the IANA name of a group"),
        ("group.outside_set", "prime256v1", "write 'secp256r1'"),
    ],
)
def test_a_group_is_named_as_iana_does(rule_id: str, name: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        listing(rule_id, name)


def test_any_registered_group_may_be_listed() -> None:
    policy = listing("group.outside_set", "brainpoolP256r1tls13", "x25519", "secp256r1")
    assert (
        judge(make_facts(groups=groups("x25519"), key_exchanges=(P256,)), policy).decision
        is Decision.ALLOW
    )


@pytest.mark.parametrize(
    ("name", "kind", "bits"),
    [
        ("x25519", GroupKind.CURVE, 255),
        ("x448", GroupKind.CURVE, 448),
        ("secp160k1", GroupKind.CURVE, 160),
        ("secp521r1", GroupKind.CURVE, 521),
        ("brainpoolP384r1tls13", GroupKind.CURVE, 384),
        ("GC512A", GroupKind.CURVE, 512),
        ("curveSM2", GroupKind.CURVE, 256),
        ("ffdhe6144", GroupKind.FINITE_FIELD, 6144),
        ("MLKEM1024", GroupKind.POST_QUANTUM, None),
        ("X25519MLKEM768", GroupKind.POST_QUANTUM, None),
        ("X25519Kyber768Draft00", GroupKind.POST_QUANTUM, None),
        ("arbitrary_explicit_prime_curves", GroupKind.CURVE, None),
    ],
)
def test_kind_and_size_of_a_group(name: str, kind: GroupKind, bits: int | None) -> None:
    code_point = group_by_name(name)
    assert code_point is not None
    assert (group_kind(code_point), group_bits(code_point)) == (kind, bits)


@pytest.mark.parametrize("rule_id", ["group.required", "group.outside_set", "key_exchange.minimum"])
def test_a_rule_with_depth_deep_is_judged_there_alone_and_asks_for_no_groups(rule_id: str) -> None:
    deep = only(rule_id, f'\nrules.{rule_id}.parameters.depth = "deep"')
    assert codes(judge(make_facts(), deep), rule_id) == []
    assert set(codes(judge(make_facts(depth=Depth.DEEP), deep), rule_id)) == {UNKNOWN}
    assert not judges_groups([deep])
    assert judges_groups([only(rule_id)]) == (rule_id != "key_exchange.minimum")
    with pytest.raises(ConfigurationError, match="must be one of standard, deep"):
        only(rule_id, f'\nrules.{rule_id}.parameters.depth = "DEEP"')
