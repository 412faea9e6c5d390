"""From surveys and handshakes to facts: what is said about versions, suites and deployments, and what is left unknown."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from otpc_policy.facts import Evidence, KeyType, Support, TlsVersion
from otpc_policy.scan.handshake import Ending, HandshakeOutcome
from otpc_policy.scan.handshakes import Completed, Handshake
from otpc_policy.scan.remarks import remarks
from otpc_policy.scan.translation import Measured, cipher_suite_facts, deployment_facts, leaf_key_type, version_facts
from otpc_policy.tls.offers import PAYMENT_RSA, PAYMENT_SUITES, suites_at
from otpc_policy.tls.proof import Log
from tests.support import forging
from tests.support.certificates import CertificateAuthority
from tests.tls.model_server import SILENCE, Model, Said, Server, alert
from tests.tls.surveying import limited, random_refusals, survey

SSL2, SSL3, TLS10, TLS11, TLS12, TLS13 = TlsVersion
COMPLIANT = Model(suites={TLS13: (0x1302, 0x1303, 0x1301), TLS12: PAYMENT_SUITES})
RSA_ALONE = Model(suites={TLS13: (0x1301,), TLS12: PAYMENT_RSA}, key_types=frozenset({KeyType.RSA}))
AUTHORITY = CertificateAuthority.create()
CHAINS = {kind: AUTHORITY.issue(key=key).chain_der for kind, key in ((KeyType.RSA, "rsa2048"), (KeyType.ECDSA, "ec256"), (KeyType.EDDSA, "ed25519"))}
Deployments = set[tuple[KeyType, Support, Evidence]]


def completed(version: TlsVersion, suite: int, kind: KeyType, *, staple: bytes | None = None) -> Completed:
    handshake = Handshake(version=version, cipher_suites=(suite,), key_type=kind if version is TLS13 else None)
    outcome = HandshakeOutcome(ending=Ending.COMPLETED, connected=True, key_proven=True, chain=CHAINS[kind], stapled_ocsp_response=staple)
    return Completed(handshake=handshake, cipher_suite=suite, outcome=outcome)


def measured(*servers: Server, done: Sequence[Completed] = ()) -> Measured:
    return Measured(surveys=tuple(survey(one).log for one in servers) or (Log(),), completed=done)


def versions(found: Measured) -> dict[TlsVersion, tuple[Support, Evidence]]:
    return {fact.version: (fact.support, fact.evidence) for fact in version_facts(found)}


def deployments(found: Measured, wanted: TlsVersion = TLS12) -> Deployments:
    facts = deployment_facts(found, version_facts(found))
    return {(fact.key_type, fact.support, fact.evidence) for fact in facts if fact.version is wanted}


def unsteady() -> Server:
    """One server that refuses by chance; it draws on as it is asked."""
    return random_refusals(COMPLIANT, seed=1, one_in=3, into=alert(40))


OBTAINED = (Support.YES, Evidence.SERVER_HELLO)
REFUSED, UNKNOWN = (Support.NO, Evidence.ALERT), (Support.UNKNOWN, Evidence.NONE)


def test_nothing_measured_is_nothing_known() -> None:
    found = measured()
    assert versions(found) == dict.fromkeys(TlsVersion, UNKNOWN)
    assert cipher_suite_facts(found) == ()
    assert deployments(found) == {(KeyType.RSA, *UNKNOWN), (KeyType.ECDSA, *UNKNOWN)}


def test_every_suite_of_every_version_that_is_offered_has_a_fact_in_order() -> None:
    facts = cipher_suite_facts(measured(COMPLIANT))
    assert [(fact.version, fact.code_point) for fact in facts] == [(version, suite) for version in (TLS12, TLS13) for suite in suites_at(version)]
    assert {fact.evidence for fact in facts} == {Evidence.SERVER_HELLO, Evidence.ALERT}


def test_a_handshake_proves_presence_too_and_is_told() -> None:
    found = measured(RSA_ALONE, done=[completed(TLS12, PAYMENT_RSA[0], KeyType.RSA), completed(TLS10, 0x002F, KeyType.RSA)])
    assert versions(found)[TLS10] == OBTAINED
    told = {(fact.version, fact.code_point): fact.handshake_completed for fact in cipher_suite_facts(found) if fact.support is Support.YES}
    assert {key for key, is_completed in told.items() if is_completed} == {(TLS12, PAYMENT_RSA[0]), (TLS10, 0x002F)}


def test_presence_is_taken_from_all_surveys_and_absence_from_a_steady_last_one_alone() -> None:
    old = Model(suites={TLS12: (*PAYMENT_SUITES, 0x002F), TLS10: (0x002F,)})
    found = measured(old, COMPLIANT)
    assert versions(found)[TLS10] == OBTAINED
    assert {fact.code_point for fact in cipher_suite_facts(found) if fact.version is TLS12 and fact.support is Support.YES} == {*PAYMENT_SUITES, 0x002F}
    assert measured(unsteady(), COMPLIANT).is_steady
    for found in (measured(unsteady()), measured(COMPLIANT, unsteady())):
        assert not found.is_steady
        assert not found.absences(TLS12)
        assert Evidence.ALERT not in {evidence for _, evidence in versions(found).values()}


def test_a_lower_version_counts_even_from_an_unsteady_server() -> None:
    server = random_refusals(Model(suites={TLS12: PAYMENT_SUITES}), seed=1, one_in=3, into=alert(40))
    found = measured(server)
    assert not found.is_steady
    assert versions(found)[TLS13] == (Support.NO, Evidence.LOWER_VERSION)


def test_ssl_3_is_absent_only_if_its_hello_without_a_name_was_turned_away_too() -> None:
    """For want of a name is enough: a server that needs one is reached by clients that send it."""

    def silent_without_a_name(sent: bytes, number: int) -> Said:
        said = replace(COMPLIANT, needs_name=True)(sent, number)
        return SILENCE if said == alert(112) else said

    assert versions(measured(replace(COMPLIANT, needs_name=True)))[SSL3] == REFUSED
    assert versions(measured(silent_without_a_name))[SSL3] == UNKNOWN


def test_key_types_up_to_tls_1_2_follow_from_chains_and_else_from_the_suites() -> None:
    rsa = completed(TLS12, PAYMENT_RSA[0], KeyType.RSA)
    assert deployments(measured(RSA_ALONE, done=[rsa])) == {(KeyType.RSA, *OBTAINED), (KeyType.ECDSA, *REFUSED)}
    # A suite that was chosen, and no handshake with it: the chain is unknown.
    assert deployments(measured(COMPLIANT, done=[rsa])) == {(KeyType.RSA, *OBTAINED), (KeyType.ECDSA, *UNKNOWN)}
    assert deployments(measured(limited(RSA_ALONE, after=9, into=SILENCE), done=[rsa])) == {(KeyType.RSA, *OBTAINED), (KeyType.ECDSA, *UNKNOWN)}


def test_an_ed25519_leaf_serves_suites_of_ecdsa() -> None:
    """RFC 8422 5.10."""
    done = [completed(TLS12, PAYMENT_RSA[0], KeyType.RSA), completed(TLS12, 0xC02B, KeyType.EDDSA)]
    assert deployments(measured(COMPLIANT, done=done)) == {(KeyType.RSA, *OBTAINED), (KeyType.EDDSA, *OBTAINED)}


def test_key_types_of_tls_1_3_are_refused_by_their_signature_schemes() -> None:
    done = [completed(TLS13, 0x1301, KeyType.RSA)]
    assert deployments(measured(RSA_ALONE, done=done), TLS13) == {(KeyType.RSA, *OBTAINED), (KeyType.ECDSA, *REFUSED), (KeyType.EDDSA, *REFUSED)}
    # Answered over TLS 1.3 without a handshake: there is such a certificate, and nobody has seen it.
    assert (KeyType.ECDSA, *UNKNOWN) in deployments(measured(COMPLIANT, done=done), TLS13)


def test_one_staple_is_enough_for_a_chain_and_different_ones_are_all_judged() -> None:
    def staples(*responses: bytes | None) -> list[bytes | None]:
        found = measured(RSA_ALONE, done=[completed(TLS12, PAYMENT_RSA[0], KeyType.RSA, staple=one) for one in responses])
        facts = deployment_facts(found, version_facts(found))
        return [fact.stapled_ocsp_response for fact in facts if fact.version is TLS12 and fact.support is Support.YES]

    assert staples(None, None) == [None]
    assert staples(None, b"good") == [b"good"]
    assert staples(b"revoked", b"good", b"good") == [b"good", b"revoked"]


def test_a_leaf_tells_its_key_type_and_the_hint_serves_where_it_cannot_be_read() -> None:
    assert {leaf_key_type(chain[0], None) for chain in CHAINS.values()} == set(CHAINS)
    assert leaf_key_type(b"no DER", KeyType.ECDSA) is KeyType.ECDSA
    assert leaf_key_type(b"no DER", None) is KeyType.OTHER


def _edited(element: int, content: bytes) -> bytes:
    """A leaf with one element of its TBSCertificate replaced."""

    def edit(elements: list[bytes]) -> None:
        elements[element] = content

    return forging.leaf(None, edit=edit).der


@pytest.mark.parametrize(
    ("element", "content"),
    [
        pytest.param(forging.VERSION, "a00302017f", id="version 127: an exception of its own"),
        pytest.param(forging.VERSION, "a003020103", id="version 3"),
        pytest.param(forging.VERSION, "a0030201ff", id="version -1"),
        # 2.16.840.1.101.3.4.3.17, ML-DSA-44 (RFC 9881): a ValueError, where others are UnsupportedAlgorithm.
        pytest.param(forging.KEY, "3012300b060960864801650304031103030000ff", id="key of an unknown kind"),
        pytest.param(forging.KEY, "3009300706052b0e03020c0300", id="key without a bit"),
        pytest.param(forging.SERIAL, "020180", id="negative serial number: a warning"),
        pytest.param(forging.SERIAL, "0200", id="no serial number"),
    ],
)
def test_no_leaf_ends_a_measurement(element: int, content: str) -> None:
    found = leaf_key_type(_edited(element, bytes.fromhex(content)), KeyType.ECDSA)
    assert found in (KeyType.ECDSA, KeyType.OTHER)


def test_a_leaf_that_cannot_be_read_is_remembered_by_its_hint() -> None:
    """One scan reads each leaf once; what RSA suites hint at says nothing of the same bytes behind ECDSA ones."""
    found = measured()
    for _ in range(2):
        for hint, expected in ((KeyType.ECDSA, KeyType.ECDSA), (KeyType.RSA, KeyType.RSA), (None, KeyType.OTHER)):
            assert found.leaf_key_type(b"no DER", hint) is expected
            assert found.leaf_key_type(CHAINS[KeyType.EDDSA][0], hint) is KeyType.EDDSA


@pytest.mark.parametrize(
    ("server", "remark"),
    [
        (COMPLIANT, None),
        (replace(COMPLIANT, needs_name=True), None),
        (unsteady(), "the server refused a hello that it had accepted before"),
        (limited(COMPLIANT, after=12, into=alert(40)), "some refusals prove nothing"),
        (limited(COMPLIANT, after=12, into=SILENCE), "the server did not answer (timed out)"),
        (lambda _hello, _number: alert(112), "the server answered with the alert unrecognized_name (112)"),
    ],
)
def test_what_kept_something_from_being_proven_is_told_once(server: Server, remark: str | None) -> None:
    found = measured(server)
    told = remarks(found, version_facts(found), cipher_suite_facts(found))
    assert len(set(told)) == len(told)
    assert bool(told) is (remark is not None)
    assert remark is None or any(one.startswith(remark) for one in told)
