"""Texts that partners had a part in are shortened in messages."""

import pytest
from cryptography import x509

from otpc_policy.catalog.policies import load_builtin_policies
from otpc_policy.pki.trust import Trust
from otpc_policy.policy.evaluate import evaluate_chain
from otpc_policy.policy.rules.certificate_text import shortened
from tests.support.forging import AT, Made, authority, leaf, organization

_ROOT = authority("Root")
_LONG = "x" * 50_000
_PURPOSES = x509.ExtendedKeyUsage([x509.ObjectIdentifier(f"1.2.3.{n}") for n in range(2_000)])


@pytest.mark.parametrize(
    ("served", "code"),
    [
        (leaf(_ROOT, dns=[_LONG]), "CERTIFICATE_NAME_MISMATCH"),
        (leaf(Made(_ROOT.der, _ROOT.key, organization(_LONG))), "CERTIFICATE_UNTRUSTED"),
        (leaf(_ROOT, plus=[(_PURPOSES, False)]), "CERTIFICATE_NOT_FOR_SERVERS"),
    ],
    ids=["name", "issuer", "purposes"],
)
def test_messages_are_short(served: Made, code: str) -> None:
    verdict = evaluate_chain(
        [served.der],
        load_builtin_policies().get("nist-800-52r2"),
        server_name="partner.test",
        trust=Trust(mozilla_roots=(_ROOT.der,)),
        request_anchors=(),
        now=AT,
    )
    found = [finding for finding in verdict.findings if finding.code == code]
    assert found
    for finding in found:
        assert len(finding.message) < 1_000
        assert "more characters" in finding.message


def test_what_was_left_out_is_counted() -> None:
    assert shortened("x" * 300) == "x" * 300
    assert shortened("x" * 1_500) == "x" * 300 + "… (1,200 more characters)"
