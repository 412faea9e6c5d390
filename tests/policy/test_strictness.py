"""A policy that is said to be implied by another decides no worse, whatever the facts."""

from dataclasses import replace
from itertools import product

import pytest

from otpc_policy.catalog.policies import load_builtin_policies
from otpc_policy.core.facts import EndpointFacts, HttpService, Support, TlsService
from otpc_policy.policy.finding import Decision
from otpc_policy.policy.model import Policy
from otpc_policy.policy.strictness import is_implied
from tests.policy.judging import default_policy, judge, variant
from tests.support.facts import compliant_suites, make_facts, suite, versions

BUILTIN = load_builtin_policies().policies
ORDER = [Decision.ALLOW, Decision.INDETERMINATE, Decision.DENY]
VERSION = "rules.tls.minimum_version.effects.TLS_VERSION_BELOW_MINIMUM"
VARIANTS = [
    *BUILTIN.values(),
    *(
        replace(variant(toml), name=f"variant {number}")
        for number, toml in enumerate(
            (
                "enforcing = false\n",
                f'{VERSION} = "advisory"\n',
                f'{VERSION} = "off"\n',
                'rules.https.served.effects.HTTPS_NOT_SERVED = "off"\n',
                'rules.https.served.effects.HTTPS_NOT_SERVED = "advisory"\n',
                'rules.tls.served.effects.TLS_NOT_SERVED = "advisory"\n',
                'rules.cipher.required.effects.CIPHER_SUITE_NONE_REQUIRED = "off"\n',
                'rules.cipher.outside_set.effects.CIPHER_SUITE_NOT_LISTED = "deny"\n',
                'rules.cipher.outside_set.parameters.tls13_suites = "advise"\n',
                'rules.tls.minimum_version.parameters.permitted_versions = ["TLS 1.3"]\n',
            )
        )
    ),
]
FACTS: list[EndpointFacts] = [
    make_facts(),
    make_facts(versions=versions(TLS_1_1=Support.YES)),
    make_facts(versions=versions(TLS_1_1=Support.UNKNOWN)),
    make_facts(versions=versions(TLS_1_1=Support.YES), http=HttpService.UNKNOWN),
    make_facts(http=HttpService.NOT_SERVED),
    make_facts(http=HttpService.UNKNOWN),
    make_facts(http=HttpService.NOT_OBSERVABLE),
    make_facts(tls=TlsService.PLAINTEXT_HTTP, versions=()),
    make_facts(tls=TlsService.UNKNOWN, versions=(), cipher_suites=(), deployments=()),
    make_facts(reachable=Support.UNKNOWN),
    make_facts(cipher_suites=(suite("TLS_RSA_WITH_AES_128_CBC_SHA"),)),
    make_facts(cipher_suites=(*compliant_suites(), suite("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"))),
    make_facts(cipher_suites=()),
    make_facts(deployments=()),
]


def test_what_is_implied_never_decides_worse() -> None:
    implied = [
        (policy, by)
        for policy, by in product(VARIANTS, repeat=2)
        if policy is not by and is_implied(policy, by=by)
    ]
    assert len(implied) > len(VARIANTS)
    for facts in FACTS:
        verdicts = {policy.name: judge(facts, policy) for policy in VARIANTS}
        for policy, by in implied:
            weaker, stricter = verdicts[policy.name], verdicts[by.name]
            for decision in ("decision", "evaluated_decision"):
                assert ORDER.index(getattr(weaker, decision)) <= ORDER.index(
                    getattr(stricter, decision)
                ), (policy.name, by.name, facts)


@pytest.mark.parametrize(
    ("policy", "by", "expected"),
    [
        (default_policy(), default_policy(), True),
        (default_policy(), BUILTIN["otpc-2024-12-strict"], True),
        (BUILTIN["otpc-2024-12-strict"], default_policy(), False),
        (default_policy(), BUILTIN["mozilla-modern"], False),
        (variant(f'{VERSION} = "advisory"\n'), default_policy(), True),
        (default_policy(), variant(f'{VERSION} = "advisory"\n'), False),
        # A policy on trial denies nothing, so it implies none that does.
        (default_policy(), variant("enforcing = false\n"), False),
        (variant("enforcing = false\n"), default_policy(), True),
        # Other parameters: nothing is proven, though a reader sees that it is stricter.
        (
            default_policy(),
            variant('rules.tls.minimum_version.parameters.permitted_versions = ["TLS 1.3"]\n'),
            False,
        ),
        # A worse severity is a difference too.
        (
            variant('rules.https.served.severities.HTTPS_NOT_SERVED = "critical"\n'),
            default_policy(),
            False,
        ),
        # What a rule demands that is off does not count.
        (
            variant(
                'rules.cipher.required.effects.CIPHER_SUITE_NONE_REQUIRED = "off"\n'
                'rules.cipher.required.parameters.suites = ["TLS_RSA_WITH_AES_128_CBC_SHA"]\n'
            ),
            default_policy(),
            True,
        ),
    ],
)
def test_implication_is_proven_by_parameters_effects_and_severities(
    policy: Policy, by: Policy, expected: bool
) -> None:
    assert is_implied(policy, by=by) is expected
