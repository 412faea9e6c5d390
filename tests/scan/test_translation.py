"""From answered questions to facts: what is said about versions, suites and deployments, and what is left unknown."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from otpc_policy.facts import CipherSuiteFact, ClientAuth, DeploymentFact, Evidence, KeyType, Support, TlsVersion, VersionFact
from otpc_policy.scan.elimination import Question
from otpc_policy.scan.handshake import Ending, HandshakeOutcome
from otpc_policy.scan.translation import Measured, cipher_suite_facts, client_auth, deployment_facts, leaf_key_type, version_facts
from tests.scan.partners import offer
from tests.support.certificates import CertificateAuthority

V12, V13 = TlsVersion.TLS_1_2, TlsVersion.TLS_1_3
RSA_SUITE, ECDSA_SUITE = 0xC02F, 0xC02B
NO_CONTACT = HandshakeOutcome(ending=Ending.CLOSED, connected=True)
PICKED_ONLY = HandshakeOutcome(ending=Ending.FAILED, connected=True)


@pytest.fixture(scope="module")
def rsa() -> HandshakeOutcome:
    return HandshakeOutcome(ending=Ending.COMPLETED, connected=True, key_proven=True, chain=CertificateAuthority.create().issue(key="rsa2048").chain_der)


def question(
    version: TlsVersion,
    *,
    accepted: Mapping[int, HandshakeOutcome] | None = None,
    remaining: Sequence[int] = (),
    absence: Evidence = Evidence.NONE,
    key_type: KeyType | None = None,
) -> Question:
    one = Question(offer=offer(443, version=version, suites=(*(accepted or {}), *remaining), key_type=key_type))
    one.accepted, one.remaining, one.absence, one.version_accepted = dict(accepted or {}), list(remaining), absence, bool(accepted)
    return one


def measured(*questions: Question, key_types: Sequence[Question] = (), steady: bool = True, contact_version: TlsVersion | None = None) -> Measured:
    by_version: dict[TlsVersion, list[Question]] = {}
    for one in questions:
        assert one.offer.version is not None
        by_version.setdefault(one.offer.version, []).append(one)
    return Measured(contact=NO_CONTACT, contact_version=contact_version, contact_suite=None, questions=by_version, key_type_questions=key_types, steady=steady)


def version(found: Measured, wanted: TlsVersion = V12) -> tuple[Support, Evidence]:
    fact = next(fact for fact in version_facts(found) if fact.version is wanted)
    return fact.support, fact.evidence


def suites(found: Measured) -> Sequence[CipherSuiteFact]:
    return cipher_suite_facts(found, version_facts(found))


def deployments(found: Measured, wanted: TlsVersion = V12) -> set[tuple[KeyType, Support, Evidence]]:
    facts: Sequence[DeploymentFact] = deployment_facts(found, version_facts(found), suites(found))
    return {(fact.key_type, fact.support, fact.evidence) for fact in facts if fact.version is wanted}


ABSENT = question(V12, remaining=(RSA_SUITE, ECDSA_SUITE), absence=Evidence.ALERT)
CLOSED = question(V12, remaining=(0x002F,), absence=Evidence.CLOSED_CONFIRMED)
OPEN = question(V12, remaining=(0x0035,))
LOWER = question(V12, remaining=(0x0035,), absence=Evidence.LOWER_VERSION)
EMPTY = question(V12)


@pytest.mark.parametrize(
    ("found", "fact"),
    [
        (measured(), (Support.UNKNOWN, Evidence.NONE)),
        (measured(ABSENT), (Support.NO, Evidence.ALERT)),
        (measured(ABSENT, EMPTY), (Support.NO, Evidence.ALERT)),
        (measured(ABSENT, CLOSED), (Support.NO, Evidence.CLOSED_CONFIRMED)),
        (measured(ABSENT, OPEN), (Support.UNKNOWN, Evidence.NONE)),
        (measured(ABSENT, steady=False), (Support.UNKNOWN, Evidence.NONE)),
        (measured(OPEN, LOWER, steady=False), (Support.NO, Evidence.LOWER_VERSION)),
        (measured(OPEN, contact_version=TlsVersion.TLS_1_0), (Support.NO, Evidence.LOWER_VERSION)),
        (measured(OPEN, contact_version=TlsVersion.SSL_3_0), (Support.NO, Evidence.LOWER_VERSION)),
        (measured(OPEN, contact_version=V13), (Support.UNKNOWN, Evidence.NONE)),
        (measured(LOWER, question(V12, accepted={RSA_SUITE: PICKED_ONLY})), (Support.YES, Evidence.SERVER_HELLO)),
    ],
)
def test_versions(found: Measured, fact: tuple[Support, Evidence]) -> None:
    assert version(found) == fact


def test_a_version_below_the_offer_of_the_first_hello_is_not_thereby_offered() -> None:
    assert version(measured(contact_version=TlsVersion.SSL_3_0), TlsVersion.SSL_3_0) == (Support.UNKNOWN, Evidence.NONE)


def test_suites_are_known_for_offered_versions_only_and_completed_where_the_key_was_proven(rsa: HandshakeOutcome) -> None:
    mixed = question(V12, accepted={RSA_SUITE: rsa, 0x0034: PICKED_ONLY}, remaining=(0x002F,), absence=Evidence.ALERT)
    facts = suites(measured(mixed, OPEN, question(TlsVersion.TLS_1_0, remaining=(0x000A,), absence=Evidence.ALERT)))
    assert [(fact.code_point, fact.support, fact.evidence, fact.handshake_completed) for fact in facts] == [
        (0x002F, Support.NO, Evidence.ALERT, False),
        (0x0034, Support.YES, Evidence.SERVER_HELLO, False),
        (0x0035, Support.UNKNOWN, Evidence.NONE, False),
        (RSA_SUITE, Support.YES, Evidence.SERVER_HELLO, True),
    ]
    unsteady = suites(measured(mixed, steady=False))
    assert {fact.code_point: fact.support for fact in unsteady}[0x002F] is Support.UNKNOWN


def test_key_types_up_to_tls_1_2_follow_from_the_suites(rsa: HandshakeOutcome) -> None:
    obtained = (KeyType.RSA, Support.YES, Evidence.SERVER_HELLO)
    with_rsa = {RSA_SUITE: rsa}
    assert deployments(measured(question(V12, accepted=with_rsa, remaining=(ECDSA_SUITE,), absence=Evidence.ALERT))) == {
        obtained,
        (KeyType.ECDSA, Support.NO, Evidence.ALERT),
    }
    assert deployments(measured(question(V12, accepted=with_rsa, remaining=(ECDSA_SUITE,)))) == {obtained, (KeyType.ECDSA, Support.UNKNOWN, Evidence.NONE)}
    proven_only_by_suite = question(V12, accepted={**with_rsa, ECDSA_SUITE: PICKED_ONLY, 0x0032: PICKED_ONLY})
    assert deployments(measured(proven_only_by_suite)) == {
        obtained,
        (KeyType.ECDSA, Support.UNKNOWN, Evidence.NONE),
        (KeyType.DSA, Support.UNKNOWN, Evidence.NONE),
    }


def test_key_types_of_tls_1_3_follow_from_the_signature_schemes(rsa: HandshakeOutcome) -> None:
    versions = question(V13, accepted={0x1301: rsa})
    refused = question(V13, remaining=(0x1301,), absence=Evidence.ALERT, key_type=KeyType.EDDSA)
    picked = question(V13, accepted={0x1301: PICKED_ONLY}, key_type=KeyType.ECDSA)
    found = measured(versions, key_types=[refused, picked])
    assert deployments(found, V13) == {
        (KeyType.RSA, Support.YES, Evidence.SERVER_HELLO),
        (KeyType.EDDSA, Support.NO, Evidence.ALERT),
        (KeyType.ECDSA, Support.UNKNOWN, Evidence.NONE),
    }


def test_an_unknown_modern_version_leaves_its_deployments_unknown_and_a_refused_one_has_none() -> None:
    unknown = {(KeyType.RSA, Support.UNKNOWN, Evidence.NONE), (KeyType.ECDSA, Support.UNKNOWN, Evidence.NONE)}
    assert deployments(measured(OPEN)) == unknown
    assert deployments(measured(ABSENT)) == set()


def test_every_chain_counts_and_a_staple_seen_once_is_enough(rsa: HandshakeOutcome) -> None:
    other = replace(rsa, chain=CertificateAuthority.create("Other").issue(key="rsa2048").chain_der)
    found = measured(question(V12, accepted={RSA_SUITE: rsa, 0x009C: replace(rsa, stapled_ocsp_response=b"good"), 0x002F: other}))
    facts = [fact for fact in deployment_facts(found, version_facts(found), suites(found)) if fact.chain]
    assert {(fact.chain, fact.stapled_ocsp_response) for fact in facts} == {(rsa.chain, b"good"), (other.chain, None)}


def test_client_certificates_are_known_from_completed_handshakes_only(rsa: HandshakeOutcome) -> None:
    asked = replace(rsa, client_certificate_requested=True)
    assert client_auth(measured(question(V12, accepted={RSA_SUITE: rsa}))) is ClientAuth.NONE
    assert client_auth(measured(question(V12, accepted={RSA_SUITE: rsa, 0x002F: asked}))) is ClientAuth.REQUESTED
    assert client_auth(measured(question(V12, accepted={RSA_SUITE: replace(asked, key_proven=False)}))) is ClientAuth.UNKNOWN


@pytest.mark.parametrize(("key", "key_type"), [("rsa2048", KeyType.RSA), ("ec384", KeyType.ECDSA), ("ed25519", KeyType.EDDSA), ("dsa2048", KeyType.DSA)])
def test_key_types_of_leaves(key: str, key_type: KeyType) -> None:
    leaf = CertificateAuthority.create().issue(key=key)
    assert leaf_key_type(leaf.der, None) is key_type
    assert leaf_key_type(b"no certificate", KeyType.ECDSA) is KeyType.ECDSA
    assert leaf_key_type(b"no certificate", None) is KeyType.OTHER


def test_one_fact_for_every_version() -> None:
    facts: Sequence[VersionFact] = version_facts(measured(ABSENT))
    assert [fact.version for fact in facts] == list(TlsVersion)
