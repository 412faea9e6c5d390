"""handshake.extension: pass, fail, unknown; what TLS 1.3 has by itself is not asked for."""

import pytest

from otpc_policy.core.facts import HandshakeFacts, Support
from otpc_policy.policy.finding import Decision
from tests.policy.judging import UNKNOWN, codes, finding, judge, only, variant
from tests.support.facts import make_facts, versions

YES, NO, OPEN = Support.YES, Support.NO, Support.UNKNOWN
POLICY = only("handshake.extension")
MISSING, COMPRESSED = "HANDSHAKE_EXTENSION_MISSING", "HANDSHAKE_COMPRESSION_ACCEPTED"


def shown(master_secret: Support, renegotiation: Support, compression: Support) -> HandshakeFacts:
    return HandshakeFacts(
        extended_master_secret=master_secret,
        secure_renegotiation=renegotiation,
        compression=compression,
    )


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (shown(YES, YES, NO), []),
        (shown(NO, YES, NO), [MISSING]),
        (shown(YES, NO, NO), [MISSING]),
        (shown(NO, NO, NO), [MISSING, MISSING]),
        (shown(YES, YES, YES), [COMPRESSED]),
        (shown(OPEN, YES, NO), [UNKNOWN]),
        (shown(YES, OPEN, NO), [UNKNOWN]),
        (shown(YES, YES, OPEN), [UNKNOWN]),
        (shown(OPEN, NO, YES), [COMPRESSED, MISSING, UNKNOWN]),
        (HandshakeFacts(), [UNKNOWN]),
    ],
)
def test_handshakes_of_tls_1_2_have_what_is_required(
    seen: HandshakeFacts, expected: list[str]
) -> None:
    assert codes(judge(make_facts(handshake=seen), POLICY)) == expected


def test_all_that_is_unknown_is_named_at_once() -> None:
    (found,) = judge(make_facts(handshake=HandshakeFacts()), POLICY).findings
    assert found.rule_id == "handshake.extension"
    for what in ("extended master secret", "secure renegotiation", "TLS compression"):
        assert what in found.message


def test_tls_1_3_alone_needs_none_of_it() -> None:
    facts = make_facts(versions=versions(TLS_1_2=NO))
    assert judge(facts, POLICY).decision is Decision.ALLOW


@pytest.mark.parametrize("old", [YES, OPEN])
def test_what_older_versions_do_is_unknown(old: Support) -> None:
    """Nothing but the signatures of TLS 1.2 proves a ServerHello of a version below TLS 1.3."""
    facts = make_facts(versions=versions(TLS_1_0=old), handshake=shown(YES, YES, NO))
    assert codes(judge(facts, POLICY)) == [UNKNOWN]


def test_only_what_is_required_is_judged() -> None:
    policy = variant(
        'rules.handshake.extension.effects.HANDSHAKE_EXTENSION_MISSING = "deny"\n'
        'rules.handshake.extension.parameters.required = ["secure_renegotiation"]'
    )
    assert judge(make_facts(handshake=shown(NO, YES, YES)), policy).decision is Decision.ALLOW
    verdict = judge(make_facts(handshake=shown(NO, NO, YES)), policy)
    assert finding(verdict, MISSING).message == (
        "the server does not use secure renegotiation (RFC 5746) although it was offered; required"
    )


def test_the_rule_is_off_in_the_default_policy() -> None:
    assert judge(make_facts(handshake=shown(NO, NO, YES))).decision is Decision.ALLOW
