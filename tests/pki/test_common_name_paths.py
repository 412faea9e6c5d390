"""A leaf by its common name, which an anchor issued itself, is asked all that others are asked."""

from collections.abc import Sequence

import pytest
from cryptography import x509

from otpc_policy.pki.judge import judge_chain
from otpc_policy.pki.judgement import NameMatch, TrustSource
from otpc_policy.pki.trust import Trust, TrustEntry
from tests.support.forging import (
    AT,
    ISSUED,
    LONG_AGO,
    Extension,
    Made,
    authority,
    key_usage,
    leaf,
    name_constraints,
    purposes,
)

HOST = "partner.test"
PLAIN = authority("Anchor", key="rsa2048")
POLICY = x509.CertificatePolicies(
    [x509.PolicyInformation(x509.ObjectIdentifier("1.3.6.1.4.1.99999.2"), None)]
)
DEMANDING = authority("Anchor", plus=[(x509.PolicyConstraints(0, None), True)])
STRANGE = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")


def by_common_name(anchor: Made, *plus: Extension, hash_name: str = "sha256") -> Made:
    return leaf(
        anchor,
        subject=HOST,
        plus=plus,
        without=[x509.SubjectAlternativeName],
        hash_name=hash_name,
    )


def trust_in(server: Made, anchor: Made) -> TrustSource:
    judgement = judge_chain(
        [server.der],
        server_name=HOST,
        stapled_ocsp_response=None,
        trust=Trust(mozilla_roots=(), entries=(TrustEntry(hosts=(HOST,), anchors=(anchor.der,)),)),
        at=AT,
    )
    assert judgement.name is NameMatch.COMMON_NAME
    return judgement.trust


FENCED = authority("Anchor", plus=[(name_constraints(permitted=["other.test"]), True)])
EXPIRED = authority("Anchor", dates=(LONG_AGO, ISSUED))
ALIEN = authority("Anchor")


@pytest.mark.parametrize(
    ("anchor", "plus"),
    [
        (PLAIN, []),
        (PLAIN, [(POLICY, False)]),
        (DEMANDING, [(POLICY, False)]),
        (authority("Anchor", path_length=0), []),
        (authority("Anchor", plus=[(name_constraints(permitted=[HOST]), True)]), []),
    ],
)
def test_such_a_leaf_is_trusted(anchor: Made, plus: Sequence[Extension]) -> None:
    assert trust_in(by_common_name(anchor, *plus), anchor) is TrustSource.ANCHOR


@pytest.mark.parametrize(
    ("anchor", "plus"),
    [
        # The demand of the anchor, and one of the leaf itself, for a policy that is not there.
        (DEMANDING, []),
        (PLAIN, [(x509.PolicyConstraints(0, None), True)]),
        (PLAIN, [(key_usage("digital_signature", "key_cert_sign"), True)]),
        (PLAIN, [(key_usage("key_encipherment"), True)]),
        (PLAIN, [(name_constraints(permitted=[HOST]), True)]),
        (PLAIN, [(name_constraints(permitted=[HOST]), False)]),
        (PLAIN, [(purposes("client_auth"), False)]),
        (PLAIN, [(purposes("any"), False)]),
        (PLAIN, [(STRANGE, True)]),
        (PLAIN, [(x509.BasicConstraints(True, None), True)]),
        (FENCED, []),
        (EXPIRED, []),
    ],
)
def test_it_is_not_with_any_flaw_that_others_may_not_have(
    anchor: Made, plus: Sequence[Extension]
) -> None:
    assert trust_in(by_common_name(anchor, *plus), anchor) is TrustSource.NOTHING


@pytest.mark.parametrize("hash_name", ["md5", "sha1"])
def test_it_is_not_by_a_weak_hash(hash_name: str) -> None:
    server = by_common_name(PLAIN, hash_name=hash_name)
    assert trust_in(server, PLAIN) is TrustSource.NOTHING


def test_it_is_not_below_another_anchor_of_the_same_name() -> None:
    assert trust_in(by_common_name(PLAIN), ALIEN) is TrustSource.NOTHING
